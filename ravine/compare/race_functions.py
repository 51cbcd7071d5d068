"""The race on a function, on residuals, or on a training loss over all data at once: no noise, so a run is one `solve`.

Methods that are tuned run all their settings side by side; the others run as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.compare.budget import MAX_WORK, Budget
from ravine.compare.comparison import Curve, Entry
from ravine.compare.contenders import Contender
from ravine.compare.sweep import Sweep, held
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
    if solves is LeastSquares:
        assert problem.residual is not None
        residual, loss = Function(problem.residual, "residual"), as_loss(problem.residual_loss, 1.0)
        return LeastSquares(residual, problem.args, layout, lower, upper, loss)
    fun, args = objective_of(problem)
    return Objective(Function(fun, "fun" if problem.loss is None else "loss"), args, layout, lower, upper)


def objective_of(problem: Problem) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What is minimised, f(x, *args) → a scalar, and its args: for residuals their cost, for training the loss over all data."""
    if problem.residual is not None:
        return Cost(Function(problem.residual, "residual"), as_loss(problem.residual_loss, 1.0)), problem.args
    if problem.fun is not None:
        return problem.fun, problem.args
    assert problem.loss is not None
    return problem.loss, (jax.tree.map(jnp.asarray, problem.data),)


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

    def __init__(
        self, problem: Problem, seeds: tuple[int, ...], tuning_seeds: tuple[int, ...], grid: np.ndarray, shipped: bool = False
    ):
        self.problem, self.seeds, self.tuning_seeds, self.grid, self.shipped = problem, seeds, tuning_seeds, grid, shipped
        keys = [jax.random.key(s) for s in (*tuning_seeds, *seeds)]
        starts = [as_arrays(problem.start(jax.random.fold_in(key, 0))) for key in keys]
        self.starts = jax.tree.map(lambda *v: jnp.stack([jnp.asarray(a) for a in v]), *starts)

    def run(self, contender: Contender, budget: Budget, stopped: Callable[[], bool]) -> Running:
        """Tunes and races one method, until it has spent its budget (compilation not counted)."""
        return Running(self, contender, budget, stopped)


