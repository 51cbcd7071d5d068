"""Stop criteria: an algebra that gives its reason in words, with the numbers."""

import jax.numpy as jnp
import pytest

import ravine as rv


def bowl(x):
    return jnp.sum(x**2)


def run(stop, lr=0.1, x0=(1.0, -2.0), fun=bowl):
    return rv.minimize(fun, jnp.array(x0), method=rv.GradientDescent(lr), stop=stop)


def test_either_stops_at_the_first_and_says_which():
    r = run(rv.Optimality(1e-3) | rv.MaxSteps(5))
    assert (r.status.name, r.nit, r.success) == ("MAX_STEPS", 5, False)
    assert "5 of at most 5 iterations" in r.message
    r = run(rv.Optimality(1e-3) | rv.MaxSteps(500))
    assert (r.status.name, r.success) == ("CONVERGED", True)
    assert "≤ tol 0.001 × scale" in r.message
    assert f"after {int(r.nit)} iterations" in r.message


def test_both_waits_for_the_second_and_gives_both_reasons():
    step, decrease = run(rv.SmallStep(1e-2)), run(rv.SmallDecrease(1e-6))
    both = run(rv.SmallStep(1e-2) & rv.SmallDecrease(1e-6))
    assert both.nit == max(step.nit, decrease.nit) > min(step.nit, decrease.nit)
    assert both.status.name == "STALLED"
    assert "changed x by" in both.message
    assert "together with" in both.message
    assert "lowered f by" in both.message


def test_precedence_of_and_over_or_is_python_s():
    r = run(rv.MaxSteps(3) | rv.SmallStep(1e-2) & rv.SmallDecrease(1e-6))
    assert (r.status.name, r.nit) == ("MAX_STEPS", 3)


def test_target_is_a_success():
    r = run(rv.Target(0.5) | rv.MaxSteps(100))
    assert (r.status.name, r.success) == ("TARGET", True)
    assert r.fun <= 0.5
    assert "reached the target 0.5" in r.message


def test_max_evaluations_counts_what_was_evaluated():
    r = run(rv.MaxEvaluations(12))
    assert r.status.name == "MAX_STEPS"
    assert r.nfev == 12
    assert "12 of at most 12 evaluations" in r.message


def test_success_comes_before_a_budget_that_ends_at_the_same_step():
    n = run(rv.Optimality(1e-3) | rv.MaxSteps(500)).nit
    assert run(rv.MaxSteps(int(n)) | rv.Optimality(1e-3)).status.name == "CONVERGED"


def test_a_diverging_run_is_nonfinite_and_returns_its_best_point():
    r = run(rv.MaxSteps(10_000), lr=1.5)
    assert r.status.name == "NONFINITE"
    assert not r.success
    assert r.fun == 5.0
    assert r.x.tolist() == [1.0, -2.0]


def test_a_function_without_a_floor_is_unbounded():
    r = run(rv.MaxSteps(10_000), lr=1.5, fun=lambda x: -jnp.sum(x**2))
    assert r.status.name == "UNBOUNDED"


def test_nonsense_is_refused_with_the_cure():
    with pytest.raises(TypeError, match=r"write for example Optimality"):
        rv.Optimality(1e-3) | 5
    with pytest.raises(ValueError, match=r"MaxSteps: n must be a whole number from 0 to 2,147,483,647, got n=-1"):
        rv.MaxSteps(-1)
    with pytest.raises(ValueError, match=r"MaxEvaluations: n must be a whole number from 0 to 2,147,483,647, got n=1\.5"):
        rv.MaxEvaluations(1.5)
    with pytest.raises(TypeError, match=r"tol must be a number"):
        rv.Optimality("tight")


def test_tol_and_stop_together_mean_either():
    r = rv.minimize(bowl, jnp.ones(2), method=rv.GradientDescent(0.1), tol=1e-3, stop=rv.MaxSteps(500))
    assert r.status.name == "CONVERGED"
