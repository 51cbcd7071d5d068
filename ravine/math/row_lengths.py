"""The lengths of the rows of a matrix that is known by its products only.

    ‖Hᵢ‖² = mean of (H v)ᵢ² over random signs v

since E[vⱼ vₖ] = 0 for j ≠ k. It is exact where H is diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import work

PRODUCTS = 8


def row_lengths(product: Callable[[Any], Any], like: Any, key: Any) -> Any:
    """An estimate of ‖Hᵢ‖ for each i from eight products v ↦ H v; at least a rounding error of the largest, so that it may divide.

    Args:
        like: a vector of the shape and dtype of v.
    """

    def square(c: Any) -> Any:
        i, total = c
        return i + 1, total + product(jax.random.rademacher(jax.random.fold_in(key, i), like.shape, like.dtype)) ** 2

    _, total = work.while_loop(lambda c: c[0] < PRODUCTS, square, (jnp.int32(0), jnp.zeros_like(like)))
    lengths = jnp.sqrt(total / PRODUCTS)
    return jnp.maximum(lengths, jnp.finfo(like.dtype).eps * jnp.max(lengths))
