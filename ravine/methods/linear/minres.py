"""MINRES: the least residual in the Krylov space, for symmetric A that may be indefinite.

Lanczos:     β⁺ v⁺ = A z − α v − β v⁻,   z = M v,   α = zᵀA z
Givens:      γ = √(γ̄² + β⁺²),  c = γ̄ / γ,  s = β⁺ / γ
             d⁺ = (z − δ d − ε d⁻) / γ
             x⁺ = x + c φ d⁺,   φ⁺ = s φ

φ is the norm of the residual (in the norm of M). On a singular A that fits b it finds a solution; where it does not fit, r tends
to the least residual and d to a null direction: ‖A d‖ = 1, while ‖d‖ passes 1 / ε. There the run ends with BREAKDOWN. The d are
the columns of V R⁻¹, so ‖d⁺‖² = (1 + δ² dᵀd + 2 δ ε dᵀd⁻ + ε² d⁻ᵀd⁻) / γ² and d⁺ᵀd = −(δ dᵀd + ε dᵀd⁻) / γ are scalar recurrences.

[1] C. C. Paige, M. A. Saunders, "Solution of sparse indefinite systems of linear equations", SIAM J. Numer. Anal. 12 (1975) 617.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.pytree import part
from ravine.core.status import Status
from ravine.methods.linear.krylov import Preconditioned, broken, norm, singular


class MINRESState(NamedTuple):
    """The point, ‖r‖, two Lanczos vectors and M times the last, two directions, the scalars of the rotations, the largest γ, and
    d⁻ᵀd⁻, dᵀd⁻ and dᵀd."""

    x: Any
    f: Any
    r: Any
    v_old: Any
    v: Any
    z: Any
    d_old: Any
    d: Any
    beta: Any
    phi: Any
    gamma_bar: Any
    delta: Any
    epsilon: Any
    c: Any
    s: Any
    largest: Any
    dd_old: Any
    dd_mixed: Any
    dd: Any
    good: Any


class MINRES(Preconditioned):
    """MINRES: the least residual for symmetric A, definite or not.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[1.0, 2.0], [2.0, 1.0]]), jnp.array([2.0, 1.0]), method="minres")
        >>> r.status.name, abs(r.x).round(4).tolist()
        ('CONVERGED', [0.0, 1.0])
    """

    symmetric: ClassVar[bool] = True

    preconditioner: Any = part(None, doc="M ≈ A⁻¹, symmetric positive definite")

    def init(self, problem: LinearSystem, x: Any) -> MINRESState:
        r = problem.residual(x)
        z = self.M(r)
        beta = jnp.sqrt(jnp.maximum(jnp.vdot(r, z), 0))
        zero, one = jnp.zeros((), r.dtype), jnp.ones((), r.dtype)
        safe = jnp.where(beta > 0, beta, 1)
        blank = jnp.zeros_like(r)
        scalars = zero, beta, zero, zero, zero, -one, zero, self.size_at_least(problem, r), zero, zero, zero
        return MINRESState(x, norm(r), r, blank, r / safe, z / safe, blank, blank, *scalars, one > 0)

    def step(self, problem: LinearSystem, s: MINRESState) -> MINRESState:
        Az = problem.product(s.z)
        alpha = jnp.vdot(s.z, Az)
        w = Az - alpha * s.v - s.beta * s.v_old
        y = self.M(w)
        wy = jnp.vdot(w, y)
        beta = jnp.sqrt(jnp.maximum(wy, 0))
        # The last rotation turns the new column (β, α) of the tridiagonal matrix; the new one removes what stands below.
        delta = s.c * s.delta + s.s * alpha
        gamma_bar = s.s * s.delta - s.c * alpha
        gamma = jnp.hypot(gamma_bar, beta)
        eps, largest = jnp.finfo(alpha.dtype).eps, jnp.maximum(s.largest, gamma)
        dd = (1 + delta**2 * s.dd + 2 * delta * s.epsilon * s.dd_mixed + s.epsilon**2 * s.dd_old) / gamma**2
        dd_mixed = -(delta * s.dd + s.epsilon * s.dd_mixed) / gamma
        good = (10 * eps * largest * jnp.sqrt(dd) < 1) & (wy >= -jnp.abs(alpha) * eps)
        c, sn = gamma_bar / gamma, beta / gamma
        d = (s.z - delta * s.d - s.epsilon * s.d_old) / gamma
        x = jnp.where(good, s.x + c * s.phi * d, s.x)
        # r⁺ = s² r − φ⁺ c v⁺ keeps the residual itself, which costs no product.
        v = w / jnp.where(beta > 0, beta, 1)
        phi = sn * s.phi
        r = sn**2 * s.r - phi * c * v
        f = jnp.where(good, norm(r), s.f)
        scalars = beta, phi, gamma_bar, -s.c * beta, s.s * beta, c, sn, largest, s.dd, dd_mixed, dd
        return MINRESState(x, f, r, s.v, v, y / jnp.where(beta > 0, beta, 1), s.d, d, *scalars, good)

    def accepted(self, s: MINRESState) -> Any:
        return s.good

    def verdict(self, problem: LinearSystem, s: MINRESState) -> Any:
        return jnp.where(s.good, jnp.int32(Status.RUNNING), broken(jnp.isfinite(s.beta)))

    def diagnosis(self, problem: LinearSystem, s: MINRESState, k: int) -> tuple[str, dict[str, Any]]:
        if s.good:
            return "", {}
        return singular(problem, s.d) or ("A is singular on the Krylov space, or the preconditioner is not positive definite.", {})
