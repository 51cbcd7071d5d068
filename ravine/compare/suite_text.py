"""A race on several problems as text: a table for a terminal, Markdown for a pull request."""

from __future__ import annotations

import numpy as np

from ravine.compare.suite import LIMIT, Suite
from ravine.compare.text import MISS, Column, aligned, fenced_by, for_markdown, latex_table, markdown_table, time, width_of


def columns_of(suite: Suite, axis: str = "seconds") -> list[Column]:
    """Rank, method, score, problems solved, where it was best, speed-up, and the ratio on each problem."""
    standings, n = suite.standings(axis), len(suite.judged)
    columns: list[Column] = [
        ("rank", "#", False, [str(i) for i in range(1, len(standings) + 1)]),
        ("method", "method", True, [s.name for s in standings]),
        ("score", "score", False, [f"{s.score:.2f}" for s in standings]),
        ("solved", "solved", False, [f"{s.solved}/{n}" for s in standings]),
        ("best", "best on", False, [str(s.best) for s in standings]),
    ]
    if suite.reference:
        speeds = [MISS if s.speed_up is None else f"{s.speed_up:.2f}" for s in standings]
        columns.append(("speed_up", f"× {suite.reference}", False, speeds))
    for i, c in enumerate(suite.judged):
        columns.append(("problem", c.problem, False, [ratio(s.ratios[i]) for s in standings]))
    return columns


def ratio(r: float) -> str:
    """A cost over that of the best, in few characters."""
    return MISS if not np.isfinite(r) else f"{r:.2f}" if r < 100 else f"{r:,.0f}"


def notes(suite: Suite) -> list[str]:
    """What the columns mean."""
    return [
        "solved: at least one seed reached the target, and not all of those that did ended above it",
        f"score: the mean part of the problems solved within a ratio of 1 to {LIMIT:g} of the quickest",
        *(
            [f"× {suite.reference}: how many times quicker, the geometric mean over the problems that both solved"]
            * bool(suite.reference)
        ),
        f"under a problem: time to its target over that of the quickest; {MISS} did not solve it",
    ]


def table(suite: Suite, width: int = 100) -> str:
    """The standings in plain text; problems for which there is no room are left out, and counted."""
    columns = columns_of(suite)
    if not columns[0][3]:
        return suite.verdict
    left_out = 0
    while width_of(columns) > width and columns[-1][0] == "problem":
        columns.pop()
        left_out += 1
    said = [*notes(suite), f"without room here: {left_out} of the problems, which summary.md has"] if left_out else notes(suite)
    return "\n".join([*aligned(columns), *(f"  {note}" for note in said)])


def latex(suite: Suite) -> str:
    """The standings as a LaTeX table."""
    return latex_table(columns_of(suite), suite.verdict)


def markdown(suite: Suite) -> str:
    """The summary for a pull request: verdict, standings, and the verdict of each problem."""
    lines = [f"## ravine compare: {len(suite.comparisons)} problems", "", f"**{for_markdown(suite.verdict)}**", ""]
    lines += [f"> {for_markdown(w)}  " for w in suite.warnings] + [""] * bool(suite.warnings)
    lines += [*markdown_table(columns_of(suite)), "", *(f"{for_markdown(note)}.  " for note in notes(suite)), ""]
    for c, home in zip(suite.comparisons, suite.folders(), strict=True):
        lines.append(f"- [{for_markdown(c.problem)}]({home}/report.html): {for_markdown(c.verdict)}")
    if suite.command:
        fence = fenced_by(suite.command)
        lines += ["", f"{fence}sh", suite.command, fence]
    return "\n".join([*lines, "", f"{time(suite.seconds)} in all."]) + "\n"
