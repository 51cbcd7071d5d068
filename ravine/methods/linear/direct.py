"""What LU, QR and Cholesky share: x⁺ = x + A⁻¹ (b − A x) with factors of A. From x = 0 the first step is the solution; every
further one is a step of iterative refinement, which wins back what rounding in the factors has lost.

With `precision="float32"` the factors are single and the residuals stay as they are: for float64 systems half the memory,
and full accuracy after a few steps, as long as cond A is below about 10⁷.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.pytree import part, static, substitute
from ravine.core.status import Status
from ravine.core.work import cond, count
from ravine.math.operators import Operator
from ravine.methods.linear.factor import Factor, factored
from ravine.methods.linear.krylov import LinearMethod, norm, singular


class DirectState(NamedTuple):
    """The point, ‖r‖, r = b − A x, ‖Aᵀr‖ (‖r‖ for LU and Cholesky), the factors if the method does not hold them, their rcond,
    whether a step was tried, and whether it was good."""

    x: Any
    f: Any
    r: Any
    normal: Any
    factors: Any
    rcond: Any
    tried: Any
    good: Any


class Direct(LinearMethod):
    """Base of the direct methods."""

    kind: ClassVar[str] = "lu"
    carries_residual: ClassVar[bool] = False

    precision: str = static("same", choices=("same", "float32"), doc="of the factors: that of A, or float32 with refinement")
    factors: Factor | None = part(None, doc="factors of A made before; None to make them")

    def prepared(self, A: Operator) -> Any:
        return self if self.factors is not None else self.replace(factors=self._factor(A))

    def transposed(self) -> Any:
        return self if self.factors is None else substitute(self, factors=self.factors.T)

    def _factor(self, A: Operator) -> Factor:
        if self.precision == "float32":
            A = jax.tree.map(lambda v: v.astype(jnp.float32) if jnp.issubdtype(v.dtype, jnp.floating) else v, A)
        return factored(A, self.kind)

    def init(self, problem: LinearSystem, x: Any) -> DirectState:
        count("factor")
        made = self._factor(problem.A) if self.factors is None else None
        r = cond(jnp.any(x != 0), problem.residual, lambda _: problem.b, x)  # most runs start from 0, where r is b
        F: Any = self.factors if made is None else made
        return DirectState(
            x, norm(r), r, self._normal(problem, r), made, F.rcond().astype(r.dtype), jnp.bool_(False), jnp.bool_(True)
        )

    def step(self, problem: LinearSystem, s: DirectState) -> DirectState:
        F = self._factors(s)
        delta = F.mv(s.r.astype(F.dtype)).astype(s.x.dtype)
        x = s.x + delta
        r = problem.residual(x)
        f, normal = norm(r), self._normal(problem, r)
        good = normal < s.normal  # a refinement that gains nothing is not taken
        new = DirectState(x, f, r, normal, s.factors, s.rcond, jnp.bool_(True), good)
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, s._replace(tried=jnp.bool_(True)))._replace(
            good=good, rcond=jnp.where(jnp.isfinite(f), jnp.minimum(s.rcond, _shown(problem, s.r, delta, F)), 0)
        )

    def _normal(self, problem: LinearSystem, r: Any) -> Any:
        return norm(problem.transposed(r)) if self.least_squares else norm(r)

    def accepted(self, s: DirectState) -> Any:
        return s.good

    def verdict(self, problem: LinearSystem, s: DirectState) -> Any:
        singular = s.tried & ~(s.rcond > self._factors(s).rounding())
        return jnp.where(singular, jnp.int32(Status.BREAKDOWN), jnp.int32(Status.RUNNING))

    def _factors(self, s: DirectState) -> Any:
        return self.factors if s.factors is None else s.factors

    def findings(self, s: DirectState) -> dict[str, Any]:
        return {"rcond": s.rcond}

    def diagnosis(self, problem: LinearSystem, s: DirectState, k: int) -> tuple[str, dict[str, Any]]:
        F = self._factors(s)
        if float(s.rcond) > F.rounding():
            return "", {}
        sentence = f"A is singular to working precision: 1 / cond A is about {float(s.rcond):.1g}."
        m, n = problem.A.shape
        found = singular(problem, F.null_direction().astype(s.x.dtype)) if m >= n else None
        return sentence, found[1] if found else {}


def _shown(problem: LinearSystem, r: Any, delta: Any, F: Factor) -> Any:
    """The bound 1 / cond A ≤ ‖r‖ / (‖A‖ ‖A⁻¹r‖) where it is as small as rounding, otherwise 1: pivots need not tell."""
    if problem.norm is None:
        return 1
    bound = norm(r) / (problem.norm / min(problem.A.shape) ** 0.5 * norm(delta))  # ‖A‖_F ≤ √n ‖A‖₂
    return jnp.where((bound > 0) & (bound <= 10 * jnp.finfo(F.dtype).eps), bound, 1)  # it is 0 where a square left the range
