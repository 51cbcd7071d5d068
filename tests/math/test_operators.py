"""Every operator against its own dense form: products, transposes, diagonals, compositions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.math import operators as op

rng = np.random.default_rng(3)


def array(*shape):
    return jnp.asarray(rng.standard_normal(shape))


A, B, S = op.Dense(array(4, 5)), op.Dense(array(4, 5)), op.Dense(array(5, 4))
OPERATORS = {
    "dense": (A, A.array),
    "diagonal": (op.diagonal(jnp.arange(3.0)), jnp.diag(jnp.arange(3.0))),
    "tridiagonal": (
        op.tridiagonal(jnp.arange(1.0, 4), jnp.arange(4.0), jnp.arange(5.0, 8)),
        jnp.diag(jnp.arange(4.0)) + jnp.diag(jnp.arange(1.0, 4), -1) + jnp.diag(jnp.arange(5.0, 8), 1),
    ),
    "banded": (
        op.banded({-2: jnp.arange(1.0, 4), 0: jnp.ones(5), 1: jnp.arange(4.0)}),
        jnp.diag(jnp.arange(1.0, 4), -2) + jnp.eye(5) + jnp.diag(jnp.arange(4.0), 1),
    ),
    "wide diagonals": (op.Diagonals(jnp.ones((2, 3)), (0, 2), 5), jnp.eye(3, 5) + jnp.eye(3, 5, 2)),
    "tall diagonals": (op.Diagonals(jnp.ones((2, 5)), (0, -1), 3), jnp.eye(5, 3) + jnp.eye(5, 3, -1)),
    "block diagonal": (op.BlockDiagonal(C := array(2, 2, 2)), jax.scipy.linalg.block_diag(C[0], C[1])),
    "function": (op.matrix_free(lambda v: A.array @ v, jnp.zeros(5)), A.array),
    "sum": (A + B, A.array + B.array),
    "difference": (A - B, A.array - B.array),
    "product": (A @ S, A.array @ S.array),
    "scaled": (3.0 * A, 3 * A.array),
    "adjoint": (op.Adjoint(A), A.array.T),
    "block": (
        op.block([[A, A @ S], [op.Dense(jnp.ones((2, 5))), op.Dense(jnp.zeros((2, 4)))]]),
        jnp.block([[A.array, A.array @ S.array], [jnp.ones((2, 5)), jnp.zeros((2, 4))]]),
    ),
    "kronecker": (op.Kronecker(A, op.diagonal(jnp.arange(1.0, 3))), jnp.kron(A.array, jnp.diag(jnp.arange(1.0, 3)))),
    "sum of diagonals": (
        op.banded({-1: jnp.ones(3), 0: jnp.arange(4.0)}) + op.banded({0: jnp.ones(4), 2: jnp.ones(2)}),
        jnp.diag(jnp.arange(4.0) + 1) + jnp.eye(4, k=-1) + jnp.eye(4, k=2),
    ),
    "multiple of diagonals": (2.0 * op.diagonal(jnp.arange(3.0)), 2 * jnp.diag(jnp.arange(3.0))),
    "multiple of blocks": (2.0 * op.BlockDiagonal(C), 2 * jax.scipy.linalg.block_diag(C[0], C[1])),
    "multiple of a kronecker product": (op.Kronecker(A, S) * 2.0, 2 * jnp.kron(A.array, S.array)),
    "multiple of a stencil": (-op.laplacian(4), -op.laplacian(4).dense()),
    "mixed sum": (op.diagonal(jnp.ones(4)) + op.Dense(jnp.ones((4, 4))), jnp.eye(4) + jnp.ones((4, 4))),
    "multiple of a sum": (2.0 * (op.diagonal(jnp.ones(4)) + op.Dense(jnp.ones((4, 4)))), 2 * (jnp.eye(4) + jnp.ones((4, 4)))),
    "stencil": (
        op.laplacian(3, 2),
        jnp.kron(op.laplacian(3).dense(), jnp.eye(2)) + jnp.kron(jnp.eye(3), op.laplacian(2).dense()),
    ),
    "skew stencil": (op.Stencil(jnp.array([2.0, -1.0]), ((0,), (2,)), (4,)), 2 * jnp.eye(4) - jnp.eye(4, k=2)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_products_transposes_and_entries_are_those_of_the_matrix(name):
    operator, matrix = OPERATORS[name]
    assert operator.shape == matrix.shape
    v, u = array(matrix.shape[1]), array(matrix.shape[0])
    np.testing.assert_allclose(operator @ v, matrix @ v, atol=1e-13)
    np.testing.assert_allclose(operator.T @ u, matrix.T @ u, atol=1e-13)
    np.testing.assert_allclose(operator.T.T @ v, matrix @ v, atol=1e-13)
    np.testing.assert_allclose(operator.dense(), matrix, atol=1e-13)
    V = array(matrix.shape[1], 3)
    np.testing.assert_allclose(jax.jit(lambda a, v: a @ v)(operator, V), matrix @ V, atol=1e-13)
    if name != "function":
        np.testing.assert_allclose(operator.diagonal(), np.diagonal(matrix), atol=1e-13)
    assert operator.symmetric in (None, bool(matrix.shape[0] == matrix.shape[1] and jnp.all(matrix == matrix.T)))


def test_a_complex_map_is_a_real_one_of_twice_the_size():
    Z, z = jax.lax.complex(array(3, 3), array(3, 3)), jax.lax.complex(array(3), array(3))
    real = op.Realified(op.Dense(Z))
    w = real @ jnp.concatenate([z.real, z.imag])
    np.testing.assert_allclose(jax.lax.complex(w[:3], w[3:]), Z @ z, atol=1e-13)
    np.testing.assert_allclose(real.dense() @ jnp.concatenate([z.real, z.imag]), w, atol=1e-13)
    np.testing.assert_allclose(real.diagonal(), jnp.diagonal(real.dense()), atol=1e-13)
    hermitian = op.Realified(op.Dense(Z + Z.conj().T)).dense()
    np.testing.assert_allclose(hermitian, hermitian.T, atol=1e-13)


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ValueError, match=r"shape \(4, 5\) cannot be applied to something of length 4"):
        _ = A @ jnp.ones(4)
    with pytest.raises(ValueError, match="cannot be added"):
        _ = A + S
    with pytest.raises(ValueError, match="off-diagonals of one less"):
        op.tridiagonal(jnp.ones(3), jnp.ones(3), jnp.ones(3))
    with pytest.raises(ValueError, match="do not fit one square matrix"):
        op.banded({0: jnp.ones(3), 1: jnp.ones(3)})
    with pytest.raises(ValueError, match="blocks do not fit"):
        op.block([[A, S]])
    with pytest.raises(TypeError, match="knows only its products"):
        op.matrix_free(lambda v: 2 * v, jnp.ones(2)).diagonal()


def test_a_product_is_differentiable_in_the_entries():
    d, v = array(3, 4), array(4)

    def f(d):
        return jnp.sum(op.Diagonals(d, (-1, 0, 1)).mv(v) ** 2)

    grad, step, h = jax.grad(f)(d), array(3, 4), 1e-6
    np.testing.assert_allclose(jnp.vdot(grad, step), (f(d + h * step) - f(d - h * step)) / (2 * h), rtol=1e-7)
