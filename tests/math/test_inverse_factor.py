"""The inverse Cholesky factor by blocks: M A Mᵀ = I at sizes around the blocks' borders; its accuracy in single precision."""

import jax.numpy as jnp
import numpy as np
import pytest

from ravine.math.inverse_factor import inverse_factor


def definite(n, condition, dtype, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]
    A = (Q * np.geomspace(1, condition, n)) @ Q.T
    return jnp.asarray((A + A.T) / 2, dtype)


@pytest.mark.parametrize("n", [1, 2, 8, 9, 63, 64, 65, 130])
def test_is_the_inverse_of_choleskys_factor(n):
    A = definite(n, 100.0, jnp.float64)
    M = inverse_factor(A)
    np.testing.assert_allclose(M @ jnp.linalg.cholesky(A), np.eye(n), atol=1e-12)
    np.testing.assert_allclose(M @ A @ M.T, np.eye(n), atol=1e-12)
    assert not np.triu(M, 1).any()


@pytest.mark.parametrize("n", [9, 65, 100])
def test_error_in_single_precision_is_that_of_the_condition(n):
    A = definite(n, 1e5, jnp.float32)
    exact = np.linalg.inv(np.asarray(A, np.float64))
    M = np.asarray(inverse_factor(A), np.float64)
    assert np.linalg.norm(M.T @ M - exact) < 1e5 * np.finfo(np.float32).eps * np.linalg.norm(exact)


@pytest.mark.parametrize("n", [3, 20, 80])
def test_a_matrix_that_is_not_definite_gives_nan(n):
    A = definite(n, 10.0, jnp.float64) - 5 * jnp.eye(n)
    assert np.isnan(inverse_factor(A)).any()
