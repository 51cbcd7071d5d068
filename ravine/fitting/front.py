"""`least_squares`: from a residual to a result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.bounds import as_bounds, is_all, packed, require_bounds
from ravine.core.choice import args_as_tuple, as_method
from ravine.core.flat import Layout, as_arrays
from ravine.core.function import Function, hoisted
from ravine.core.keywords import with_cures
from ravine.core.method import Method
from ravine.core.problem import LeastSquares
from ravine.core.pytree import substitute
from ravine.core.result import Result
from ravine.core.rule import layout_for
from ravine.core.run import default_tolerance, run
from ravine.core.status import Status
from ravine.core.stop import MaxSteps, Optimality, Stop
from ravine.core.tracing import is_traced, tracing
from ravine.fitting.blind import blind
from ravine.fitting.implicit import differentiable
from ravine.fitting.sparsity import missed, with_sparsity
from ravine.fitting.statistics import Fitted
from ravine.math.loss import RHO, Loss, SoftmaxCrossEntropy
from ravine.methods.least_squares.sparse_step import SparseStep


@with_cures
def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: Any = "auto",
    *,
    bounds: Any = None,
    loss: Any = "linear",
    f_scale: Any = 1.0,
    sparsity: Any = None,
    tol: float | None = None,
    stop: Stop | None = None,
    callback: Callable[[Result], Any] | None = None,
    history: tuple[str, ...] | str = (),
    resume: Result | None = None,
) -> Result:
    """Minimises ½‖r(x, *args)‖², or ½ Σ C² ρ(rᵢ²/C²) with a robust loss ρ.

    Books that minimise ‖r‖² have a cost, a gradient 2Jᵀr and a Hessian 2JᵀJ of twice the size; the solution is the same.

    Args:
        fun: r(x, *args): an array or a tree of arrays, m numbers in all.
        x0: the start, a tree of n numbers in all. Fewer residuals than parameters are allowed: steps are of minimum norm then.
            Its dtype is that of the fit: residuals in a higher precision are rounded, those in a lower one widened.
        args: further arguments of `fun`; pass data here so that other data do not compile again.
        method: "auto" (Levenberg-Marquardt), a name, or a method such as `LevenbergMarquardt(damping=1.0)`.
        bounds: as in `minimize`; of two parameters, two pairs are the lower and the upper bounds. Nothing is evaluated outside, and
            x0 must be inside.
        loss: "linear", "huber", "soft_l1", "cauchy", "arctan", "tukey", a `Loss`, or `SoftmaxCrossEntropy(labels)`, with which
            `fun` returns logits and steps are generalised Gauss-Newton's.
        f_scale: C, the size of a residual from which on a robust loss counts it as large.
        sparsity: where the Jacobian may be other than zero: a SciPy sparse matrix, a BCOO or an array, m×n; or "probe", which finds
            that by derivatives near x0. Columns that share no row are then made by one product, and steps solve sparse normal
            equations. `result.why` says how many products there are and where the pattern is from.
        tol: on the optimality, ‖the part of r in the range of J‖ relative to ‖r‖; the square root of the machine precision if None.
            It says how far x is from the solution in units of the parameters' standard errors.
        stop: another criterion; `tol` is added to it if both are given.
        callback, history, resume: as in `minimize`.

    Raises:
        ValueError: x0 outside the bounds, bounds that cross, an unknown loss or method, no residuals; a pattern of another shape,
            or one that misses an entry: the message has its place.
        TypeError: residuals that are not real numbers, a method in the place of args.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> t = jnp.linspace(0.0, 1.0, 5)
        >>> residual = lambda p, y: p["a"] * jnp.exp(p["k"] * t) - y
        >>> r = rv.least_squares(residual, {"a": 1.0, "k": 0.0}, args=(2 * jnp.exp(-3 * t),))
        >>> r.success, round(float(r.x["a"]), 4), round(float(r.x["k"]), 4)
        (True, 2.0, -3.0)
    """
    fun, x0, args = Function(fun, "fun"), as_arrays(x0), args_as_tuple(args)
    chosen = as_method("levenberg_marquardt" if method == "auto" else method, LeastSquares)
    layout = layout_for(chosen, x0)
    start = x0 if layout is None else layout.pack(x0)
    lower, upper = box(bounds, layout, x0, chosen)
    problem = LeastSquares(fun, as_arrays(args), layout, lower, upper, as_loss(loss, f_scale))
    check(problem, start)
    closed, numbers = hoisted(fun, x0, *problem.args)
    problem = substitute(problem, fun=closed, args=(*problem.args, *numbers)) if numbers else problem
    chosen = chosen if sparsity is None else with_sparsity(chosen, problem, start, sparsity)
    chosen, why = resolved(chosen, problem, start)
    if stop is None:
        stop = Optimality(default_tolerance(start.dtype) if tol is None else tol) | MaxSteps(5000)
    elif tol is not None:
        stop = Optimality(tol) | stop
    settled, start = jax.tree.map(jax.lax.stop_gradient, (problem, start)) if tracing() else (problem, start)
    result = run(chosen, settled, start, layout, stop, history=history, callback=callback, resume=resume, given=method, why=why)
    return finished(result, problem, start)


def finished(result: Result, problem: LeastSquares, start: Any) -> Result:
    """The result, differentiable in the data, with what statistics are made of and a remark on what is wrong with the problem."""
    fitted = Fitted(problem, start)
    layout: Any = problem.layout
    if is_traced(result.x, problem):
        x, f = result.x, result.fun
        if is_traced(problem) and layout is not None:
            flat = differentiable(layout.pack(x), problem)
            x, f = layout.unpack(flat), problem._value(flat)  # the loop's own f has no derivative
        return dataclasses.replace(result, x=x, fun=f, aux=fitted)
    remark = result.remark
    if result.code == Status.NONFINITE:
        remark = f"{remark} {_where_not_finite(problem, layout.pack(result.x))}".strip()
    more = blind(result, problem) or _uncounted(result, problem) or _unknown(result, problem)
    return dataclasses.replace(result, aux=fitted, remark=f"{remark} {more}".strip())


def _unknown(result: Result, problem: LeastSquares) -> str:
    """An entry of J at the end that a sparse step did not know of, though there was none near the start; "" if there is none."""
    step, layout = getattr(result.method, "linear", None), problem.layout
    missing = missed(problem, step, layout.pack(result.x)) if isinstance(step, SparseStep) and layout is not None else ""
    return f"The sparsity misses an entry that is not zero here: {missing}; steps were poorer for it." if missing else ""


def _uncounted(result: Result, problem: LeastSquares) -> str:
    """Residuals that the loss does not count, where too few are left to determine the parameters; "" if enough are."""
    loss, layout = problem.loss, problem.layout
    if not (isinstance(loss, Loss) and loss.flat_beyond) or layout is None or not result.success:
        return ""
    r = np.abs(np.asarray(problem.residual(layout.pack(result.x))))
    far = int(np.sum(r > loss.scale))
    if len(r) - far >= min(layout.size, len(r)):
        return ""
    return (
        f"{far} of {len(r)} residuals are above f_scale = {float(loss.scale):g}, from where on {loss.name} is flat, so they say "
        f"nothing: take a larger f_scale (their median is {np.median(r):.3g}), or a start nearer to the data."
    )


def _where_not_finite(problem: LeastSquares, x: Any) -> str:
    raw = np.asarray(problem.residual(x))
    _, r, J = (np.asarray(v) for v in problem.jacobian(x)) if len(raw) * x.size <= 1e7 else (None, raw, raw[:, None])
    for what, values in (("residual", raw), ("row of the Jacobian", J.sum(axis=1)), ("corrected residual", r)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            return (
                f"At the point returned, {len(bad)} of {len(values)} residuals are not finite: {what} {bad[0]} is {values[bad[0]]}."
            )
    return ""


def resolved(method: Method, problem: LeastSquares, x: Any) -> tuple[Method, str]:
    """The method with the linear step that fits the problem, and why that one."""
    linear = getattr(method, "linear", None)
    if linear is None:
        return method, ""
    step, why = linear.chosen(problem, x)
    return (method, why) if step is linear else (method.replace(linear=step), why)


def as_loss(loss: Any, scale: Any) -> Any:
    """The loss of that name, None for plain squares."""
    if isinstance(loss, type):
        raise TypeError(f"loss is the class {loss.__name__}: write {loss.__name__}(…), with its arguments")
    if np.ndim(scale) != 0:
        raise ValueError(
            f"f_scale is one number for all residuals, got shape {np.shape(scale)}: divide each residual by its own scale"
        )
    if hasattr(loss, "correct") or loss is None:
        return loss
    if loss == "linear":
        return None
    if loss not in RHO:
        raise ValueError(f"loss must be one of 'linear', {', '.join(map(repr, RHO))}, got {loss!r}")
    return Loss(loss, scale)


def box(bounds: Any, layout: Layout | None, x0: Any, method: Method) -> tuple[Any, Any]:
    """Lower and upper bounds packed by the layout, None where there are none.

    Raises:
        ValueError: the method keeps no bounds, bounds cross, or x0 is outside.
    """
    both = as_bounds(bounds, x0, fit=True)
    if both is None:
        return None, None
    require_bounds(method)
    lower, upper = (
        None if is_all(side, none) else v for side, none, v in zip(both, (-np.inf, np.inf), packed(both, layout), strict=True)
    )
    refuse_outside(lower, upper, x0 if layout is None else layout.pack(x0))
    return lower, upper


def refuse_outside(lower: Any, upper: Any, x: Any) -> None:
    """Raises where bounds cross or x is not between them; x is a vector, or one for each row of a batch."""
    low, high = (-jnp.inf if lower is None else lower), (jnp.inf if upper is None else upper)
    if is_traced(low, high, x):
        return
    for wrong, what in (
        (~(np.asarray(low) < np.asarray(high)), "lower < upper"),
        (np.asarray((x < low) | (x > high)), "x0 within the bounds"),
    ):
        if np.any(wrong):
            where = np.unravel_index(np.argmax(np.broadcast_to(wrong, x.shape)), x.shape)
            sides = [float(np.broadcast_to(v, x.shape)[where]) for v in (low, x, high)]
            place = f"parameter {where[-1]}" + (f" of problem {where[0]}" if len(where) > 1 else "")
            raise ValueError(f"{what} is needed; {place} has lower {sides[0]:g}, x0 {sides[1]:g}, upper {sides[2]:g}")


def check(problem: LeastSquares, x: Any) -> None:
    """Refuses what are no residuals, before anything is compiled."""
    r = problem.shape(x)
    if not jnp.issubdtype(r.dtype, jnp.floating):
        raise TypeError(f"{problem.fun.name} must return real floating-point residuals, got dtype {r.dtype}")
    if r.size == 0:
        raise ValueError(f"{problem.fun.name} returned no residuals")
    if isinstance(problem.loss, SoftmaxCrossEntropy):
        tree = x if problem.layout is None else problem.layout.unpack(x)
        logits = jax.tree.leaves(jax.eval_shape(lambda x, args: problem.fun(x, *args), tree, problem.args))
        problem.loss.check(problem.fun.name, [v.shape for v in logits])
