"""Preconditioners against what they stand for."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import ravine as rv
from ravine.math import operators as op
from ravine.methods.linear.preconditioners import incomplete_cholesky

rng = np.random.default_rng(5)


def test_jacobi_is_the_inverse_diagonal():
    A = rng.standard_normal((4, 4))
    np.testing.assert_allclose(rv.precond.Jacobi().of(A).dense(), np.diag(1 / np.diag(A)))


@pytest.mark.parametrize("n", [6, 7, 8])
@pytest.mark.parametrize("banded", [False, True])
def test_block_jacobi_is_the_inverse_of_the_blocks(n, banded):
    A = np.asarray(op.banded({o: jnp.asarray(rng.standard_normal(n - abs(o)) + 4 * (o == 0)) for o in (-2, -1, 0, 1)}).dense())
    operator = op.banded({o: jnp.asarray(np.diagonal(A, o)) for o in (-2, -1, 0, 1)}) if banded else op.Dense(jnp.asarray(A))
    expected = np.zeros((n, n))
    for i in range(0, n, 3):
        expected[i : i + 3, i : i + 3] = np.linalg.inv(A[i : i + 3, i : i + 3])
    np.testing.assert_allclose(rv.precond.BlockJacobi(3).of(operator).dense(), expected, atol=1e-12)


def test_a_diagonal_that_spans_decades_needs_jacobi():
    A = np.diag(np.logspace(0, 8, 50)) + 0.1 * np.ones((50, 50))
    with_jacobi = rv.linear_solve(A, np.ones(50), "cg", preconditioner=rv.precond.Jacobi(), tol=1e-8)
    without = rv.linear_solve(A, np.ones(50), "cg", tol=1e-8)
    assert with_jacobi.success
    assert int(with_jacobi.nit) < 0.1 * int(without.nit)


def poisson(m):
    return sp.csr_array(sp.kronsum(*[sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))] * 2))


def textbook_ic0(A):
    L = np.tril(A)
    n = len(A)
    for k in range(n):
        L[k, k] = np.sqrt(L[k, k])
        for i in range(k + 1, n):
            L[i, k] /= L[k, k]
        for j in range(k + 1, n):
            for i in range(j, n):
                if A[i, j] != 0:
                    L[i, j] -= L[i, k] * L[j, k]
    return L * (np.tril(A) != 0)


def test_incomplete_cholesky_is_the_textbooks():
    A = poisson(5)
    L = textbook_ic0(A.toarray())
    M = rv.precond.IncompleteCholesky().of(A)
    v = rng.standard_normal(25)
    np.testing.assert_allclose(M.mv(jnp.asarray(v)), np.linalg.solve(L @ L.T, v), rtol=1e-10)


def test_modified_incomplete_cholesky_keeps_the_row_sums_and_alpha_goes_between():
    A = sp.csr_array(poisson(6) + sp.eye_array(36))
    plain, half, modified = (incomplete_cholesky(A, alpha).toarray() for alpha in (0.0, 0.5, 1.0))
    for L in (plain, half, modified):
        beside = (A.toarray() != 0) & ~np.eye(36, dtype=bool)
        np.testing.assert_allclose((L @ L.T)[beside], A.toarray()[beside], atol=1e-12)
    np.testing.assert_allclose((modified @ modified.T).sum(1), A.sum(1), atol=1e-12)
    np.testing.assert_allclose((plain @ plain.T).diagonal(), A.diagonal(), atol=1e-12)
    assert np.all((half @ half.T).sum(1) <= (plain @ plain.T).sum(1) + 1e-12)
    assert not np.allclose((half @ half.T).sum(1), A.sum(1))


def test_incomplete_cholesky_of_a_pattern_with_triangles():
    A = sp.csr_array(sp.random_array((30, 30), density=0.1, rng=rng))
    A = sp.csr_array(A + A.T + 6 * sp.eye_array(30))
    np.testing.assert_allclose(incomplete_cholesky(A).toarray(), textbook_ic0(A.toarray()), atol=1e-12)


def test_the_best_weight_and_the_modified_factors_save_most_steps():
    m = 40
    A, b = poisson(m), rng.standard_normal(m * m)
    steps = {"plain": int(rv.linear_solve(A, b, "cg").nit)}
    for name, M in {
        "ssor(1)": rv.precond.SSOR(),
        "ssor(best)": rv.precond.SSOR(2 / (1 + 2 * np.sin(np.pi / (2 * (m + 1))))),
        "ic": rv.precond.IncompleteCholesky(),
        "mic": rv.precond.IncompleteCholesky(modified=1.0),
    }.items():
        steps[name] = int(rv.linear_solve(A, b, "cg", preconditioner=M).nit)
    assert steps["ssor(best)"] < 0.6 * steps["ssor(1)"] < 0.4 * steps["plain"]
    assert steps["mic"] < 0.7 * steps["ic"] < 0.4 * steps["plain"]


def test_single_precision_stays_single():
    A, b = poisson(8).astype(np.float32), np.ones(64, np.float32)
    for M in (rv.precond.SSOR(1.2), rv.precond.IncompleteCholesky(ordering="colours")):
        r = rv.linear_solve(A, b, "cg", preconditioner=M, tol=1e-4)
        assert r.success
        assert r.x.dtype == np.float32


def test_on_a_full_pattern_it_is_cholesky_and_cg_ends_in_one_step():
    Q = rng.standard_normal((8, 8))
    A = Q @ Q.T + np.eye(8)
    r = rv.linear_solve(A, np.ones(8), "cg", preconditioner=rv.precond.IncompleteCholesky())
    assert r.success
    assert r.nit == 1


def test_ssor_is_its_formula_dense_and_sparse():
    A = poisson(4)
    D, w = np.diag(np.diag(A.toarray())), 1.3
    lower = D / w + np.tril(A.toarray(), -1)
    expected = (2 - w) / w * np.linalg.inv(lower.T) @ D @ np.linalg.inv(lower)
    for matrix in (A, A.toarray()):
        np.testing.assert_allclose(rv.precond.SSOR(w).of(matrix).dense(), expected, atol=1e-12)


@pytest.mark.parametrize("ordering", ["natural", "colours"])
@pytest.mark.parametrize("kind", [rv.precond.SSOR, rv.precond.IncompleteCholesky])
def test_sweeping_preconditioners_save_steps_and_stay_symmetric_definite(kind, ordering):
    A, b = poisson(16), rng.standard_normal(256)
    M = kind(ordering=ordering).of(A)
    dense = np.asarray(M.dense())
    np.testing.assert_allclose(dense, dense.T, atol=1e-12)
    assert np.linalg.eigvalsh(dense)[0] > 0
    plain, better = rv.linear_solve(A, b, "cg"), rv.linear_solve(A, b, "cg", preconditioner=M)
    assert better.success
    assert int(better.nit) < 0.75 * int(plain.nit)


def test_an_odd_cycle_needs_more_than_two_colours():
    from ravine.methods.linear.preconditioners import coloured

    ring = sp.csr_array(np.eye(7) * 3 - np.roll(np.eye(7), 1, 0) - np.roll(np.eye(7), -1, 0))
    M, order = coloured(ring)
    np.testing.assert_array_equal(M.toarray(), ring.toarray()[np.ix_(order, order)])
    assert sorted(order) == list(range(7))


def test_a_matrix_without_a_diagonal_is_refused():
    with pytest.raises(ValueError, match="needs a full diagonal"):
        rv.precond.IncompleteCholesky().of(sp.csr_array(np.array([[0.0, 1.0], [1.0, 1.0]])))
