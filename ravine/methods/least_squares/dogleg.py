"""Powell's dogleg: within a radius, along the gradient first and then towards Gauss-Newton's step.

    p_C = −(g̃ᵀg̃ / ‖J̃g̃‖²) D⁻¹g̃                    Cauchy's step: least along the scaled gradient g̃ = D⁻¹Jᵀr, J̃ = J D⁻¹
    p_N = −(JᵀJ)⁻¹Jᵀr                               Gauss-Newton's
    ‖D p_N‖ ≤ Δ:  p = p_N
    ‖D p_C‖ ≥ Δ:  p = Δ p_C / ‖D p_C‖
    else          p = p_C + τ (p_N − p_C), ‖D p‖ = Δ

One factorisation a point, whatever Δ; the path is an approximation of Levenberg-Marquardt's.

[1] M. J. D. Powell, "A hybrid method for nonlinear equations", in: Numerical Methods for Nonlinear Algebraic Equations (1970).
[2] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006), section 4.1.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.problem import LeastSquares
from ravine.core.pytree import part
from ravine.math.rank import lengths
from ravine.methods.least_squares.auto_step import AutoStep
from ravine.methods.least_squares.damping import Damped, State
from ravine.methods.least_squares.linear_step import LinearStep
from ravine.steps.damping import Damping, TrustRadius


class Dogleg(Damped):
    """Powell's dogleg in Moré's scaling: other units of a parameter change nothing but rounding.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: jnp.stack([10 * (x[1] - x[0]**2), 1 - x[0]])
        >>> r = rv.least_squares(rosenbrock, jnp.array([-1.2, 1.0]), method="dogleg")
        >>> r.success, r.x.round(6).tolist()
        (True, [1.0, 1.0])
    """

    damping: Damping = part(of=Damping, factory=TrustRadius, doc="the radius Δ and how it follows the gain ratio")
    linear: LinearStep = part(of=LinearStep, factory=AutoStep, doc="how Gauss-Newton's step is solved for")

    def metric(self, squares: Any, before: Any) -> Any:
        D = lengths(squares)
        return D if before is None else jnp.maximum(D, before)

    def propose(self, problem: LeastSquares, s: State) -> tuple[Any, Any, Any]:
        radius, D = jnp.abs(s.control), s.D
        p_N = self.linear.gauss_newton(problem, s.x, s.local)
        g = s.g / D
        bend = self.linear.curvature(problem, s.x, s.local, g / D)
        p_C = -(g @ g) / jnp.where(bend > 0, bend, 1) * (g / D)
        newton, cauchy = jnp.linalg.norm(D * p_N), jnp.linalg.norm(D * p_C)
        # ‖D(p_C + τ d)‖ = Δ: a τ² + 2 b τ − c = 0 with the root in the form that cancels nothing.
        d = p_N - p_C
        a, b, c = jnp.sum((D * d) ** 2), jnp.sum(D * p_C * D * d), radius**2 - cauchy**2
        root = jnp.sqrt(jnp.maximum(b * b + a * c, 0))
        tau = jnp.where(b > 0, c / (b + root), (root - b) / jnp.where(a > 0, a, 1))
        p = jnp.where(cauchy >= radius, radius / cauchy * p_C, p_C + tau * d)
        p = jnp.where(newton <= radius, p_N, p)
        p = jnp.where(jnp.all(jnp.isfinite(p)), p, 0)
        return p, jnp.where(newton <= radius, 0, 1).astype(s.f.dtype), None
