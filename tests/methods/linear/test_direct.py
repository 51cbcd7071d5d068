"""Direct methods: factor once and solve many, structure, refinement, singular systems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import ravine as rv
from ravine.math import operators as op

rng = np.random.default_rng(6)
n = 12
A = rng.standard_normal((n, n)) + 4 * np.eye(n)
b = rng.standard_normal(n)


def structured():
    blocks = jnp.asarray(rng.standard_normal((4, 3, 3)))
    return {
        "dense": op.Dense(jnp.asarray(A)),
        "diagonal": op.diagonal(jnp.arange(1.0, n + 1)),
        "tridiagonal": op.tridiagonal(jnp.ones(n - 1), jnp.zeros(n) + 0.1, 2 * jnp.ones(n - 1)),
        "banded": op.banded({-2: jnp.ones(n - 2), 0: 3 * jnp.ones(n), 1: jnp.ones(n - 1)}),
        "blocks": op.BlockDiagonal(blocks),
        "kronecker": op.Kronecker(op.BlockDiagonal(blocks[:1]), op.Dense(jnp.asarray(A[:4, :4]))),
    }


@pytest.mark.parametrize("name", structured())
def test_factor_once_solve_many(name):
    operator = structured()[name]
    F = rv.factor(operator)
    D, B = np.asarray(operator.dense()), rng.standard_normal((n, 3))
    np.testing.assert_allclose(F.solve(b), np.linalg.solve(D, b), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(F.solve(B), np.linalg.solve(D, B), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(F.T.mv(jnp.asarray(b)), np.linalg.solve(D.T, b), rtol=1e-8, atol=1e-10)
    r = rv.linear_solve(operator, b)
    assert r.success
    assert "lu" in r.why
    np.testing.assert_allclose(r.x, np.linalg.solve(D, b), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["lu", "qr", "cholesky"])
def test_kinds_of_factors(kind):
    D = A @ A.T
    np.testing.assert_allclose(rv.factor(D, kind).solve(b), np.linalg.solve(D, b), rtol=1e-8)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_qr_of_a_rectangular_matrix_is_the_pseudo_inverse(shape):
    T = A[: shape[0], : shape[1]]
    np.testing.assert_allclose(rv.factor(T, "qr").dense(), np.linalg.pinv(T), atol=1e-12)


@pytest.mark.parametrize("shape", [(70, 70), (90, 40), (33, 80)])
def test_qr_in_several_blocks_of_reflections(shape):
    T = rng.standard_normal(shape)
    T[1:, 0] = 0  # a reflection that is the identity
    F = rv.factor(T, "qr")
    np.testing.assert_allclose(F.dense(), np.linalg.pinv(T), rtol=1e-7, atol=1e-11)
    np.testing.assert_allclose(F.T.dense(), np.linalg.pinv(T).T, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("kind", ["lu", "cholesky"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_traced_factors_are_those_of_the_host(kind, dtype):
    Z = A.astype(dtype) + (1j * rng.standard_normal((n, n)) if dtype == np.complex128 else 0)
    D, c = Z @ Z.conj().T, b.astype(dtype)
    here, traced = rv.factor(D, kind).solve(c), jax.jit(lambda D: rv.factor(D, kind).solve(c))(D)
    assert here.dtype == dtype
    tight = 1e-3 if dtype == np.float32 else 1e-8
    np.testing.assert_allclose(here, np.linalg.solve(D, c), rtol=tight)
    np.testing.assert_allclose(here, traced, rtol=tight)


def test_a_right_hand_side_of_another_dtype_is_solved_in_the_wider_one():
    single = rv.factor(A.astype(np.float32))
    assert single.solve(b).dtype == np.float64
    np.testing.assert_allclose(single.solve(b), np.linalg.solve(A, b), rtol=1e-3)
    np.testing.assert_allclose(rv.factor(A).solve(np.arange(n)), np.linalg.solve(A, np.arange(n)), rtol=1e-9)
    np.testing.assert_allclose(rv.factor(A, "qr").solve(b + 1j * b[::-1]), np.linalg.solve(A, b + 1j * b[::-1]), rtol=1e-9)


def test_refusals_name_the_cure():
    with pytest.raises(ValueError, match="JAX has no LDLᵀ; take lu, or minres"):
        rv.factor(A, "ldl")
    with pytest.raises(ValueError, match="take kind='qr'"):
        rv.factor(A[:, :3])


def test_superlu_runs_under_jit_and_vmap_and_frees_its_factors():
    from ravine.methods.linear import factor

    M = sp.csr_array(sp.random_array((50, 50), density=0.05, rng=rng) + 3 * sp.eye_array(50))
    before = len(factor._factors)
    F = rv.factor(M)
    B = rng.standard_normal((4, 50))
    np.testing.assert_allclose(jax.jit(F.solve)(B[0]), np.linalg.solve(M.toarray(), B[0]), rtol=1e-9)
    np.testing.assert_allclose(jax.vmap(F.solve)(B), np.linalg.solve(M.toarray(), B.T).T, rtol=1e-9)
    del F
    jax.clear_caches()
    assert len(factor._factors) <= before + 1


def test_single_precision_factors_with_double_residuals_give_double_accuracy():
    r = rv.linear_solve(A, b, rv.LU(precision="float32"), tol=1e-13)
    assert r.success
    assert 1 < r.nit <= 6
    np.testing.assert_allclose(r.x, np.linalg.solve(A, b), rtol=1e-12)
    alone = rv.linear_solve(A, b, rv.LU(precision="float32"), stop=rv.MaxSteps(1), tol=1e-13)
    assert np.max(np.abs(alone.x - r.x)) > 1e-10


def test_factors_made_before_are_used():
    r = rv.linear_solve(A, b, rv.LU(factors=rv.factor(A)))
    assert r.success
    assert r.nit == 1


@pytest.mark.parametrize("sparse", [False, True])
def test_a_singular_matrix_is_told_with_its_null_direction(sparse):
    Z = A.copy()
    Z[:, 3] = Z[:, 4]
    r = rv.linear_solve(sp.csr_array(Z) if sparse else Z, b, "lu")
    assert r.status.name == "BREAKDOWN"
    assert "singular to working precision" in r.message
    v = r.aux["null_direction"]
    assert np.linalg.norm(v) == pytest.approx(1)
    assert np.linalg.norm(Z @ v) < 1e-10


def test_an_exactly_singular_matrix_is_no_nan():
    r = rv.linear_solve(np.diag([1.0, 0.0]), np.ones(2), "lu")
    assert r.status.name == "BREAKDOWN"
    assert np.all(np.isfinite(r.x))


@pytest.mark.parametrize("Z", [np.zeros((3, 3)), np.ones((3, 3)), np.diag([0.0, 2.0, 0.0])])
@pytest.mark.parametrize("method", ["auto", "lu"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_exactly_singular_system_without_a_solution_is_called_singular(Z, method, dtype):
    r = rv.linear_solve(Z.astype(dtype), np.array([1.0, 2.0, 3.0], dtype), method)
    assert r.status.name == "BREAKDOWN"
    assert "A is singular to working precision" in r.message
    v = np.asarray(r.aux["null_direction"])
    assert np.linalg.norm(v) == pytest.approx(1, rel=1e-5)
    assert np.linalg.norm(Z @ v) < 10 * np.finfo(dtype).eps
    assert np.all(np.isfinite(r.x))


def test_cholesky_says_when_it_is_not_definite_and_auto_goes_on():
    S = np.array([[1.0, 2.0], [2.0, 1.0]])
    r = rv.linear_solve(S, np.ones(2), "cholesky")
    assert r.status.name == "BREAKDOWN"
    assert "not positive definite" in r.message
    r = rv.linear_solve(S, np.ones(2))
    assert r.success
    assert "cholesky; it ended with BREAKDOWN, so lu was taken" in r.why


def test_a_singular_tridiagonal_system_is_solved_if_it_fits_and_told_if_not():
    A = op.tridiagonal(-jnp.ones(3), jnp.array([1.0, 2, 2, 1]), -jnp.ones(3))
    fits = rv.linear_solve(A, A @ jnp.arange(4.0), tol=1e-10)
    assert fits.success
    assert "so lsmr was taken" in fits.why
    misfit = rv.linear_solve(A, np.ones(4))
    assert misfit.status.name == "BREAKDOWN"
    assert "singular" in misfit.message
