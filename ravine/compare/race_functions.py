"""The race on a function, on residuals, or on a training loss over all data at once: no noise, so a run is one `solve`.

Methods with a step size run the whole grid side by side; the others run as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.compare.comparison import Curve, Entry
from ravine.compare.contenders import Contender
from ravine.compare.sweep import Sweep
from ravine.compare.turn import SECONDS, TURN, compiled, next_chunk, run
from ravine.core import driver, work
from ravine.core.choice import as_method
from ravine.core.clock import Clock
from ravine.core.codegen import Compiled
from ravine.core.flat import Layout, as_arrays
from ravine.core.function import Function
from ravine.core.method import Method
from ravine.core.problem import LeastSquares, Objective, Oracles
from ravine.core.pytree import Record, part
from ravine.core.rule import layout_for
from ravine.core.run import default_tolerance
from ravine.core.status import Status
from ravine.core.stop import MaxSteps, Optimality
from ravine.fitting.front import as_loss
from ravine.problems.problem import Problem
from ravine.training.evaluate import mean_over, together


class Cost(Record):
    """½‖r(x)‖² of a residual, or the loss of it, for methods that want a scalar."""

    fun: Function = part()
    loss: Any = part(None)

    def __call__(self, x: Any, *args: Any) -> Any:
        return LeastSquares(self.fun, args, loss=self.loss).value(x)


def oracles(problem: Problem, solves: type[Oracles], layout: Layout | None) -> Oracles:
    """The problem as a method of this kind asks for it."""
    lower, upper = _packed_bounds(problem, layout)
    if problem.residual is not None:
        residual, loss = Function(problem.residual, "residual"), as_loss(problem.residual_loss, 1.0)
        if solves is LeastSquares:
            return LeastSquares(residual, problem.args, layout, lower, upper, loss)
        return Objective(Function(Cost(residual, loss)), problem.args, layout, lower, upper)
    if problem.fun is not None:
        return Objective(Function(problem.fun), problem.args, layout, lower, upper)
    data = jax.tree.map(jnp.asarray, problem.data)
    return Objective(Function(problem.loss, "loss"), (data,), layout, lower, upper)  # type: ignore[arg-type]


def _packed_bounds(problem: Problem, layout: Layout | None) -> tuple[Any, Any]:
    if problem.bounds is None:
        return None, None
    start = as_arrays(problem.start(jax.random.key(0)))

    def pack(bound: Any, missing: float) -> Any:
        if bound is None or (np.ndim(bound) == 0 and not isinstance(bound, dict | tuple | list)):
            value = missing if bound is None else bound
            bound = jax.tree.map(lambda v: np.full(np.shape(v), value, v.dtype), start)
        bound = jax.tree.map(lambda b, v: np.broadcast_to(np.asarray(b, v.dtype), np.shape(v)), bound, start)
        return bound if layout is None else layout.pack(bound)

    return pack(problem.bounds[0], -np.inf), pack(problem.bounds[1], np.inf)


class FunctionRace:
    """Everything that the methods have in common."""

    def __init__(self, problem: Problem, seeds: tuple[int, ...], tuning_seeds: tuple[int, ...], grid: np.ndarray):
        self.problem, self.seeds, self.tuning_seeds, self.grid = problem, seeds, tuning_seeds, grid
        keys = [jax.random.key(s) for s in (*tuning_seeds, *seeds)]
        starts = [as_arrays(problem.start(jax.random.fold_in(key, 0))) for key in keys]
        self.starts = jax.tree.map(lambda *v: jnp.stack([jnp.asarray(a) for a in v]), *starts)

    def run(self, contender: Contender, steps: int, seconds: float, stopped: Callable[[], bool]) -> Running:
        """Tunes and races one method, for `steps` iterations, or less when `seconds` have passed (compilation not counted)."""
        return Running(self, contender, steps, seconds, stopped)


class Running(Sweep):
    """One method: all its step sizes and starts, and afterwards its pace alone on the machine."""

    def __init__(self, race: FunctionRace, contender: Contender, steps: int, seconds: float, stopped: Callable[[], bool]):
        self.race, self.contender = race, contender
        self.lrs = contender.steps(race.grid)
        start = jax.tree.map(lambda v: v[0], race.starts)
        kind = LeastSquares if getattr(contender.given, "solves", None) is LeastSquares else Objective
        self.method = as_method(contender.given, kind)
        self.layout = layout_for(self.method, start)
        self.problem = oracles(race.problem, kind, self.layout)
        self.start = start if self.layout is None else self.layout.pack(start)
        dtype = jnp.result_type(*jax.tree.leaves(start))
        self.lrs = self.lrs.astype(dtype)
        self.stop = MaxSteps(steps) | Optimality(default_tolerance(dtype))
        self.size = sum(int(np.prod(np.shape(v))) for v in jax.tree.leaves(start))
        begin = Compiled(partial(_begin, contender, kind, self.layout, steps + 1))
        step = Compiled(partial(_chunk, contender, kind), donate_argnames="carries")
        shapes, _ = compiled(begin, self.problem, self.stop, self.lrs, race.starts)
        n = 1
        compiled(step, self.problem, self.stop, self.lrs, np.int32(n), carries=shapes)
        with TURN.taken():
            carries = run(begin, self.problem, self.stop, self.lrs, race.starts)
            deadline = time.perf_counter() + seconds
            while not np.all(carries.status) and not stopped() and time.perf_counter() <= deadline:
                t = time.perf_counter()
                carries = jax.block_until_ready(run(step, self.problem, self.stop, self.lrs, np.int32(n), carries=carries))
                n = next_chunk(n, time.perf_counter() - t)
        self.cut = stopped() and not np.all(carries.status)
        self.status, self.nit = np.asarray(carries.status), np.asarray(carries.nit)
        self.loss = _held(np.asarray(carries.history["f"], np.float64), self.nit)
        self.work = _held(np.asarray(carries.history["work"]), self.nit)
        self.points = carries.state
        self.choose(race.problem.target)
        self.pace = []

    @property
    def losses(self) -> np.ndarray:
        return self.loss

    @property
    def words(self) -> str:
        """How it went, for the line of progress."""
        final = self.loss[len(self.race.tuning_seeds) :, self.chosen, -1]
        return f"final value {np.median(final):.3g}"

    def prepare_timing(self) -> None:
        """Compiles a single run, as the front door would, and keeps what is needed to time it."""
        kind = LeastSquares if isinstance(self.problem, LeastSquares) else Objective
        rule = self.contender.given.replace(lr=self.lr) if self.contender.tuned else self.contender.given
        method: Method = as_method(rule, kind)
        problem, stop, x0 = self.problem, self.stop, self.start

        quick = driver.compiles_quickly(method, problem, x0, stop)

        def once(steps: int) -> float:
            t = time.perf_counter()
            carry = driver.start(method, problem, x0, stop, None, (), 0, True, quick=quick)
            carry = jax.block_until_ready(driver.advance(method, problem, carry, stop, steps, quick=quick))
            return (time.perf_counter() - t) / max(int(carry.nit), 1)

        with Clock() as clock:
            once(1)
        self.seconds_compile = clock.seconds.compile
        # Not to the end of a race that may have taken minutes.
        most = max(1, int(np.median(self.nit[len(self.race.tuning_seeds) :, self.chosen])))
        steps = max(1, min(most, int(SECONDS / once(min(most, 8)))))
        self.once = lambda: once(steps)

    def entry(self) -> Entry:
        """The outcome, once the pace is known."""
        race, i = self.race, self.chosen
        pace = min(self.pace)
        curves = []
        for j, seed in enumerate(race.seeds, start=len(race.tuning_seeds)):
            n = int(self.nit[j, i])
            loss = self.loss[j, i, : n + 1]
            keep = sampled(loss, race.problem.target)
            curves.append(
                Curve(
                    seed=seed,
                    iteration=keep,
                    work=work.in_gradients(self.work[j, i, keep], self.size),
                    seconds=keep * pace,
                    loss=loss[keep],
                    validation=self._validation(j, i, len(keep)),
                    status=Status(int(self.status[j, i]) or Status.MAX_SECONDS).name,
                )
            )
        return self.entered(curves, pace)

    def _validation(self, j: int, i: int, rows: int) -> dict[str, np.ndarray]:
        """The measures at the last point; what they were on the way was not recorded."""
        p = self.race.problem
        if p.validation is None:
            return {}
        x = self.method.point(jax.tree.map(lambda v: v[j, i], self.points))
        params = x if self.layout is None else self.layout.unpack(x)
        means = mean_over(Function(together(p.loss, p.metrics)), params, jax.tree.map(jnp.asarray, p.validation))
        return {k: np.array([np.nan] * (rows - 1) + [float(v)]) for k, v in means.items()}


def sampled(loss: np.ndarray, target: float | None) -> np.ndarray:
    """The rows of a curve to keep: all early ones, later ones ever sparser, and the first at the target."""
    n = len(loss) - 1
    hits = np.flatnonzero(loss <= (-np.inf if target is None else target))
    rows = [np.arange(min(n, 64) + 1), np.geomspace(1, n + 1, 150).astype(int) - 1, hits[:1]]
    return np.unique(np.concatenate(rows)).astype(int)


def _held(rows: np.ndarray, nit: np.ndarray) -> np.ndarray:
    """Rows after the last iteration repeat it."""
    n = rows.shape[2]
    index = np.minimum(np.arange(n), nit[..., None])
    return np.take_along_axis(rows, index.reshape(*index.shape, *([1] * (rows.ndim - 3))), 2)


def _begin(
    contender: Contender, kind: type[Oracles], layout: Layout | None, rows: int, problem: Any, stop: Any, lrs: Any, starts: Any
) -> Any:
    """The carries at the start, (seeds, step sizes)."""

    def one(params: Any, lr: Any) -> Any:
        packed = params if layout is None else layout.pack(params)
        method = as_method(contender.with_step_size(lr), kind)
        return driver.start(method, problem, packed, stop, None, ("f", "work"), rows, False)

    return jax.vmap(lambda params: jax.vmap(lambda lr: one(params, lr))(lrs))(starts)


def _chunk(contender: Contender, kind: type[Oracles], problem: Any, stop: Any, lrs: Any, n: Any, carries: Any) -> Any:
    def lane(lr: Any, carry: Any) -> Any:
        return driver.advance(as_method(contender.with_step_size(lr), kind), problem, carry, stop, n)

    if contender.tuned:
        return jax.vmap(lambda row: jax.vmap(lane)(lrs, row))(carries)
    # Few runs, one after the other: side by side, each would wait for the longest loop of any within a step (searches, dampings).
    alone = jax.tree.map(lambda v: v[:, 0], carries)
    return jax.tree.map(lambda v: v[:, None], jax.lax.map(lambda carry: lane(lrs[0], carry), alone))
