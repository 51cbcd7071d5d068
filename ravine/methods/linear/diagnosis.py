"""How the solution of a system ended: the true residual, and what a failure shows of A."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.result import Result
from ravine.core.status import Status
from ravine.core.tracing import is_traced
from ravine.core.warning import warn
from ravine.math.operators import Operator
from ravine.methods.linear.krylov import singular
from ravine.methods.linear.norms import ASYMMETRIC, is_symmetric

BUDGETS = (Status.MAX_STEPS, Status.MAX_SECONDS, Status.INTERRUPTED)


DIRECTIONS = ("null_direction", "negative_curvature")  # findings that are vectors like x


def finished(r: Result, problem: LinearSystem) -> Result:
    """With the true residual as the value, what the method has found out, and its sentence."""
    inner = r.method.inner
    s = r.carry.state.inner
    residual = r.fun
    if inner.carries_residual:
        residual = true_residual(problem, r.x) if is_traced(r.carry) else _true_residual(problem, r.x)
    aux = inner.findings(s)
    if is_traced(r.carry):
        optimality = r.optimality if inner.least_squares else jnp.where(r.code == Status.CONVERGED, r.optimality, residual)
        return dataclasses.replace(r, fun=residual, optimality=optimality, aux=aux)
    optimality = r.optimality if inner.least_squares or r.status is Status.CONVERGED else residual
    remark, found = diagnosis(inner, problem, s, r.status, r.x, float(residual), float(r.method.tol), int(r.nit) + 1)
    remark = " ".join(filter(None, (r.remark, remark)))
    return dataclasses.replace(r, fun=residual, optimality=optimality, aux=aux | found, remark=remark)


def diagnosis(
    inner: Any, problem: LinearSystem, s: Any, status: Status, x: Any, residual: float, tol: float, k: int
) -> tuple[str, dict[str, Any]]:
    """What the method says of its end with step k; a failure on a square A is asked for a null direction that lies at hand."""
    remark, found = inner.diagnosis(problem, s, k)
    m, n = problem.A.shape
    if inner.symmetric and not inner.carries_residual and not status.success and is_symmetric(problem.A) is False:
        # Where it succeeds, the recomputed residual has shown that it does not matter: so the probe's products are spared.
        warn(ASYMMETRIC.format(type(inner).__name__), RuntimeWarning)
    if m != n:
        return remark, found
    if status is Status.CONVERGED and inner.least_squares and residual > tol * float(jnp.linalg.norm(problem.b)):
        remark = f"b is not in the range of A, which is singular: x is of least ‖b − A x‖ = {residual:.3g}. {remark}".strip()
    elif not status.success and "null_direction" not in found:
        tight = 100 * float(jnp.finfo(x.dtype).eps) / n**0.5  # ‖A‖_F ≤ √n ‖A‖₂
        # ‖A x‖ ≥ |‖b‖ − ‖r‖|: mostly that is too much already, and the product is spared.
        near = abs(float(jnp.linalg.norm(problem.b)) - residual) <= tight * float(problem.norm) * float(jnp.linalg.norm(x))
        shown = singular(problem, x, tight) if near else None
        if not shown and status not in BUDGETS:
            shown = singular(problem, _residual(problem, x), tight)
        if shown:
            return " ".join(filter(None, (remark, shown[0]))), found | shown[1]
    return remark, found


def of_columns(r: Result, A: Operator, b: Any, norm: Any, tol: Any) -> Result:
    """The result of many right-hand sides with the diagnosis of the first that failed: A is one for all."""
    if is_traced(r) or bool(jnp.all(r.success)):
        return r
    j = int(jnp.argmin(r.success))
    one = jax.tree.map(lambda v: v[j], (r.carry.state.inner, r.x, r.fun, r.nit))
    s, x, residual, nit = one
    problem = LinearSystem(A, b[:, j], norm)
    remark, found = diagnosis(r.method, problem, s, Status(int(r.code[j])), x, float(residual), float(tol), int(nit) + 1)
    return dataclasses.replace(r, aux=r.aux | found, remark=f"Column {j}: {remark}" if remark else "")


def true_residual(problem: LinearSystem, x: Any) -> Any:
    """‖b − A x‖."""
    return jnp.linalg.norm(problem.b - problem.A.mv(x))


_true_residual = jax.jit(true_residual)


_residual = jax.jit(lambda problem, x: problem.b - problem.A.mv(x))
