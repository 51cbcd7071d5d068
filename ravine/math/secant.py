"""Updates that make a matrix agree with what a step has shown of the curvature: the secant equation B⁺s = y, H⁺y = s.

s = x⁺ − x,   y = ∇f(x⁺) − ∇f(x),   B ≈ ∇²f,   H ≈ (∇²f)⁻¹
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.codegen import once
from ravine.math.rows import Rows


def curvature_is_positive(s: Any, y: Any) -> Any:
    """Whether sᵀy > 0 beyond rounding, so that an update stays positive definite."""
    eps = jnp.finfo(s.dtype).eps
    return once((s @ y > eps * jnp.sqrt((s @ s) * (y @ y))) & jnp.isfinite(y @ y))


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


def bfgs_diagonal(D: Any, s: Any, y: Any) -> Any:
    """The diagonal of what BFGS makes of diag(D), an inverse Hessian, after D was scaled so that yᵀD y = sᵀy [1, (4.9)].

        1 / D⁺ᵢ = (yᵀD y / sᵀy) (1 / Dᵢ − (sᵢ / Dᵢ)² / sᵀD⁻¹s) + yᵢ² / sᵀy

    Rounding may take all of the first bracket away; of each 1 / Dᵢ a part ε stays, so that D⁺ is positive and finite.

    [1] J. C. Gilbert, C. Lemaréchal, "Some numerical experiments with variable-storage quasi-Newton algorithms", Math. Prog. 45
        (1989) 407-435.
    """
    ys, eps = y @ s, jnp.finfo(s.dtype).eps
    B = (y @ (D * y)) / ys / D
    updated = B - (B * s) ** 2 / (s @ (B * s)) + y * y / ys
    return 1 / jnp.clip(updated, eps * B, B / eps)
