"""Batches: each lane ends where the problem alone does, at its own pace, with its own status."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.math.small_dense import solve_spd

rng = np.random.default_rng(5)
t = np.linspace(0.0, 3.0, 20)
B = 40
truth = np.stack([rng.uniform(1, 3, B), rng.uniform(0.3, 2, B), rng.uniform(0, 1, B)], axis=1)
y = truth[:, :1] * np.exp(-truth[:, 1:2] * t) + truth[:, 2:] + 0.02 * rng.standard_normal((B, 20))


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


@pytest.mark.parametrize("n", [8, 9])
def test_systems_of_any_size_are_solved_like_lapack_does(n):
    M = rng.standard_normal((7, n, n + 2))
    A, b = M @ np.swapaxes(M, 1, 2), rng.standard_normal((7, n))
    x = solve_spd(jnp.moveaxis(jnp.asarray(A), 0, -1), jnp.asarray(b.T))
    expected = np.stack([np.linalg.solve(Ai, bi) for Ai, bi in zip(A, b, strict=True)])
    np.testing.assert_allclose(x.T, expected, rtol=1e-8)


def test_every_row_is_the_fit_of_that_row():
    fit = rv.curve_fit_batch(decay, t, y, p0=[1.0, 1.0, 0.0], width=None)
    assert np.all(fit.success), fit.message
    for i in (0, 17, 39):
        alone = rv.curve_fit(decay, t, y[i], p0=[1.0, 1.0, 0.0])
        np.testing.assert_allclose(fit.popt[i], alone.popt, rtol=1e-6)
        np.testing.assert_allclose(fit.pcov[i], alone.pcov, rtol=1e-4)
        np.testing.assert_allclose(fit.fun[i], alone.result.fun, rtol=1e-9)


def test_the_number_of_lanes_changes_nothing_but_rounding():
    wide = rv.curve_fit_batch(decay, t, y, p0=[1.0, 1.0, 0.0], width=40)
    narrow = rv.curve_fit_batch(decay, t, y, p0=[1.0, 1.0, 0.0], width=8)
    np.testing.assert_allclose(narrow.popt, wide.popt, rtol=1e-7)
    # Sums over other vectors round differently: the last step may or may not be called for.
    assert np.max(np.abs(wide.nit - narrow.nit)) <= 1


def test_each_lane_has_its_own_status():
    broken = y.copy()
    broken[3, 4] = np.nan
    fit = rv.curve_fit_batch(decay, t, broken, p0=[1.0, 1.0, 0.0])
    assert fit.status[3] == rv.Status.NONFINITE
    assert np.all(np.delete(np.asarray(fit.success), 3))
    assert "NONFINITE: 1" in fit.message
    few = rv.curve_fit_batch(decay, t, y, p0=[1.0, 1.0, 0.0], max_steps=1)
    assert set(few.status.tolist()) == {int(rv.Status.MAX_STEPS)}


def test_trees_and_losses():
    def residual(p, y):
        return decay(t, p["a"], p["k"], p["c"]) - y

    wrong = y.copy()
    wrong[:, ::7] += 3.0
    start = {"a": np.ones(B), "k": np.ones(B), "c": np.zeros(B)}
    many = rv.least_squares_batch(residual, start, (wrong,), loss="cauchy", f_scale=0.1)
    one = rv.least_squares(residual, {n: v[2] for n, v in start.items()}, (wrong[2],), loss="cauchy", f_scale=0.1)
    assert many.success[2]
    np.testing.assert_allclose([many.x[n][2] for n in "akc"], [one.x[n] for n in "akc"], rtol=1e-5)


@pytest.mark.parametrize("linear", ["linear", "soft_l1"])
def test_bounds_end_where_the_problem_alone_does(linear):
    bounds = (np.array([0.0, 0.5, 0.1]), np.array([2.5, 1.5, np.inf]))
    fit = rv.curve_fit_batch(decay, t, y, p0=[1.0, 1.0, 0.2], bounds=bounds, loss=linear, f_scale=0.1, width=16)
    assert np.all(fit.success), fit.message
    held = (np.asarray(fit.popt) == bounds[0][None]) | (np.asarray(fit.popt) == bounds[1][None])
    assert np.sum(held) > 5
    for i in (*np.flatnonzero(held.any(axis=1))[:3], *np.flatnonzero(~held.any(axis=1))[:1]):
        alone = rv.curve_fit(decay, t, y[i], p0=[1.0, 1.0, 0.2], bounds=bounds, loss=linear, f_scale=0.1)
        assert alone.result.success
        np.testing.assert_allclose(fit.popt[i], alone.popt, rtol=1e-5)


def test_nothing_is_evaluated_outside_the_bounds():
    """√x is not a number below 0, and each problem has bounds of its own."""
    lower, upper = np.array([[0.0], [0.25], [0.0]]), np.array([[9.0], [9.0], [0.04]])

    def residual(x, y):
        return jnp.sqrt(x["a"]) - y

    r = rv.least_squares_batch(
        residual, {"a": np.full((3, 1), 0.03) + lower}, (np.array([[0.1], [0.1], [0.9]]),), bounds=({"a": lower}, {"a": upper})
    )
    np.testing.assert_allclose(r.x["a"], [[0.01], [0.25], [0.04]], rtol=1e-6)
    assert np.all(r.success), r.message

    def checked(x, y):
        return jnp.where(x < 0, jnp.nan, x) - y

    below = rv.least_squares_batch(checked, np.full((2, 1), 0.5), (np.array([[-2.0], [3.0]]),), bounds=(0.0, None))
    np.testing.assert_allclose(below.x, [[0.0], [3.0]])
    assert np.all(below.success), below.message


def test_lists_and_a_number_for_one_parameter_are_taken():
    fit = rv.curve_fit_batch(lambda t, a: a * t, [0.0, 1.0, 2.0], [[0.0, 3.0, 6.0], [0.0, 2.0, 4.0]], 1.0)
    np.testing.assert_allclose(fit.popt, [[3], [2]])
    with pytest.raises(TypeError, match=r"p0 is an array .* got dict"):
        rv.curve_fit_batch(lambda t, a: a * t, [0.0, 1.0, 2.0], [[0.0, 3.0, 6.0]], {"a": 1.0})


@pytest.mark.parametrize("loss", ["huber", "soft_l1", "cauchy", "arctan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_start_far_off_in_the_flat_of_a_robust_loss(loss, dtype):
    r = rv.least_squares_batch(lambda x, y: x**2 - y, np.ones((2, 1), dtype), (np.array([[4], [9]], dtype),), loss=loss)
    assert r.success.all(), r.message
    np.testing.assert_allclose(r.x, [[2], [3]], rtol=1e-6)


def test_bounds_that_cannot_be_kept_are_refused():
    start = np.ones((3, 2))
    start[2, 1] = -1
    with pytest.raises(ValueError, match="x0 within the bounds is needed; parameter 1 of problem 2 has lower 0, x0 -1, upper 5"):
        rv.least_squares_batch(lambda x: x, start, bounds=(0.0, 5.0))
    with pytest.raises(ValueError, match="lower < upper is needed; parameter 0 of problem 0"):
        rv.least_squares_batch(lambda x: x, np.ones((3, 2)), bounds=([1.0, 0.0], [1.0, 2.0]))


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match=r"args\[0\] has shape \(20,\); the first axis must be the 40 problems"):
        rv.least_squares_batch(lambda x, t: x[0] * t, np.ones((B, 1)), (t,))
    with pytest.raises(ValueError, match=r"sigma\[1\] is 0"):
        rv.curve_fit_batch(decay, t, y, p0=[1.0, 1.0, 0.0], sigma=np.where(np.arange(20) == 1, 0.0, 1.0))
    with pytest.raises(ValueError, match="small and dense: call least_squares"):
        rv.curve_fit_batch(decay, t, y, p0=[1.0, 1.0, 0.0], sparsity="probe")


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ({"ydata": y[0]}, r"ydata has shape \(20,\).*curve_fit for a single one"),
        ({"p0": np.ones((3, 3))}, r"p0 has shape \(3, 3\); it is \(n,\), or \(B, n\) with a row for each of ydata's 40"),
        ({"sigma": np.ones(3)}, r"sigma has shape \(3,\)"),
        ({"xdata": t[:5]}, r"xdata has shape \(5,\)"),
        ({"f": lambda t, a, k, c: a + t[:4]}, r"returns shape \(4,\), but a row of ydata has shape \(20,\)"),
    ],
)
def test_shapes_that_do_not_match_are_told(given, cure):
    right = {"f": decay, "xdata": t, "ydata": y, "p0": np.ones(3), "sigma": None} | given
    with pytest.raises(ValueError, match=cure):
        rv.curve_fit_batch(*right.values())


def test_the_derivative_of_each_lane_is_that_of_its_problem_alone():
    start, low = np.array([1.0, 1.0, 0.9]), np.array([0.1, 0.1, 0.8])

    def batch(shift, lower, scale):
        return rv.curve_fit_batch(lambda t, *p: scale * decay(t, *p), t, y[:2] + shift * t[None], start, bounds=(lower, 9.0))

    def alone(shift, lower, scale):
        fits = [rv.curve_fit(lambda t, *p: scale * decay(t, *p), t, row + shift * t, start, bounds=(lower, 9.0)) for row in y[:2]]
        return jnp.stack([fit.popt for fit in fits]), jnp.stack([fit.result.fun for fit in fits])

    at = (0.01, low, 1.0)
    assert np.sum(batch(*at).popt[:, 2] == 0.8) == 1  # a bound holds one of the two
    expected = jax.jacfwd(alone, argnums=(0, 1, 2))(*at)
    found = jax.jacrev(lambda *a: batch(*a)[:2], argnums=(0, 1, 2))(*at)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
