"""Several problems, one answer: performance profiles, a score, and the speed-up to a reference.

Of each method the cost to the target of each problem is taken over that of the best method there. The performance profile is the
part of the problems that a method solves within a ratio τ of the best; its score is the mean height of the profile from τ = 1 to 4.

Sources: E. D. Dolan and J. J. Moré, "Benchmarking optimization software with performance profiles", 2002; the score is AlgoPerf's
(G. E. Dahl et al., "Benchmarking neural network training algorithms", 2023).
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ravine.compare.comparison import AXES, Comparison, cell
from ravine.core.files import file_name, write_whole
from ravine.core.plain import plain

LIMIT = 4.0
"""The ratio to the best cost up to which a profile counts."""
REFERENCES = ("adam", "gradient_descent", "sgd", "bfgs", "cg")
FEW = 4
"""With fewer problems a profile says little."""


@dataclasses.dataclass(frozen=True)
class Standing:
    """How one method did on all problems.

    Attributes:
        name: the registered name.
        ratios: cost over the least cost, for each problem with a target; infinity where it was not solved.
        score: the mean height of its profile from 1 to `LIMIT`.
        solved, best: on how many problems a seed reached the target and not all of these ended above it; where it was the quickest.
        speed_up: how many times less it costs than the reference, the geometric mean over the problems that both solved; None
            without.
    """

    name: str
    ratios: np.ndarray
    score: float
    solved: int
    best: int
    speed_up: float | None

    def profile(self) -> tuple[np.ndarray, np.ndarray]:
        """The steps of the profile: ratios, and the part of the problems solved within each."""
        finite = np.sort(self.ratios[np.isfinite(self.ratios)])
        return finite, np.arange(1, len(finite) + 1) / len(self.ratios)


@dataclasses.dataclass(frozen=True)
class Suite:
    """A finished race on several problems.

    Attributes:
        comparisons: one a problem.
        command: what reproduces it.
        seconds: all races took.
        interrupted: whether Ctrl-C cut it short.
        broken: the problems whose own code raised, and what.
    """

    comparisons: tuple[Comparison, ...]
    command: str = ""
    seconds: float = 0.0
    interrupted: bool = False
    broken: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[Comparison, ...]:
        """The comparisons that count: those with a target."""
        return tuple(c for c in self.comparisons if c.target is not None)

    @property
    def reference(self) -> str:
        """The method that speed-ups are relative to."""
        solved = [name for name, cost in _costs(self.judged, "seconds").items() if np.isfinite(cost).any()]
        return next((name for name in REFERENCES if name in solved), solved[0] if solved else "")

    def standings(self, axis: str = "seconds") -> tuple[Standing, ...]:
        """All methods, best first: by score, then by the number of problems solved.

        Args:
            axis: the cost that counts: "iteration", "work" or "seconds".

        Raises:
            ValueError: another axis.
        """
        if axis not in AXES:
            raise ValueError(f"axis must be one of {', '.join(AXES)}, got {axis!r}")
        costs = _costs(self.judged, axis)
        if not costs:
            return ()
        least = np.min([*costs.values()], 0)
        compared = costs.get(self.reference, np.full(len(least), np.inf))
        out = []
        for name, cost in costs.items():
            with np.errstate(invalid="ignore"):
                ratios = np.where(np.isfinite(cost), np.where(cost > least, cost / np.maximum(least, 1e-300), 1.0), np.inf)
            both = np.isfinite(cost) & np.isfinite(compared) & (cost > 0) & (compared > 0)
            speed = float(np.exp(np.mean(np.log(compared[both] / cost[both])))) if both.any() and name != self.reference else None
            solved = int(np.isfinite(ratios).sum())
            out.append(Standing(name, ratios, score(ratios), solved, int((ratios == 1).sum()), speed))
        return tuple(sorted(out, key=lambda s: (-s.score, -s.solved)))

    @property
    def verdict(self) -> str:
        """One sentence: which method to take over all problems, with the numbers."""
        standings, n = self.standings(), len(self.judged)
        of = f"{n} problem{'s' * (n != 1)}"
        if not standings:
            return 'No problem has a target, so there is nothing to judge by: give one, such as target="1%".'
        first = standings[0]
        if not first.solved:
            return f"No method reached the target of any of the {of}: give a larger budget or higher targets."
        quickest = f"was the quickest on {first.best}, score {first.score:.2f}"
        text = f"Take {first.name}: it solved {first.solved} of {of} and {quickest}"
        rest = [s for s in standings[1:] if s.solved]
        if not rest:
            return text + "; no other method solved any."
        return text + f"; next is {rest[0].name} with {rest[0].solved} solved and score {rest[0].score:.2f}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before believing the table."""
        out = []
        n = len(self.judged)
        if n < FEW:
            out.append(f"With {n} problem{'s' * (n != 1)} a profile says little; {FEW} or more make it worth reading.")
        left = [c.problem for c in self.comparisons if c.target is None]
        if left:
            out.append(f"Without a target, so not in the profile: {', '.join(left)}. Give one, such as --target 1%.")
        costs = _costs(self.judged, "seconds").values()
        nobody = [c.problem for i, c in enumerate(self.judged) if not any(np.isfinite(cost[i]) for cost in costs)]
        if nobody:
            out.append(f"Solved by nobody: {', '.join(nobody)}.")
        some = [
            s.name
            for s in self.standings()
            if sum(any(e.name == s.name for e in c.entries) for c in self.judged) < len(self.judged)
        ]
        if some:
            out.append(f"Did not race on all problems, which counts as not solved: {', '.join(some)}.")
        out += [f"Left out, because its own code raised: {line}" for line in self.broken]
        if self.interrupted or any(c.interrupted for c in self.comparisons):
            out.append("The race was interrupted: what had finished is here.")
        return tuple(out)

    def rows(self, axis: str = "seconds") -> list[dict[str, Any]]:
        """The standings as rows of numbers, best first; `ratio` has those of each problem."""
        names = [c.problem for c in self.judged]
        return [
            {
                "rank": i,
                "method": s.name,
                "score": s.score,
                "solved": s.solved,
                "best": s.best,
                "speed_up": s.speed_up,
                "ratio": dict(zip(names, s.ratios.tolist(), strict=True)),
            }
            for i, s in enumerate(self.standings(axis), 1)
        ]

    def table(self, width: int = 100) -> str:
        """The standings in plain text; the ratios of single problems as far as there is room."""
        from ravine.compare.suite_text import table

        return table(self, width)

    def markdown(self) -> str:
        """The verdict and the standings, for a pull request."""
        from ravine.compare.suite_text import markdown

        return markdown(self)

    def latex(self) -> str:
        """The standings as a LaTeX table."""
        from ravine.compare.suite_text import latex

        return latex(self)

    def to_html(self) -> str:
        """The page; it links to those of the problems, which `save` puts beside it."""
        from ravine.compare.suite_report import html

        return html(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; numbers that are not finite become None."""
        return plain(
            {
                "verdict": self.verdict,
                "warnings": self.warnings,
                "broken": self.broken,
                "reference": self.reference,
                "limit": LIMIT,
                "rows": self.rows(),
                "command": self.command,
                "seconds": self.seconds,
                "problems": [c.to_dict() for c in self.comparisons],
            }
        )

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """The profiles: method, axis, ratio, part of the problems solved within it."""
        lines = ["method,axis,ratio,solved"]
        for axis in AXES:
            for s in self.standings(axis):
                lines += [f"{cell(s.name)},{axis},{r:.6g},{part:.6g}" for r, part in zip(*s.profile(), strict=True)]
        return "\n".join(lines) + "\n"

    def save(self, folder: str | os.PathLike[str], x_axis: str = "iteration") -> pathlib.Path:
        """Writes report.html, result.json, profile.csv and summary.md into `folder`, and each problem's files into a folder there.

        Returns:
            The path of report.html.
        """
        target = pathlib.Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        homes = self.folders()
        for c, home in zip(self.comparisons, homes, strict=True):
            c.save(target / home, x_axis)
        files = {
            "result.json": self.to_json(),
            "profile.csv": self.to_csv(),
            "summary.md": self.markdown(),
            "report.html": self.to_html(),
        }
        for name, text in files.items():
            write_whole(target / name, text)
        return target / "report.html"

    def folders(self) -> list[str]:
        """The names of the folders of the problems: each once."""
        out: list[str] = []
        for c in self.comparisons:
            name = file_name(c.problem)
            out.append(name if name not in out else f"{name}-{len(out)}")
        return out


def told_apart(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with a name of their own each: as the problem was written where several have its name, else with a number."""
    names = [c.problem for c in comparisons]
    written = [c.options.get("problem", c.problem) if names.count(c.problem) > 1 else c.problem for c in comparisons]
    numbered = [name if written.count(name) == 1 else f"{name} ({written[:i].count(name) + 1})" for i, name in enumerate(written)]
    return tuple(dataclasses.replace(c, problem=name) for c, name in zip(comparisons, numbered, strict=True))


def score(ratios: np.ndarray) -> float:
    """The mean height of the profile between 1 and `LIMIT`.

    >>> score(np.array([1.0, 2.5, np.inf]))
    0.5
    """
    return float(np.mean(np.clip(LIMIT - ratios, 0, None) / (LIMIT - 1)))


def _costs(comparisons: tuple[Comparison, ...], axis: str) -> dict[str, np.ndarray]:
    """Of each method the cost to the target of each problem; infinity where it missed it, left it for good, or did not race."""
    names = dict.fromkeys(e.name for c in comparisons for e in c.entries)
    costs = {name: np.full(len(comparisons), np.inf) for name in names}
    for i, c in enumerate(comparisons):
        for e in c.entries:
            if not e.passed(c.target):
                costs[e.name][i] = e.expected(axis, c.target)
    return costs
