"""The race on a training loss: step sizes × seeds of one method run side by side in one compiled program, an epoch a call.

Fair by construction: every method sees the same starts and the same order of batches for a seed, the same number of epochs, and the
same grid of step sizes. The step size is chosen on tuning seeds and scored on others. All rules that move each element alone share
one program (`one_of.py`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.compare.budget import Budget
from ravine.compare.comparison import Curve, Entry
from ravine.compare.contenders import Contender
from ravine.compare.one_of import OneOf, WholeGradient
from ravine.compare.sweep import Sweep, held
from ravine.compare.turn import TURN, compiled, run
from ravine.core import driver
from ravine.core.choice import as_method
from ravine.core.clock import Clock
from ravine.core.codegen import LIGHT, Compiled
from ravine.core.convolutions import convolves, over_lanes
from ravine.core.flat import Layout, as_arrays
from ravine.core.function import Function
from ravine.core.hyperparameters import with_values
from ravine.core.method import Method
from ravine.core.problem import Training
from ravine.core.rule import Rule, layout_for
from ravine.core.status import Status
from ravine.core.stop import MaxSteps
from ravine.methods.first_order.gradient_descent import GradientDescent
from ravine.problems.problem import Problem
from ravine.training.batches import examples
from ravine.training.evaluate import mean_over, together

NEVER = 2**31 - 2
ROOM = 2**26
"""Where all runs of a method have more parameters than this together, rules do not share a program: each would have to hold the
state of the largest, and what is saved in compilation no longer counts."""


class TrainingRace:
    """Everything that the methods have in common: data, starts, orders, measures."""

    def __init__(
        self,
        problem: Problem,
        seeds: tuple[int, ...],
        tuning_seeds: tuple[int, ...],
        grid: np.ndarray,
        contenders: Sequence[Contender] = (),
        shipped: bool = False,
    ):
        self.problem, self.seeds, self.tuning_seeds, self.grid, self.shipped = problem, seeds, tuning_seeds, grid, shipped
        self.n = examples(problem.data)
        self.size = problem.batch_size or self.n
        self.steps = self.n // self.size
        if not self.steps:
            raise ValueError(f"problem {problem.name!r}: batch_size={problem.batch_size} is larger than its {self.n} examples")
        self.data = jax.tree.map(jnp.asarray, problem.data)
        self.validation = jax.tree.map(jnp.asarray, problem.validation)
        self.loss = Function(problem.loss, "loss")  # type: ignore[arg-type]
        self.measure = Function(together(problem.loss, problem.metrics))

        def start(seed: Any) -> Any:
            return as_arrays(problem.start(jax.random.fold_in(jax.random.key(seed), 0)))

        # The start depends on the seed alone, so that all methods and step sizes begin at the same point.
        self.starts = run(Compiled(jax.vmap(start)), jnp.array([*tuning_seeds, *seeds]))
        self._orders: dict[int, Any] = {}
        small = len(grid) * sum(v.size for v in jax.tree.leaves(self.starts)) <= ROOM
        self._shared = {c.name: c.given for c in contenders if small and c.tuned and not c.space and _elementwise(c.given)}
        self.compiling = threading.Lock()

    def shares(self, contender: Contender) -> bool:
        """Whether the contender runs in the program that most rules share."""
        return contender.name in self._shared

    def raced(self, given: Any) -> Any:
        """What runs for a method: gradient descent takes the gradient of the whole loss, one step an epoch."""
        return WholeGradient(given, self.steps) if isinstance(given, GradientDescent) else given

    def method(self, contender: Contender) -> Method:
        """The method that sweeps the step sizes of a contender."""
        if not self.shares(contender):
            return as_method(self.raced(contender.given), Training)
        rules = tuple(map(self.raced, self._shared.values()))
        return as_method(OneOf(which=jnp.int32([*self._shared].index(contender.name)), rules=rules), Training)

    def order(self, epoch: int) -> Any:
        """The examples of each step of an epoch, (seeds, steps, size), the same for all methods."""
        if epoch not in self._orders:
            # By NumPy: to compile a sort takes longer than a race on the digits spends on one method.
            drawn = [np.random.default_rng((seed, epoch)).permutation(self.n) for seed in (*self.tuning_seeds, *self.seeds)]
            rows = np.stack(drawn)[:, : self.steps * self.size].astype(np.int32)
            self._orders[epoch] = jnp.asarray(rows.reshape(-1, self.steps, self.size))
        return self._orders[epoch]

    def first_start(self) -> Any:
        """The starting parameters of the first race seed."""
        return jax.tree.map(lambda v: np.asarray(v)[len(self.tuning_seeds)], self.starts)

    def run(self, contender: Contender, budget: Budget, stopped: Callable[[], bool]) -> Running:
        """Tunes and races one method, until it has spent its budget (compilation not counted)."""
        return Running(self, contender, budget, stopped)


def _elementwise(given: Any) -> bool:
    return isinstance(given, Rule) and given.scope == "element"


class Running(Sweep):
    """One method: its sweep, and afterwards its pace alone on the machine."""

    def __init__(self, race: TrainingRace, contender: Contender, budget: Budget, stopped: Callable[[], bool]):
        self.race, self.contender = race, contender
        points, self.tried = contender.lanes(race.grid, race.shipped)
        self.points = {name: jnp.asarray(v, jnp.float32) for name, v in points.items()}
        seconds, epochs = budget.seconds, budget.epochs
        start = race.first_start()
        self.method = race.method(contender)
        self.layout = layout_for(self.method, start, "params")
        with race.compiling if race.shares(contender) else contextlib.nullcontext():
            # The first to come compiles for all that share its program, while these wait.
            shapes, _ = compiled(_begin, self.method, self.points, race.starts, tuned=contender.tuned, layout=self.layout)
            with ThreadPoolExecutor(1) as beside:  # XLA compiles the one while the other is traced
                looking = beside.submit(self._look, shapes, compiled)
                alone = [np.isfinite(seconds), self._epoch(shapes, 0, compiled)[1], looking.result()[1]]
        # Where seconds are the budget, each method has the machine for itself.
        with TURN.taken(any(alone)):
            carries = run(_begin, self.method, self.points, race.starts, tuned=contender.tuned, layout=self.layout)
            measured = [self._look(carries)]
            deadline = time.perf_counter() + seconds
            for e in range(epochs):
                if np.isfinite(seconds):
                    jax.block_until_ready(carries)
                if stopped() or time.perf_counter() > deadline:
                    break
                carries = self._epoch(carries, e)
                measured.append(self._look(carries))
            jax.block_until_ready(measured)
        self.cut = stopped() and len(measured) <= epochs
        self.status = np.asarray(carries.status)
        self.loss = np.stack([np.asarray(m[0], np.float64) for m in measured])  # (evaluations, seeds, settings)
        self.validation = {k: np.stack([np.asarray(m[1][k], np.float64) for m in measured]) for k in measured[0][1]}
        self.choose(race.problem.target)
        self.pace = []

    @property
    def losses(self) -> np.ndarray:
        return np.moveaxis(self.loss, 0, -1)

    def _epoch(self, carries: Any, e: int, call: Callable[..., Any] = run) -> Any:
        race, how = self.race, {"tuned": self.contender.tuned, "layout": self.layout, "steps": self.race.steps}
        first = jnp.int32(e * race.steps)
        return call(_epoch, self.method, self.points, race.loss, race.data, race.order(e), carries, first, **how)

    def _look(self, carries: Any, call: Callable[..., Any] = run) -> Any:
        race = self.race
        return call(look, race.loss, race.measure, carries.state.x, race.data, race.validation, layout=self.layout)

    @property
    def words(self) -> str:
        """How it went, for the line of progress."""
        final = self.loss[-1][len(self.race.tuning_seeds) :, self.chosen]
        return f"final value {np.median(final):.3g}"

    def prepare_timing(self) -> None:
        """Compiles the program of a single run, as `train` would, and keeps what is needed to time it."""
        race = self.race
        method = as_method(race.raced(self.contender.at(self.point)), Training)
        params = race.first_start()
        packed = params if self.layout is None else self.layout.pack(params)
        problem = Training(race.loss, race.data, race.order(0)[-1], jnp.int32(0), self.layout)
        stop = MaxSteps(NEVER)
        with Clock() as clock:
            carry = driver.start(method, problem, packed, stop, None, (), 0, False)
            carry = driver.advance(method, problem, carry, stop, 1)
            jax.block_until_ready(carry)
        self.seconds_compile = clock.seconds.compile
        fresh = driver.start(method, problem, packed, stop, None, (), 0, False)
        self.memory = held(fresh.state, packed)

        def once() -> float:
            # From the start again each time, so that a step size that diverges later does not end the loop early.
            carry = jax.block_until_ready(jax.tree.map(jnp.copy, fresh))
            t = time.perf_counter()
            carry = jax.block_until_ready(driver.advance(method, problem, carry, stop, race.steps))
            return (time.perf_counter() - t) / max(int(carry.k), 1)

        self.once = once

    def entry(self) -> Entry:
        """The outcome, once the pace is known."""
        return self.entered(min(self.pace))

    def curves(self, lane: int, pace: float) -> list[Curve]:
        race, curves = self.race, []
        for j, seed in enumerate(race.seeds, start=len(race.tuning_seeds)):
            evaluations = len(self.loss)
            iteration = np.arange(evaluations) * race.steps
            curves.append(
                Curve(
                    seed=seed,
                    iteration=iteration,
                    work=iteration * race.size / race.n,
                    seconds=iteration * pace,
                    loss=self.loss[:, j, lane],
                    validation={k: v[:, j, lane] for k, v in self.validation.items()},
                    status=Status(int(self.status[j, lane]) or Status.MAX_STEPS).name,
                )
            )
        return curves


@partial(Compiled, static_argnames=("tuned", "layout"))
def _begin(method: Method, points: Any, starts: Any, *, tuned: bool, layout: Layout | None) -> Any:
    """The carries at the start, (seeds, settings)."""

    def one(params: Any, point: Any) -> Any:
        packed = params if layout is None else layout.pack(params)
        lane = with_values(method, point) if tuned else method
        return driver.start(lane, Training(Function(_nothing), ()), packed, MaxSteps(NEVER), None, (), 0, False)

    return jax.vmap(lambda params: jax.vmap(lambda point: one(params, point))(points))(starts)


def _nothing(params: Any, batch: Any) -> Any:
    return jnp.zeros(())


@partial(Compiled, options=LIGHT, static_argnames=("tuned", "layout", "steps"), donate_argnames="carries")
def _epoch(
    method: Method,
    points: Any,
    loss: Function,
    data: Any,
    orders: Any,
    carries: Any,
    first: Any,
    *,
    tuned: bool,
    layout: Layout | None,
    steps: int,
) -> Any:
    """One epoch of every seed and step size."""

    spread = _over_lanes(loss, carries.state.x, Training(loss, data, orders[0], first, layout).batch(first), layout)

    def of_seed(order: Any, row: Any) -> Any:
        problem = Training(loss, data, order, first, layout)

        def lane(point: Any, carry: Any) -> Any:
            return driver.advance(with_values(method, point) if tuned else method, problem, carry, MaxSteps(NEVER), steps)

        # The batch is drawn once a seed, and shared by all step sizes.
        return spread(lane)(points, row)

    return spread(of_seed)(orders, carries)


@partial(Compiled, options=LIGHT, static_argnames="layout")
def look(loss: Function, measure: Function, xs: Any, data: Any, validation: Any, *, layout: Layout | None) -> Any:
    """The mean training loss and the validation measures of each lane; one program for all methods of a layout."""

    def one(x: Any) -> Any:
        params = x if layout is None else layout.unpack(x)
        train = mean_over(loss, params, data)
        return train, {} if validation is None else mean_over(measure, params, validation)

    spread = _over_lanes(loss, xs, data, layout)
    return spread(spread(one))(xs)


def _over_lanes(fun: Function, xs: Any, data: Any, layout: Layout | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """How a function goes over seeds or step sizes, where `fun(params, data)` is what it computes."""
    x = jax.tree.map(lambda v: v[0, 0], xs)
    return over_lanes(convolves(fun, x if layout is None else layout.unpack(x), data))
