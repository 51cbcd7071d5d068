"""The one loop. It owns iteration, stopping, history, the best point, the time budget and Ctrl-C.

    start     the carry at x0
    advance   up to n more steps: one compiled `while_loop`; n is traced
    solve     start and advance to the end: pure, so it may be jitted, vmapped, or called inside another method's step
    drive     a generator over the host boundaries of a run: budgets of seconds, callbacks and progress live in loops over it

A run cut into chunks equals the uninterrupted run bit for bit: `advance` compiles one loop body, and the number of steps is data.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ravine.core import work
from ravine.core.codegen import Compiled
from ravine.core.method import Method
from ravine.core.problem import Objective, Oracles
from ravine.core.pytree import cast, largest, widest
from ravine.core.status import Status
from ravine.core.stop import Stop, View, first
from ravine.core.tracing import is_traced

SECONDS_BETWEEN_BOUNDARIES, CLOCKED = 0.5, 0.2
"""The latter where a budget of seconds is watched. What a boundary costs: `docs/first_order.md`, on `train` beside a bare loop."""
FASTER = 4
HISTORY_ROWS = 512
UNRESOLVED = 0.1
"""The part of the first optimality above which PRECISION is believed of no objective."""
TRIALS_LOG2 = 8  # 256 trials; a shift, because a division of integers is not vectorised


class Best(NamedTuple):
    """The best finite point seen, its value, gradient (None where the method keeps none) and optimality."""

    x: Any
    f: Any
    g: Any
    optimality: Any
    nit: Any


class Gauge(NamedTuple):
    """The numbers of the last step that stop criteria and messages speak of, and the optimality at the start."""

    optimality: Any
    scale: Any
    step: Any
    decrease: Any
    first: Any


class Carry(NamedTuple):
    """Everything a run is; a saved carry is a checkpoint.

    Attributes:
        k: steps of the driver, rejected ones included.
        nit: accepted steps.
        state: the method's.
        key: of a randomised method, or None.
        status: a `Status` as an integer.
        work: counts in the order of `work.NAMES`.
        best: the best point, or None for methods whose last point is the best, and for training.
        gauge: the numbers of the last step.
        history: recorded columns by name, each with one row an iteration from row `history["base"]` on.
    """

    k: Any
    nit: Any
    state: Any
    key: Any
    status: Any
    work: Any
    best: Any
    gauge: Gauge
    history: dict[str, Any]


def _assess(method: Method, problem: Any, noisy: bool, stop: Stop, carry: Carry, before: Any, seconds: Any) -> Carry:
    """Status, gauge, best and history of the state that was just reached from `before` (None at the start).

    Where the run is noisy, one minibatch says nothing about optimality, and to look would cost a pass over the parameters.
    """
    s, needs = carry.state, stop.requirements()
    f, x, accepted = method.value(s), method.point(s), method.accepted(s)
    nan = jnp.full_like(f, jnp.nan)
    wanted = not noisy or "optimality" in needs
    optimality = method.optimality(problem, s).astype(f.dtype) if wanted else nan
    scale = method.scale(problem, s).astype(f.dtype) if wanted else nan
    first_optimality = optimality if before is None else carry.gauge.first
    if issubclass(method.solves, Objective):
        # Where |f| is huge, a gradient may be small beside it everywhere: in float32 Brown's badly scaled function (f = 10¹², |g|∞
        # = 2·10⁶ at the start) would be called solved at once. So it must be small beside the first gradient, too.
        at_first = jnp.maximum(1, first_optimality)
        scale = jnp.minimum(scale, at_first)
    step, decrease = carry.gauge.step, carry.gauge.decrease
    if before is not None and "step" in needs:
        step = jnp.where(accepted, _relative_step(x, method.point(before)).astype(f.dtype), step)
    if before is not None and "decrease" in needs:
        change = (method.value(before) - f) / jnp.maximum(1, jnp.abs(f))
        decrease = jnp.where(accepted, change, decrease)
    evaluations = jnp.maximum(carry.work[work.NAMES.index("f")], carry.work[work.NAMES.index("g")]) if "evaluations" in needs else 0
    view = View(carry.k, carry.nit, f, optimality, scale, step, decrease, accepted, seconds, evaluations)
    asked = jnp.where(accepted, stop.code(view), jnp.int32(0))
    # Below −√(largest number) squares overflow, and with them every length and product that could tell more.
    limits = jnp.finfo(f.dtype)
    without_end = f < -(limits.max**0.5 if limits.bits >= 32 else limits.max)
    broken = jnp.where(without_end, Status.UNBOUNDED, jnp.where(jnp.isfinite(f), 0, Status.NONFINITE))
    verdict = method.verdict(problem, s)
    if issubclass(method.solves, Objective):
        # Where |f| is huge beside what a step changes, nothing can be resolved anywhere: |x − 10⁸|² near 0, in float32.
        hardly = optimality / UNRESOLVED > at_first
        verdict = jnp.where(hardly & (verdict == int(Status.PRECISION)), jnp.int32(Status.STALLED), verdict)
    # A method that only rejects would never use up a budget of iterations: none needs hundreds of trials for a step.
    stuck = jnp.where(carry.k >> TRIALS_LOG2 > carry.nit + 5, jnp.int32(Status.STALLED), jnp.int32(Status.RUNNING))
    status = jnp.where(accepted & (broken > 0), broken, first(asked, verdict, stuck))
    best = carry.best
    if best is not None:
        better = accepted & jnp.isfinite(f) & (f < best.f)
        best = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), Best(x, f, best.g if best.g is None else s.g, optimality, carry.nit), best
        )
    history = dict(carry.history)
    if history:
        row = carry.nit - history["base"]
        for name in history:
            if name != "base":
                value = {"f": f, "optimality": optimality, "x": x, "k": carry.k, "work": carry.work}.get(name)
                value = getattr(s, name) if value is None else value
                if name in ("k", "work"):  # what it took to come here, not what the next iteration tries from here
                    value = jnp.where(accepted, value, history[name][row])
                history[name] = jax.tree.map(lambda c, v: c.at[row].set(v.astype(c.dtype)), history[name], value)
    gauge = Gauge(optimality, scale, step, decrease, first_optimality)
    return carry._replace(status=status.astype(jnp.int32), best=best, gauge=gauge, history=history)


def _relative_step(x: Any, before: Any) -> Any:
    return largest(jax.tree.map(jnp.subtract, x, before)) / jnp.maximum(1, largest(x))


def in_dtype_of(method: Method, x: Any) -> Method:
    """The hyperparameters in the dtype of the parameters, at least float32."""
    dtypes = [v.dtype for v in jax.tree.leaves(x) if jnp.issubdtype(v.dtype, jnp.floating)]
    return cast(method, widest(*dtypes))


def _start(
    method: Method,
    problem: Oracles,
    x0: Any,
    stop: Stop,
    key: Any = None,
    history: tuple[str, ...] = (),
    rows: int = 0,
    best: bool = True,
) -> Carry:
    tuned = in_dtype_of(method, x0)
    now = problem.at(jnp.int32(0))
    with work.tallied() as tally:
        s = tuned.init(now, x0)
    f, x = tuned.value(s), tuned.point(s)
    nan = jnp.full_like(f, jnp.nan)
    zero = jnp.zeros((), jnp.int32)
    recorded: dict[str, Any] = {}
    if history:
        values = {"f": f, "optimality": f, "x": x, "k": zero, "work": work.zeros()}
        fields = getattr(s, "_fields", ())
        for name in history:
            if name not in values and name not in fields:
                has = ", ".join([*values, *(f for f in fields if f not in values)])
                raise ValueError(f"history: {type(method).__name__} does not record {name!r}; it has {has}")
            value = values[name] if name in values else getattr(s, name)
            recorded[name] = jax.tree.map(lambda v: jnp.zeros((rows, *v.shape), v.dtype), value)
        recorded["base"] = zero
    keep = Best(x, jnp.full_like(f, jnp.inf), getattr(s, "g", None), nan, zero) if best and not method.monotone else None
    carry = Carry(zero, zero, s, key, zero, tally.vector(), keep, Gauge(nan, nan, nan, nan, nan), recorded)
    carry = _assess(tuned, now, problem.noisy, stop, carry, None, jnp.zeros((), jnp.float32))
    # Copies, because the loop is given these buffers to overwrite: an output that is the user's x0 itself, or one
    # buffer twice, must not be donated.
    return jax.tree.map(jnp.copy, carry)


def _advance(method: Method, problem: Oracles, carry: Carry, stop: Stop, n: Any, seconds: Any) -> Carry:
    tuned = in_dtype_of(method, method.point(carry.state))
    end = carry.k + jnp.asarray(n, jnp.int32)

    def go(c: Carry) -> Any:
        return (c.k < end) & (c.status == int(Status.RUNNING))

    def body(c: Carry) -> Carry:
        now = problem.at(c.k)
        with work.tallied() as tally:
            s = tuned.step(now, c.state, jax.random.fold_in(c.key, c.k)) if method.randomised else tuned.step(now, c.state)
        moved = tuned.accepted(s).astype(jnp.int32)
        after = c._replace(k=c.k + 1, nit=c.nit + moved, state=s, work=c.work + tally.vector())
        return _assess(tuned, now, problem.noisy, stop, after, c.state, seconds)

    return lax.while_loop(go, body, carry)


start = Compiled(_start, static_argnames=("history", "rows", "best"))
start.__doc__ = "The carry at x0. `history` names the columns to record, `rows` their length."

_advance_compiled = Compiled(_advance, donate_argnames="carry")


def advance(
    method: Method, problem: Oracles, carry: Carry, stop: Stop, n: Any, seconds: Any = 0.0, *, quick: bool = False
) -> Carry:
    """Up to `n` more steps. The buffers of `carry` are given away: use the carry that comes back.

    Args:
        seconds: wall-clock seconds since the run began, for `MaxSeconds`.
        quick: compile quickly, as `codegen` says.
    """
    return _advance_compiled(method, problem, carry, stop, n, seconds, quick=quick)


def solve(
    method: Method,
    problem: Oracles,
    x0: Any,
    stop: Stop,
    *,
    key: Any = None,
    history: tuple[str, ...] = (),
    rows: int = 0,
    best: bool = True,
    steps: int = 2**31 - 1,
) -> Carry:
    """A whole run as a pure function; its work is added to that of the step that calls it.

    Args:
        x0: packed as `method.layout` says.
        history, rows: columns to record, and how many rows to keep room for (at least the number of iterations plus one).
        steps: the most steps of the driver, rejected ones included.
    """
    carry = _start(method, problem, x0, stop, key, history, rows, best)
    carry = _advance(method, problem, carry, stop, steps - carry.k, jnp.zeros((), jnp.float32))
    work.count_vector(carry.work)
    return carry


class Traced(Exception):
    """The problem closes over a value that is being traced: there is no host to drive from, `solve` must be used."""


def compiles_quickly(
    method: Method, problem: Oracles, x0: Any, stop: Stop, key: Any = None, best: bool = True, name: Any = None
) -> bool:
    """Whether `drive` compiles this run quickly. Asked without the history: to record it changes no bit of the run.

    Args:
        name: of the run, where it is known.
    """
    name = _name(method, problem, x0, stop) if name is None else name
    return start.makes_small_arrays(name, method, problem, x0, stop, key, (), 0, best)


def _name(method: Method, problem: Oracles, x0: Any, stop: Stop) -> Any:
    """Equal for runs of the same program."""
    leaves, form = jax.tree.flatten((x0, method, problem, stop))
    return form, tuple([(getattr(v, "shape", ()), getattr(v, "dtype", None)) for v in leaves])


_pace: dict[Any, float] = {}


def drive(
    method: Method,
    problem: Oracles | Callable[[int], tuple[Oracles, int]],
    x0: Any,
    stop: Stop,
    *,
    key: Any = None,
    history: tuple[str, ...] = (),
    best: bool = True,
    carry: Carry | None = None,
    every: int | None = None,
    clocked: bool = False,
    prepare: Callable[[int], None] | None = None,
) -> Generator[Carry, None, None]:
    """Yields the carry at each boundary to the host, until the run ends.

    What is yielded is overwritten by the next chunk: take out what you need before you go on. The first Ctrl-C ends the run at the
    next boundary with INTERRUPTED; a second one raises.

    Args:
        problem: the oracles, or a function of k that returns those for the steps from k on and for how many steps they are
            good; 0 says that there are no more.
        carry: resume from here instead of starting at x0; a carry that ended by a budget goes on.
        every: steps between boundaries; None chooses by time, about every 0.5 s, or 0.2 s where `stop` looks at the clock.
        clocked: the caller looks at the clock.
        prepare: called, while the device works, with the step from which `problem` will be asked next.
    """
    feed = problem if callable(problem) else lambda k: (problem, 2**31 - 1)
    began = time.perf_counter()
    between = CLOCKED if clocked or "seconds" in stop.requirements() else SECONDS_BETWEEN_BOUNDARIES
    rows = min(every or HISTORY_ROWS, HISTORY_ROWS) + 1 if history else 0
    k = 0 if carry is None else int(carry.k)
    now = feed(k)[0]
    name = _name(method, now, x0, stop)
    quick = not callable(problem) and compiles_quickly(method, now, x0, stop, key, best, name)
    if carry is None:
        carry = start(method, now, x0, stop, key, history, rows, best, quick=quick)
        # The status alone does not tell: an integer has no tangent, so under `grad` it is no tracer.
        if is_traced(carry):
            raise Traced
    else:
        recorded = sorted(name for name in carry.history if name != "base")
        if recorded != sorted(history):
            raise ValueError(f"the run to go on from recorded the history {recorded}; ask for the same, not {sorted(history)}")
        carry = jax.tree.map(jnp.copy, carry)._replace(status=jnp.int32(Status.RUNNING))
        if history:
            carry.history["base"] = np.array(carry.nit)
    with Interrupt() as interrupt:
        known, status = name in _pace, int(carry.status)
        while True:
            if status:
                yield carry
                return
            if interrupt.asked:
                yield carry._replace(status=jnp.int32(Status.INTERRUPTED))
                return
            now, steps = feed(k)
            if steps < 1:
                yield carry._replace(status=jnp.int32(Status.MAX_STEPS))
                return
            n = every or (max(1, int(between / _pace[name])) if known else 16)
            most = min(steps, HISTORY_ROWS if history else steps)
            # Equal parts of what is to come: a last one of a few steps would cost a boundary, too.
            n = min(n, most) if every else -(-most // max(1, round(most / n)))
            t = time.perf_counter()
            carry = advance(method, now, carry, stop, n, t - began, quick=quick)
            if isinstance(carry.status, jax.core.Tracer):
                raise Traced
            dispatched = time.perf_counter()
            if prepare is not None:
                prepare(k + n)
            preparing = time.perf_counter() - dispatched
            before, k = k, int(carry.k)
            took = (time.perf_counter() - t) / max(k - before, 1)
            status = int(carry.status)
            # A chunk that was done, perhaps, long before the host was says nothing about the pace.
            seen = preparing <= 0.5 * (time.perf_counter() - t)
            # Nor does the first one of an unknown problem, which holds its compilation, unless it was quick.
            if seen and (known or took < between / 16):
                # Steps may be quick for a while, as trials of a search are beside steps that solve a system: no chunk has more than
                # FASTER times as many as the last one. (Twelve of NewtonCG on CUTEst's EIGENBLS made one of 29 s out of 0.2 s.)
                _pace[name] = max(took, between / (FASTER * max(k - before, 1)), 1e-7)
                known = True
            elif seen and name in _tried:
                _pace[name], known = took, True
            _tried.add(name)
            if not status:
                yield carry
                if history:
                    carry.history["base"] = np.array(carry.nit)


_tried: set[Any] = set()


class Interrupt:
    """Turns the first Ctrl-C into a flag, in the main thread, and calls `tell`; the second one acts as usual."""

    def __init__(self, tell: Callable[[], None] = lambda: None):
        self.tell = tell

    def __enter__(self) -> Interrupt:
        self.asked = False
        self._previous: Any = None
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is not None:
            self._previous = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._previous)
        self.tell()

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
