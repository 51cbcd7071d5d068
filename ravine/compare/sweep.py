"""What a sweep over settings and seeds has found, the same for every kind of race: the setting to race, and the entry."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ravine.compare.comparison import Curve, Entry, Shipped
from ravine.compare.contenders import Contender


class Sweep:
    """One method's runs: all its settings on the tuning seeds and on those of the race.

    Attributes:
        points: the values of each lane, by the name of the hyperparameter. The first `tried` lanes are what was tried; the one that
            may come behind them is the method as shipped.
        cut: whether Ctrl-C ended the runs before their budget.
        chosen: which lane is raced, and `grid_loss` the final loss of each that was tried, the median over tuning seeds.
        pace: seconds of an iteration alone on the machine, one number a repeat.
        seconds_compile: tracing and compiling a single run; memory: bytes that it holds beside the parameters.
    """

    race: Any
    contender: Contender
    points: dict[str, Any]
    tried: int
    cut: bool
    chosen: int
    grid_loss: np.ndarray
    pace: list[float]
    seconds_compile: float
    memory: int

    @property
    def losses(self) -> np.ndarray:
        """Of all runs, (seeds, settings, evaluations), tuning seeds first."""
        raise NotImplementedError

    @property
    def first_losses(self) -> np.ndarray:
        """Those of what is raced, on the first seed of the race."""
        return np.asarray(self.losses[len(self.race.tuning_seeds), self.chosen])

    def curves(self, lane: int, pace: float) -> list[Curve]:
        """The runs of a lane on the seeds of the race, where an iteration takes `pace` seconds."""
        raise NotImplementedError

    def choose(self, target: float | None) -> None:
        """The setting, by the cost to the target on the tuning seeds, then by the final loss.

        As in the ranking, settings that end above a target that they reached come after the others.
        """
        losses = self.losses[: len(self.race.tuning_seeds), : self.tried]
        hits = losses <= (-np.inf if target is None else target)
        reached = hits.any(-1)
        passed = np.asarray(reached.any(0) & ~hits[..., -1].any(0))
        first = np.where(reached, hits.argmax(-1), 0)
        final = np.where(np.isfinite(losses[..., -1]), losses[..., -1], np.inf)
        missed, mean_first = (~reached).sum(0), first.sum(0) / np.maximum(reached.sum(0), 1)
        self.grid_loss = np.median(final, 0)
        self._order = sorted(range(self.tried), key=lambda i: (missed[i], passed[i], mean_first[i], self.grid_loss[i]))
        self.chosen = self._order[0]

    @property
    def point(self) -> dict[str, float]:
        """The values that are raced; empty for a method that was not tuned."""
        return {name: float(v[self.chosen]) for name, v in self.points.items()} if self.contender.tuned else {}

    @property
    def setting(self) -> str:
        """The call that makes what is raced, to three digits."""
        return self.contender.setting(_rounded(self.point))

    def _by_trials(self) -> np.ndarray:
        """The final loss on the seeds of the race that is to be expected after choosing among k of the settings, for each k."""
        losses = self.losses[len(self.race.tuning_seeds) :, : self.tried]
        start = np.nanmedian(losses[..., 0])
        final = np.where(np.isfinite(losses[..., -1]), losses[..., -1], np.inf)
        outcome = np.minimum(np.median(final, 0), start)[self._order]  # whoever diverges sees it, and has the start
        n = self.tried
        k = np.arange(1, n + 1)
        part, expected = k / n, np.zeros(n)  # of all ways to draw k of n settings, those whose best one is the i-th best of all
        for i in range(n):
            expected += part * outcome[i]
            part = part * np.clip(n - i - k, 0, None) / max(n - 1 - i, 1)
        return expected

    def entered(self, pace: float) -> Entry:
        """The outcome."""
        tuned, last = self.contender.tuned, self.tried - 1
        alone = set(self.points) == {"lr"} and not any(r.points for r in self.contender.space)
        ends = [r.end(self.point[r.name]) for r in self.contender.space]
        return Entry(
            name=self.contender.name,
            setting=self.setting,
            step_size=self.point.get("lr"),
            grid=np.asarray(self.points["lr"][: self.tried], np.float64) if tuned and alone else np.zeros(0),
            grid_loss=self.grid_loss if tuned else np.zeros(0),
            edge={0: "smallest", last: "largest"}.get(self.chosen, "") if tuned and alone and last > 1 and not any(ends) else "",
            curves=tuple(self.curves(self.chosen, pace)),
            seconds_per_iteration=pace,
            seconds_compile=self.seconds_compile,
            tuned=self.point,
            trials={} if alone or not tuned else {k: np.asarray(v[: self.tried], np.float64) for k, v in self.points.items()},
            ends=tuple(filter(None, ends)),
            shipped=self._shipped(pace),
            by_trials=self._by_trials() if tuned and last else np.zeros(0),
            cut=self.cut,
            memory=self.memory,
            spec=self.contender.spec(self.point),
        )

    def _shipped(self, pace: float) -> Shipped | None:
        lanes = len(next(iter(self.points.values())))
        if lanes == self.tried:
            return None
        own = {name: float(v[self.tried]) for name, v in self.points.items()}
        return Shipped.of(self.contender.setting(_rounded(own)), self.curves(self.tried, pace), self.race.problem.target)


def held(state: Any, x: Any) -> int:
    """Bytes of a state beside those of the parameters."""
    of_state, of_x = (sum(v.nbytes for v in jax.tree.leaves(tree)) for tree in (state, x))
    return of_state - of_x


def _rounded(point: dict[str, float]) -> dict[str, float]:
    """Values to three digits, counted from 1 for those just below it: 0.9987 is 1 − 0.0013."""
    return {name: 1 - float(f"{1 - v:.3g}") if 0.9 < v < 1 else float(f"{v:.3g}") for name, v in point.items()}
