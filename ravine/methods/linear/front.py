"""The front doors of linear systems: `linear_solve` and `factor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ravine.core.keywords import with_cures
from ravine.core.result import Result
from ravine.core.stop import Stop
from ravine.core.tracing import is_traced
from ravine.methods.linear.as_operator import as_operator
from ravine.methods.linear.auto import automatic
from ravine.methods.linear.factor import CholeskyFactor, Factor, factored
from ravine.methods.linear.finite import check_finite
from ravine.methods.linear.solve import fitted, solved, stopping
from ravine.methods.linear.system import posed


@with_cures
def linear_solve(
    A: Any,
    b: Any,
    method: Any = "auto",
    x0: Any = None,
    *,
    preconditioner: Any = None,
    tol: float | None = None,
    stop: Stop | None = None,
    callback: Callable[[Result], Any] | None = None,
    history: tuple[str, ...] | str = (),
) -> Result:
    """Solves A x = b; where A is not square, finds the x of least ‖b − A x‖ (and of least ‖x‖ among these).

    Args:
        A: m×n: an array, a sparse matrix, an operator of `ravine.math.operators`, a lineax operator, or a function v ↦ A v.
        b: length m; (m, k) for k right-hand sides; for a function also a tree.
        method: "auto", a name, or a method such as `CG()`; what "auto" chose and why stands in `result.why`.
        x0: where an iteration starts; zeros by default.
        preconditioner: M ≈ A⁻¹: a function r ↦ M r, an object of `rv.precond`, or an operator.
        tol: CONVERGED means ‖b − A x‖ ≤ tol ‖b‖ of the recomputed residual; by default the square root of the machine precision.
        stop: further reasons to stop, as in `minimize`; by default 10 n + 100 steps.

    Returns:
        A `Result`: `x`, `fun` = ‖b − A x‖, `status` and, in `aux`, what the method has found out of A.

    Raises:
        ValueError: shapes that do not fit, a number in A or b that is none (and where).
        TypeError: A is nothing

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[4.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, 2.0]))
        >>> r.status.name, abs(r.x).round(4).tolist()
        ('CONVERGED', [0.0, 1.0])
    """
    system = posed(A, b, x0)
    stop, tol = stopping(stop, tol, system)
    if method == "auto":
        return automatic(system, preconditioner, tol, stop, x0, history, callback)
    fit = fitted(method, system.A, preconditioner)
    return solved(system, fit, tol, stop, x0, history, callback, method, "")


def factor(A: Any, kind: str = "lu") -> Factor:
    """The factors of A, for many right-hand sides.

    Args:
        A: as in `linear_solve`, but not a function.
        kind: "lu", "cholesky" (symmetric positive definite) or "qr" (also rectangular).

    Raises:
        ValueError: another kind ("ldl" is none: JAX has no LDLᵀ), or a rectangular A for "lu" and "cholesky"; NaN or infinity
            in A, with the place of the first; an A that is not positive definite for "cholesky". Under `jit` such factors
            hold NaN.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.factor(jnp.array([[2.0, 0.0], [0.0, 4.0]])).solve(jnp.array([2.0, 4.0])).tolist()
        [1.0, 1.0]
    """
    operator = as_operator(A)
    check_finite(operator, "A")
    factors = factored(operator, kind)
    if isinstance(factors, CholeskyFactor) and not is_traced(factors.L) and not np.isfinite(np.asarray(factors.L).diagonal()).all():
        raise ValueError(
            "A is not positive definite: take kind='lu', or linear_solve(A, b, 'cholesky'), which says in which direction"
        )
    return factors
