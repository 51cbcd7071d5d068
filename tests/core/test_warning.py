"""A warning names the line of the user's program, not one inside the library."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv

ASYMMETRIC = jnp.array([[2.0, 1.0], [0.0, 2.0]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: rv.minimize(lambda x: jnp.sum(x**2), np.array([2.0, 0.0]), bounds=(-1, 1)),
        lambda: rv.linear_solve(ASYMMETRIC, jnp.ones(2), method="cg"),
        lambda: rv.linear_solve(lambda v: ASYMMETRIC @ v, jnp.ones(2), method="cg"),
    ],
    ids=["bounds", "a matrix", "an operator"],
)
def test_it_points_here(call):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    assert [w.filename for w in seen] == [__file__]
