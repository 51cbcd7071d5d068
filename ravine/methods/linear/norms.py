"""What two products tell of A: its size, and whether it is symmetric."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.tracing import is_traced
from ravine.math.operators import MatrixFree, Operator


def frobenius(A: Operator, careful: bool = False) -> Any:
    """‖A‖_F: exact where entries are stored, otherwise from four random ±1 vectors z: E ‖A z‖² = ‖A‖_F².

    Args:
        careful: whether squares may leave the range.
    """
    if isinstance(A, MatrixFree) or not hasattr(A, "array"):
        signs = jnp.asarray(np.where(np.random.default_rng(0).random((4, A.shape[1])) < 0.5, -1, 1), A.dtype)
        if careful:
            images = jnp.stack([A.mv(z) for z in signs])
            largest = jnp.max(jnp.abs(images))
            return jnp.where(largest > 0, largest * jnp.sqrt(jnp.sum(jnp.square(images / largest)) / 4), 0)
        return jnp.sqrt(sum(jnp.sum(jnp.square(A.mv(z))) for z in signs) / 4)
    return jnp.sqrt(jnp.vdot(A.array, A.array))


compiled_frobenius = jax.jit(frobenius, static_argnames="careful")


@jax.jit
def _asymmetry(A: Operator) -> Any:
    """|uᵀA v − vᵀA u| relative to what it would be of, for two random vectors: rounding where A = Aᵀ."""
    u, v = jnp.asarray(np.random.default_rng(1).standard_normal((2, A.shape[0])), A.dtype)
    Au, Av = A.mv(u), A.mv(v)
    largest = jnp.maximum(jnp.max(jnp.abs(Au)), jnp.max(jnp.abs(Av)))
    Au, Av = (jnp.where(largest > 0, w / largest, 0) for w in (Au, Av))
    return (
        jnp.abs(jnp.vdot(u, Av) - jnp.vdot(v, Au))
        / jnp.maximum(1, jnp.maximum(jnp.linalg.norm(Au), jnp.linalg.norm(Av)))
        / jnp.linalg.norm(u)
    )


def is_symmetric(A: Operator) -> bool | None:
    """Whether A = Aᵀ: by structure, or by a probe with two random products; None while JAX is tracing."""
    if A.shape[0] != A.shape[1] or A.symmetric is not None:
        return A.symmetric if A.shape[0] == A.shape[1] else False
    if is_traced(A):
        return None
    value = _asymmetry(A)
    return None if isinstance(value, jax.core.Tracer) else bool(value <= 1e3 * float(jnp.finfo(A.dtype).eps))


ASYMMETRIC = "{} is for symmetric A, and this A is not: take GMRES() or LSMR()"
