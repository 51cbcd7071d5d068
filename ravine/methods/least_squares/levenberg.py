"""Levenberg's method: damping λI between Gauss-Newton (λ → 0) and gradient descent with step 1/λ (λ → ∞).

    (JᵀJ + λI) p = −Jᵀr
    x⁺ = x + p                                      where f falls; else λ⁺ = λν, ν⁺ = 2ν
    λ⁺ = λ max(⅓, 1 − (2ϱ − 1)³)                    where ϱ is the gain ratio; λ₀ = τ maxⱼ ‖Jⱼ‖² [2]

Here f = ½‖r‖², so ∇f = Jᵀr. A lecture that has f = ‖r‖², ∇f = 2Jᵀr and writes p = −(JᵀJ + λI)⁻¹∇f gets, taken literally, twice
the Gauss-Newton step as λ → 0; the consistent form is p = −(2JᵀJ + λI)⁻¹∇f.

[1] K. Levenberg, "A method for the solution of certain non-linear problems in least squares", Quart. Appl. Math. 2 (1944).
[2] H. B. Nielsen, "Damping parameter in Marquardt's method", IMM-REP-1999-05, Technical University of Denmark.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import part
from ravine.methods.least_squares.auto_step import AutoStep
from ravine.methods.least_squares.damping import Damped
from ravine.methods.least_squares.linear_step import LinearStep
from ravine.steps.damping import Damping, Nielsen


class Levenberg(Damped):
    """Levenberg's λI: slow along parameters with small derivatives, which Levenberg-Marquardt's scaling cures.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: jnp.stack([10 * (x[1] - x[0]**2), 1 - x[0]])
        >>> r = rv.least_squares(rosenbrock, jnp.array([-1.2, 1.0]), method="levenberg")
        >>> r.success, r.x.round(6).tolist()
        (True, [1.0, 1.0])
    """

    damping: Damping = part(
        of=Damping, factory=Nielsen, doc="how λ is chosen: Nielsen(λ₀), relative to maxⱼ ‖Jⱼ‖², or TrustRadius(Δ₀)"
    )
    linear: LinearStep = part(of=LinearStep, factory=AutoStep, doc="how the damped system is solved")

    def metric(self, squares: Any, before: Any) -> Any:
        return jnp.ones_like(squares)
