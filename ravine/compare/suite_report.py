"""A race on several problems as one self-contained HTML page, with a link to the page of each problem."""

from __future__ import annotations

import numpy as np

from ravine.compare import svg
from ravine.compare.comparison import AXES
from ravine.compare.page import render, swatch
from ravine.compare.suite import LIMIT, Standing, Suite
from ravine.compare.suite_text import columns_of, notes
from ravine.compare.text import time

WIDEST = 1e4
"""Profiles are drawn up to this ratio."""


def profile_plot(suite: Suite, axis: str, standalone: bool = False) -> str:
    """The performance profiles on one axis of cost."""
    standings = suite.standings(axis)
    colours = {s.name: i for i, s in enumerate(suite.standings())}
    finite = [r for s in standings for r in s.ratios if np.isfinite(r)]
    end = float(np.clip(1.15 * max(finite, default=1.0), LIMIT, WIDEST))
    lines = [_stairs(s, colours[s.name], end) for s in standings]
    return svg.curves(
        lines,
        x_label=f"{axis} to the target, over the least of any method",
        y_label="part of the problems solved",
        log_x=True,
        log_y=False,
        falling=False,
        width=1100,
        height=420,
        standalone=standalone,
    )


def _stairs(s: Standing, colour: int, end: float) -> svg.Line:
    ratios, parts = s.profile()
    within = ratios <= end
    ratios, parts = ratios[within], parts[within]
    x = np.concatenate([[1.0], np.repeat(ratios, 2), [end]])
    y = np.concatenate([[0.0, 0.0], np.repeat(parts, 2)])
    return svg.Line(s.name, colour, x, y, y, y)


def html(suite: Suite) -> str:
    """The page: verdict, warnings, standings, profiles, the verdict on each problem, how to reproduce."""
    from markupsafe import Markup

    standings = suite.standings()
    columns = columns_of(suite)
    rows = list(zip(*(cells for *_, cells in columns), strict=True))
    environment = suite.comparisons[0].environment
    units = list(dict.fromkeys(c.work_unit for c in suite.comparisons))
    return render(
        "suite",
        {"style": svg.STYLE},
        suite=suite,
        title=f"{len(suite.comparisons)} problems",
        standings=[{"name": s.name, "swatch": swatch(i), "index": i} for i, s in enumerate(standings)],
        columns=[(title, left) for _, title, left, _ in columns],
        rows=rows,
        notes=notes(suite),
        axis_names={"iteration": "iterations", "work": units[0] if len(units) == 1 else "work", "seconds": "seconds"},
        profiles=[(axis, Markup(profile_plot(suite, axis))) for axis in AXES] if standings else [],
        problems=[
            {"name": c.problem, "doc": c.doc, "home": f"{home}/report.html", "verdict": c.verdict, "budget": c.budget}
            for c, home in zip(suite.comparisons, suite.folders(), strict=True)
        ],
        facts=[("The races took", time(suite.seconds)), *((str(k), str(v)) for k, v in environment.items())],
    )
