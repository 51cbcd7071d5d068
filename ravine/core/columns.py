"""The Hessian: all columns at once where that fits a processor's cache, one after another where it does not.

    H eᵢ = derivative of ∇f(x) along eᵢ

`jax.hessian` makes every array of the gradient n times as large. With 66 parameters a function that makes an array of 152,000
elements for its data goes through memory: 134 ms a Hessian, and 53 column by column (`python benchmarks/second_order.py hessian`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ravine.core.program import equations

CACHE = 2**20
"""Elements of f's largest array times n, above which columns come one after another: 8 MB in float64."""


def hessian(f: Callable[[Any], Any], x: Any) -> jax.Array:
    """∇²f(x), n×n, of a function of a vector."""
    made = [v.aval for eqn in equations(jax.make_jaxpr(f)(x)) for v in eqn.outvars]
    largest = max((np.prod(a.shape) for a in made if hasattr(a, "shape")), default=1)
    if jax.default_backend() != "cpu" or x.size * largest <= CACHE:
        return jax.hessian(f)(x)
    _, column = jax.linearize(jax.grad(f), x)
    return lax.map(column, jnp.eye(x.size, dtype=x.dtype))
