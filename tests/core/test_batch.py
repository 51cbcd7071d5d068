"""Many problems at once: each lane is the single run, whatever is dropped when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.status import Status


def f(x, a):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (a - x[:-1]) ** 2)


RNG = np.random.default_rng(0)
LANES = 600
X0, TARGET = RNG.normal(size=(LANES, 3)), RNG.uniform(0.5, 1.5, LANES)


def test_each_lane_is_the_single_run():
    # One lane in ten starts near its end, a few very far away, so that lanes are dropped at several sizes.
    x0 = X0.copy()
    x0[:500] = TARGET[:500, None] ** np.array([1, 2, 4])
    r = rv.minimize_batch(f, x0, (TARGET,), method="bfgs")
    assert r.x.shape == (LANES, 3)
    assert (np.asarray(r.status) == Status.CONVERGED).all()
    assert len(np.unique(r.nit)) > 10
    for i in (0, 499, 500, 599):
        one = rv.minimize(f, x0[i], (TARGET[i],), method="bfgs")
        np.testing.assert_allclose(r.x[i], one.x, rtol=1e-9)
        assert (int(r.nit[i]), int(r.nfev[i]), int(r.status[i])) == (one.nit, one.nfev, one.status)


def test_a_lane_without_numbers_tells_it_and_disturbs_no_other():
    target = TARGET.copy()
    target[3] = np.nan
    r = rv.minimize_batch(f, X0, (target,))
    assert Status(int(r.status[3])) == Status.NONFINITE
    assert np.asarray(r.success).sum() == LANES - 1
    assert "NONFINITE: 1" in r.message


@pytest.mark.parametrize("method", ["lbfgsb", "auto"])
def test_bounds_are_shared(method):
    r = rv.minimize_batch(lambda x, t: jnp.sum((x - t) ** 2), np.full((4, 2), 0.5), (np.arange(8.0).reshape(4, 2),), method, (0, 3))
    np.testing.assert_allclose(r.x, [[0, 1], [2, 3], [3, 3], [3, 3]], atol=1e-6)


def test_first_axes_that_differ_are_refused():
    with pytest.raises(ValueError, match="x0s and args needs the same first axis"):
        rv.minimize_batch(f, X0, (TARGET[:5],))


def test_vmap_of_minimize_is_the_batch():
    def one(x, a):
        r = rv.minimize(f, x, (a,), method="bfgs")
        return r.x, r.status, r.nit

    x, status, nit = jax.jit(jax.vmap(one))(X0[:8], TARGET[:8])
    r = rv.minimize_batch(f, X0[:8], (TARGET[:8],))
    np.testing.assert_allclose(x, r.x, rtol=1e-9)
    assert status.tolist() == r.status.tolist()
    assert nit.tolist() == r.nit.tolist()


def test_lanes_that_took_the_place_of_others_are_single_runs_too():
    """Three times as many problems as a pool holds, and some that go on long after all others."""
    n = 3 * 512 + 100
    rng = np.random.default_rng(1)
    x0, a = rng.normal(size=(n, 2)), rng.uniform(0.5, 1.5, n)
    steep = np.where(np.arange(n) % 500 == 7, 1e5, 10.0)

    def valley(x, a, steep):
        return steep * (x[1] - x[0] ** 2) ** 2 + (a - x[0]) ** 2

    how = {"method": rv.GradientDescent(0.01), "stop": rv.Optimality(1e-4) | rv.MaxSteps(1500)}
    r = rv.minimize_batch(valley, x0, (a, steep), **how)
    one = jax.jit(jax.vmap(lambda x, a, steep: rv.minimize(valley, x, (a, steep), **how)))(x0, a, steep)
    assert 1500 in r.nit
    assert r.nit.tolist() == one.nit.tolist()
    assert r.status.tolist() == one.status.tolist()
    np.testing.assert_allclose(r.x, one.x, rtol=1e-12)


def test_a_budget_of_seconds_ends_all_lanes():
    r = rv.minimize_batch(
        lambda x: jnp.sum(jnp.exp(-x)),
        np.zeros((1500, 2)),
        (),
        rv.GradientDescent(1e-6),
        stop=rv.MaxSeconds(0.5) | rv.MaxSteps(10**8),
    )
    assert (np.asarray(r.status) == Status.MAX_SECONDS).all()


def test_while_jax_is_tracing_a_batch_is_minimize_of_each_and_has_its_derivatives():
    starts, targets = jnp.zeros((3, 2)), jnp.arange(6.0).reshape(3, 2)

    def solved(scale, shift):
        return rv.minimize_batch(lambda x, t: jnp.sum((x - scale * t) ** 2), starts, (targets + shift,)).x

    np.testing.assert_allclose(jax.jit(solved)(2.0, 0.0), 2 * targets, atol=1e-7)
    by_scale, by_shift = jax.jacrev(solved, argnums=(0, 1))(2.0, 0.0)
    np.testing.assert_allclose(by_scale, targets, atol=1e-9)
    np.testing.assert_allclose(by_shift, 2.0, atol=1e-9)
