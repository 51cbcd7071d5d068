"""Levenberg-Marquardt: Gauss-Newton with a damping that measures every parameter in its own unit.

    (JᵀJ + λD²) p = −Jᵀr
    x⁺ = x + p                                      where f falls
    λ: ‖Dp‖ ≤ Δ                                     Moré's radius Δ [2]; or λ itself by Nielsen's rule [3]
    Dⱼ⁺ = max(Dⱼ, ‖Jⱼ‖)                             Moré's running maximum [2] of Marquardt's diag(JᵀJ) [1]

Here f = ½‖r‖², so ∇f = Jᵀr and H ≈ JᵀJ. Where a lecture has f = ‖r‖², ∇f = 2Jᵀr and H ≈ 2JᵀJ: Gauss-Newton's step is the same,
−(2JᵀJ)⁻¹ 2Jᵀr. Written as −(JᵀJ + λI)⁻¹∇f with that ∇f, it is twice the Gauss-Newton step as λ → 0.

[1] D. W. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", J. SIAM 11 (1963).
[2] J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", LNM 630 (1978).
[3] H. B. Nielsen, "Damping parameter in Marquardt's method", IMM-REP-1999-05, Technical University of Denmark.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import part
from ravine.math.rank import lengths
from ravine.methods.least_squares.auto_step import AutoStep
from ravine.methods.least_squares.damping import Damped
from ravine.methods.least_squares.linear_step import LinearStep
from ravine.steps.damping import Damping, TrustRadius


class LevenbergMarquardt(Damped):
    """Levenberg-Marquardt with Marquardt's and Moré's scaling: other units of a parameter change nothing but rounding.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: jnp.stack([10 * (x[1] - x[0]**2), 1 - x[0]])
        >>> r = rv.least_squares(rosenbrock, jnp.array([-1.2, 1.0]), method=rv.LevenbergMarquardt())
        >>> r.success, r.x.round(6).tolist()
        (True, [1.0, 1.0])
    """

    damping: Damping = part(of=Damping, factory=TrustRadius, doc="how λ is chosen: TrustRadius(Δ₀) or Nielsen(λ₀)")
    linear: LinearStep = part(of=LinearStep, factory=AutoStep, doc="how the damped system is solved")

    def metric(self, squares: Any, before: Any) -> Any:
        D = lengths(squares)
        return D if before is None else jnp.maximum(D, before)
