"""What all front doors share: from oracles and a method to a result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import driver, implicit
from ravine.core.bounds import crossed
from ravine.core.choice import check_settings, label
from ravine.core.clock import Clock
from ravine.core.flat import Layout
from ravine.core.method import Method
from ravine.core.problem import Objective, Oracles
from ravine.core.result import BestPoint, Result, Seconds
from ravine.core.status import Status
from ravine.core.stop import Both, Either, MaxSteps, Stop, criterion
from ravine.core.tracing import is_traced


def default_tolerance(dtype: Any) -> float:
    """The relative optimality that a front door asks for: the square root of the machine precision of `dtype`."""
    return float(np.sqrt(jnp.finfo(dtype).eps))


def run(
    method: Method,
    problem: Oracles,
    x0: Any,
    layout: Layout | None,
    stop: Stop,
    *,
    key: Any = None,
    history: tuple[str, ...] | str = (),
    callback: Callable[[Any], Any] | None = None,
    resume: Result | None = None,
    given: Any = None,
    why: str = "",
) -> Result:
    """Runs to the end and returns a `Result` in the user's structure.

    At the top level the host drives: seconds are measured, Ctrl-C and `MaxSeconds` work, and `callback` is called after every
    iteration. While JAX is tracing it is one pure `solve`.

    Args:
        x0: packed by `layout`.
        callback: gets a `Result` of the moment; returning True or raising StopIteration ends the run.
        resume: an earlier result of the same method and problem to go on from.

    Raises:
        ValueError: `history` inside `jit` without a `MaxSteps` to make room for, or of what the method does not record; a
            budget of seconds inside `jit`; `resume` with the result of another method or of other shapes; an array or a schedule
            that is no setting of the method.
        TypeError: a stop, callback, key or earlier result that is none.
    """
    history = (history,) if isinstance(history, str) else tuple(history)
    key = None if key is None else as_key(key)
    criterion(stop)
    check_settings(method)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Result, got {callback!r}")
    if resume is not None:
        _require_same_run(resume, method, problem, x0)
    if not is_traced(method, problem, x0, stop, key):
        try:
            return _driven(method, problem, x0, layout, stop, key, history, callback, resume, given, why)
        except driver.Traced:
            pass
        except NotImplementedError as wrong:
            if "Unsupported dtype" not in str(wrong):
                raise
            dtype = jax.tree.leaves(x0)[0].dtype
            raise TypeError(
                f"{label(method)} factors matrices, which JAX does in float32 and float64, not in {dtype}: give x0 in one of these"
            ) from None
    if callback is not None:
        raise ValueError("callback cannot be called while JAX is tracing; record with history=(…) instead")
    if "seconds" in stop.requirements():
        raise ValueError("MaxSeconds looks at the host's clock, which a traced run cannot see: stop by MaxSteps or MaxEvaluations")
    rows = _most_steps(stop) + 1 if history else 0

    def search(x: Any) -> tuple[Any, Result]:
        carry = driver.solve(method, problem, x, stop, key=key, history=history, rows=rows)
        columns = {name: c for name, c in carry.history.items() if name != "base"}
        r = outcome(method, problem, carry, layout, stop, columns, given=given, why=why)
        if getattr(problem, "lower", None) is not None:
            infeasible = crossed(problem.lower, problem.upper)  # type: ignore[attr-defined]
            r = dataclasses.replace(r, code=jnp.where(infeasible, jnp.int32(Status.INFEASIBLE), r.code))
        return (r.x if layout is None else layout.pack(r.x)), r

    if not implicit.differentiable(problem):
        return search(x0)[1]
    x, r = implicit.root(problem, x0, search)
    fun, jac = problem.value_and_grad(x)  # type: ignore[attr-defined]

    def moving(best: Any, here: Any) -> Any:
        return jax.tree.map(lambda b, v: b + (v - jax.lax.stop_gradient(v)).astype(b.dtype), best, here)

    solution = _unpacked(layout, x)
    # The best point moves with the solution, as x does, and the gradient with both.
    best = BestPoint(moving(r.best.x, solution), moving(r.best.fun, fun), r.best.nit)
    jac = r.jac if r.jac is None else moving(r.jac, _unpacked(layout, jac))
    return dataclasses.replace(r, x=solution, fun=fun.astype(r.fun.dtype), jac=jac, best=best)


def as_key(key: Any) -> Any:
    """A seed as a JAX key; a key as it is.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return jax.random.key(key)
    dtype = getattr(key, "dtype", None)
    if dtype is None or not (jnp.issubdtype(dtype, jax.dtypes.prng_key) or (dtype == jnp.uint32 and key.ndim == 1)):
        raise TypeError(f"key must be a seed (a whole number) or a JAX key, got {key!r}")
    return key


