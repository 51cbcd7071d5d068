"""A start in float32 and data in float64, as NumPy has them: the run is in the precision of the start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.registry import names

TARGET = np.array([1.0, 2.0])
X0 = np.zeros(2, np.float32)


@pytest.mark.parametrize("method", [*names("second_order"), "adam"])
def test_a_value_in_float64_is_rounded(method):
    r = rv.minimize(lambda x: jnp.sum((x.astype(float) - TARGET) ** 2), X0, method=method)
    assert r.success, r.message
    assert r.x.dtype == r.fun.dtype == jnp.float32
    np.testing.assert_allclose(r.x, TARGET, rtol=1e-3)


@pytest.mark.parametrize("method", names("least_squares"))
def test_residuals_in_float64_are_rounded(method):
    r = rv.least_squares(lambda x: x.astype(float) - TARGET, X0, method=method)
    assert r.success, r.message
    assert r.x.dtype == r.fun.dtype == jnp.float32
    np.testing.assert_allclose(r.x, TARGET, rtol=1e-6)


def test_values_in_less_than_the_precision_of_the_start_are_widened():
    r = rv.least_squares(lambda x: x.astype(jnp.float32) - TARGET.astype(jnp.float32), np.zeros(2))
    assert r.success, r.message
    assert r.x.dtype == r.fun.dtype == jnp.float64
    np.testing.assert_allclose(r.x, TARGET, rtol=1e-6)
    r = rv.minimize(lambda x: jnp.sum((x.astype(jnp.bfloat16) - 1) ** 2), X0, method="bfgs")
    assert r.x.dtype == r.fun.dtype == jnp.float32
    np.testing.assert_allclose(r.x, 1, rtol=1e-2)


def test_a_start_in_float64_keeps_its_precision():
    r = rv.minimize(lambda x: jnp.sum((x - 1.0) ** 2), np.zeros(2), method="bfgs")
    assert r.fun.dtype == jnp.float64


@pytest.mark.parametrize("method", ["lbfgs", "bfgs", "newton_cg", "nonlinear_cg"])
def test_searches_along_a_line_take_bfloat16(method):
    with jax.numpy_dtype_promotion("standard"):  # JAX's default; f is in float32 there, and x is not
        result = rv.minimize(lambda x: jnp.sum((x - 1) ** 2), jnp.zeros(4, jnp.bfloat16), method=method)
    assert result.status.name == "CONVERGED"
    assert result.x.dtype == jnp.bfloat16
    np.testing.assert_allclose(result.x.astype(float), 1, atol=0.01)
