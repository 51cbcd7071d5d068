"""BiCGStab: short recurrences for any square A; two products a step, smooth where BiCG is ragged.

    p  = r + β (p − ω v),      β = (ρ / ρ⁻)(α / ω),   ρ = r̂ᵀr
    v  = A M p,                α = ρ / r̂ᵀv
    s  = r − α v,   t = A M s, ω = tᵀs / tᵀt
    x⁺ = x + α M p + ω M s,    r⁺ = s − ω t

r̂ is the first residual; where ρ or ω vanish the recurrence has broken down, and it is started afresh at x.

[1] H. A. van der Vorst, "Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG", SIAM J. Sci. Stat. Comput. 13 (1992) 631.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.pytree import part
from ravine.core.status import Status
from ravine.methods.linear.krylov import Preconditioned, broken, norm


class BiCGStabState(NamedTuple):
    """The point, ‖r‖, r, the shadow r̂, p, v = A M p, the scalars ρ α ω, and how many breakdowns came one after the other."""

    x: Any
    f: Any
    r: Any
    shadow: Any
    p: Any
    v: Any
    rho: Any
    alpha: Any
    omega: Any
    failures: Any


class BiCGStab(Preconditioned):
    """BiCGStab: for any square A, with little memory; two products a step.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[3.0, 1.0], [-1.0, 2.0]]), jnp.array([4.0, 1.0]), method="bicgstab")
        >>> r.status.name, abs(r.x).round(4).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    monotone: ClassVar[bool] = False

    preconditioner: Any = part(None, doc="M ≈ A⁻¹, on the right")

    def init(self, problem: LinearSystem, x: Any) -> BiCGStabState:
        r = problem.residual(x)
        one, zero = jnp.ones((), r.dtype), jnp.zeros_like(r)
        return BiCGStabState(x, norm(r), r, r, zero, zero, one, one, one, jnp.int32(0))

    def step(self, problem: LinearSystem, s: BiCGStabState) -> BiCGStabState:
        rho = jnp.vdot(s.shadow, s.r)
        beta = (rho / s.rho) * (s.alpha / s.omega)
        p = s.r + beta * (s.p - s.omega * s.v)
        Mp = self.M(p)
        v = problem.product(Mp)
        alpha = rho / jnp.vdot(s.shadow, v)
        q = s.r - alpha * v
        Mq = self.M(q)
        t = problem.product(Mq)
        tt = jnp.vdot(t, t)
        omega = jnp.vdot(t, q) / jnp.where(tt > 0, tt, 1)
        x = s.x + alpha * Mp + omega * Mq
        r = q - omega * t
        f = norm(r)
        tiny = jnp.finfo(r.dtype).eps ** 2
        good = jnp.isfinite(f) & ((f == 0) | ((jnp.abs(rho) > tiny * s.f * norm(s.shadow)) & (omega != 0)))
        zero, one = jnp.zeros_like(r), jnp.ones_like(rho)

        def keep(new: Any, old: Any) -> Any:
            return jnp.where(good, new, old)

        # A breakdown starts afresh at x with r̂ = r; two in a row are the end.
        return BiCGStabState(
            keep(x, s.x),
            keep(f, s.f),
            keep(r, s.r),
            keep(s.shadow, s.r),
            keep(p, zero),
            keep(v, zero),
            keep(rho, one),
            keep(alpha, one),
            keep(omega, one),
            jnp.where(good, 0, s.failures + 1),
        )

    def accepted(self, s: BiCGStabState) -> Any:
        return s.failures == 0

    def verdict(self, problem: LinearSystem, s: BiCGStabState) -> Any:
        return jnp.where(s.failures < 2, jnp.int32(Status.RUNNING), broken(jnp.isfinite(s.f)))

    def diagnosis(self, problem: LinearSystem, s: BiCGStabState, k: int) -> tuple[str, dict[str, Any]]:
        return "" if s.failures < 2 else "The recurrence broke down twice in a row: take GMRES() or a preconditioner.", {}
