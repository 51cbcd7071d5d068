"""MINRES, GMRES, BiCGStab, LSQR and LSMR: what each minimises, against NumPy; and every method through one front door."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg as spl

import ravine as rv
from ravine.core.problem import LinearSystem
from ravine.math.operators import Dense

rng = np.random.default_rng(1)
n = 14
Q = rng.standard_normal((n, n))
DEFINITE, INDEFINITE, GENERAL = Q @ Q.T / n + np.eye(n), Q + Q.T, Q + 4 * np.eye(n)
b = rng.standard_normal(n)


def residuals(method, A, b, steps):
    problem = LinearSystem(Dense(jnp.asarray(A)), jnp.asarray(b), jnp.linalg.norm(A))
    s = method.init(problem, jnp.zeros(A.shape[1]))
    out = []
    for _ in range(steps):
        s = method.step(problem, s)
        out.append((float(s.f), np.asarray(method.point(s)), s))
    return out


def best_in_krylov(A, b, k):
    """min ‖b − A x‖ over span{b, Ab, …, Aᵏ⁻¹b}, with an orthonormal basis."""
    V = np.zeros((b.size, 0))
    v = b
    for _ in range(k):
        v = v - V @ (V.T @ v)
        v = v - V @ (V.T @ v)
        V = np.column_stack([V, v / np.linalg.norm(v)])
        v = A @ V[:, -1]
    return np.linalg.norm(b - A @ V @ np.linalg.lstsq(A @ V, b, rcond=None)[0])


@pytest.mark.parametrize(("method", "A"), [(rv.MINRES(), INDEFINITE), (rv.GMRES(), GENERAL), (rv.GMRES(), INDEFINITE)])
def test_the_residual_is_the_least_in_the_krylov_space(method, A):
    for k, (f, x, _) in enumerate(residuals(method, A, b, 9), 1):
        assert f == pytest.approx(best_in_krylov(A, b, k), rel=1e-8)
        assert np.linalg.norm(b - A @ x) == pytest.approx(f, rel=1e-8)


def test_minres_is_gmres_on_symmetric_systems():
    pairs = zip(residuals(rv.MINRES(), INDEFINITE, b, 8), residuals(rv.GMRES(), INDEFINITE, b, 8), strict=True)
    for (_, x, _), (_, y, _) in pairs:
        np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("M", [None, np.diag(np.linspace(1, 2, n))])
def test_the_carried_residual_is_the_true_one(M):
    M = None if M is None else Dense(jnp.asarray(M))
    for method, A in ((rv.MINRES(M), INDEFINITE), (rv.GMRES(5, M), GENERAL), (rv.BiCGStab(M), GENERAL), (rv.CG(M), DEFINITE)):
        for f, x, _ in residuals(method, A, b, 7):
            assert np.linalg.norm(b - A @ x) == pytest.approx(f, rel=1e-7)


def test_lsmr_lowers_the_normal_residual_and_knows_it():
    T = Q[:, :6]
    last = np.inf
    for f, x, s in residuals(rv.LSMR(), T, b, 5):
        r = b - T @ x
        assert np.linalg.norm(r) == pytest.approx(f, rel=1e-9)
        assert np.linalg.norm(T.T @ r) == pytest.approx(float(s.normal), rel=1e-7)
        assert s.normal < last
        last = s.normal


@pytest.mark.parametrize("shape", [(14, 6), (6, 14)])
def test_lsqr_is_cg_on_the_normal_equations(shape):
    T, c = Q[: shape[0], : shape[1]], b[: shape[0]]
    pairs = zip(residuals(rv.LSQR(), T, c, 5), residuals(rv.CG(), T.T @ T, T.T @ c, 5), strict=True)
    for (f, x, s), (_, y, _) in pairs:
        np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-9)
        assert np.linalg.norm(c - T @ x) == pytest.approx(f, rel=1e-7)
        assert np.linalg.norm(T.T @ (c - T @ x)) == pytest.approx(float(s.normal), rel=1e-6)


@pytest.mark.parametrize("name", ["lsqr", "lsmr"])
@pytest.mark.parametrize("shape", [(14, 6), (6, 14), (14, 14)])
def test_the_points_are_scipys(name, shape):
    T, c = Q[: shape[0], : shape[1]], b[: shape[0]]
    method, theirs = {"lsqr": (rv.LSQR(), spl.lsqr), "lsmr": (rv.LSMR(), spl.lsmr)}[name]
    limit = {"lsqr": "iter_lim", "lsmr": "maxiter"}[name]
    for k, (_, x, _) in enumerate(residuals(method, T, c, 5), 1):
        y = theirs(T, c, atol=0, btol=0, conlim=0, **{limit: k})[0]
        np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-9)


def test_lsqr_lowers_the_residual_and_lsmr_the_normal_one():
    T = Q[:, :8]
    lsqr, lsmr = residuals(rv.LSQR(), T, b, 7), residuals(rv.LSMR(), T, b, 7)
    for (f, _, s), (g, _, t) in zip(lsqr, lsmr, strict=True):
        assert f <= g * (1 + 1e-12)
        assert t.normal <= s.normal * (1 + 1e-12)


@pytest.mark.parametrize(
    "method", ["lu", "qr", "cholesky", "jacobi", "gauss_seidel", "sor", "ssor", "cg", "minres", "gmres", "bicgstab", "lsmr", "lsqr"]
)
def test_every_method_solves_a_definite_system(method):
    A = DEFINITE + 2 * np.diag(np.diag(DEFINITE))
    r = rv.linear_solve(A, b, method, tol=1e-9)
    assert r.success, r.message
    assert np.linalg.norm(b - A @ r.x) <= 1e-9 * np.linalg.norm(b) or method in ("lsmr", "lsqr")
    np.testing.assert_allclose(r.x, np.linalg.solve(A, b), rtol=1e-6, atol=1e-8)
    assert r.fun == pytest.approx(np.linalg.norm(b - A @ r.x), rel=1e-3, abs=1e-13)


@pytest.mark.parametrize("method", ["lu", "qr", "gmres", "bicgstab", "lsmr", "lsqr"])
def test_a_general_complex_system(method):
    A = GENERAL + 1j * rng.standard_normal((n, n))
    z = b + 1j * b[::-1]
    r = rv.linear_solve(A, z, method, tol=1e-9)
    assert r.success, r.message
    np.testing.assert_allclose(r.x, np.linalg.solve(A, z), rtol=1e-6)


@pytest.mark.parametrize("method", ["qr", "lsmr", "lsqr"])
@pytest.mark.parametrize("shape", [(14, 5), (5, 14)])
def test_least_squares_and_least_norm(method, shape):
    A, c = Q[: shape[0], : shape[1]], b[: shape[0]]
    r = rv.linear_solve(A, c, method, tol=1e-10)
    assert r.success, r.message
    np.testing.assert_allclose(r.x, np.linalg.lstsq(A, c, rcond=None)[0], rtol=1e-6, atol=1e-8)


def test_minres_solves_a_singular_system_that_fits_and_gives_up_on_one_that_does_not():
    A = np.diag([2.0, -1.0, 3.0, 0.0])
    fits = rv.linear_solve(A, np.array([1.0, 1.0, 1.0, 0.0]), "minres")
    assert fits.success
    np.testing.assert_allclose(fits.x, [0.5, -1, 1 / 3, 0], rtol=1e-7, atol=1e-12)
    misfit = rv.linear_solve(A, np.ones(4), "minres")
    assert misfit.status.name in ("STALLED", "BREAKDOWN")
    assert not misfit.success


def test_restarted_gmres_stalls_where_the_full_one_ends_in_n_steps():
    shift = np.roll(np.eye(8), 1, 0)
    e = np.eye(8)[0]
    full = rv.linear_solve(shift, e, rv.GMRES(8))
    assert full.success
    assert full.nit == 8
    restarted = rv.linear_solve(shift, e, rv.GMRES(4))
    assert restarted.status.name == "STALLED"
    assert restarted.fun == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["gmres", "bicgstab", "minres", "cg"])
def test_a_preconditioner_that_is_the_inverse_ends_in_one_step(method):
    inverse = jnp.asarray(np.linalg.inv(DEFINITE))
    r = rv.linear_solve(DEFINITE, b, method, preconditioner=lambda v: inverse @ v)
    assert r.success
    assert r.nit == 1


def test_who_takes_no_preconditioner_says_so():
    with pytest.raises(ValueError, match="LSMR takes no preconditioner"):
        rv.linear_solve(GENERAL, b, "lsmr", preconditioner=rv.precond.Jacobi())


@pytest.mark.parametrize("method", ["gmres", "bicgstab", "lsmr", "lsqr", "lu"])
def test_many_right_hand_sides(method):
    B = rng.standard_normal((n, 3))
    r = rv.linear_solve(GENERAL, B, method, tol=1e-9)
    np.testing.assert_allclose(r.x, np.linalg.solve(GENERAL, B), rtol=1e-5, atol=1e-7)
    assert np.all(r.success)


@pytest.mark.parametrize("method", ["lu", "qr", "lsmr", "lsqr", "gmres"])
def test_a_singular_system_is_never_called_solved_when_it_is_not(method):
    A = GENERAL.copy()
    A[:, 3] = A[:, 4]
    r = rv.linear_solve(A, b, method)
    true = np.linalg.norm(b - A @ r.x)
    if method in ("lsmr", "lsqr"):  # they find the least squares solution, as they say
        assert np.linalg.norm(A.T @ (b - A @ r.x)) < 1e-6 * np.linalg.norm(A) * true
    else:
        assert not r.success, r.message
    assert r.fun == pytest.approx(true, rel=1e-6)
