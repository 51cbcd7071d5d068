"""One method on one problem: from a `Problem` to the front door for its kind."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.compare.check import check_problem
from ravine.compare.contenders import contenders
from ravine.compare.race_functions import objective_of
from ravine.core.bounds import as_bounds, inside
from ravine.core.flat import Layout, as_arrays
from ravine.core.problem import LeastSquares
from ravine.core.registry import method_class
from ravine.core.result import Result
from ravine.core.run import default_tolerance
from ravine.core.stop import Stop
from ravine.methods.linear.system import posed
from ravine.problems.problem import Problem

RECORDED = ("f", "optimality")


def solve(problem: Problem, method: str, tol: float | None, steps: int | None, seconds: float | None) -> Result:
    """Minimises, fits or solves, with value and optimality recorded.

    Args:
        method: "auto", or a name with or without settings in brackets.
        tol, steps, seconds: None for what is usual.

    Raises:
        ValueError: an unknown method or one for another kind of problem, or a start where the problem is not finite.
    """
    stop = _budget(steps, seconds)
    if problem.kind == "system":
        chosen = _method(method, "system")
        tol = problem.target if tol is None else tol  # as in `compare`, where the value of a system is the relative residual
        if tol is None:
            tol = default_tolerance(posed(problem.A, problem.b, problem.x0).b.dtype)
        return rv.linear_solve(problem.A, problem.b, chosen, problem.x0, tol=tol, stop=stop, history=RECORDED)
    x0 = as_arrays(problem.start(jax.random.key(0)))
    Layout.leafwise(x0, "x0" if problem.init is None else "init(key)")  # refuses what are no parameters
    chosen = _method(method, "batch" if problem.kind == "loss" else problem.kind)
    box = as_bounds(problem.bounds, x0)
    if box is not None and problem.residual is None:  # a fit refuses a start outside of them
        x0 = inside(x0, box)
    check_problem(problem, x0)
    how: dict[str, Any] = {"bounds": problem.bounds, "tol": _tolerance(tol, x0), "stop": stop, "history": RECORDED}
    if problem.residual is not None and _fits(chosen):
        return rv.least_squares(problem.residual, x0, problem.args, chosen, loss=problem.residual_loss, **how)
    fun, args = objective_of(problem)
    return rv.minimize(fun, x0, args, chosen, **how)


def _budget(steps: int | None, seconds: float | None) -> Stop | None:
    """None where nothing is said: then the front door's own budget is in force."""
    if seconds is None:
        return None if steps is None else rv.MaxSteps(steps)
    return rv.MaxSeconds(seconds) if steps is None else rv.MaxSteps(steps) | rv.MaxSeconds(seconds)


def _tolerance(tol: float | None, x0: Any) -> float:
    dtypes = [np.dtype(v.dtype) for v in jax.tree.leaves(x0)]
    return default_tolerance(jnp.result_type(*dtypes)) if tol is None else tol


def _fits(chosen: Any) -> bool:
    """Whether the method takes residuals, and not the sum of their squares."""
    return chosen == "auto" or getattr(method_class(chosen) if isinstance(chosen, str) else chosen, "solves", None) is LeastSquares


def _method(text: str, kind: str) -> Any:
    """The method: its name where it has no settings, so that the report shows what was given."""
    if text == "auto":
        return text
    named = contenders([text], kind)
    if len(named) > 1:
        raise ValueError(f"{text!r} is a family of {len(named)} methods: name one of them, or race them with `ravine compare`")
    return named[0].given if "[" in text else text
