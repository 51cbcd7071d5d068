"""LSQR: least squares with rectangular or singular A; CG on the normal equations AᵀA x = Aᵀb without forming them.

Golub-Kahan:  β⁺ u⁺ = A v − α u,   α⁺ v⁺ = Aᵀu⁺ − β⁺ v
Rotations:    ρ = √(ρ̄² + β⁺²),  c = ρ̄ / ρ,  s = β⁺ / ρ
              θ = s α⁺,  ρ̄⁺ = −c α⁺,  φ = c φ̄,  φ̄⁺ = s φ̄
              x⁺ = x + (φ / ρ) w,   w⁺ = v⁺ − (θ / ρ) w

‖r‖ = φ̄⁺ falls at every step, and ‖Aᵀr‖ = φ̄⁺ α⁺ |c|, which need not fall (`LSMR` sees to that). From x₀ = 0 it finds the x of least
norm among those of least residual. It ends as LSMR does: ‖r‖ / ‖b‖ or ‖Aᵀr‖ / (‖A‖_F ‖r‖) within the tolerance.

[1] C. C. Paige, M. A. Saunders, "LSQR: an algorithm for sparse linear equations and sparse least squares", ACM TOMS 8 (1982) 43.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.status import Status
from ravine.methods.linear.krylov import LinearMethod, least_squares_optimality, norm


class LSQRState(NamedTuple):
    """The point, ‖r‖ = φ̄, ‖Aᵀr‖, the process u v α, the direction w, and ρ̄ of the rotations."""

    x: Any
    f: Any
    normal: Any
    u: Any
    v: Any
    alpha: Any
    w: Any
    rho_bar: Any


class LSQR(LinearMethod):
    """LSQR: least squares and least norm for any A, by products with A and Aᵀ; ‖r‖ falls at every step.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, 2.0, 3.0]), method="lsqr")
        >>> r.status.name, r.x.round(3).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    least_squares: ClassVar[bool] = True

    def init(self, problem: LinearSystem, x: Any) -> LSQRState:
        r = problem.residual(x)
        beta, u = _unit(r)
        alpha, v = _unit(problem.transposed(u))
        return LSQRState(x, beta, alpha * beta, u, v, alpha, v, alpha)

    def step(self, problem: LinearSystem, s: LSQRState) -> LSQRState:
        beta, u = _unit(problem.product(s.v) - s.alpha * s.u)
        alpha, v = _unit(problem.transposed(u) - beta * s.v)
        rho = jnp.hypot(s.rho_bar, beta)
        c, sn = s.rho_bar / rho, beta / rho
        theta, rho_bar = sn * alpha, -c * alpha
        phi, phi_bar = c * s.f, sn * s.f
        x = s.x + (phi / rho) * s.w
        w = v - (theta / rho) * s.w
        return LSQRState(x, phi_bar, phi_bar * alpha * jnp.abs(c), u, v, alpha, w, rho_bar)

    def optimality(self, problem: LinearSystem, s: LSQRState) -> Any:
        return least_squares_optimality(problem, s.f, s.normal)

    def scale(self, problem: LinearSystem, s: LSQRState) -> Any:
        return jnp.ones_like(s.f)

    def verdict(self, problem: LinearSystem, s: LSQRState) -> Any:
        return jnp.where(jnp.isfinite(s.normal), jnp.int32(Status.RUNNING), jnp.int32(Status.NONFINITE))


def _unit(v: Any) -> tuple[Any, Any]:
    """‖v‖ and v / ‖v‖, or 0 and v where v is zero."""
    length = norm(v)
    return length, v / jnp.where(length > 0, length, 1)
