"""What a sweep over step sizes and seeds has found, the same for every kind of race: the step size to race, and the entry."""

from __future__ import annotations

from typing import Any

import numpy as np

from ravine.compare.comparison import Curve, Entry
from ravine.compare.contenders import Contender


class Sweep:
    """One method's runs: all step sizes `lrs` on the tuning seeds and on those of the race.

    Attributes:
        cut: whether Ctrl-C ended the runs before their budget.
        chosen: which step size is raced, and `grid_loss` the final loss of each, the median over tuning seeds.
        pace: seconds of an iteration alone on the machine, one number a repeat.
        seconds_compile: tracing and compiling a single run.
    """

    race: Any
    contender: Contender
    lrs: Any
    cut: bool
    chosen: int
    grid_loss: np.ndarray
    pace: list[float]
    seconds_compile: float

    @property
    def losses(self) -> np.ndarray:
        """Of all runs, (seeds, step sizes, evaluations), tuning seeds first."""
        raise NotImplementedError

    def choose(self, target: float | None) -> None:
        """The step size, by the cost to the target on the tuning seeds, then by the final loss.

        As in the ranking, step sizes that end above a target that they reached come after the others.
        """
        losses = self.losses[: len(self.race.tuning_seeds)]
        hits = losses <= (-np.inf if target is None else target)
        reached = hits.any(-1)
        passed = np.asarray(reached.any(0) & ~hits[..., -1].any(0))
        first = np.where(reached, hits.argmax(-1), 0)
        final = np.where(np.isfinite(losses[..., -1]), losses[..., -1], np.inf)
        missed, mean_first = (~reached).sum(0), first.sum(0) / np.maximum(reached.sum(0), 1)
        self.grid_loss = np.median(final, 0)
        self.chosen = min(range(len(self.lrs)), key=lambda i: (missed[i], passed[i], mean_first[i], self.grid_loss[i]))

    @property
    def lr(self) -> float | None:
        """The step size that is raced, None for a method without one."""
        return float(self.lrs[self.chosen]) if self.contender.tuned else None

    def entered(self, curves: list[Curve], pace: float) -> Entry:
        """The outcome."""
        tuned, last = self.contender.tuned, len(self.lrs) - 1
        return Entry(
            name=self.contender.name,
            setting=self.contender.setting(None if self.lr is None else float(f"{self.lr:.3g}")),
            step_size=self.lr,
            grid=np.asarray(self.lrs, np.float64) if tuned else np.zeros(0),
            grid_loss=self.grid_loss if tuned else np.zeros(0),
            edge={0: "smallest", last: "largest"}.get(self.chosen, "") if tuned and last > 1 else "",
            curves=tuple(curves),
            seconds_per_iteration=pace,
            seconds_compile=self.seconds_compile,
        )
