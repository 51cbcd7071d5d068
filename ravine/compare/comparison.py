"""What a race returns, as data: curves, scores, a ranking and a verdict."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ravine.core.files import file_name, write_whole
from ravine.core.plain import plain
from ravine.core.registry import names

AXES = ("iteration", "work", "seconds")
"""What a cost is counted in."""
RESAMPLES = 1000
TIE = 0.1
"""Two methods whose cost to the target differs by less than this fraction are called equal."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """One run with one seed, seen at its evaluation points.

    Attributes:
        seed: which start and which order of batches.
        iteration: steps done; the first is 0.
        work: gradients done, in passes over the data for training and in evaluations otherwise.
        seconds: iteration × the seconds an iteration takes alone on the machine; evaluation and compilation are not in it.
        loss: the value, for training the mean loss over all training data.
        validation: means over validation data by name ("loss", "accuracy" …), or empty.
        status: why the run ended.
    """

    seed: int
    iteration: np.ndarray
    work: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray
    validation: dict[str, np.ndarray]
    status: str

    def first(self, target: float | None) -> int | None:
        """The index of the first evaluation at or below the target."""
        if target is None:
            return None
        hits = np.flatnonzero(self.loss <= target)
        return int(hits[0]) if hits.size else None

    def stayed(self, target: float | None) -> bool:
        """Whether the run was at or below the target from the first hit to its end."""
        i = self.first(target)
        return i is not None and bool(np.all(self.loss[i:] <= target))

    @property
    def final(self) -> float:
        """The last value; infinity where it is not finite."""
        last = float(self.loss[-1])
        return last if np.isfinite(last) else float("inf")


def expected(curves: Sequence[Curve], axis: str, target: float | None) -> float:
    """Expected cost to the target: all the cost spent by all seeds, divided by the number that reached it."""
    firsts = [c.first(target) for c in curves]
    reached = sum(i is not None for i in firsts)
    spent = sum(float(getattr(c, axis)[-1 if i is None else i]) for c, i in zip(curves, firsts, strict=True))
    return spent / reached if reached else float("inf")


@dataclasses.dataclass(frozen=True)
class Shipped:
    """How a method did with the hyperparameters that it comes with, on the seeds of the race.

    Attributes:
        setting: the call that makes it.
        reached: how many seeds reached the target.
        iteration, work, seconds: expected cost to the target; infinity where no seed reached it.
        final: the median final value.
    """

    setting: str
    reached: int
    iteration: float
    work: float
    seconds: float
    final: float

    @staticmethod
    def of(setting: str, curves: Sequence[Curve], target: float | None) -> Shipped:
        """That of these runs."""
        reached = sum(c.first(target) is not None for c in curves)
        costs = {axis: expected(curves, axis, target) for axis in AXES}
        return Shipped(setting, reached, final=float(np.median([c.final for c in curves])), **costs)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One method in the race.

    Attributes:
        name: the registered name (or the label of an optax transformation).
        setting: the call that makes it: "Adam(0.01)".
        step_size: the step size that was chosen, None for a method without one.
        grid: the step sizes tried, and `grid_loss` the final loss of each, the median over tuning seeds; empty without tuning.
        edge: "smallest" or "largest" where the best step size lies on the edge of the grid, else "".
        curves: one a race seed.
        seconds_per_iteration: of this method alone on the machine, compiled: the least of repeats, the one least disturbed.
        seconds_compile: tracing and compiling its programs.
        remark: what else a reader should know.
        tuned: the hyperparameters that were chosen, by name; `trials` the values tried of each, where there were several.
        ends: which of them lie at an end of their range, in words.
        shipped: how it did with its defaults, None where that was not raced.
        by_trials: the final loss to be expected after choosing among 1, 2, … of the settings; empty without tuning.
        cut: whether Ctrl-C ended it before its budget.
        memory: bytes that a run holds beside the parameters: what the method remembers, and what its step needs.
        spec: what stands for it in a list of methods, with what was chosen: "adam[lr=0.0215]"; empty where no name does.
    """

    name: str
    setting: str
    step_size: float | None
    grid: np.ndarray
    grid_loss: np.ndarray
    edge: str
    curves: tuple[Curve, ...]
    seconds_per_iteration: float
    seconds_compile: float
    remark: str = ""
    tuned: dict[str, float] = dataclasses.field(default_factory=dict)
    trials: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    ends: tuple[str, ...] = ()
    shipped: Shipped | None = None
    by_trials: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    cut: bool = False
    memory: int | None = None
    spec: str = ""

    def to_target(self, axis: str, target: float | None) -> np.ndarray:
        """The cost of each seed to reach the target on an axis ("iteration", "work", "seconds"); infinity for a miss."""
        costs = []
        for c in self.curves:
            i = c.first(target)
            costs.append(float("inf") if i is None else float(getattr(c, axis)[i]))
        return np.array(costs)

    def expected(self, axis: str, target: float | None) -> float:
        """Expected cost to the target: all the cost spent by all seeds, divided by the number that reached it."""
        return expected(self.curves, axis, target)

    def interval(self, axis: str, target: float | None) -> tuple[float, float] | None:
        """The middle 95 % of the expected cost when the seeds are drawn anew with replacement; None for one seed, or no hit."""
        if len(self.curves) < 2 or not self.reached(target):
            return None
        firsts = [c.first(target) for c in self.curves]
        spent = np.array([getattr(c, axis)[-1 if i is None else i] for c, i in zip(self.curves, firsts, strict=True)], float)
        reached = np.array([i is not None for i in firsts])
        drawn = np.random.default_rng(0).integers(len(spent), size=(RESAMPLES, len(spent)))
        with np.errstate(divide="ignore"):
            costs = spent[drawn].sum(1) / reached[drawn].sum(1)
        low, high = np.quantile(costs, (0.025, 0.975), method="inverted_cdf")
        return float(low), float(high)

    def reached(self, target: float | None) -> int:
        """How many seeds reached the target."""
        return sum(c.first(target) is not None for c in self.curves)

    def held(self, target: float | None) -> int:
        """How many seeds stayed at or below the target once they had reached it."""
        return sum(c.stayed(target) for c in self.curves)

    def passed(self, target: float | None) -> bool:
        """Whether it reached the target and ended above it, on every seed that reached it."""
        ends = [c.final for c in self.curves if c.first(target) is not None]
        return target is not None and bool(ends) and min(ends) > target

    @property
    def final(self) -> float:
        """The median final value over seeds."""
        return float(np.median([c.final for c in self.curves]))

    def validated(self, name: str) -> np.ndarray:
        """The value of a validation measure that `which` names, in each seed."""
        pick: Any = {"largest": np.max, "smallest": np.min, "last": lambda v: v[-1]}[which(name)]
        finite = [v[np.isfinite(v)] for v in (np.asarray(c.validation[name]) for c in self.curves)]
        return np.array([pick(v) if v.size else np.nan for v in finite])