class Running(Sweep):
    """One method: all its settings and starts, and afterwards its pace alone on the machine."""

    def __init__(self, race: FunctionRace, contender: Contender, budget: Budget, stopped: Callable[[], bool]):
        self.race, self.contender = race, contender
        points, self.tried = contender.lanes(race.grid, race.shipped)
        start = jax.tree.map(lambda v: v[0], race.starts)
        kind = LeastSquares if getattr(contender.given, "solves", None) is LeastSquares else Objective
        self.method = as_method(contender.given, kind)
        self.layout = layout_for(self.method, start)
        self.problem = oracles(race.problem, kind, self.layout)
        self.start = start if self.layout is None else self.layout.pack(start)
        dtype = jnp.result_type(*jax.tree.leaves(start))
        self.points = {name: v.astype(dtype) for name, v in points.items()}
        self.stop = MaxSteps(budget.steps) | Optimality(default_tolerance(dtype))
        self.size = sum(int(np.prod(np.shape(v))) for v in jax.tree.leaves(start))
        begin = Compiled(partial(_begin, contender, kind, self.layout, budget.steps + 1))
        step = Compiled(partial(_chunk, contender, kind), donate_argnames="carries")
        shapes, _ = compiled(begin, self.problem, self.stop, self.points, race.starts)
        n = 1
        compiled(step, self.problem, self.stop, self.points, np.int32(n), carries=shapes)
        with TURN.taken():
            carries = run(begin, self.problem, self.stop, self.points, race.starts)
            deadline = time.perf_counter() + budget.seconds
            while not self._ended(carries, budget) and not stopped() and time.perf_counter() <= deadline:
                t = time.perf_counter()
                carries = jax.block_until_ready(run(step, self.problem, self.stop, self.points, np.int32(n), carries=carries))
                n = next_chunk(n, time.perf_counter() - t)
        self.cut = stopped() and not self._ended(carries, budget)
        self.status = np.array([Status(int(v) or Status.MAX_SECONDS).name for v in np.ravel(carries.status)], object)
        self.status = self.status.reshape(carries.status.shape)
        self.nit = np.asarray(carries.nit)
        self.taken_back = np.zeros(self.nit.shape, bool)
        if np.isfinite(budget.work):
            self._within(budget.work, np.asarray(carries.history["work"]))
        self.loss = _held(np.asarray(carries.history["f"], np.float64), self.nit)
        self.work = _held(np.asarray(carries.history["work"]), self.nit)
        self.states = carries.state
        self.choose(race.problem.target)
        self.pace = []

    def _ended(self, carries: Any, budget: Budget) -> bool:
        """Whether every run has come to an end, or has done all the work that it may."""
        spent = work.in_gradients(np.asarray(carries.work), self.size) >= budget.work
        return bool(np.all((np.asarray(carries.status) != 0) | spent))

    def _within(self, most: float, done: np.ndarray) -> None:
        """Takes each run back to its last iteration within the work that it may do."""
        spent = work.in_gradients(done, self.size)
        rows = np.arange(spent.shape[-1])
        last = np.where((rows <= self.nit[..., None]) & (spent <= most), rows, 0).max(-1)
        self.taken_back = last < self.nit
        self.status[self.taken_back | np.asarray(self.status == "MAX_SECONDS")] = MAX_WORK
        self.nit = last

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
        method: Method = as_method(self.contender.at(self.point), kind)
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
        self.memory = held(driver.start(method, problem, x0, stop, None, (), 0, True, quick=quick).state, x0)
        # Not to the end of a race that may have taken minutes.
        most = max(1, int(np.median(self.nit[len(self.race.tuning_seeds) :, self.chosen])))
        steps = max(1, min(most, int(SECONDS / once(min(most, 8)))))
        self.once = lambda: once(steps)

    def entry(self) -> Entry:
        """The outcome, once the pace is known."""
        return self.entered(min(self.pace))

    def curves(self, lane: int, pace: float) -> list[Curve]:
        race, curves = self.race, []
        for j, seed in enumerate(race.seeds, start=len(race.tuning_seeds)):
            n = int(self.nit[j, lane])
            loss = self.loss[j, lane, : n + 1]
            keep = sampled(loss, race.problem.target)
            curves.append(
                Curve(
                    seed=seed,
                    iteration=keep,
                    work=work.in_gradients(self.work[j, lane, keep], self.size),
                    seconds=keep * pace,
                    loss=loss[keep],
                    validation=self._validation(j, lane, len(keep)),
                    status=self.status[j, lane],
                )
            )
        return curves

    def _validation(self, j: int, i: int, rows: int) -> dict[str, np.ndarray]:
        """The measures at the last point; what they were on the way was not recorded."""
        p = self.race.problem
        if p.validation is None:
            return {}
        x = self.method.point(jax.tree.map(lambda v: v[j, i], self.states))
        params = x if self.layout is None else self.layout.unpack(x)
        means = mean_over(Function(together(p.loss, p.metrics)), params, jax.tree.map(jnp.asarray, p.validation))
        known = not self.taken_back[j, i]  # of a run that was taken back, the last point is gone
        return {k: np.array([np.nan] * (rows - 1) + [float(v) if known else np.nan]) for k, v in means.items()}


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
    contender: Contender, kind: type[Oracles], layout: Layout | None, rows: int, problem: Any, stop: Any, points: Any, starts: Any
) -> Any:
    """The carries at the start, (seeds, settings)."""

    def one(params: Any, point: Any) -> Any:
        packed = params if layout is None else layout.pack(params)
        method = as_method(contender.at(point), kind)
        return driver.start(method, problem, packed, stop, None, ("f", "work"), rows, False)

    return jax.vmap(lambda params: jax.vmap(lambda point: one(params, point))(points))(starts)


def _chunk(contender: Contender, kind: type[Oracles], problem: Any, stop: Any, points: Any, n: Any, carries: Any) -> Any:
    def lane(point: Any, carry: Any) -> Any:
        return driver.advance(as_method(contender.at(point), kind), problem, carry, stop, n)

    if contender.tuned:
        return jax.vmap(lambda row: jax.vmap(lane)(points, row))(carries)
    # Few runs, one after the other: side by side, each would wait for the longest loop of any within a step (searches, dampings).
    alone = jax.tree.map(lambda v: v[:, 0], carries)
    return jax.tree.map(lambda v: v[:, None], jax.lax.map(lambda carry: lane({}, carry), alone))
