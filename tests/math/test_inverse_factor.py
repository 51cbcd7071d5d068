"""The inverse Cholesky factor by blocks: M A Mᵀ = I at sizes around the blocks' borders; its accuracy in single precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.math.inverse_factor import by_library, inverse_factor

FORMS = pytest.mark.parametrize("inverse_factor", [inverse_factor, by_library])


def definite(n, condition, dtype, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]
    A = (Q * np.geomspace(1, condition, n)) @ Q.T
    return jnp.asarray((A + A.T) / 2, dtype)


@FORMS
@pytest.mark.parametrize("n", [1, 2, 8, 9, 63, 64, 65, 130])
def test_is_the_inverse_of_choleskys_factor(inverse_factor, n):
    A = definite(n, 100.0, jnp.float64)
    M = inverse_factor(A)
    np.testing.assert_allclose(M @ jnp.linalg.cholesky(A), np.eye(n), atol=1e-12)
    np.testing.assert_allclose(M @ A @ M.T, np.eye(n), atol=1e-12)
    assert not np.triu(M, 1).any()


@FORMS
@pytest.mark.parametrize("n", [9, 65, 100])
def test_error_in_single_precision_is_that_of_the_condition(inverse_factor, n):
    A = definite(n, 1e5, jnp.float32)
    exact = np.linalg.inv(np.asarray(A, np.float64))
    M = np.asarray(inverse_factor(A), np.float64)
    assert np.linalg.norm(M.T @ M - exact) < 1e5 * np.finfo(np.float32).eps * np.linalg.norm(exact)


@FORMS
@pytest.mark.parametrize("n", [3, 20, 80])
def test_a_matrix_that_is_not_definite_gives_nan(inverse_factor, n):
    A = definite(n, 10.0, jnp.float64) - 5 * jnp.eye(n)
    assert np.isnan(inverse_factor(A)).any()


def test_each_platform_gets_its_own_form():
    def lowered(platform):
        shape = jax.ShapeDtypeStruct((100, 100), jnp.float32)
        return jax.export.export(jax.jit(inverse_factor), platforms=[platform])(shape).mlir_module()

    assert "cusolver" in lowered("cuda")
    assert "custom_call" not in lowered("cpu")
