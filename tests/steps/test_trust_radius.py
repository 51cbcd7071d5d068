"""The search for λ within a radius."""

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.math.damped import Solution


@pytest.mark.parametrize("least", [1e-6, 0.05])
@pytest.mark.parametrize("gauss_newton", [np.nan, np.inf])
def test_a_gauss_newton_step_that_could_not_be_made_is_searched_past(gauss_newton, least):
    A, g, D = jnp.array([1.0, 1e-9]), jnp.array([1.0, 1.0]), jnp.ones(2)

    def solve(lam):
        p = jnp.where(lam < least, jnp.nan, -g / (A + lam))  # as a factorisation that fails
        return Solution(p, -(g @ p), jnp.sum(p * p / (A + lam)), lam)

    p, lam = rv.TrustRadius().step(solve, jnp.full(2, gauss_newton), g, D, jnp.array(0.0), jnp.array(2.0))
    np.testing.assert_allclose(p, -g / (A + lam), rtol=1e-12)
    assert abs(float(jnp.linalg.norm(p)) - 2) <= 0.2
