"""Conjugate gradients for symmetric positive definite A; with a preconditioner M ≈ A⁻¹ it is PCG.

    t  = rᵀz / pᵀA p
    x⁺ = x + t p
    r⁺ = r − t A p
    z⁺ = M r⁺
    β  = r⁺ᵀz⁺ / rᵀz
    p⁺ = z⁺ + β p

It ends in n steps in exact arithmetic, and far sooner where the eigenvalues of M A lie in a few clusters. Where pᵀA p < 0, A is not
positive definite; where pᵀA p = 0, A is singular (or indefinite) and b not in its range. Either way the run ends with BREAKDOWN
and p stays in the state. Rounding seldom leaves a zero: what counts is q = pᵀA p / pᵀM⁻¹p, which lies between the eigenvalues of
M A, beside the largest q that was met. As r⁺ is orthogonal to p, pᵀM⁻¹p = r⁺ᵀz⁺ + β² (pᵀM⁻¹p)⁻, which costs nothing.

[1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49 (1952) 409.
[2] Y. Saad, "Iterative Methods for Sparse Linear Systems", SIAM (2003), algorithms 6.18 and 9.1.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.pytree import part
from ravine.core.status import Status
from ravine.methods.linear.krylov import Preconditioned, broken, norm, singular


class CGState(NamedTuple):
    """The point, ‖r‖, r = b − A x, the direction p, rᵀz, the curvature pᵀA p of the last direction tried, pᵀM⁻¹p, the largest q,
    and whether the step was good."""

    x: Any
    f: Any
    r: Any
    p: Any
    rz: Any
    curvature: Any
    length: Any
    largest: Any
    good: Any


class CG(Preconditioned):
    """Conjugate gradients for symmetric positive definite A; PCG with a preconditioner.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[4.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, 2.0]), method=rv.CG())
        >>> r.status.name, int(r.nit), abs(r.x).round(4).tolist()
        ('CONVERGED', 2, [0.0, 1.0])
    """

    symmetric: ClassVar[bool] = True
    definite: ClassVar[bool] = True

    preconditioner: Any = part(None, doc="M ≈ A⁻¹, symmetric positive definite")

    def init(self, problem: LinearSystem, x: Any) -> CGState:
        r = problem.residual(x)
        z = self.M(r)
        rz = jnp.vdot(r, z)
        return CGState(x, norm(r), r, z, rz, jnp.ones((), r.dtype), rz, self.size_at_least(problem, r), jnp.bool_(True))

    def step(self, problem: LinearSystem, s: CGState) -> CGState:
        Ap = problem.product(s.p)
        curvature = jnp.vdot(s.p, Ap)
        q = curvature / s.length
        largest = jnp.maximum(s.largest, q)
        good = q > jnp.finfo(q.dtype).eps * largest
        t = jnp.where(good, s.rz / curvature, 0)
        x = s.x + t * s.p
        r = s.r - t * Ap
        z = self.M(r)
        rz = jnp.vdot(r, z)
        beta = rz / s.rz
        p = jnp.where(good, z + beta * s.p, s.p)
        f = jnp.where(good, norm(r), s.f)
        return CGState(x, f, r, p, rz, curvature, jnp.where(good, rz + beta**2 * s.length, s.length), largest, good)

    def accepted(self, s: CGState) -> Any:
        return s.good

    def verdict(self, problem: LinearSystem, s: CGState) -> Any:
        return jnp.where(s.good, jnp.int32(Status.RUNNING), broken(jnp.isfinite(s.curvature)))

    def diagnosis(self, problem: LinearSystem, s: CGState, k: int) -> tuple[str, dict[str, Any]]:
        if s.good:
            return "", {}
        if not s.length > 0:
            return "The preconditioner is not positive definite: rᵀM r ≤ 0.", {}
        flat = jnp.abs(s.curvature) <= 100 * jnp.finfo(s.f.dtype).eps * s.largest * s.length
        found = singular(problem, s.p) if flat else None
        if found:
            return f"{found[0]} MINRES() and LSMR() find the least residual.", found[1]
        v = s.p / norm(s.p)
        bend = float(jnp.vdot(v, problem.A.mv(v)))
        if not bend < 0:
            return "A is not positive definite: pᵀA p = 0 though A p is not 0.", {}
        return f"A is not positive definite: negative curvature found at step {k}, vᵀA v = {bend:.2g}.", {"negative_curvature": v}
