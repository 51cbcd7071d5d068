"""The one loop: pure under jit, vmap and nesting; cut into chunks without a trace; compiled once."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import driver
from ravine.core.function import Function
from ravine.core.method import Method
from ravine.core.problem import Objective
from ravine.core.rule import Descent
from ravine.core.status import Status


def quartic(x, shift=0.0):
    return jnp.sum((x - 1.0 - shift) ** 2) + 0.1 * jnp.sum(x**4)


def run(x0, method=None, stop=None, **more):
    method = Descent(rv.Adam(0.1)) if method is None else method
    stop = rv.MaxSteps(40) if stop is None else stop
    return driver.solve(method, Objective(Function(quartic)), x0, stop, **more)


START = jnp.array([2.0, -1.0, 0.5])


def test_solve_under_jit_is_solve():
    plain, jitted = run(START), jax.jit(run)(START)
    np.testing.assert_allclose(jitted.state.x, plain.state.x, rtol=1e-14)
    assert int(jitted.nit) == int(plain.nit) == 40


def test_solve_under_vmap_over_starts():
    starts = jnp.stack([START, -START, 3 * START])
    batch = jax.vmap(run)(starts)
    for i, x0 in enumerate(starts):
        np.testing.assert_allclose(batch.state.x[i], run(x0).state.x, rtol=1e-13)


def test_solve_under_vmap_over_hyperparameters_gives_each_lane_its_own_end():
    rates = jnp.array([0.02, 0.1, 0.3])
    stop = rv.Optimality(1e-3) | rv.MaxSteps(500)
    batch = jax.vmap(lambda lr: run(START, Descent(rv.GradientDescent(lr)), stop))(rates)
    single = [run(START, Descent(rv.GradientDescent(float(lr))), stop) for lr in rates]
    assert batch.nit.tolist() == [int(s.nit) for s in single]
    assert len(set(batch.nit.tolist())) == 3
    assert batch.status.tolist() == [Status.CONVERGED] * 3


class WalkState(NamedTuple):
    x: Any
    f: Any


class Walk(Method):
    """x⁺ = x + ε, kept where f falls: the smallest randomised method."""

    randomised = True

    def init(self, problem, x):
        return WalkState(x, problem.value(x))

    def step(self, problem, s, key):
        y = s.x + 0.3 * jax.random.normal(key, s.x.shape)
        f = problem.value(y)
        better = f < s.f
        return WalkState(jnp.where(better, y, s.x), jnp.where(better, f, s.f))

    def optimality(self, problem, s):
        return jnp.full_like(s.f, jnp.nan)


def walk(key):
    return driver.solve(Walk(), Objective(Function(quartic)), START, rv.MaxSteps(30), key=key)


def test_solve_under_vmap_over_seeds():
    keys = jax.random.split(jax.random.key(0), 4)
    batch = jax.vmap(walk)(keys)
    for i, key in enumerate(keys):
        np.testing.assert_allclose(batch.state.x[i], walk(key).state.x, rtol=1e-13)
    assert len({float(f) for f in batch.state.f}) == 4


class Outer(Method):
    """Each step is a whole inner run: θ⁺ = the end of ten steps of gradient descent from θ."""

    def init(self, problem, x):
        return WalkState(x, problem.value(x))

    def step(self, problem, s):
        inner = driver.solve(Descent(rv.GradientDescent(0.05)), problem, s.x, rv.MaxSteps(10))
        return WalkState(inner.state.x, inner.state.f)

    def optimality(self, problem, s):
        return jnp.full_like(s.f, jnp.nan)


def test_solve_nested_in_a_step_equals_the_long_run_and_its_work_is_counted():
    outer = rv.minimize(quartic, START, method=Outer(), stop=rv.MaxSteps(4))
    whole = rv.minimize(quartic, START, method=rv.GradientDescent(0.05), stop=rv.MaxSteps(40))
    np.testing.assert_allclose(outer.x, whole.x, rtol=1e-14)
    # One value at the outer start; each inner run evaluates its start and ten more points.
    assert outer.work == {"f": 1 + 4 * 11, "g": 4 * 11}


@pytest.mark.parametrize("cut", [1, 7, 39])
def test_a_run_in_chunks_equals_the_uninterrupted_run_bit_for_bit(cut):
    method, problem, stop = Descent(rv.Adam(0.1)), Objective(Function(quartic)), rv.MaxSteps(40)
    whole = driver.advance(method, problem, driver.start(method, problem, START, stop), stop, 100)
    carry = driver.start(method, problem, START, stop)
    carry = driver.advance(method, problem, carry, stop, cut)
    assert int(carry.k) == cut
    carry = driver.advance(method, problem, carry, stop, 100)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(carry), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


def test_every_boundary_lies_between_chunks_of_the_asked_size():
    method, problem = Descent(rv.Adam(0.1)), Objective(Function(quartic))
    seen = [int(c.k) for c in driver.drive(method, problem, START, rv.MaxSteps(20), every=6)]
    assert seen == [6, 12, 18, 20]


def test_a_second_call_compiles_nothing(traces):
    f = traces(quartic)
    rv.minimize(f, START, method=rv.Adam(0.1), stop=rv.Optimality(1e-3) | rv.MaxSteps(50))
    first = f.count
    rv.minimize(f, 2 * START, method=rv.Adam(0.03, b1=0.5), stop=rv.Optimality(1e-5) | rv.MaxSteps(9))
    rv.minimize(f, START, method=rv.Adam(0.2, eps=1e-4), stop=rv.Optimality(1e-2) | rv.MaxSteps(7))
    assert f.count == first


def test_other_arguments_compile_nothing(traces):
    f = traces(quartic)
    a = rv.minimize(f, START, (0.0,), method=rv.GradientDescent(0.1))
    first = f.count
    b = rv.minimize(f, START, (1.0,), method=rv.GradientDescent(0.1))
    assert f.count == first
    assert not np.allclose(a.x, b.x)


def test_the_start_is_not_given_away():
    x0 = jnp.array([1.0, 2.0])
    rv.minimize(quartic, x0, method=rv.GradientDescent(0.1))
    assert x0.tolist() == [1.0, 2.0]


def test_minimize_inside_jit_and_vmap_gives_a_status_a_lane():
    def end(x0):
        return rv.minimize(quartic, x0, method=rv.GradientDescent(0.05), stop=rv.Optimality(1e-3) | rv.MaxSteps(100))

    r = jax.jit(jax.vmap(end))(jnp.stack([START, 40 * START]))
    assert [Status(s).name for s in r.status.tolist()] == ["CONVERGED", "NONFINITE"]
    assert r.success.tolist() == [True, False]
    assert np.isfinite(r.x).all()


class Refusing(Outer):
    """Never accepts a step."""

    def step(self, problem, s):
        return s

    def accepted(self, s):
        return jnp.isnan(s.f)


def test_a_method_that_only_rejects_is_stalled():
    r = rv.minimize(quartic, START, method=Refusing(), stop=rv.MaxSteps(10))
    assert (r.status.name, r.nit) == ("STALLED", 0)


@pytest.mark.parametrize(
    ("steps", "clocked", "ends"), [(200, False, [200]), (500, False, [167, 334, 500]), (200, True, [67, 134, 200])]
)
def test_boundaries_come_by_the_pace_in_equal_parts_and_oftener_where_the_clock_is_watched(monkeypatch, steps, clocked, ends):
    class Known(dict):
        """A pace of 172 steps between two boundaries, or 69, whatever was measured."""

        def __contains__(self, name):
            return True

        def __getitem__(self, name):
            return driver.SECONDS_BETWEEN_BOUNDARIES / 172

    monkeypatch.setattr(driver, "_pace", Known())
    problem, method = Objective(Function(quartic)), Descent(rv.Adam(0.1))
    stop = rv.MaxSteps(steps) | rv.MaxSeconds(1e6) if clocked else rv.MaxSteps(steps)
    boundaries = driver.drive(method, lambda k: (problem, steps - k), START, stop)
    assert [int(c.k) for c in boundaries] == ends
