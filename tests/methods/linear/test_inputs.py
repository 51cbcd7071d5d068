"""Whatever a user calls a matrix: arrays, JAX's and SciPy's sparse matrices, lineax operators, functions; the same x from each."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.sparse as sp
from jax.experimental import sparse as js

import ravine as rv
from ravine.math import operators as op

rng = np.random.default_rng(12)
n = 8
A = np.where(rng.random((n, n)) < 0.4, rng.standard_normal((n, n)), 0) + 4 * np.eye(n)
T = np.diag(np.arange(3.0, 3 + n)) + np.diag(np.ones(n - 1), 1) - np.diag(np.ones(n - 1), -1)
b = rng.standard_normal(n)

INPUTS = {
    "array": (A, A),
    "list": (A.tolist(), A),
    "integers": (np.array([[2, 1], [0, 3]]), np.array([[2, 1], [0, 3]])),
    "csr": (sp.csr_array(A), A),
    "csc matrix": (sp.csc_matrix(A), A),
    "BCOO": (js.BCOO.fromdense(A), A),
    "padded BCOO": (js.BCOO.fromdense(A, nse=np.count_nonzero(A) + 5), A),
    "BCSR": (js.BCSR.fromdense(A), A),
    "lineax matrix": (lx.MatrixLinearOperator(jnp.asarray(A)), A),
    "lineax diagonal": (lx.DiagonalLinearOperator(jnp.arange(1.0, n + 1)), np.diag(np.arange(1.0, n + 1))),
    "lineax tridiagonal": (lx.TridiagonalLinearOperator(*(jnp.asarray(np.diagonal(T, o)) for o in (0, -1, 1))), T),
    "lineax function": (lx.FunctionLinearOperator(lambda v: jnp.asarray(A) @ v, jax.ShapeDtypeStruct((n,), jnp.float64)), A),
    "lineax jacobian": (lx.JacobianLinearOperator(lambda x, _: jnp.asarray(A) @ x + x**2, jnp.ones(n)), A + 2 * np.eye(n)),
    "lineax sum": (lx.MatrixLinearOperator(jnp.asarray(A)) + lx.DiagonalLinearOperator(jnp.ones(n)), A + np.eye(n)),
    "function": (lambda v: jnp.asarray(A) @ v, A),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("method", ["auto", "gmres", "lsqr"])
def test_the_solution_is_that_of_the_matrix(name, method):
    given, D = INPUTS[name]
    c = b[: len(D)]
    r = rv.linear_solve(given, c, method, tol=1e-10)
    assert r.success, r.message
    np.testing.assert_allclose(r.x, np.linalg.solve(D, c), rtol=1e-6, atol=1e-9)


def test_the_structure_of_a_lineax_operator_is_kept():
    assert "diagonal" in rv.linear_solve(INPUTS["lineax diagonal"][0], b).why
    assert "tridiagonal" in rv.linear_solve(INPUTS["lineax tridiagonal"][0], b).why
    positive = lx.MatrixLinearOperator(jnp.asarray(A @ A.T), lx.positive_semidefinite_tag)
    assert "cholesky" in rv.linear_solve(positive, b).why
    tagged = lx.FunctionLinearOperator(
        lambda v: jnp.asarray(A @ A.T) @ v, jax.ShapeDtypeStruct((n,), jnp.float64), lx.positive_semidefinite_tag
    )
    r = rv.linear_solve(tagged, b)
    assert "symmetric: cg" in r.why
    assert r.success


def test_a_lineax_operator_is_differentiated():
    def loss(a):
        return jnp.sum(rv.linear_solve(lx.MatrixLinearOperator(a), b, "lu").x ** 2)

    np.testing.assert_allclose(
        jax.grad(loss)(jnp.asarray(A)), jax.grad(lambda a: jnp.sum(jnp.linalg.solve(a, b) ** 2))(A), rtol=1e-8
    )


def test_a_lineax_operator_on_a_tree_is_refused_with_the_cure():
    tree = lx.FunctionLinearOperator(lambda t: t, {"a": jax.ShapeDtypeStruct((2,), jnp.float64)})
    with pytest.raises(TypeError, match=r"pass its \.mv"):
        rv.linear_solve(tree, jnp.ones(2))


@pytest.mark.parametrize("kind", [js.BCOO, js.BCSR])
def test_rectangular_sparse_matrices_of_jax(kind):
    tall = A[:, :5]
    r = rv.linear_solve(kind.fromdense(tall), b, tol=1e-12)
    assert r.success
    np.testing.assert_allclose(r.x, np.linalg.lstsq(tall, b, rcond=None)[0], rtol=1e-8)


def test_a_bcsr_matrix_under_jit_and_in_its_entries():
    M = js.BCSR.fromdense(A)

    def f(data):
        return jnp.sum(rv.linear_solve(js.BCSR((data, M.indices, M.indptr), shape=M.shape), b, "gmres", tol=1e-12).x)

    x, w = np.linalg.solve(A, b), np.linalg.solve(A.T, np.ones(n))
    rows = np.repeat(np.arange(n), np.diff(M.indptr))
    np.testing.assert_allclose(jax.jit(f)(M.data), x.sum(), rtol=1e-9)
    np.testing.assert_allclose(jax.grad(f)(M.data), -w[rows] * x[np.asarray(M.indices)], rtol=1e-8)


def test_what_a_hurried_user_passes_is_refused_with_the_cure():
    with pytest.raises(ValueError, match="A is 0×0: there is nothing to solve"):
        rv.linear_solve(np.zeros((0, 0)), np.zeros(0))
    for M in (3, np.eye(n), jnp.eye(n)):
        with pytest.raises(TypeError, match=r"rv.operators.Dense\(M\)"):
            rv.linear_solve(A, b, "gmres", preconditioner=M)
    for kind in (rv.precond.SSOR, rv.precond.IncompleteCholesky):
        for wide in (A[:3], sp.csr_array(A[:3])):
            with pytest.raises(ValueError, match="square A, got 3×8"):
                kind().of(wide)


def test_a_sparse_zero_matrix_is_singular():
    r = rv.linear_solve(sp.csr_array((3, 3)), np.ones(3), "lu")
    assert r.status.name == "BREAKDOWN"
    assert "A is singular" in r.message
    assert np.linalg.norm(r.aux["null_direction"]) == pytest.approx(1)


@pytest.mark.parametrize("method", ["gauss_seidel", rv.CG("ssor"), rv.CG("incomplete_cholesky")])
@pytest.mark.parametrize("sparse", [False, True])
def test_complex_systems_are_swept_too(method, sparse):
    H = A @ A.T + 1j * (A - A.T) / 10 + 40 * np.eye(n)
    r = rv.linear_solve(sp.csr_array(H) if sparse else H, b, method, tol=1e-10)
    assert r.success, r.message
    np.testing.assert_allclose(r.x, np.linalg.solve(H, b), rtol=1e-7)


def test_batches_of_sparse_matrices_are_refused_in_words():
    batch = js.BCOO.fromdense(np.stack([A, A]), n_batch=1)
    with pytest.raises(ValueError, match="without batch or dense dimensions"):
        rv.linear_solve(batch, b)


def test_compositions_keep_what_is_known_for_auto():
    blocks = op.BlockDiagonal(jnp.asarray(rng.standard_normal((4, 2, 2)) + 3 * np.eye(2)))
    small = op.Dense(jnp.asarray(A[:4, :4]))
    cases = {
        "block diagonal": blocks,
        "Kronecker": op.Kronecker(small, op.diagonal(jnp.arange(1.0, 3))),
        "diagonal": 2.0 * op.diagonal(jnp.arange(1.0, n + 1)),
        "tridiagonal": op.tridiagonal(jnp.ones(n - 1), 4 * jnp.ones(n), jnp.ones(n - 1)) + op.diagonal(jnp.ones(n)),
    }
    for word, operator in cases.items():
        for given in (operator, operator.T):
            r = rv.linear_solve(given, b)
            assert word in r.why, (word, r.why)
            assert r.success
            np.testing.assert_allclose(r.x, np.linalg.solve(np.asarray(given.dense()), b), rtol=1e-8)


def test_numbers_that_are_none_are_named_by_row_and_column():
    D = A.copy()
    D[2, 5] = np.nan
    for given in (D, sp.csr_array(D), js.BCOO.fromdense(D), sp.csr_array(D) @ sp.eye_array(n)):
        with pytest.raises(ValueError, match=r"A has nan at \[2, 5\]: nothing can be solved"):
            rv.linear_solve(given, b)
    wide = sp.csr_array(np.where(rng.random((30, 30)) < 0.3, 1.0, 0) + 9 * np.eye(30))
    wide[7, 7] = np.inf
    with pytest.raises(ValueError, match=r"A has inf at \[7, 7\]"):
        rv.linear_solve(wide, np.ones(30))
    with pytest.raises(ValueError, match=r"x0 has nan at \[1\]"):
        rv.linear_solve(A @ A.T, b, "cg", x0=np.where(np.arange(n) == 1, np.nan, 0.0))


def test_shapes_of_starts_and_preconditioners_are_checked():
    S = A @ A.T
    with pytest.raises(ValueError, match=r"b has 2 columns, so x0 must have shape \(8, 2\)"):
        rv.linear_solve(S, np.ones((n, 2)), "cg", x0=np.ones(n))
    with pytest.raises(ValueError, match="the preconditioner is 3×3, and A is 8×8"):
        rv.linear_solve(S, b, "cg", preconditioner=op.Dense(jnp.eye(3)))
    with pytest.raises(ValueError, match="the preconditioner must make a vector of length 8"):
        rv.linear_solve(S, b, "cg", preconditioner=lambda r: r[:2])
    with pytest.raises(ValueError, match=r"A is 8×8, so b must have shape \(8,\) or \(8, k\)"):
        rv.factor(A).solve(b[:3])


@pytest.mark.parametrize("fun", [lambda v: 2 * v + 1, lambda v: v**2])
def test_a_function_that_is_not_linear_is_refused(fun):
    with pytest.raises(ValueError, match="A is no linear function"):
        rv.linear_solve(fun, np.ones(3))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("method", ["auto", "cg", "lu"])
def test_entries_whose_squares_leave_the_range(scale, method, recwarn):
    S = A @ A.T
    r = rv.linear_solve(scale * S, b, method)
    assert r.status.name == "CONVERGED"
    assert "singular" not in r.message
    assert not recwarn.list
    np.testing.assert_allclose(np.asarray(r.x) * scale, np.linalg.solve(S, b), rtol=1e-6)
    with pytest.raises(ValueError, match="square leaves the range of float64: scale b"):
        rv.linear_solve(S, scale * b, method)


def test_a_dense_hermitian_matrix_goes_to_cholesky_and_a_tall_complex_one_to_qr():
    Z = A + 1j * rng.standard_normal((n, n))
    H = Z @ Z.conj().T
    assert "cholesky" in rv.linear_solve(H, b).why
    tall = rv.linear_solve(Z[:, :3], b)
    assert "qr" in tall.why
    np.testing.assert_allclose(tall.x, np.linalg.lstsq(Z[:, :3], b)[0], rtol=1e-8)


@pytest.mark.parametrize("kind", ["lu", "cholesky", "qr"])
def test_factors_of_a_matrix_with_nan_are_refused_with_its_place(kind):
    with pytest.raises(ValueError, match=r"A has nan at \[1, 0\]"):
        rv.factor(np.array([[2.0, 0.0], [np.nan, 2.0]]), kind)


def test_a_cholesky_factor_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="A is not positive definite: take kind='lu'"):
        rv.factor(np.array([[1.0, 2.0], [2.0, 1.0]]), "cholesky")
    under_jit = jax.jit(lambda A: rv.factor(A, "cholesky").solve(jnp.ones(2)))(jnp.array([[1.0, 2.0], [2.0, 1.0]]))
    assert np.isnan(under_jit).all()
