"""The identities of the proximal direction, in float64 against dense linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.math.proximal_direction import parse_solver
from ravine.math.proximal_direction import proximal_direction as plain

proximal_direction = jax.jit(plain, static_argnames=("solver", "bias", "form"))

SHAPES = [(7, 20, 5), (30, 6, 4)]
SOLVERS = ["exact", "cg1", "cg3", "cg5", "cg10"]


def layer(N, n, m, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    A = np.maximum(rng.normal(size=(N, n)), 0)
    return jnp.asarray(A, dtype), jnp.asarray(rng.normal(size=(N, m)) / N, dtype)


def augmented(A):
    return np.concatenate([np.asarray(A), np.ones((len(A), 1))], 1)


def joined(direction):
    dW, db = direction
    return np.asarray(dW) if db is None else np.concatenate([dW, db[None]], 0)


def conjugate_gradients_in_parameter_space(A, E, tau, iterations):
    """Matrix-free, one column after another."""
    A, E = augmented(A), np.asarray(E)
    out = []
    for e in E.T:
        d, r = np.zeros(A.shape[1]), A.T @ e
        p = r
        for _ in range(iterations):
            q = p / tau + A.T @ (A @ p)
            alpha = (r @ r) / (p @ q)
            d, new = d + alpha * p, r - alpha * q
            p, r = new + (new @ new) / (r @ r) * p, new
        out.append(d)
    return np.array(out).T


def published_conjugate_gradients(A, E, tau, iterations):
    """The published code's conjugate gradients, with its 1e-6, its one tensor for two and its stopping test."""
    A, E = augmented(A), np.asarray(E)
    X, R = np.zeros((A.shape[1], E.shape[1])), A.T @ E
    P, rs = R, np.sum(R * R, 0)
    small = 1e-2**2 * rs.mean()
    for _ in range(iterations):
        Q = P / tau + A.T @ (A @ P)
        alpha = rs / (np.sum(P * Q, 0) + 1e-6)
        X = X + alpha * P
        R -= alpha * Q  # in place: while P is R, this changes P too
        new = np.sum(R * R, 0)
        if new.max() < small:
            break
        P, rs = R + new / (rs + 1e-6) * P, new
    return X


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_the_exact_direction_solves_the_layers_system_in_both_forms(shape, bias):
    A, E = layer(*shape)
    full = augmented(A) if bias else np.asarray(A)
    want = np.linalg.solve(np.eye(full.shape[1]) / 0.3 + full.T @ full, full.T @ E)
    for form in ("dual", "primal", None):
        np.testing.assert_allclose(joined(proximal_direction(A, E, 0.3, bias=bias, form=form)), want, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("form", ["dual", "primal"])
def test_conjugate_gradients_in_gram_space_are_those_in_parameter_space(shape, iterations, form):
    A, E = layer(*shape)
    got = joined(proximal_direction(A, E, 0.5, f"cg{iterations}", form=form))
    np.testing.assert_allclose(got, conjugate_gradients_in_parameter_space(A, E, 0.5, iterations), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("form", ["dual", "primal"])
def test_one_iteration_is_steepest_descent_with_an_exact_line_search(form):
    A, E = layer(7, 20, 5)
    full = augmented(A)
    g = full.T @ np.asarray(E)
    step = np.sum(g * g, 0) / np.sum(g * (g / 0.5 + full.T @ (full @ g)), 0)
    np.testing.assert_allclose(joined(proximal_direction(A, E, 0.5, "cg1", form=form)), step * g, rtol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_as_many_iterations_as_the_rank_are_exact(shape):
    A, E = layer(*shape)
    many = proximal_direction(A, E, 0.05, f"cg{min(shape[0], shape[1] + 1) + 2}")
    np.testing.assert_allclose(joined(many), joined(proximal_direction(A, E, 0.05)), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("form", ["dual", "primal"])
@pytest.mark.parametrize("iterations", [1, 2, 3, 10])
def test_the_reference_mode_is_the_published_code(form, iterations):
    A, E = layer(9, 15, 6)
    for scale in (1.0, 1e-3):  # with small signals 1e-6 is not small
        got = joined(proximal_direction(A, scale * E, 0.5, f"reference-cg{iterations}", form=form))
        want = published_conjugate_gradients(A, scale * E, 0.5, iterations)
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-12 * scale)
    textbook = joined(proximal_direction(A, 1e-3 * E, 0.5, f"cg{iterations}", form=form))
    assert np.abs(textbook - want).max() > 0.01 * np.abs(textbook).max()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_for_a_small_tau_it_is_the_gradient(shape, solver):
    A, E = layer(*shape)
    np.testing.assert_allclose(joined(proximal_direction(A, E, 1e-10, solver)) / 1e-10, augmented(A).T @ np.asarray(E), rtol=1e-5)


def test_for_a_large_tau_it_is_the_least_squares_step_of_minimum_norm():
    A, E = layer(7, 20, 5)
    np.testing.assert_allclose(joined(proximal_direction(A, E, 1e9)), np.linalg.pinv(augmented(A)) @ E, rtol=1e-5, atol=1e-9)


def directions(A, E, taus, solver):
    """The directions for several τ, in one compiled program."""
    swept = jax.jit(jax.vmap(lambda tau: proximal_direction(A, E, tau, solver)))(jnp.asarray(taus, A.dtype))
    assert swept[0].dtype == A.dtype
    return [joined((dW, db)).astype(np.float64) for dW, db in zip(*swept, strict=True)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("solver", [*SOLVERS, "cg40", "reference-cg3"])
def test_every_direction_descends(dtype, shape, solver):
    A, E = layer(*shape, dtype=dtype)
    g = augmented(A).T @ np.asarray(E, np.float64)
    for d in directions(A, E, [1e-3, 0.05, 1.0, 1e3], solver):
        assert (np.sum(d * g, 0) > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_proximal_step_never_increases_the_layers_energy(dtype, shape, solver):
    A, E = layer(*shape, dtype=dtype)
    full, e = augmented(A), np.asarray(E, np.float64)

    def energy(d):  # ½‖Ã(θ − d) − (Z − E)‖² with Ãθ = Z
        return 0.5 * np.sum((e - full @ d) ** 2)

    for d in directions(A, E, 10.0 ** np.arange(-3, 7), solver):
        assert energy(d) < energy(0 * d)


def test_units_without_a_signal_stay():
    A, E = layer(7, 20, 5)
    E = E.at[:, 2].set(0)
    for solver in (*SOLVERS, "reference-cg3"):
        for form in ("dual", "primal"):
            d = joined(proximal_direction(A, E, 0.5, solver, form=form))
            assert np.isfinite(d).all()
            assert (d[:, 2] == 0).all()


def test_tau_is_traced():
    A, E = layer(7, 20, 5)
    taus = jnp.array([0.01, 1.0])
    swept = jax.vmap(lambda tau: proximal_direction(A, E, tau, "cg3")[0])(taus)
    np.testing.assert_allclose(swept[1], proximal_direction(A, E, 1.0, "cg3")[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["cg", "cg0", "cg-1", "lu", "reference", "cg3 ", 3])
def test_an_unknown_solver_is_refused(name):
    with pytest.raises(ValueError, match='solver must be "exact"'):
        parse_solver(name)
