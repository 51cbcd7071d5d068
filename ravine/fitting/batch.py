"""`least_squares_batch` and `curve_fit_batch`: thousands of small fits at once, each with its own status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.batch import in_cache
from ravine.core.bounds import like, sides
from ravine.core.choice import args_as_tuple
from ravine.core.codegen import may_be_quick
from ravine.core.flat import Layout, as_arrays
from ravine.core.function import Function, hoisted
from ravine.core.keywords import with_cures
from ravine.core.problem import LeastSquares
from ravine.core.pytree import substitute
from ravine.core.run import default_tolerance
from ravine.core.side_by_side import side_by_side
from ravine.core.status import Status
from ravine.core.tracing import is_traced
from ravine.fitting.curve import CurveResidual, shape_of, vector
from ravine.fitting.front import as_loss, refuse_outside
from ravine.fitting.implicit import differentiable
from ravine.fitting.lanes import fit
from ravine.fitting.statistics import covariance

CACHE_BYTES = 2**19
"""What the Jacobians of the lanes that are worked on may fill: `python benchmarks/least_squares.py batch`."""

PART_BYTES = 2**22
"""What the Jacobians of the problems in a thread of their own fill at least: below that, threads cost more than they bring."""


class BatchFit(NamedTuple):
    """Results by problem, along the first axis.

    Attributes:
        x: parameters, a tree like x0; popt for `curve_fit_batch`.
        fun: ½‖r‖².
        status: a `Status` as an integer; `success` where it is one of a solution.
        nit: iterations.
        optimality: relative to ‖r‖, as in `least_squares`.
        pcov: (B, n, n) covariances; None from `least_squares_batch`.
    """

    x: Any
    fun: Any
    status: Any
    nit: Any
    optimality: Any
    pcov: Any = None

    @property
    def popt(self) -> Any:
        """The parameters."""
        return self.x

    @property
    def success(self) -> Any:
        """Which problems are solved."""
        return (self.status >= int(Status.CONVERGED)) & (self.status <= int(Status.TARGET))

    @property
    def message(self) -> str:
        """How many problems ended how."""
        names, counts = np.unique(np.asarray(self.status), return_counts=True)
        return ", ".join(f"{Status(int(s)).name}: {int(c)}" for s, c in zip(names, counts, strict=True))


@with_cures
def least_squares_batch(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    shared: tuple[int, ...] = (),
    bounds: Any = None,
    loss: Any = "linear",
    f_scale: Any = 1.0,
    damping: float = 1e-3,
    tol: float | None = None,
    max_steps: int = 200,
    width: int | None = None,
    sparsity: None = None,
) -> BatchFit:
    """Minimises ½‖r(xᵢ, *argsᵢ)‖² for every i by Levenberg-Marquardt, each lane at its own pace.

    Args:
        fun: r(x, *args) of one problem.
        x0: the starts: a tree whose leaves have one row for each problem.
        args: further arguments, with one row for each problem, except those numbered in `shared`.
        shared: which of the args are the same for all problems.
        bounds: (lower, upper), each a number, None, or a tree like x0 with or without rows. Nothing is evaluated outside.
        loss, f_scale: as in `least_squares`.
        damping: λ₀, relative to diag JᵀJ.
        tol: on the relative optimality, as in `least_squares`.
        max_steps: iterations of one problem.
        width: lanes worked on at a time; as many as fit the cache if None.
        sparsity: only `least_squares` takes one; the problems of a batch are small and dense.

    Raises:
        ValueError: a sparsity; rows that do not agree, x0 outside the bounds, bounds that cross.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.least_squares_batch(lambda x, y: x**2 - y, jnp.ones((3, 1)), (jnp.array([[4.0], [9.0], [16.0]]),))
        >>> r.x.round(3).tolist(), r.success.tolist()
        ([[2.0], [3.0], [4.0]], [True, True, True])
    """
    if sparsity is not None:
        raise ValueError(
            "the problems of a batch are small and dense: call least_squares(…, sparsity=…) for each large one, "
            "or once for all of them with the residuals of all in one function and a block-diagonal sparsity"
        )
    fun, x0, args = Function(fun, "fun"), as_arrays(x0), as_arrays(args_as_tuple(args))
    B = np.shape(jax.tree.leaves(x0)[0])[0]
    axes = tuple(None if i in shared else 0 for i in range(len(args)))
    _rows_agree(B, x0, [a for a, axis in zip(args, axes, strict=True) if axis is not None])
    layout = Layout.vector(jax.tree.map(lambda v: v[0], x0))
    lane = tuple(a if axis is None else jax.tree.map(lambda v: v[0], a) for a, axis in zip(args, axes, strict=True))
    packed = jnp.asarray(x0) if isinstance(x0, np.ndarray | jax.Array) and np.ndim(x0) == 2 else jax.vmap(layout.pack)(x0)
    lower, upper = _box(bounds, layout, packed)
    fun, numbers = hoisted(fun, jax.tree.map(lambda v: v[0], x0), *lane)
    args, axes, lane = (*args, *numbers), (*axes, *(None for _ in numbers)), (*lane, *numbers)
    problem = LeastSquares(fun, (), layout, lower, upper, loss=as_loss(loss, f_scale))
    settled, data, starts = problem, args, packed
    if traced := is_traced(problem, args, packed):
        settled, data, starts = jax.tree.map(jax.lax.stop_gradient, (problem, args, packed))
    m = LeastSquares(fun, lane, layout).shape(packed[0]).size
    a_lane = max(1, m * (layout.size + 2) * packed.dtype.itemsize)  # bytes of its residuals and Jacobian
    width = width or in_cache(a_lane, 32, B, CACHE_BYTES)
    dtype = packed.dtype
    goal = np.asarray(default_tolerance(dtype) if tol is None else tol, dtype)
    quick, width = may_be_quick(), min(width, B)

    def part(rows: Any, ready: Callable[[], None]) -> Any:
        x0, lower, upper, mine = rows
        box = substitute(settled, lower=lower, upper=upper)
        own = tuple(a if axis is None else b for a, b, axis in zip(data, mine, axes, strict=True))
        out = fit(box, x0, own, goal, np.int32(max_steps), np.asarray(damping, dtype), axes, width, quick=quick)
        ready()
        return jax.block_until_ready(out)

    by_lane = tuple(None if axis is None else a for a, axis in zip(data, axes, strict=True))
    out = side_by_side(part, (starts, settled.lower, settled.upper, by_lane), max(4 * width, PART_BYTES // a_lane))
    x, f = _with_derivatives(out.x, problem, args, axes) if traced else (out.x, out.f)
    x = x if packed is x0 or np.ndim(x0) == 2 else jax.vmap(layout.unpack)(x)
    return BatchFit(x, f, out.status, out.nit, out.optimality)


def _with_derivatives(x: Any, problem: LeastSquares, args: Any, axes: Any) -> tuple[Any, Any]:
    """x and f of every problem, differentiable in the data and the bounds."""

    def one(x: Any, lower: Any, upper: Any, args: Any) -> tuple[Any, Any]:
        own = substitute(problem, lower=lower, upper=upper, args=args)
        x = differentiable(x, own)
        return x, own._value(x)

    rows = tuple(None if side is None else 0 for side in (problem.lower, problem.upper))
    return jax.vmap(one, in_axes=(0, *rows, axes))(x, problem.lower, problem.upper, args)


def _box(bounds: Any, layout: Layout, x: Any) -> tuple[Any, Any]:
    """Bounds with a row for each problem, None where there are none."""
    if bounds is None:
        return None, None
    one = layout.unpack(x[0])

    def rows(side: Any, name: str, none: float) -> Any:
        if side is None:
            return None
        as_given = as_arrays(side)
        if jax.tree.structure(as_given) == layout.treedef and np.shape(jax.tree.leaves(as_given)[0]) == (len(x), *layout.shapes[0]):
            return jax.vmap(layout.pack)(as_given)
        return jnp.broadcast_to(layout.pack(like(side, none, one, name)), x.shape)

    lower, upper = sides(bounds, one, fit=True)
    lower, upper = rows(lower, "lower", -np.inf), rows(upper, "upper", np.inf)
    refuse_outside(lower, upper, x)
    return lower, upper


def _rows_agree(B: int, x0: Any, args: Any) -> None:
    for name, tree in (("x0", x0), ("args", args)):
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            if np.ndim(leaf) == 0 or np.shape(leaf)[0] != B:
                where = name + jax.tree_util.keystr(path)
                raise ValueError(
                    f"{where} has shape {np.shape(leaf)}; the first axis must be the {B} problems: name it in shared if it is not"
                )


def curve_fit_batch(
    f: Callable[..., Any],
    xdata: Any,
    ydata: Any,
    p0: Any,
    sigma: Any = None,
    absolute_sigma: bool = False,
    **more: Any,
) -> BatchFit:
    """Fits y = f(x, *p) to every row of ydata.

    Args:
        f: the model of one problem, f(x, p1, p2, …).
        xdata: (m,), the same for all, or one row for each problem.
        ydata: (B, m).
        p0: the start: (n,), the same for all, or (B, n); a number for one parameter.
        sigma: standard deviations: (m,) or (B, m).
        absolute_sigma: as in `curve_fit`.
        more: `bounds`, `tol`, `loss` … of `least_squares_batch`.

    Returns:
        `.popt` (B, n), `.pcov` (B, n, n), `.status` and `.success` by row.

    Raises:
        ValueError: sigma that is not positive, shapes or rows that do not agree, p0 outside the bounds.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> t = jnp.linspace(0.0, 4.0, 9)
        >>> y = jnp.stack([3.0 * jnp.exp(-0.5 * t), 2.0 * jnp.exp(-0.25 * t)])
        >>> fit = rv.curve_fit_batch(lambda t, a, k: a * jnp.exp(-k * t), t, y, p0=[1.0, 1.0])
        >>> fit.popt.round(4).tolist(), fit.pcov.shape
        ([[3.0, 0.5], [2.0, 0.25]], (2, 2, 2))
    """
    if p0 is None or isinstance(p0, dict):
        raise TypeError(f"p0 is an array with a number for each parameter of f, (n,) or (B, n); got {type(p0).__name__}")
    xdata, ydata, p0, sigma = vector(xdata), vector(ydata), vector(p0), vector(sigma)
    p0 = jnp.reshape(p0, 1) if np.ndim(p0) == 0 else p0
    if sigma is not None and np.any(~(np.asarray(sigma) > 0)):
        where = tuple(map(int, np.argwhere(~(np.asarray(sigma) > 0))[0]))
        raise ValueError(f"sigma{list(where)} is {np.asarray(sigma)[where]:g}; standard deviations must be positive")
    if np.ndim(ydata) != 2:
        raise ValueError(f"ydata has shape {np.shape(ydata)}; it needs a row for each problem: take curve_fit for a single one")
    B, m = np.shape(ydata)
    if np.ndim(p0) not in (1, 2) or (np.ndim(p0) == 2 and len(p0) != B):
        raise ValueError(f"p0 has shape {np.shape(p0)}; it is (n,), or (B, n) with a row for each of ydata's {B} problems")
    if sigma is not None and np.shape(sigma) not in ((m,), (B, m)):
        raise ValueError(f"sigma has shape {np.shape(sigma)}; it is ({m},), the same for all, or ydata's ({B}, {m})")
    p0 = jnp.broadcast_to(jnp.asarray(p0), (B, np.shape(p0)[-1]))
    shared = tuple(i for i, v in ((0, xdata), (2, sigma)) if v is None or np.shape(v) == (m,))
    for leaf in jax.tree.leaves(xdata) if 0 not in shared else ():
        if np.shape(leaf)[:1] != (B,):
            raise ValueError(f"xdata has shape {np.shape(leaf)}; it is ({m},), the same for all, or has ydata's {B} rows")
    model = Function(f, "f")
    lane = xdata if 0 in shared else jax.tree.map(lambda v: v[0], xdata)
    shape = shape_of(model, p0[0], lane)
    if shape != (m,):
        raise ValueError(f"{model.name} returns shape {shape}, but a row of ydata has shape ({m},): they must be the same")
    residual = CurveResidual(model)
    result = least_squares_batch(residual, p0, (xdata, ydata, sigma), shared=shared, **more)
    axes = (None if 0 in shared else 0, 0, None if 2 in shared else 0)
    layout = Layout.vector(np.zeros(p0.shape[1], p0.dtype))
    problem = LeastSquares(Function(residual), (), layout, loss=as_loss(more.get("loss", "linear"), more.get("f_scale", 1.0)))
    pcov = _covariances(problem, result.x, (xdata, ydata, sigma), absolute_sigma, axes)
    return result._replace(pcov=pcov)


def _covariances(problem: LeastSquares, x: Any, args: Any, absolute: Any, axes: Any) -> Any:
    def one(x: Any, args: Any) -> Any:
        return covariance(substitute(problem, args=args), x, jnp.bool_(absolute))

    return jax.vmap(one, in_axes=(0, axes))(x, args)
