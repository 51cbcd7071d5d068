"""What a least-squares problem says nothing about: directions that the Jacobian does not see.

The rank is that of J with columns of length 1: singular values up to max(m, n) ε s₁ are rounding.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.lax import cond


def decomposed(J: Any, rows: int = 0, xp: Any = jnp) -> tuple[Any, Any, Any]:
    """Singular values of J, m×n, as many as columns; all right singular vectors as rows; and which of them J does not see.

    Args:
        rows: of the matrix whose triangle J is, if it is one: m, for what is rounding.
        xp: `jax.numpy`, or `numpy`, which compiles nothing.
    """
    m, n = J.shape
    _, s, Vt = xp.linalg.svd(J, full_matrices=m < n)
    s = s if m >= n else xp.pad(s, (0, n - m))
    return s, Vt, s <= max(m, n, rows) * xp.finfo(J.dtype).eps * s[0]


def unseen(J: Any, H: Any) -> tuple[Any, Any]:
    """An orthogonal basis, and which of its columns neither J nor H = JᵀJ + Σ rᵢ∇²rᵢ tells anything of.

    At a solution that is known to √ε, H along a valley is known to √ε, too: what is less counts as none.
    """
    s, Vt, dark = decomposed(J)

    def curved() -> tuple[Any, Any]:
        # H on the span of what J does not see, and more than it can have on the rest.
        inside = jnp.where(dark[:, None] & dark[None], Vt @ H @ Vt.T, jnp.diag(jnp.where(dark, 0, s[0] ** 2)))
        curvature, W = jnp.linalg.eigh(inside)
        return Vt.T @ W, jnp.abs(curvature) <= jnp.sqrt(jnp.finfo(J.dtype).eps) * s[0] ** 2

    return cond(jnp.any(dark), curved, lambda: (Vt.T, dark))
