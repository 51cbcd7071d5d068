"""What a result says is so: of the point that it returns, of the work that it took, and of a run that is gone on with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.registry import names


def bowl(x):
    return jnp.sum((x - 3.0) ** 2)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize("name", [n for n in names("first_order") if n != "muon"])
def test_the_gradient_of_a_result_is_that_at_its_point(name):
    r = rv.minimize(bowl, jnp.zeros(2), method=name, stop=rv.MaxSteps(25))
    np.testing.assert_allclose(r.jac, jax.grad(bowl)(r.x), rtol=1e-12)
    np.testing.assert_allclose(r.fun, bowl(r.x), rtol=1e-12)
    np.testing.assert_allclose(r.optimality, np.abs(r.jac).max(), rtol=1e-12)


@pytest.mark.parametrize("method", [rv.ScheduleFree(1e-2), rv.ScheduleFree(0.1), rv.Nesterov(1e-3, 0.99)])
def test_a_rule_that_looks_ahead_is_judged_where_it_is(method):
    r = rv.minimize(bowl, jnp.zeros(2), method=method, tol=1e-4)
    assert np.abs(jax.grad(bowl)(r.x)).max() <= 1e-4 * max(1, float(bowl(r.x)))
    assert r.success


@pytest.mark.parametrize("far", [3e7, 1e8, 1e9])
def test_where_nothing_can_be_resolved_far_from_a_solution_is_no_success(far):
    r = rv.minimize(lambda x: jnp.sum((x - jnp.float32(far)) ** 2), jnp.zeros(2, jnp.float32), method="steepest_descent")
    assert r.success == bool(np.abs(r.x - far).max() < 1e-3 * far)


def distance(w, to):
    return jnp.sum((w - to) ** 2)


@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
@pytest.mark.parametrize("method", ["bfgs", "trust_region", rv.Adam(0.1)])
def test_the_best_point_moves_with_the_solution(mode, method):
    def best(to):
        found = rv.minimize(distance, jnp.zeros(2), (to,), method=method).best
        return jnp.concatenate([found.x, found.fun[None]])

    np.testing.assert_allclose(mode(best)(2.0), [1, 1, 0], atol=1e-5)


@pytest.mark.parametrize("method", ["lbfgsb", "trust_region"])
def test_the_gradient_at_an_active_bound_has_a_derivative(method):
    def slope(to):
        return rv.minimize(distance, jnp.zeros(2), (to,), method=method, bounds=(None, 1.0)).jac

    np.testing.assert_allclose(slope(2.0), [-2, -2], rtol=1e-6)
    np.testing.assert_allclose(jax.jacrev(slope)(2.0), [-2, -2], rtol=1e-6)


@pytest.mark.parametrize("method", ["lbfgsb", "trust_region"])
def test_a_run_is_not_gone_on_with_outside_of_its_bounds(method):
    part = rv.minimize(rosenbrock, jnp.zeros(3), method=method, bounds=(0, 2), stop=rv.MaxSteps(8))
    assert float(part.x.max()) > 0.2
    with pytest.raises(ValueError, match="outside of these bounds"):
        rv.minimize(rosenbrock, jnp.zeros(3), method=method, bounds=(0, 0.2), resume=part)


def test_a_run_is_not_gone_on_with_on_another_function_or_other_args():
    part = rv.minimize(distance, jnp.zeros(3), (1.0,), method="bfgs", stop=rv.MaxSteps(0))
    for function, args in ((lambda w, to: jnp.sum(w**2) + 1, (1.0,)), (distance, (3.0,))):
        with pytest.raises(ValueError, match="resume has a result where the function is 3, and this one is"):
            rv.minimize(function, jnp.zeros(3), args, method="bfgs", resume=part)
    assert rv.minimize(distance, jnp.zeros(3), (1.0,), method="bfgs", resume=part).success


def test_a_callback_sees_every_iteration():
    seen = []
    r = rv.minimize(rosenbrock, jnp.zeros(3), method="bfgs", callback=lambda now: seen.append((now.nit, float(now.fun))))
    assert [nit for nit, _ in seen] == list(range(1, r.nit + 1))
    assert seen[-1] == (r.nit, float(r.fun))
    # What it answers to the last iteration comes too late to change how the run ended.
    assert rv.minimize(bowl, jnp.zeros(2), method="newton", callback=lambda now: True).status.name == "CONVERGED"


@pytest.mark.parametrize("method", ["bfgs", "nonlinear_cg", "lbfgs"])
def test_recorded_work_is_what_each_iteration_took(method):
    r = rv.minimize(rosenbrock, jnp.zeros(3), method=method, history="work", stop=rv.MaxSteps(6))
    gradients = r.history["work"][:, 1]
    assert gradients[0] == 1
    for k in (1, 2, 5):
        assert gradients[k] == rv.minimize(rosenbrock, jnp.zeros(3), method=method, stop=rv.MaxSteps(k)).njev


def test_one_of_many_results_is_a_result():
    r = rv.minimize_batch(lambda x, a: jnp.sum((x - a) ** 2), jnp.zeros((3, 2)), (jnp.arange(3.0),))
    np.testing.assert_allclose(r[1].x, [1, 1])
    assert r[-1].message.startswith("CONVERGED")
    assert r["x"].shape == (3, 2)
    with pytest.raises(IndexError, match="there are 3 results, and no 3"):
        r[3]
    with pytest.raises(KeyError):
        r[0][0]


@pytest.mark.parametrize(
    "bounds",
    [
        [(-1, 1), (0, 2)],
        [[-1, 1], [0, 2]],
        [np.array([-1, 1.0]), np.array([0, 2.0])],
        np.array([[-1, 1.0], [0, 2.0]]),
        (np.array([-1, 0.0]), np.array([1, 2.0])),
        ([-1, 0], [1, 2]),
    ],
)
def test_forms_of_bounds_of_two_parameters(bounds):
    assert rv.minimize(bowl, np.zeros(2), bounds=bounds).x.tolist() == [1, 2]


def test_where_the_gradient_is_not_finite_the_message_says_so():
    r = rv.minimize(lambda x: jnp.sqrt(jnp.sum(x**2)), jnp.zeros(2), method="bfgs")
    assert r.message.startswith("NONFINITE: no point with a finite value and gradient")


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (lambda x: np.sin(x).sum(), (rv.minimize, rv.gradient, rv.check_derivatives, rv.jacobian)),
        (lambda x: float(x[0]), (rv.minimize, rv.gradient, rv.check_derivatives, rv.jacobian)),
        (lambda x: x[x > 0].sum(), (rv.minimize,)),
    ],
)
def test_a_function_that_asks_for_numbers_is_told_the_cure(function, calls):
    for call in calls:
        with pytest.raises(TypeError, match=r"asks for numbers while JAX traces it: write jnp\.exp"):
            call(function, jnp.ones(2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rv.gradient(bowl, jnp.arange(3)), "x has dtype int"),
        (lambda: rv.hvp(bowl, jnp.zeros(2), jnp.ones(3)), r"v must be like x, which is float64\[2\]; got float64\[3\]"),
        (lambda: rv.jacobian(lambda x: None, jnp.zeros(2)), "it returns nothing"),
        (lambda: rv.jacobian(3, jnp.zeros(2)), "f must be a function, got int"),
        (lambda: rv.check_derivatives(bowl, jnp.zeros(2), tol=-1), "tol must be at least 0"),
        (lambda: rv.is_convex(bowl, (-jnp.ones(2), jnp.ones(2)), 0, chords=0), "chords must be a whole number of at least 1"),
        (lambda: rv.minimize(lambda x, f: f(x), jnp.zeros(2), (bowl,)), "args are arrays and numbers"),
        (lambda: rv.MaxSteps(10**12), "from 0 to 2,147,483,647"),
    ],
)
def test_wrong_calls_are_told_what_to_do(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_a_seed_is_a_key_of_a_batch():
    assert bool(rv.minimize_batch(bowl, jnp.zeros((3, 2)), key=3).success.all())
