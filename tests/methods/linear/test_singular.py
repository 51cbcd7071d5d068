"""Singular and indefinite matrices: every method ends with an honest status, and with the direction that proves it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import ravine as rv
from ravine.core.status import Status
from ravine.math import operators as op

rng = np.random.default_rng(21)
FLAT, MISFIT = np.diag([1.0, 0.0, 2.0]), np.ones(3)


def turned(eigenvalues):
    Q, _ = np.linalg.qr(rng.standard_normal((len(eigenvalues),) * 2))
    A = (Q * eigenvalues) @ Q.T
    return (A + A.T) / 2


def proves(A, v, limit=1e-12):
    v = np.asarray(v)
    assert np.linalg.norm(v) == pytest.approx(1, rel=1e-5)
    assert np.linalg.norm(A @ v) <= limit * np.linalg.norm(A)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("M", [None, "jacobi", np.diag([2.0, 1.0, 0.3])])
@pytest.mark.parametrize("b", [MISFIT, np.array([0.0, 1.0, 0.0]), np.array([1.0, 1e-3, 1.0])])
def test_cg_on_a_singular_matrix_ends_with_the_null_direction(dtype, M, b):
    M = rv.operators.Dense(jnp.asarray(M, dtype)) if isinstance(M, np.ndarray) else M
    r = rv.linear_solve(FLAT.astype(dtype), b.astype(dtype), rv.CG(M))
    assert r.status.name == "BREAKDOWN"
    assert "A is singular to working precision" in r.message
    assert r.fun == pytest.approx(np.linalg.norm(b - FLAT @ np.asarray(r.x)), rel=1e-5)
    assert np.max(np.abs(r.x)) < 1e6
    proves(FLAT, r.aux["null_direction"], np.sqrt(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("M", [None, "jacobi"])
def test_cg_solves_a_singular_system_that_fits(dtype, M):
    r = rv.linear_solve(FLAT.astype(dtype), np.array([1.0, 0.0, 1.0], dtype), rv.CG(M))
    assert r.status.name == "CONVERGED"
    assert "null_direction" not in r.aux


def test_cg_tells_of_a_singular_matrix_under_jit_and_vmap():
    def code(A, b):
        return rv.linear_solve(A, b, "cg").code

    both = jnp.stack([MISFIT, jnp.array([1.0, 0.0, 1.0])])
    expected = [Status.BREAKDOWN, Status.CONVERGED]
    assert [int(jax.jit(code)(FLAT, b)) for b in both] == expected
    assert jax.vmap(code, (None, 0))(jnp.asarray(FLAT), both).tolist() == expected
    columns = rv.linear_solve(FLAT, both.T, "cg")
    assert columns.code.tolist() == expected
    assert "Column 0: A is singular" in columns.message
    proves(FLAT, columns.aux["null_direction"])


@pytest.mark.parametrize(
    ("dtype", "method"), [(float, "lu"), (float, "qr"), (complex, "lu"), (complex, "cholesky"), (complex, "cg")]
)
def test_many_right_hand_sides_have_the_null_direction_of_the_first_that_failed(dtype, method):
    r = rv.linear_solve(FLAT.astype(dtype), np.array([[1.0, 1], [0, 1], [1, 1]]), method)
    assert r.code.tolist() == [Status.BREAKDOWN if method == "cholesky" else Status.CONVERGED, Status.BREAKDOWN]
    assert f"Column {0 if method == 'cholesky' else 1}: A is" in r.message
    assert r.aux["null_direction"].shape == (3,)
    proves(FLAT, r.aux["null_direction"])


@pytest.mark.parametrize("spectrum", [np.linspace(0, 10, 30), np.r_[0, np.logspace(0, 3, 29)]])
def test_cg_stops_before_its_points_are_lost_on_a_large_singular_matrix(spectrum):
    A = turned(spectrum)
    misfit = rv.linear_solve(A, rng.standard_normal(30), "cg")
    assert misfit.status.name == "BREAKDOWN"
    proves(A, misfit.aux["null_direction"], 1.5e-8)
    fits = rv.linear_solve(A, A @ rng.standard_normal(30), "cg")
    assert fits.status.name == "CONVERGED"


@pytest.mark.parametrize("condition", [1e6, 1e12])
def test_an_ill_conditioned_matrix_is_not_called_singular_by_cg(condition):
    A = turned(np.logspace(0, np.log10(condition), 20))
    V = np.linalg.eigh(A)[1]
    r = rv.linear_solve(A, V[:, 0] + 1e-3 * V[:, 1], "cg", tol=1e-5)
    assert "singular" not in r.message
    assert r.status.name != "BREAKDOWN"


def test_a_preconditioner_that_is_not_definite_is_told():
    r = rv.linear_solve(np.eye(3), MISFIT, rv.CG(lambda r: -r))
    assert r.status.name == "BREAKDOWN"
    assert "preconditioner is not positive definite" in r.message


def test_zero_curvature_of_an_indefinite_matrix_is_not_called_singular():
    for method in ("cg", "cholesky"):
        r = rv.linear_solve(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 0.0]), method)
        assert r.status.name == "BREAKDOWN"
        assert "not positive definite" in r.message
        assert "singular" not in r.message


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cholesky_tells_a_singular_from_an_indefinite_matrix(dtype):
    eps = np.finfo(dtype).eps
    for A in (FLAT, turned([0.0, 1, 2, 3, 4])):
        r = rv.linear_solve(A.astype(dtype), np.ones(len(A), dtype), "cholesky")
        assert r.status.name == "BREAKDOWN"
        assert "A is singular" in r.message
        proves(A.astype(dtype), r.aux["null_direction"], 100 * eps)
    A = turned([-1.0, 1, 2, 3, 4]).astype(dtype)
    r = rv.linear_solve(A, np.ones(5, dtype), "cholesky")
    v = np.asarray(r.aux["negative_curvature"])
    assert "not positive definite: vᵀA v = -" in r.message
    assert v @ A @ v < -1e-3


@pytest.mark.parametrize("method", ["minres", "gmres", "bicgstab", "lu", "qr"])
def test_each_method_has_the_null_direction_of_a_singular_symmetric_matrix(method):
    A = turned([0.0, 1, 2, 3, 4, 5])
    r = rv.linear_solve(A, rng.standard_normal(6), method)
    assert r.status.name in (("STALLED", "MAX_STEPS") if method == "bicgstab" else ("BREAKDOWN",))
    assert "A is singular" in r.message
    proves(A, r.aux["null_direction"])


@pytest.mark.parametrize(("dtype", "n"), [(np.float64, 10), (np.float32, 10), (np.float64, 28)])
def test_minres_ends_at_the_least_residual(dtype, n):
    spectrum = np.linspace(-3, 6, n)  # 0 is one of them
    A, b = turned(spectrum).astype(dtype), rng.standard_normal(len(spectrum)).astype(dtype)
    r = rv.linear_solve(A, b, "minres")
    assert r.status.name == "BREAKDOWN"
    w, V = np.linalg.eigh(A.astype(float))
    assert r.fun == pytest.approx(abs(V[:, np.argmin(abs(w))] @ b), rel=1e-2)
    proves(A, r.aux["null_direction"], 100 * np.finfo(dtype).eps)


def test_an_ill_conditioned_matrix_is_not_called_singular_by_minres():
    A = turned(np.r_[-1e-9, np.linspace(1, 2, 15)])
    r = rv.linear_solve(A, rng.standard_normal(16), "minres")
    assert r.success, r.message


def structures():
    n = 6
    neumann = op.tridiagonal(-jnp.ones(n - 1), jnp.array([1.0, 2, 2, 2, 2, 1]), -jnp.ones(n - 1))
    blocks = op.BlockDiagonal(jnp.asarray([[[1.0, 2], [2, 4]], [[1.0, 0], [0, 1]], [[1.0, 2], [3, 4]]]))
    return {
        "diagonal": op.diagonal(jnp.array([1.0, 2, 0, 3, 4, 5])),
        "tridiagonal": neumann,
        "tridiagonal, not symmetric": op.tridiagonal(
            jnp.array([1.0, 0, 1, 2, 1]), jnp.array([1.0, 1, 0, 1, 1, 1]), jnp.array([1.0, 0, 0, 2, 1])
        ),
        "banded": op.banded({-2: -jnp.ones(n - 2), 0: jnp.array([1.0, 1, 2, 2, 1, 1]), 2: -jnp.ones(n - 2)}),
        "block diagonal": blocks,
        "Kronecker": op.Kronecker(neumann, op.Dense(jnp.eye(2))),
        "sparse": sp.csr_array(sp.kronsum(neumann.dense(), neumann.dense())),
    }


@pytest.mark.parametrize("name", structures())
def test_a_singular_structure_is_told_with_its_null_direction(name):
    A = structures()[name]
    D = A.toarray() if sp.issparse(A) else np.asarray(A.dense())
    r = rv.linear_solve(A, rng.standard_normal(len(D)), "lu")
    assert r.status.name == "BREAKDOWN"
    assert "A is singular to working precision" in r.message
    proves(D, r.aux["null_direction"])


def test_a_tridiagonal_matrix_that_is_nearly_singular():
    main = np.array([1.0, 2, 2, 1])
    for shift, name in ((1e-17, "BREAKDOWN"), (1e-9, "CONVERGED")):
        A = op.tridiagonal(-jnp.ones(3), jnp.asarray(main + shift), -jnp.ones(3)) * 1.1
        assert rv.linear_solve(A, np.array([1.0, 2, 3, 4]), "lu", tol=1e-4).status.name == name


def test_qr_of_a_matrix_without_full_rank_has_the_null_direction():
    tall = np.stack([np.arange(6.0), 2 * np.arange(6.0), np.ones(6)], 1)
    r = rv.linear_solve(tall, rng.standard_normal(6), "qr")
    assert r.status.name == "BREAKDOWN"
    proves(tall, r.aux["null_direction"])
    # Here Aᵀr is small of itself, and x is not the least one.
    r = rv.linear_solve(FLAT, MISFIT, "qr")
    assert r.status.name == "BREAKDOWN"


def test_a_least_squares_solution_of_a_square_system_says_so():
    r = rv.linear_solve(FLAT, MISFIT, "lsmr")
    assert r.status.name == "CONVERGED"
    assert "b is not in the range of A, which is singular: x is of least ‖b − A x‖ = 1." in r.message
    np.testing.assert_allclose(r.x, [1, 0, 0.5], atol=1e-9)


@pytest.mark.parametrize("method", ["jacobi", "gauss_seidel", "sor", "ssor"])
def test_a_zero_on_the_diagonal_is_named_by_the_stationary_methods(method):
    r = rv.linear_solve(FLAT, MISFIT, method)
    assert r.status.name == "BREAKDOWN"
    assert "The diagonal of A is 0 in row 1" in r.message
    assert np.all(np.isfinite(r.x))


@pytest.mark.parametrize("method", ["auto", "lu", "cholesky", "cg"])
def test_the_null_direction_of_a_complex_matrix_is_complex(method):
    A = np.array([[1, 1j], [-1j, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = rv.linear_solve(A, np.array([1.0, 2.0]), method)
    assert r.status.name == "BREAKDOWN"
    assert r.aux["null_direction"].shape == (2,)
    proves(A, r.aux["null_direction"])


def test_the_null_direction_of_a_function_of_trees_is_a_tree():
    r = rv.linear_solve(lambda t: {"a": t["a"], "b": 0 * t["b"]}, {"a": jnp.ones(2), "b": jnp.ones(1)}, "cg")
    assert r.status.name == "BREAKDOWN"
    assert abs(r.aux["null_direction"]["b"]).tolist() == [1.0]


def test_an_unknown_method_is_answered_with_those_for_linear_systems():
    with pytest.raises(ValueError, match=r"unknown method 'svd'; there are: bicgstab, cg, cholesky"):
        rv.linear_solve(FLAT, MISFIT, "svd")


@pytest.mark.parametrize("method", ["cg", "lu"])
def test_a_derivative_that_a_singular_matrix_does_not_have_is_nan(method):
    def along(weights):
        return jax.grad(lambda b: weights @ rv.linear_solve(FLAT, b, method).x)(jnp.array([1.0, 0.0, 1.0]))

    np.testing.assert_allclose(along(jnp.array([1.0, 0.0, 1.0])), [1.0, 0.0, 0.5], atol=1e-12)
    assert np.all(np.isnan(along(jnp.ones(3))))
