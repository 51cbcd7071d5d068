"""Updates that make a matrix agree with what a step has shown of the curvature: the secant equation B⁺s = y, H⁺y = s.

s = x⁺ − x,   y = ∇f(x⁺) − ∇f(x),   B ≈ ∇²f,   H ≈ (∇²f)⁻¹
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.math.rows import Rows


def curvature_is_positive(s: Any, y: Any) -> Any:
    """Whether sᵀy > 0 beyond rounding, so that an update stays positive definite."""
    eps = jnp.finfo(s.dtype).eps
    return (s @ y > eps * jnp.sqrt((s @ s) * (y @ y))) & jnp.isfinite(y @ y)


def first_scale(s: Any, y: Any) -> Any:
    """γ = sᵀy / yᵀy: the size of an inverse Hessian that nothing else is known of [1, (6.20)].

    [1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006).
    """
    return (s @ y) / (y @ y)


def bfgs_inverse(H: Rows, s: Any, y: Any, scale: Any = 1) -> Rows:
    """The BFGS update of an inverse Hessian, which is `scale` H, in O(n²).

        H⁺ = (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ,   ρ = 1 / yᵀs        (the book's form [1, (6.17)], O(n³) as it stands)
           = H − ρ (s uᵀ + u sᵀ) + ρ (1 + ρ yᵀu) s sᵀ,   u = H y

    [1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006).
    """
    rho = 1 / (y @ s)
    u = scale * (H @ y)
    v = 0.5 * (1 + rho * (y @ u)) * s - u
    return H.plus(scale, rho * s, v)
