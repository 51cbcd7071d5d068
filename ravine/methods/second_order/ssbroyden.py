"""Self-scaled Broyden: the quasi-Newton update whose scale τ and mixture φ of BFGS and DFP are chosen anew in every step.

    H⁺ = (1/τ) (H − H y yᵀH / yᵀH y + φ v vᵀ) + s sᵀ / yᵀs,   v = √(yᵀH y) (s / yᵀs − H y / yᵀH y)
    b = sᵀH⁻¹s / yᵀs,   h = yᵀH y / yᵀs,   a = b h − 1,   c = √(a / (1 + a)),   ρ = min(1, h (1 − c))
    θ = max((ρ − 1) / a, min(1/ρ, (1 − b) / b)),   σ = 1 + a θ,   φ = (1 − θ) / σ
    τ = min(1, 1/b) min(σ^(−1/(n−1)), 1/θ) for θ > 0,   min(min(1, 1/b) σ^(−1/(n−1)), σ) for θ ≤ 0

[1; in this form 2, section 3]. θ = 0 and τ = 1 is BFGS, θ = 1 DFP. Physics-informed networks gain most from it.

[1] M. Al-Baali, E. Spedicato, F. Maggioni, "Broyden's quasi-Newton methods for a nonlinear system of equations and unconstrained
    optimization: a review and open problems", Optim. Methods Softw. 29 (2014) 937-954.
[2] J. F. Urbán, P. Stefanou, J. A. Pons, "Unveiling the optimization process of physics informed neural networks", J. Comput. Phys.
    523 (2025) 113656.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import part
from ravine.math.secant import curvature_is_positive, first_scale
from ravine.methods.second_order.descent import LineSearchDescent
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe


class SSBroyden(LineSearchDescent):
    """Self-scaled Broyden: a quasi-Newton method with an n×n inverse Hessian, for ill-conditioned losses such as those of PINNs.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: 100 * (x[1] - x[0]**2)**2 + (1 - x[0])**2
        >>> r = rv.minimize(rosenbrock, jnp.array([-1.2, 1.0]), method="ssbroyden")
        >>> r.status.name, r.x.round(3).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    practical_up_to = 2000

    search: LineSearch = part(of=LineSearch, factory=StrongWolfe, doc="line search")

    def blank(self, x: Any) -> Any:
        return jnp.eye(x.size, dtype=x.dtype)

    def learn(self, H: Any, fresh: Any, s: Any, y: Any, g: Any) -> Any:
        H = jnp.where(fresh, first_scale(s, y), 1) * H
        # s = −t H g₋ along the direction that H gave: H⁻¹s = −t g₋, with t from the lengths of both.
        before = g - y
        p = H @ before
        t = jnp.sqrt((s @ s) / (p @ p))
        b, u = -t * (s @ before) / (y @ s), H @ y
        updated = self_scaled(H, s, y, u, b)
        return jnp.where(curvature_is_positive(s, y) & jnp.all(jnp.isfinite(updated)), updated, H)

    def direction(self, H: Any, g: Any) -> Any:
        return -H @ g


def self_scaled(H: Any, s: Any, y: Any, u: Any, b: Any) -> Any:
    """H⁺ for u = H y and b = sᵀH⁻¹s / yᵀs."""
    ys, yu = y @ s, y @ u
    h = yu / ys
    a = jnp.maximum(b * h - 1, 1e-12)
    c = jnp.sqrt(a / (1 + a))
    rho = jnp.minimum(1, h * (1 - c))
    theta = jnp.maximum((rho - 1) / a, jnp.minimum(1 / rho, (1 - b) / b))
    sigma = 1 + a * theta
    phi = (1 - theta) / sigma
    root = sigma ** (-1 / max(s.size - 1, 1))
    first = jnp.minimum(1, 1 / b)
    tau = jnp.where(theta > 0, first * jnp.minimum(root, 1 / theta), jnp.minimum(first * root, sigma))
    v = jnp.sqrt(yu) * (s / ys - u / yu)
    return (H - u[:, None] * u[None, :] / yu + phi * v[:, None] * v[None, :]) / tau + s[:, None] * s[None, :] / ys
