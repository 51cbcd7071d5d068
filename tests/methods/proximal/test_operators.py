"""Proximal operators: against a solver that knows no formula, Moreau's identity with the conjugates' own, and limits."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import ravine as rv
from ravine.math.prox import lengths

rng = np.random.default_rng(0)
POINT = rng.standard_normal((4, 2)) * 2
FINITE = [
    rv.prox.Zero(),
    rv.prox.L1(0.7),
    rv.prox.L1(np.linspace(0, 2, 8).reshape(4, 2)),
    rv.prox.SquaredL2(1.3),
    rv.prox.ElasticNet(0.7, 1.3),
    rv.prox.L2(0.9),
    rv.prox.L2(0.9, axis=1),
    rv.prox.L2(50.0),
]
SETS = [rv.prox.Box(-0.5, 1.0), rv.prox.Box(None, POINT + 0.1), rv.prox.Box(0.3, None), rv.prox.NonNegative()]


@pytest.mark.parametrize("g", FINITE, ids=repr)
def test_the_prox_is_the_argmin(g):
    t = 0.8

    def objective(w):
        w = w.reshape(POINT.shape)
        return float(g.value(jnp.asarray(w))) + np.sum((w - POINT) ** 2) / (2 * t)

    found = minimize(objective, POINT.ravel(), method="Powell", options={"xtol": 1e-9, "ftol": 1e-15, "maxiter": 10**4})
    p = np.asarray(g.prox(jnp.asarray(POINT), t))
    # The objective is 1/t-strongly convex: what its values differ by bounds the distance to the argmin.
    assert objective(p.ravel()) <= found.fun + 1e-12
    np.testing.assert_allclose(p.ravel(), found.x, atol=2e-4)


@pytest.mark.parametrize("g", SETS, ids=repr)
def test_the_prox_of_a_set_is_the_projection(g):
    p = g.prox(jnp.asarray(POINT), 0.8)
    assert g.value(p) == 0
    moved = np.abs(p - POINT) > 0
    assert moved.any() or g.value(jnp.asarray(POINT)) == 0
    assert (g.value(jnp.asarray(POINT)) == 0) == (not moved.any())
    for other in rng.standard_normal((200, 4, 2)) * 2:  # (z − p)ᵀ(w − p) ≤ 0 for every w in the set
        w = g.prox(jnp.asarray(other), 1.0)
        assert jnp.sum((POINT - p) * (w - p)) <= 1e-12


CONJUGATES = [
    (rv.prox.Zero(), lambda z, t: 0 * z),
    (rv.prox.L1(0.7), lambda z, t: np.clip(z, -0.7, 0.7)),
    (rv.prox.SquaredL2(1.3), lambda z, t: z / (1 + t / 1.3)),
    (rv.prox.L2(0.9), lambda z, t: z * min(1, 0.9 / np.linalg.norm(z))),
    (rv.prox.L2(0.9, axis=1), lambda z, t: z * np.minimum(1, 0.9 / np.linalg.norm(z, axis=1, keepdims=True))),
    (rv.prox.NonNegative(), lambda z, t: np.minimum(z, 0)),
    (rv.prox.Box(-0.5, 1.0), lambda z, t: np.where(z > t, z - t, np.where(z < -0.5 * t, z + 0.5 * t, 0))),
]


@pytest.mark.parametrize(("g", "known"), CONJUGATES, ids=lambda v: repr(v) if isinstance(v, rv.prox.Prox) else "")
@pytest.mark.parametrize("t", [0.3, 2.0])
def test_moreau_gives_the_prox_of_the_conjugate(g, known, t):
    np.testing.assert_allclose(g.conjugate_prox(jnp.asarray(POINT), t), known(POINT, t), atol=1e-14)


@pytest.mark.parametrize("g", FINITE + SETS, ids=repr)
def test_a_prox_is_firmly_non_expansive(g):
    for x, y in rng.standard_normal((50, 2, 4, 2)) * 2:
        p, q = g.prox(jnp.asarray(x), 0.8), g.prox(jnp.asarray(y), 0.8)
        assert jnp.sum((p - q) ** 2) <= jnp.sum((p - q) * (x - y)) + 1e-12


@pytest.mark.parametrize("g", FINITE[1:2] + FINITE[3:] + SETS, ids=repr)
def test_at_infinite_t_it_is_the_nearest_minimiser(g):
    p = g.prox(jnp.asarray(POINT), jnp.inf)
    nearest = 0 * POINT if g in FINITE else g.prox(jnp.asarray(POINT), 1.0)
    np.testing.assert_array_equal(p, nearest)


def test_at_zero_and_at_the_ends_of_the_range_nothing_is_lost():
    for g in FINITE + SETS[:1]:
        assert jnp.all(g.prox(jnp.zeros((4, 2)), 1.0) == 0)
    z = jnp.array([3e200, 4e200])
    np.testing.assert_allclose(lengths(z), [5e200])
    np.testing.assert_allclose(lengths(jnp.array([3e-200, 4e-200])), [5e-200])


def test_bounds_may_be_lists():
    assert rv.prox.Box([0.0, 1.0], [1.0, 2.0]).prox(jnp.array([3.0, 0.0]), 1.0).tolist() == [1.0, 1.0]


def test_bounds_that_cross_are_refused():
    with pytest.raises(ValueError, match="the bounds cross or are NaN"):
        rv.prox.Box(1.0, 0.0)
    with pytest.raises(ValueError, match="L1: weight must be 0 or greater"):
        rv.prox.L1(-1.0)
