"""Honest counts: straight code once a step, loops as often as they ran, branches as they were taken."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

import ravine as rv
from ravine.core import work
from ravine.core.method import Method


class State(NamedTuple):
    x: Any
    f: Any


class Halving(Method):
    """Halves the step until f falls: a line search in a loop, and a Hessian-vector product in a branch."""

    def init(self, problem, x):
        return State(x, problem.value(x))

    def step(self, problem, s):
        g = problem.gradient(s.x)

        def halve(carry):
            t, _ = carry
            return 0.5 * t, problem.value(s.x - 0.5 * t * g)

        t, f = work.while_loop(lambda c: c[1] >= s.f, halve, (jnp.ones_like(s.f), jnp.full_like(s.f, jnp.inf)))
        x = s.x - t * g
        spare = work.cond(t < 0.2, lambda: problem.hvp(x, g), lambda: g)
        return State(x + 0 * spare, f)

    def optimality(self, problem, s):
        return jnp.full_like(s.f, jnp.nan)


def steep(x):
    return 5.0 * jnp.sum(x**2)


def test_a_step_counts_what_it_does_once():
    r = rv.minimize(steep, jnp.ones(2), method=rv.GradientDescent(0.01), stop=rv.MaxSteps(7))
    assert r.work == {"f": 8, "g": 8}
    assert (r.nfev, r.njev, r.nhev) == (8, 8, 0)


def test_looking_ahead_costs_one_more_gradient():
    r = rv.minimize(steep, jnp.ones(2), method=rv.Nesterov(0.01, 0.5), stop=rv.MaxSteps(7))
    assert r.work == {"f": 8, "g": 16}


def test_loops_count_every_turn_and_branches_the_one_taken():
    x, trials, branches = jnp.ones(1), 0, 0
    for _ in range(3):
        g, t, f = jax.grad(steep)(x), 1.0, jnp.inf
        while f >= steep(x):
            t, trials = 0.5 * t, trials + 1
            f = steep(x - t * g)
        branches += t < 0.2
        x = x - t * g
    r = rv.minimize(steep, jnp.ones(1), method=Halving(), stop=rv.MaxSteps(3))
    assert trials > 3
    assert r.work == {"f": 1 + trials, "g": 3, "hv": branches}


def test_a_condition_that_asks_an_oracle_is_refused():
    class Asking(Halving):
        def step(self, problem, s):
            t = work.while_loop(lambda t: problem.value(t * s.x) > 1.0, lambda t: 0.5 * t, jnp.ones_like(s.f))
            return State(t * s.x, s.f)

    with pytest.raises(RuntimeError, match="ask it in the body"):
        rv.minimize(steep, jnp.ones(1), method=Asking(), stop=rv.MaxSteps(3))


def test_loop_bodies_that_evaluate_are_counted():
    class Repeated(Halving):
        def step(self, problem, s):
            n = jnp.where(s.f > 1.0, 5, 2)

            def body(carry):
                i, x = carry
                return i + 1, x - 0.01 * problem.gradient(x)

            _, x = work.while_loop(lambda c: c[0] < n, body, (jnp.zeros_like(n), s.x))
            return State(x, problem.value(x))

    r = rv.minimize(steep, jnp.array([0.5]), method=Repeated(), stop=rv.MaxSteps(4))
    # f = 1.25 at the start and below 1 after the first step: five gradients, then two a step.
    assert r.work == {"f": 5, "g": 5 + 3 * 2}


def test_counts_differ_by_lane_under_vmap():
    class UntilSmall(Halving):
        def step(self, problem, s):
            x = work.while_loop(lambda x: jnp.sum(x**2) > 0.25, lambda x: x - 0.05 * problem.gradient(x), s.x)
            return State(x, problem.value(x))

    def lane(x0):
        return rv.minimize(steep, x0, method=UntilSmall(), stop=rv.MaxSteps(1)).counts

    batch = jax.vmap(lane)(jnp.array([[1.0], [8.0], [0.1]]))
    # x halves with each gradient: 1 → ½, 8 → 4 → 2 → 1 → ½, and 0.1 is small already.
    assert batch[:, work.NAMES.index("g")].tolist() == [1, 4, 0]


def test_in_units_of_a_gradient():
    counts = jnp.zeros(len(work.NAMES), jnp.int32)

    def of(**kinds):
        v = counts
        for kind, n in kinds.items():
            v = v.at[work.NAMES.index(kind)].set(n)
        return float(work.in_gradients(v, 10))

    assert of(f=3, g=3) == 3
    assert of(f=5, g=3) == 5
    assert of(h=1) == 10
    assert of(hv=2) == 4
    assert of(r=4, jac=1) == 14


@pytest.mark.parametrize(("on_yes", "on_no"), [(1, 1), (2, 1), (0, 0)])
def test_a_condition_counts_the_branch_that_is_taken(on_yes, on_no):
    def some(n):
        def branch():
            work.count("g", n)
            return 1.0

        return branch

    @jax.jit
    def counts(predicate):
        with work.tallied() as tally:
            work.cond(predicate, some(on_yes), some(on_no))
        return tally.vector()

    for predicate, n in ((True, on_yes), (False, on_no)):
        assert work.as_dict(counts(predicate)) == ({"g": n} if n else {})


def test_the_work_of_a_result_is_known_inside_jit_and_out():
    def f(x):
        return jnp.sum((x - 1) ** 4)

    outside = rv.minimize(f, jnp.zeros(3), method="bfgs").work
    inside = jax.jit(lambda x: rv.minimize(f, x, method="bfgs").work)(jnp.zeros(3))
    assert {name: int(n) for name, n in inside.items() if n} == outside
