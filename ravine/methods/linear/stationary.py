"""What Jacobi, Gauss-Seidel, SOR and SSOR share: x⁺ = x + N (b − A x) with a fixed N ≈ A⁻¹.

The error is multiplied by G = I − N A in every step, so it converges from everywhere if and only if the spectral radius ρ(G) < 1,
and then gains −log₁₀ ρ digits a step. ρ is estimated by ‖δ⁺‖ / ‖δ‖ of the steps δ = x⁺ − x, which is the power method on G; it
stands in `result.aux["spectral_radius"]`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.status import Status
from ravine.methods.linear.gmres import GMRES
from ravine.methods.linear.krylov import LinearMethod, broken, norm

HOPELESS = 1e10  # a residual that has grown by this factor has diverged


class StationaryState(NamedTuple):
    """The point, ‖r‖, r, the first ‖r‖, the length of the last step, the estimate of ρ, N, and whether a diagonal entry is 0."""

    x: Any
    f: Any
    r: Any
    first: Any
    step: Any
    radius: Any
    N: Any
    blank: Any


class Stationary(LinearMethod):
    """Base of the stationary methods; a method says what N is, and whether it sweeps over the triangles of A."""

    monotone: ClassVar[bool] = False
    carries_residual: ClassVar[bool] = False
    sweeps: ClassVar[bool] = False

    def splitting(self, A: Any) -> Any:
        """N ≈ A⁻¹ as an operator; made once."""
        raise NotImplementedError

    def transposed(self) -> Any:
        # A sweep over Aᵀ would need its levels; what it converges to is the same.
        return GMRES()

    def init(self, problem: LinearSystem, x: Any) -> StationaryState:
        r = problem.residual(x)
        f = norm(r)
        nan = jnp.full_like(f, jnp.nan)
        return StationaryState(x, f, r, f, nan, nan, self.splitting(problem.A), jnp.any(problem.A.diagonal() == 0))

    def step(self, problem: LinearSystem, s: StationaryState) -> StationaryState:
        delta = s.N.mv(s.r)
        x = s.x + delta
        r = problem.residual(x)
        step = norm(delta)
        return StationaryState(x, norm(r), r, s.first, step, step / s.step, s.N, s.blank)

    def accepted(self, s: StationaryState) -> Any:
        return ~s.blank

    def verdict(self, problem: LinearSystem, s: StationaryState) -> Any:
        lost = ~(s.f <= HOPELESS * s.first)
        return jnp.where(lost | s.blank, broken(jnp.isfinite(s.f) | s.blank), jnp.int32(Status.RUNNING))

    def diagnosis(self, problem: LinearSystem, s: StationaryState, k: int) -> tuple[str, dict[str, Any]]:
        if s.blank:
            row = int(jnp.argmin(jnp.abs(problem.A.diagonal())))
            return f"The diagonal of A is 0 in row {row}, and {type(self).__name__} divides by it: take LU() or GMRES().", {}
        rho = float(s.radius)
        if not rho >= 1:
            return (f"The spectral radius of the iteration is about {rho:.4g}." if rho < 1 else ""), {}
        return f"The spectral radius of the iteration is about {rho:.4g} ≥ 1: it does not converge on this A.", {}

    def findings(self, s: StationaryState) -> dict[str, Any]:
        return {"spectral_radius": s.radius}
