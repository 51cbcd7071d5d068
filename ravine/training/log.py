"""What a tracker is told of a training run."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.choice import label
from ravine.core.hyperparameters import step_size_of
from ravine.core.method import Method
from ravine.core.pytree import Record
from ravine.core.rule import MinibatchDescent, Transformation
from ravine.trackers.front import Trackers

SECONDS_BETWEEN_ROWS = 2.0
"""Within an epoch, which may be long, or never end."""


class RunLog:
    """Rows of numbers on their way to a tracker. It reads the run and changes nothing of it, not even where the host looks."""

    def __init__(self, tracker: Trackers, method: Method, config: dict[str, Any]):
        self.tracker, self.lr = tracker, step_size_of(method)
        fixed = {} if self.lr is None or callable(self.lr) else {"lr": _value(self.lr, 0)}
        self.config = {"method": _text(method), **fixed, **config}
        self.started, self.boundaries, self.steps, self.seconds = False, 0, 0, 0.0

    def start(self, iteration: int) -> None:
        """The run begins, at this iteration; what the tracker raises is raised."""
        self.tracker.start("", self.config)
        self.started, self.iteration = True, iteration
        self.left = self.told = time.perf_counter()

    def arrives(self, steps: int) -> None:
        """The run is at the host, after so many more steps."""
        self.boundaries += 1
        if self.boundaries > 1:  # the time until the first one is that of the compilation
            self.steps, self.seconds = self.steps + steps, self.seconds + time.perf_counter() - self.left

    def epoch(self, row: dict[str, float]) -> None:
        """The row of an epoch that has ended."""
        measured = {name: v for name, v in row.items() if name not in ("epoch", "iteration", "loss", "seconds")}
        named = {f"eval/{'loss' if name == 'validation_loss' else name}": v for name, v in measured.items()}
        self._tell({"train/loss": row["loss"], **named}, int(row["iteration"]))

    def leaves(self, losses: Sequence[np.ndarray], iteration: int) -> None:
        """The host is done with this boundary; `losses` are those of all steps up to this iteration."""
        now = time.perf_counter()
        if now - self.told > SECONDS_BETWEEN_ROWS:
            self._rest(losses, iteration)
        if self.told > self.left:
            self.steps, self.seconds = 0, 0.0
        self.left = time.perf_counter()

    def finish(self, losses: Sequence[np.ndarray], summary: dict[str, Any]) -> None:
        """The run has ended; steps of an epoch that is not full are a row, too."""
        if self.started:
            self._rest(losses, summary["iterations"])
            self.tracker.finish(summary)

    def _rest(self, losses: Sequence[np.ndarray], iteration: int) -> None:
        if iteration > self.iteration:
            since = np.concatenate(losses)[self.iteration : iteration]
            self._tell({"train/loss": float(np.mean(since, dtype=np.float64))}, iteration)

    def _tell(self, metrics: dict[str, float], iteration: int) -> None:
        if self.lr is not None:
            metrics["lr"] = _value(self.lr, iteration - 1)
        if self.steps:
            metrics["step_time"] = self.seconds / self.steps
        self.tracker.log(metrics, iteration)
        self.iteration, self.told = iteration, time.perf_counter()


def _value(step_size: Any, count: int) -> float:
    """A step size at the 0-based count of steps."""
    if not callable(step_size):
        return float(step_size)
    with jax.numpy_dtype_promotion("standard"):  # as when it is used
        return float(step_size(jnp.int32(count)))


def _text(method: Method) -> str:
    """The call that makes a method, with all its settings."""
    chosen: Any = method.rule if isinstance(method, MinibatchDescent) else method
    if isinstance(chosen, Transformation) or not isinstance(chosen, Record):
        return label(chosen)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(chosen))  # a schedule's place in memory says nothing