def _trains(name: str) -> bool:
    """Whether `train` takes the method of this name."""
    from ravine.core.choice import takes_batches
    from ravine.core.registry import method_class

    return name not in names() or takes_batches(method_class(name))


def which(measure: str) -> str:
    """Which value along a run is shown of a validation measure: its name says whether more of it is better, or nothing does.

    >>> which("accuracy"), which("top5_error"), which("mae")
    ('largest', 'smallest', 'last')
    """
    kinds = {"accuracy": "largest", "loss": "smallest", "error": "smallest"}
    return next((kind for word, kind in kinds.items() if word in measure), "last")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A finished race.

    Attributes:
        problem: its name; doc: its sentence.
        kind: "loss", "fun", "residual" or "system".
        target: the value that counts as solved, None if there is none.
        entries: the methods, best first.
        seeds: race seeds; tuning_seeds: others, on which step sizes were chosen.
        budget: in words.
        work_unit: what `work` counts: "epochs", "gradients" or "products".
        spacing: iterations between two evaluations: ranks closer than that are ties.
        warnings: what a reader must know before believing the table.
        paths: for the picture of the two-dimensional ravine: name → (steps + 1, 2) points; empty if not drawn.
        environment: versions and device.
        command: what reproduces it.
        seconds: the whole race took.
        interrupted: whether Ctrl-C cut it short.
        batch_size: examples a step of the race, None for all.
        options: what was asked for, as `compare` was called.
    """

    problem: str
    doc: str
    kind: str
    target: float | None
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    tuning_seeds: tuple[int, ...]
    budget: str
    work_unit: str
    spacing: int
    warnings: tuple[str, ...]
    paths: dict[str, np.ndarray]
    environment: dict[str, Any]
    command: str
    seconds: float
    interrupted: bool = False
    batch_size: int | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def winner(self) -> Entry:
        """The best entry."""
        return self.entries[0]

    @property
    def has_winner(self) -> bool:
        """Whether any method ended at a finite value or reached the target."""
        return bool(np.isfinite(self.winner.final) or self.winner.reached(self.target))

    @property
    def value_name(self) -> str:
        """What the vertical axis of a curve is called."""
        return {"fun": "value", "system": "residual"}.get(self.kind, "loss")

    @property
    def axis(self) -> str:
        """What the ranking is by."""
        return "seconds"

    def as_quick(self, e: Entry) -> bool:
        """Whether an entry reached the target as the winner did: on as many seeds, to end there too, in about the same time."""
        best, target = self.winner, self.target
        alike = e.reached(target) == best.reached(target) and e.passed(target) == best.passed(target)
        return alike and e.expected("seconds", target) <= best.expected("seconds", target) * (1 + TIE)

    @property
    def verdict(self) -> str:
        """One sentence: which method to take, with the numbers, and how sure that is."""
        from ravine.compare.text import time

        best = self.winner
        n = len(best.curves)
        median = f" (median of {n} seeds)" if n > 1 else ""
        within = "before the interruption" if self.interrupted else f"in {self.budget}"
        if not self.has_winner:
            return f"No method ended at a finite value {within}: try another start, or look where fun is not finite."
        if self.target is None:
            text = f"Take {best.setting}: it came lowest, to {best.final:.3g}{median} {within}"
            rest = [e for e in self.entries[1:] if np.isfinite(e.final)]
            return text + (f"; next is {rest[0].setting} with {rest[0].final:.3g}." if rest else ".")
        if not best.reached(self.target):
            return (
                f"No method reached {self.target:g} {within}; {best.setting} came lowest, to {best.final:.3g}{median}. "
                "Give a larger budget or a higher target."
            )
        cost, steps, work = (best.expected(axis, self.target) for axis in ("seconds", "iteration", "work"))
        tries = f" on {best.reached(self.target)} of {n} seeds, on average" if n > 1 else ""
        text = (
            f"Take {best.setting}: it reached {self.target:g}{tries} after "
            f"{steps:,.0f} iteration{'' if round(steps) == 1 else 's'} "
            f"({work:,.3g} {self.work_unit.removesuffix('s') if work == 1 else self.work_unit}, {time(cost)})"
        )
        left = best.reached(self.target) - best.held(self.target)
        if left:
            text += f", but left it again{f' on {left}' if n > 1 else ''}"
        others = [e for e in self.entries[1:] if e.reached(self.target)]
        if not others:
            return text + "; no other method reached it."
        others = [e for e in others if e.passed(self.target) <= best.passed(self.target)]
        if not others:
            return text + "; no other method ended at it."
        equal = [e.setting for e in others if self.as_quick(e)]
        if equal:
            return text + f"; {', '.join(equal)} did as well within {TIE:.0%}."
        ratio = others[0].expected("seconds", self.target) / cost
        return text + f"; next is {others[0].setting}, {ratio:.2g} times as long."

    @property
    def code(self) -> str:
        """Three lines that use the winner, empty where there is none."""
        if not self.has_winner:
            return ""
        bare = self.winner.name.split(" ")[0]
        size = None if bare == "gradient_descent" else self.batch_size
        # Without minibatches an epoch is an iteration, and the work of a curve counts the gradient at the start, too.
        axis = "work" if self.batch_size else "iteration"
        epochs = max(1, round(max(float(getattr(c, axis)[-1]) for c in self.winner.curves)))
        trained = f"result = rv.train(loss, params, data, method, batch_size={size}, epochs={epochs}, key=0)"
        if self.kind == "loss" and not _trains(bare):
            trained = "result = rv.minimize(loss, params, (data,), method)  # all data at once"
        call = {
            "loss": trained,
            "fun": "result = rv.minimize(fun, x0, method=method)",
            "residual": "result = rv.least_squares(residual, x0, method=method)",
            "system": "result = rv.linear_solve(A, b, method)",
            "squares": "result = rv.minimize(fun, x0, method=method)  # fun(x): ½‖residual(x)‖²",
        }[self.kind if self.kind != "residual" or self.winner.name.split(" ")[0] in names("least_squares") else "squares"]
        method = f"rv.{self.winner.setting}" if self.winner.setting.endswith(")") else f"...  # {self.winner.setting}"
        return f"import ravine as rv\nmethod = {method}\n{call}"

    @property
    def settings(self) -> list[str]:
        """The methods as `compare` takes them, with what was chosen, best first: "adam[lr=0.0215]"; a call where no name can."""
        return [e.spec or e.setting for e in self.entries]

    def rows(self) -> list[dict[str, Any]]:
        """The ranking as rows of numbers, best first."""
        measures = [n for n in (self.winner.curves[0].validation if self.winner.curves else {}) if n != "loss"]
        rows = []
        for rank, e in enumerate(self.entries, 1):
            row: dict[str, Any] = {
                "rank": rank,
                "method": e.name,
                "setting": e.setting,
                "step_size": e.step_size,
                "reached": f"{e.reached(self.target)}/{len(e.curves)}",
                "held": f"{e.held(self.target)}/{len(e.curves)}",
            }
            for axis in AXES:
                costs = e.to_target(axis, self.target)
                row[f"{axis}_to_target"] = e.expected(axis, self.target)
                finite = costs[np.isfinite(costs)]
                row[f"{axis}_spread"] = (float(finite.min()), float(finite.max())) if finite.size else None
                row[f"{axis}_interval"] = e.interval(axis, self.target)
            row["final_loss"] = e.final
            finals = [c.final for c in e.curves]
            row["final_spread"] = (min(finals), max(finals))
            for name in measures:
                values = e.validated(name)
                row[name] = float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")
                row[f"{name}_spread"] = (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else None
            row["seconds_per_iteration"] = e.seconds_per_iteration
            row["seconds_compile"] = e.seconds_compile
            row["remark"] = e.remark
            rows.append(row)
        return rows

    def table(self, width: int = 100) -> str:
        """The ranking in plain text, at most so many characters wide: what has no room is left out, least needed first."""
        from ravine.compare.text import table

        return table(self, width)

    def markdown(self) -> str:
        """The verdict, the ranking and how to reproduce it, for a pull request."""
        from ravine.compare.text import markdown

        return markdown(self)

    def latex(self) -> str:
        """The ranking as a LaTeX table."""
        from ravine.compare.text import latex

        return latex(self)

    def to_html(self) -> str:
        """The report."""
        from ravine.compare.report import html

        return html(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; numbers that are not finite become None."""
        return plain(
            {
                **{f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "entries"},
                "verdict": self.verdict,
                "code": self.code,
                "rows": self.rows(),
                "entries": [dataclasses.asdict(e) for e in self.entries],
            }
        )

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """Every curve: method, seed, iteration, work, seconds, loss, and the validation measures."""
        measures = list(self.winner.curves[0].validation) if self.winner.curves else []
        lines = [
            ",".join(["method", "seed", "iteration", self.work_unit, "seconds", "loss", *(f"validation_{m}" for m in measures)])
        ]
        for e in self.entries:
            for c in e.curves:
                for i in range(len(c.iteration)):
                    numbers = [c.work[i], c.seconds[i], c.loss[i], *(c.validation[m][i] for m in measures)]
                    lines.append(f"{cell(e.name)},{c.seed},{c.iteration[i]}," + ",".join(f"{v:.9g}" for v in numbers))
        return "\n".join(lines) + "\n"

    def save(self, folder: str | os.PathLike[str], x_axis: str = "iteration") -> pathlib.Path:
        """Writes report.html, result.json, config.json, curves.csv, summary.md and the plots (SVG), each whole or not at all.

        Args:
            folder: where to; it is made if need be.
            x_axis: what curves are drawn against at first: "iteration", "work" or "seconds".

        Returns:
            The path of report.html.

        Raises:
            ValueError: another axis.
        """
        from ravine.compare.report import html, pictures
        from ravine.compare.text import markdown

        if x_axis not in AXES:
            raise ValueError(f"x_axis must be one of {', '.join(AXES)}, got {x_axis!r}")
        named = {file_name(name): picture for name, picture in pictures(self, x_axis).items()}
        files = {
            "result.json": self.to_json(),
            "config.json": json.dumps(plain(self.options), indent=1),
            "curves.csv": self.to_csv(),
            "summary.md": markdown(self),
            "report.html": html(self, x_axis),
            **{f"{name}.svg": picture for name, picture in named.items()},
        }
        target = pathlib.Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(target / name, text)
        return target / "report.html"


def ranked(entries: list[Entry], target: float | None) -> tuple[Entry, ...]:
    """Best first: by the number of seeds that reached the target, then the expected seconds to it, then the final value.

    Of those that reached it on equally many seeds, methods that ended above it on all of them come last: they passed through it.
    """

    def key(e: Entry) -> tuple[float, ...]:
        reached = e.reached(target)
        return (-reached, e.passed(target), e.expected("seconds", target) if reached else 0.0, e.final)

    return tuple(sorted(entries, key=key))


def cell(text: str) -> str:
    """Text as a cell of a CSV file: in quotes where it needs them."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text