def _require_same_run(resume: Any, method: Method, problem: Oracles, x0: Any) -> None:
    """Raises where an earlier result cannot be gone on from with this method and start."""
    if not isinstance(resume, Result):
        raise TypeError(f"resume must be the Result of an earlier call, got {type(resume).__name__}")

    if resume.carry is None:
        raise ValueError("resume goes on with one run, and this result has none to go on with: start afresh from x0=result.x")

    def form(state: Any) -> Any:
        return jax.tree.structure(state), [(v.shape, v.dtype) for v in jax.tree.leaves(state)]

    tuned = driver.in_dtype_of(method, x0)
    if form(resume.carry.state) != form(jax.eval_shape(lambda x: tuned.init(problem.at(jnp.int32(0)), x), x0)):
        raise ValueError(
            "resume has the result of another method, or of parameters of another shape: go on with the same method and x0, "
            "or start afresh from x0=result.x"
        )
    if not isinstance(problem, Objective) or is_traced(problem, x0, resume.carry):
        return
    x, before = method.point(resume.carry.state), float(method.value(resume.carry.state))
    if problem.lower is not None:
        parts = zip(*map(jax.tree.leaves, (x, problem.lower, problem.upper)), strict=True)
        if any(np.any((np.asarray(v) < low) | (np.asarray(v) > high)) for v, low, high in parts):
            raise ValueError(
                "resume has a result outside of these bounds: start afresh from x0=result.x, which is projected onto them"
            )
    now = float(value_at(problem, x))
    if abs(now - before) > np.sqrt(np.finfo(np.float32).eps) * max(1.0, abs(before)):
        raise ValueError(
            f"resume has a result where the function is {before:.6g}, and this one is {now:.6g} there: go on with the same "
            "function and args, or start afresh from x0=result.x"
        )


@jax.jit
def value_at(problem: Any, x: Any) -> Any:
    """The value of an objective at a packed point, as one program."""
    return problem.value(x)


def _driven(
    method: Method,
    problem: Oracles,
    x0: Any,
    layout: Layout | None,
    stop: Stop,
    key: Any,
    history: tuple[str, ...],
    callback: Callable[[Any], Any] | None,
    resume: Result | None,
    given: Any,
    why: str,
) -> Result:
    rows: list[dict[str, Any]] = []
    carry, told, ended_by_callback = None, 0, False
    before = resume.carry if resume is not None else None
    run = driver.drive(method, problem, x0, stop, key=key, history=history, carry=before, every=1 if callback else None)
    # Closed, so that Ctrl-C is the user's again even while a traceback of their callback holds the run.
    with Clock() as clock, closing(run) as boundaries:
        for carry in boundaries:
            if history:
                rows.append(_take(carry, bool(rows)))
            if callback is not None and int(carry.nit) > told:
                told, ended = int(carry.nit), int(carry.status) != Status.RUNNING
                try:
                    now = outcome(method, problem, jax.tree.map(jnp.copy, carry), layout, stop, {}, given=given)
                    ended_by_callback = bool(callback(now))
                except StopIteration:
                    ended_by_callback = True
                ended_by_callback = ended_by_callback and not ended
                if ended_by_callback:
                    carry = carry._replace(status=jnp.int32(Status.INTERRUPTED))
                    break
        assert carry is not None  # and all of it is there: the driver has read the status, which the same program made
    columns = {}
    if history:
        earlier = [] if resume is None else [resume.history]
        first = [{n: jax.tree.map(lambda c: c[1:], c) for n, c in r.items()} for r in rows[:1]] if earlier else rows[:1]
        columns = jax.tree.map(lambda *c: np.concatenate(c), *earlier, *first, *rows[1:])
    return outcome(
        method,
        problem,
        carry,
        layout,
        stop,
        columns,
        given=given,
        why=why,
        seconds=clock.seconds,
        remark="The callback asked to stop." if ended_by_callback else _start_not_finite(carry, x0),
    )


