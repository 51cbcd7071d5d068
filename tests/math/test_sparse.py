"""Every sparse format against the dense matrix, and the sweeps against triangular solves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg  # noqa: F401  (sp.linalg)

from ravine.math import operators as op
from ravine.math import sparse
from ravine.math.triangular import lower_solver, symmetric_sweeps

rng = np.random.default_rng(4)


def scattered(m, n, density):
    D = sp.random_array((m, n), density=density, rng=rng).toarray()
    D[0] = rng.standard_normal(n)  # one long row
    return sp.csr_array(D)


CASES = {
    "banded": (sp.diags_array([np.ones(19), 2 * np.ones(20), 3 * np.ones(18)], offsets=[-1, 0, 2]).tocsr(), op.Diagonals),
    "wide": (sp.csr_array(sp.diags_array([np.ones(5), np.arange(5.0)], offsets=[0, 3], shape=(5, 9))), op.Diagonals),
    "scattered": (scattered(30, 30, 0.1), sparse.Ell),
    "tall": (scattered(40, 12, 0.1), sparse.Ell),
    "empty rows": (sp.csr_array(np.eye(7)[[0, 3, 3, 5]] * np.array([1.0, 0, 2, 3])[:, None]), None),
    "regular": (sp.csr_array(np.eye(9)[rng.permutation(9)] + np.eye(9)[rng.permutation(9)]), None),
}


@pytest.mark.parametrize("name", CASES)
def test_products_and_entries_are_those_of_the_matrix(name):
    M, kind = CASES[name]
    A, D = sparse.from_scipy(M), M.toarray()
    assert kind is None or isinstance(A, kind)
    v, u = jnp.asarray(rng.standard_normal(D.shape[1])), jnp.asarray(rng.standard_normal(D.shape[0]))
    np.testing.assert_allclose(A @ v, D @ v, atol=1e-13)
    np.testing.assert_allclose(jax.jit(lambda a, u: a.T @ u)(A, u), D.T @ u, atol=1e-13)
    np.testing.assert_allclose(A.dense(), D, atol=1e-13)
    np.testing.assert_allclose(A.diagonal(), np.diagonal(D), atol=1e-13)
    np.testing.assert_allclose(sparse.to_scipy(A).toarray(), D, atol=1e-13)
    np.testing.assert_allclose((2.0 * A) @ v, 2 * D @ v, atol=1e-13)
    np.testing.assert_allclose((2.0 * A).T @ u, 2 * D.T @ u, atol=1e-13)
    v_bar = jax.grad(lambda v: jnp.vdot(u, A @ v))(v)
    np.testing.assert_allclose(v_bar, D.T @ u, atol=1e-13)


def test_coordinates_are_the_matrix_too():
    M = CASES["scattered"][0].tocoo()
    A = sparse.Coordinates(jnp.asarray(M.data), jnp.asarray(M.row), jnp.asarray(M.col), M.shape)
    v = jnp.asarray(rng.standard_normal(30))
    np.testing.assert_allclose(A @ v, M @ np.asarray(v), atol=1e-13)
    np.testing.assert_allclose(A.T @ v, M.T @ np.asarray(v), atol=1e-13)
    np.testing.assert_allclose(A.diagonal(), M.diagonal(), atol=1e-13)
    np.testing.assert_allclose(sparse.to_scipy(A).toarray(), M.toarray(), atol=1e-13)


def test_a_stencil_has_the_entries_of_its_diagonals():
    A = op.laplacian(3, 4)
    np.testing.assert_allclose(sparse.to_scipy(A).toarray(), A.dense())


@pytest.mark.parametrize("weight", [0.7, 1.0, 1.5])
def test_sweeps_by_levels_are_triangular_solves(weight):
    M = sp.csr_array(scattered(40, 40, 0.08) + 5 * sp.eye_array(40))
    D, v = M.toarray(), jnp.asarray(rng.standard_normal(40))
    d = np.diag(np.diag(D))
    lower, upper = d / weight + np.tril(D, -1), d / weight + np.triu(D, 1)
    for A in (op.Dense(jnp.asarray(D)), sparse.swept(sparse.from_scipy(M))):
        np.testing.assert_allclose(lower_solver(A, weight).mv(v), np.linalg.solve(lower, v), atol=1e-10)
        expected = (2 - weight) / weight * np.linalg.solve(upper, d @ np.linalg.solve(lower, v))
        np.testing.assert_allclose(symmetric_sweeps(A, weight).mv(v), expected, atol=1e-9)


def test_a_wave_may_fill_several_rows_of_the_table_and_entries_reach_back_over_many():
    # A chain of 30 with 5,000 unknowns that hang on its first: waves of very different sizes.
    n = 5030
    i = np.arange(1, 30)
    row, column = np.concatenate([i, np.arange(30, n), [n - 1]]), np.concatenate([i - 1, np.zeros(n - 30, int), [29]])
    L = sp.csr_array((rng.standard_normal(row.size), (row, column)), (n, n))
    M = sp.csr_array(L + 0.3 * L.T + 4 * sp.eye_array(n))
    A, v = sparse.swept(sparse.from_scipy(M)), rng.standard_normal(n)
    assert A.down.rows.shape[0] > 31
    assert A.down.span > 1
    down = sp.linalg.spsolve_triangular(sp.tril(M, 0, "csr"), v)
    np.testing.assert_allclose(lower_solver(A, 1.0).mv(jnp.asarray(v)), down, atol=1e-12)
    both = sp.linalg.spsolve_triangular(sp.triu(M, 0, "csr"), 4 * down, lower=False)
    np.testing.assert_allclose(symmetric_sweeps(A, 1.0).mv(jnp.asarray(v)), both, atol=1e-12)
