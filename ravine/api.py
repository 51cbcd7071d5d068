"""The front doors: each builds a problem, chooses a method and calls the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.batch import lanes, run_batch
from ravine.core.bounds import as_bounds, inside, packed, require_bounds
from ravine.core.choice import args_as_tuple, as_method
from ravine.core.flat import Layout, as_arrays
from ravine.core.function import Function
from ravine.core.keywords import with_cures
from ravine.core.problem import Objective
from ravine.core.result import Result
from ravine.core.rule import layout_for
from ravine.core.run import as_key, default_tolerance, run
from ravine.core.stop import MaxSteps, Optimality, Stop, criterion
from ravine.core.tracing import tracing
from ravine.methods.second_order.auto import choose


@with_cures
def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: Any = "auto",
    bounds: Any = None,
    *,
    g: Any = None,
    K: Any = None,
    tol: float | None = None,
    stop: Stop | None = None,
    callback: Callable[[Result], Any] | None = None,
    history: tuple[str, ...] | str = (),
    key: Any = None,
    resume: Result | None = None,
) -> Result:
    """Minimises f(x, *args) from x0, perhaps within bounds; with g, f(x, *args) + g(K x).

    Args:
        fun: f(x, *args) → a scalar, written in JAX. It is compiled once for each function object: what it reads from outside (an
            attribute, a global, an array) is that of the first call, so pass through `args` what changes.
        x0: the start, any tree of floating-point arrays. Its precision is that of the run, to which f's values are rounded.
        args: further arguments of f; other values do not compile again.
        method: a registered name (`ravine list`), a method such as `LBFGS(memory=20)`, or an optax transformation. "auto" chooses
            by the number of parameters, bounds and smoothness; `result.why` says what and why.
        bounds: (lower, upper), each None, a number or a tree like x0; SciPy's list of pairs and its `Bounds` are understood.
        g: a function that need not be smooth, by its prox: one of `rv.prox`, such as `rv.prox.L1(0.1)`, or a tree of them.
        K: the linear map in g(K x): an array, a sparse matrix, an operator of `rv.operators` or a function of x; the identity by
            default.
        tol: the optimality asked for: the largest element of the (projected) gradient, relative to max(1, |f|) / max(1, |x|∞). The
            default is the square root of the machine precision.
        stop: a criterion in place of the default one; with `tol`, either ends the run.
        callback: is given a `Result` after every iteration; returning something true ends the run.
        history: what to record at each iteration: "f", "optimality", "x", "work", or a field of the method's state.
        key: a `jax.random.key`, for randomised methods.
        resume: an earlier result to go on from: of the same function, args and method, within the bounds given. x0 then says only
            what the parameters look like.

    Returns:
        A `Result` in SciPy's words: `x fun jac status success message nit nfev njev nhev`, and more.

    Raises:
        ValueError: bounds that cross or do not match x0, a method that cannot take them, f that is not a scalar.
        TypeError: parameters that are not floating point, or a method that is none.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x, a: jnp.sum((x - a) ** 2), jnp.zeros(2), (jnp.array([1.0, 3.0]),), bounds=(0, 2))
        >>> r.x.tolist(), r.status.name
        ([1.0, 2.0], 'CONVERGED')
    """
    fun, x0, args = Function(fun), as_arrays(x0), args_as_tuple(args)
    if g is not None or K is not None:
        if g is None:
            raise ValueError("K is the linear map in g(K x): give g, too, such as g=rv.prox.L1(0.1)")
        if bounds is not None:
            raise ValueError("g and bounds do not go together: bounds are g=rv.prox.Box(lower, upper), and a tuple of both with K=")
        from ravine.methods.proximal.front import composite, composite_method  # no other call needs them

        vector = Layout.vector(x0)
        whole, start = composite(fun, args, vector, g, K), vector.pack(x0)
        chosen, why = composite_method(method, whole, start)
        stop = _stop(stop, tol, vector.dtypes[0])
        return run(
            chosen, whole, start, vector, stop, key=key, history=history, callback=callback, resume=resume, given=method, why=why
        )
    box = as_bounds(bounds, x0)
    x0 = x0 if box is None else inside(x0, box)
    why = ""
    if isinstance(method, str) and method == "auto":
        vector = Layout.vector(x0)
        chosen_name, why = choose(Objective(fun, args, vector, *packed(box, vector)), vector.pack(x0))
        chosen = as_method(chosen_name, Objective)
    else:
        chosen = as_method(method, Objective)
    if box is not None:
        require_bounds(chosen)
    layout = layout_for(chosen, x0)
    problem = Objective(fun, args, layout, *packed(box, layout))
    start = x0 if layout is None else layout.pack(x0)
    stop = _stop(stop, tol, jnp.float32 if layout is None else layout.dtypes[0])
    return run(
        chosen, problem, start, layout, stop, key=key, history=history, callback=callback, resume=resume, given=method, why=why
    )


@with_cures
def minimize_batch(
    fun: Callable[..., Any],
    x0s: Any,
    args: tuple[Any, ...] = (),
    method: Any = "auto",
    bounds: Any = None,
    *,
    tol: float | None = None,
    stop: Stop | None = None,
    key: Any = None,
) -> Result:
    """Minimises many independent functions f(x, *args) at once; problems that have ended are dropped while the others go on.

    Args:
        fun: f(x, *args) → a scalar, for one problem.
        x0s: the starts: a tree like one start, with the problems along a first axis of every array.
        args: further arguments of f, with the problems along the first axis, too.
        method: a registered name or a method that sees one vector; "auto" is BFGS, within bounds L-BFGS-B.
        bounds: as in `minimize`, for one problem; all share them.
        tol, stop, key: as in `minimize`.

    Returns:
        A `Result` whose arrays have the problems along their first axis; `result.status` is an integer array of `Status` codes.
        Under `jit` and `grad` it is that of `jax.vmap(minimize)`: differentiable, and the slowest problem keeps the others.

    Raises:
        ValueError: first axes that differ, or no problem at all.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> targets = jnp.arange(6.0).reshape(3, 2)
        >>> r = rv.minimize_batch(lambda x, t: jnp.sum((x - t) ** 2), jnp.zeros((3, 2)), (targets,))
        >>> r.x.round(3).tolist(), r.message
        ([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], 'CONVERGED: 3')
    """
    fun, x0s, args = Function(fun), as_arrays(x0s), args_as_tuple(args)
    n = lanes((x0s, args), "x0s and args")
    if n == 0:
        raise ValueError("x0s has no problem in it: its first axis is 0 long")
    one = jax.tree.map(lambda v: v[0], x0s)
    layout = Layout.vector(one)
    box = as_bounds(bounds, one)
    if isinstance(method, str) and method == "auto":
        method = "bfgs" if box is None else "lbfgsb"
    chosen = as_method(method, Objective)
    if tracing():
        keys = None if key is None else jax.random.split(as_key(key), n)
        return jax.vmap(lambda x, a, k: minimize(fun, x, a, chosen, bounds, tol=tol, stop=stop, key=k))(x0s, args, keys)
    if box is not None:
        require_bounds(chosen)
        x0s = inside(x0s, jax.tree.map(lambda b: np.broadcast_to(b, (n, *b.shape)), box))
    stop = _stop(stop, tol, layout.dtypes[0])
    problem = Objective(fun, (), layout, *packed(box, layout))
    key = None if key is None else as_key(key)
    return run_batch(chosen, problem, args, jax.vmap(layout.pack)(x0s), layout, stop, key)


def _stop(stop: Stop | None, tol: float | None, dtype: Any) -> Stop:
    if stop is None:
        return Optimality(default_tolerance(dtype) if tol is None else tol) | MaxSteps(10_000)
    return criterion(stop) if tol is None else Optimality(tol) | stop
