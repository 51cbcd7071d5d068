"""The work behind `linear_solve`: make a method and a matrix ready for each other, run, and report."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ravine.core import driver
from ravine.core.choice import as_method
from ravine.core.problem import LinearSystem
from ravine.core.result import Result
from ravine.core.run import default_tolerance, outcome, run
from ravine.core.stop import Both, Either, MaxSteps, Optimality, Stop
from ravine.core.tracing import is_traced
from ravine.core.warning import warn
from ravine.math.operators import Dense, Operator
from ravine.math.sparse import swept
from ravine.methods.linear.certified import Certified
from ravine.methods.linear.derivative import attached
from ravine.methods.linear.diagnosis import DIRECTIONS, finished, of_columns
from ravine.methods.linear.norms import ASYMMETRIC, compiled_frobenius, frobenius, is_symmetric
from ravine.methods.linear.system import System


def tolerance_of(stop: Stop | None) -> float | None:
    """The tolerance that an expression of stop criteria asks for, or None."""
    if isinstance(stop, Optimality):
        return stop.tol
    if isinstance(stop, Either | Both):
        sides = [t for t in (tolerance_of(stop.left), tolerance_of(stop.right)) if t is not None]
        return sides[0] if sides else None
    return None


def stopping(stop: Stop | None, tol: Any, system: System) -> tuple[Stop, Any]:
    """The criterion in force and the tolerance on the residual."""
    if stop is None:
        tol = default_tolerance(system.b.dtype) if tol is None else tol
        return Optimality(tol) | MaxSteps(10 * system.A.shape[1] + 100), tol
    if tol is not None:
        return Optimality(tol) | stop, tol
    asked = tolerance_of(stop)
    return stop, 0.0 if asked is None else asked


class Fit(NamedTuple):
    """A method made ready for a matrix: A as given, A as the method sees it (no derivative passes through), the method."""

    origin: Operator
    A: Operator
    method: Any


def fitted(method: Any, A: Operator, preconditioner: Any) -> Fit:
    """A and the method made ready for each other: levels for sweeps, a transpose, factors, a preconditioner.

    Raises:
        ValueError: no such method, or it is for square A, or takes no preconditioner.
    """
    chosen: Any = as_method(method, LinearSystem)
    name = type(chosen).__name__
    if A.shape[0] != A.shape[1] and not getattr(chosen, "least_squares", False):
        raise ValueError(f"{name} needs a square A, got {A.shape[0]}×{A.shape[1]}: take QR() or LSMR(), which solve least squares")
    if preconditioner is not None:
        if not hasattr(chosen, "preconditioner"):
            raise ValueError(f"{name} takes no preconditioner")
        chosen = chosen.replace(preconditioner=preconditioner)
    if getattr(chosen, "symmetric", False) and chosen.carries_residual and is_symmetric(A) is False:
        warn(ASYMMETRIC.format(name), RuntimeWarning)
    origin, A = A, lax.stop_gradient(A)
    if getattr(chosen, "sweeps", False) and not isinstance(A, Dense):
        A = swept(A)
        origin = A.replace(inner=origin)
    return Fit(origin, A, chosen.prepared(A) if hasattr(chosen, "prepared") else chosen)


def solved(
    system: System,
    fit: Fit,
    tol: Any,
    stop: Stop,
    x0: Any,
    history: tuple[str, ...] | str,
    callback: Any,
    given: Any,
    why: str,
) -> Result:
    """Runs one system, or k right-hand sides side by side, and reports with the true residual."""
    b, origin, A, method = system.b, fit.origin, fit.A, fit.method
    differentiable = is_traced(origin, b)
    norm = system.norm
    if norm is None:
        norm = frobenius(A) if is_traced(A) else compiled_frobenius(A)
        if not is_traced(norm) and not 0 < float(norm) < np.inf:
            norm = compiled_frobenius(A, careful=True)
    if system.many:
        start = jnp.zeros((b.shape[1], A.shape[1]), b.dtype) if x0 is None else jnp.asarray(x0, b.dtype).T

        def one(column: Any, x: Any) -> Result:
            whole = Certified(method, tol, "columns")
            problem = LinearSystem(A, column, norm)
            carry = driver.solve(whole, problem, x, stop)
            return finished(outcome(whole, problem, carry, None, stop, {}, given=given, why=why), problem)

        together = jax.jit(jax.vmap(one, axis_name="columns"))(lax.stop_gradient(b).T, lax.stop_gradient(start))
        x = together.x
        if differentiable:
            x = jax.vmap(lambda c, x: attached(origin, c, x, (method, tol, stop)))(b.T, x)
        told = of_columns(dataclasses.replace(together, method=method), A, b, norm, tol)
        aux = {name: system.unpack(v) if name in DIRECTIONS else v for name, v in told.aux.items()}
        return dataclasses.replace(told, x=jax.vmap(system.unpack, 0, 1)(x), aux=aux, given=given, why=why)
    whole = Certified(method, tol)
    problem = LinearSystem(A, lax.stop_gradient(b), norm)
    start = jnp.zeros(A.shape[1], b.dtype) if x0 is None else system.pack(x0)
    result = finished(run(whole, problem, start, None, stop, history=history, callback=callback, given=given, why=why), problem)
    x = attached(origin, b, result.x, (method, tol, stop)) if differentiable else result.x
    solution = system.unpack(x)
    best = result.best._replace(x=solution if result.best.x is x else system.unpack(result.best.x))
    aux = {name: system.unpack(v) if name in DIRECTIONS else v for name, v in result.aux.items()}
    return dataclasses.replace(result, x=solution, best=best, aux=aux, method=method)