def _start_not_finite(carry: driver.Carry, x0: Any) -> str:
    if int(carry.status) != Status.NONFINITE or all(np.isfinite(np.asarray(v, np.float64)).all() for v in jax.tree.leaves(x0)):
        return ""
    return "x0 itself is not finite: there is no finite point to return."


def _take(carry: driver.Carry, has_start: bool) -> dict[str, Any]:
    """The rows recorded since the last boundary; the first of them repeats the row where that one ended."""
    base, nit = int(carry.history["base"]), int(carry.nit)
    columns = {name: c for name, c in carry.history.items() if name != "base"}
    # Sliced as NumPy arrays: each length of a slice of a JAX array is a program of its own to compile.
    return jax.tree.map(lambda c: np.asarray(c)[int(has_start) : nit - base + 1].copy(), columns)


def _most_steps(stop: Stop) -> int:
    if isinstance(stop, MaxSteps) and not is_traced(stop):
        return int(stop.n)
    if isinstance(stop, Either | Both):
        sides = [s for s in (stop.left, stop.right) if _mentions_steps(s)]
        if sides:
            return min(_most_steps(s) for s in sides)
    raise ValueError(
        "history while JAX is tracing needs a bound on the iterations: add | MaxSteps(n) with a plain number n to stop"
    )


def _mentions_steps(stop: Stop) -> bool:
    if isinstance(stop, Either | Both):
        return _mentions_steps(stop.left) or _mentions_steps(stop.right)
    return isinstance(stop, MaxSteps)


def outcome(
    method: Method,
    problem: Oracles,
    carry: driver.Carry,
    layout: Layout | None,
    stop: Stop,
    columns: dict[str, Any],
    *,
    given: Any = None,
    why: str = "",
    remark: str = "",
    seconds: Seconds | None = None,
) -> Result:
    """The result that a carry stands for: the last point after a success, the best one otherwise."""

    s, gauge, best = carry.state, carry.gauge, carry.best
    here = driver.Best(method.point(s), method.value(s), getattr(s, "g", None), gauge.optimality, carry.nit)
    if best is None:
        best = chosen = here
    else:
        # Before any finite value was seen, best is x0 itself: value and optimality are those of the state.
        if is_traced(carry):
            none_yet = ~jnp.isfinite(best.f)
            succeeded = (carry.status >= Status.CONVERGED) & (carry.status <= Status.TARGET)
            best = jax.tree.map(lambda a, b: jnp.where(none_yet, a, b), here, best)._replace(x=best.x)
            chosen = jax.tree.map(lambda a, b: jnp.where(succeeded, a, b), here, best)
        else:
            # On the host with Python's numbers: every operation of `jnp` would be a program to compile.
            best = best if np.isfinite(float(best.f)) else here._replace(x=best.x)
            chosen = here if Status.CONVERGED <= int(carry.status) <= Status.TARGET else best
    x, nit = _unpacked(layout, chosen.x), _whole(carry.nit)
    return Result(
        x=x,
        fun=chosen.f,
        jac=_unpacked(layout, chosen.g),
        code=carry.status,
        nit=nit,
        counts=carry.work,
        optimality=chosen.optimality,
        scale=gauge.scale,
        best=BestPoint(x, best.f, nit) if best is here else BestPoint(_unpacked(layout, best.x), best.f, _whole(best.nit)),
        history={n: _unpack_rows(layout, c) if n == "x" else c for n, c in columns.items()},
        carry=carry,
        stop=stop,
        gauge=gauge,
        method=method,
        given=given,
        why=why,
        remark=remark,
        seconds=seconds or Seconds(),
    )


def _unpacked(layout: Layout | None, v: Any) -> Any:
    """In the user's structure, if it is there at all."""
    return v if layout is None or v is None else layout.unpack(v)


def _whole(count: Any) -> Any:
    """A count as a Python integer, where there is one number to be had."""
    return count if isinstance(count, jax.core.Tracer) or np.ndim(count) else int(count)


def _unpack_rows(layout: Layout | None, rows: Any) -> Any:
    if layout is None:
        return rows
    return jax.vmap(layout.unpack)(rows)
