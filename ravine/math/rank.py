"""What a least-squares problem says nothing about: directions that the Jacobian does not see.

The rank is that of J with columns of length 1: singular values up to max(m, n) ε s₁ are rounding.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.lax import cond


def lengths(squares: Any, xp: Any = jnp) -> Any:
    """The lengths of J's columns, from their squares; 1 for those that are zero."""
    return xp.where(squares > 0, xp.sqrt(squares), 1)


def decomposed(J: Any, rows: int = 0, xp: Any = jnp) -> tuple[Any, Any, Any, Any]:
    """The lengths of the columns of J, m×n; of J with columns of length 1 the singular values, as many as columns, and all right
    singular vectors as rows; and which of these J does not see.

    Args:
        rows: of the matrix whose triangle J is, if it is one: m, for what is rounding.
        xp: `jax.numpy`, or `numpy`, which compiles nothing.
    """
    m, n = J.shape
    D = lengths(xp.sum(J * J, axis=0), xp)
    _, s, Vt = xp.linalg.svd(J / D[None], full_matrices=m < n)
    s = s if m >= n else xp.pad(s, (0, n - m))
    return D, s, Vt, s <= max(m, n, rows) * xp.finfo(J.dtype).eps * s[0]


def root(A: np.ndarray) -> np.ndarray | None:
    """R with RᵀR = A = JᵀJ; None where A cannot tell the rank of J: its eigenvalues are the squares of singular values, so that
    those below the root of the rounding error are lost."""
    D = lengths(np.diag(A), np)
    squares, V = np.linalg.eigh(A / np.outer(D, D))
    clear = squares[0] > len(D) * np.finfo(A.dtype).eps * squares[-1]
    return np.sqrt(squares)[:, None] * V.T * D if clear else None


def unseen(J: Any, H: Any) -> tuple[Any, Any]:
    """A basis, orthogonal in units of J's columns, and which of its vectors neither J nor H = JᵀJ + Σ rᵢ∇²rᵢ tells anything of.

    At a solution that is known to √ε, H along a valley is known to √ε, too: what is less counts as none.
    """
    D, s, Vt, dark = decomposed(J)
    V = Vt.T / D[:, None]

    def curved() -> tuple[Any, Any]:
        # H on the span of what J does not see, and more than it can have on the rest.
        inside = jnp.where(dark[:, None] & dark[None], V.T @ H @ V, jnp.diag(jnp.where(dark, 0, s[0] ** 2)))
        curvature, W = jnp.linalg.eigh(inside)
        return V @ W, jnp.abs(curvature) <= jnp.sqrt(jnp.finfo(J.dtype).eps) * s[0] ** 2

    return cond(jnp.any(dark), curved, lambda: (V, dark))
