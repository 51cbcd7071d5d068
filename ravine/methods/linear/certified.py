"""Trust in the true residual only: what a method believes is recomputed before a run may end with CONVERGED.

Krylov methods carry r by a recurrence that drifts from b − A x. When the carried residual is within the tolerance, the method is
started afresh at its point, which computes b − A x. If that is within the tolerance too, the run has converged; if not, it goes on
from there. STALLED (or PRECISION, where the residual is what rounding in A x leaves) is said when such a restart gains less than
half, or when the residual has not fallen for 2n + 100 steps. Nor is a method believed that says it cannot go on: where the
recomputed residual is what rounding leaves, it is PRECISION.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ravine.core import work
from ravine.core.method import Method
from ravine.core.problem import LinearSystem, Oracles
from ravine.core.pytree import hyper, part, static
from ravine.core.status import Status
from ravine.core.stop import first

UNRESOLVED = 1e-3  # a residual above this part of ‖b‖ is never called resolved


class CertifiedState(NamedTuple):
    """The method's state, the true residual at the last check, the least residual seen, steps since, and a status or 0."""

    inner: Any
    checked: Any
    least: Any
    since: Any
    status: Any


class Certified(Method):
    """A linear method whose convergence is checked by the recomputed residual."""

    solves: ClassVar[type[Oracles]] = LinearSystem

    inner: Any = part(doc="the method")
    tol: float = hyper(1e-6, 1e-16, 1e-1, log=True, valid=">=0", doc="tolerance on ‖b − A x‖ / ‖b‖")
    axis: str | None = static(None, doc="name of the axis over right-hand sides, under vmap")

    @property
    def monotone(self) -> bool:  # type: ignore[override]
        return bool(self.inner.monotone)

    def init(self, problem: LinearSystem, x: Any) -> CertifiedState:
        s = self.inner.init(problem, x)
        e = self.inner.optimality(problem, s)
        return CertifiedState(s, jnp.full_like(e, jnp.inf), e, jnp.int32(0), jnp.int32(Status.RUNNING))

    def step(self, problem: LinearSystem, s: CertifiedState) -> CertifiedState:
        inner = self.inner
        new = inner.step(problem, s.inner)
        limit = self.tol * inner.scale(problem, new)
        near = inner.accepted(new) & (inner.optimality(problem, new) <= limit)
        broken = jnp.bool_(inner.carries_residual) & (inner.verdict(problem, new) != Status.RUNNING)
        f = inner.value(new)
        if inner.carries_residual:
            # Right-hand sides side by side: checked together, when one of them asks, so that the others need not pay every step.
            ask = near | broken if self.axis is None else lax.pmax((near | broken).astype(jnp.int32), self.axis) > 0

            def check(n: Any) -> Any:
                fresh = inner.init(problem, inner.point(n))
                return _where(near, fresh, n), inner.value(fresh)

            new, f = work.cond(ask, check, lambda n: (n, f), new)
        e = inner.optimality(problem, new)
        fell = e < 0.99 * s.least
        since = jnp.where(fell, 0, s.since + 1)
        stuck = near & (e > limit) & (e > 0.5 * s.checked)
        stuck = stuck | (since > 2 * problem.A.shape[1] + 100)
        if not inner.carries_residual:
            stuck = stuck | ~inner.accepted(new)
        stuck = (stuck & (e > limit)) | broken
        status = lax.cond(stuck, lambda n: _why(problem, inner.point(n), f), lambda n: jnp.int32(Status.RUNNING), new)
        return CertifiedState(new, jnp.where(near, e, s.checked), jnp.minimum(e, s.least), since, status)

    def point(self, s: CertifiedState) -> Any:
        return self.inner.point(s.inner)

    def value(self, s: CertifiedState) -> Any:
        return self.inner.value(s.inner)

    def optimality(self, problem: LinearSystem, s: CertifiedState) -> Any:
        return self.inner.optimality(problem, s.inner)

    def scale(self, problem: LinearSystem, s: CertifiedState) -> Any:
        return self.inner.scale(problem, s.inner)

    def accepted(self, s: CertifiedState) -> Any:
        return self.inner.accepted(s.inner)

    def verdict(self, problem: LinearSystem, s: CertifiedState) -> Any:
        return first(self.inner.verdict(problem, s.inner), s.status)


def _why(problem: LinearSystem, x: Any, r: Any) -> Any:
    """PRECISION where ‖r‖ is what rounding leaves of b − A x, STALLED otherwise."""
    b = jnp.linalg.norm(problem.b)
    rounding = 0 if problem.norm is None else 8 * jnp.finfo(b.dtype).eps * (problem.norm * jnp.linalg.norm(x) + b)
    resolved = (r <= rounding) & (r <= UNRESOLVED * b)
    return jnp.where(resolved, jnp.int32(Status.PRECISION), jnp.int32(Status.STALLED))


def _where(flag: Any, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)
