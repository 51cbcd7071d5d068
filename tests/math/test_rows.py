"""A matrix in blocks of rows does what the whole matrix does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ravine.math.rows import joined, rows, scanned


@pytest.mark.parametrize(
    ("shape", "blocks"), [((10, 4), 1), ((10, 10), 2), ((4, 24), 2), ((10, 16), 3), ((10, 20), 4), ((10, 100), 1)]
)
def test_scan_over_blocks_is_the_scan_over_the_matrix(shape, blocks):
    rng = np.random.default_rng(0)
    A, B, v = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=shape[1])
    inA, inB = rows(jnp.asarray(A)), rows(jnp.asarray(B))
    assert len(inA.blocks) == blocks

    def down(q, pair):
        a, b = pair
        alpha = a @ q
        return q - alpha * b, alpha

    def up(r, pair):
        a, b, alpha = pair
        return r + (alpha - b @ r) * a, b @ r

    @jax.jit
    def whole(v):
        q, alpha = lax.scan(down, v, (A, B), reverse=True)
        return q, *lax.scan(up, q, (A, B, alpha))

    @jax.jit
    def in_blocks(v):
        q, alpha = scanned(down, v, inA, inB, reverse=True)
        r, beta = scanned(up, q, inA, inB, along=alpha)
        return q, r, joined(beta) if isinstance(beta, list) else beta

    for one, other in zip(whole(v), in_blocks(v), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-13, atol=1e-13 * np.abs(one).max())


@pytest.mark.parametrize("shape", [(10, 4), (10, 10), (10, 16)])
def test_pushing_forgets_the_first_row_and_products_are_those_of_the_matrix(shape):
    rng = np.random.default_rng(1)
    A, v = rng.normal(size=shape), rng.normal(size=shape[1])
    pushed = rows(jnp.asarray(A)).pushed(jnp.asarray(v))
    expected = np.vstack([A[1:], v])
    np.testing.assert_array_equal(np.vstack(pushed.blocks), expected)
    np.testing.assert_allclose(pushed @ v, expected @ v, rtol=1e-13)
