"""A run as an SVG: the value above, the optimality below, both against the iterations."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ravine.compare.svg import STYLE, Line, curves

WIDTH, HEIGHT, HEAD = 640, 300, 34
MOST_POINTS = 1000


def picture(name: str, history: dict[str, Any]) -> str:
    """One panel for each column that has a finite number in it, under the problem's name."""
    panels = [(label, np.asarray(history[column], np.float64)) for column, label in (("f", "value"), ("optimality", "optimality"))]
    panels = [(label, v) for label, v in panels if np.isfinite(v).any()]
    height = HEAD + HEIGHT * max(1, len(panels))
    said = escape(f"{name}: {' and '.join(label for label, _ in panels) or 'no finite value'} against iterations")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{said}"><style>{STYLE}</style><rect width="{WIDTH}" height="{height}" fill="var(--paper)"/>'
        f'<text class="axis-name" x="12" y="22">{escape(name)}</text>'
    ]
    for i, (label, values) in enumerate(panels):
        parts.append(f'<svg y="{HEAD + i * HEIGHT}" width="{WIDTH}" height="{HEIGHT}">{_panel(label, values, i)}</svg>')
    return "".join([*parts, "</svg>\n"])


def _panel(label: str, values: np.ndarray, index: int) -> str:
    rows = np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).astype(int))
    y = values[rows]
    line = Line(label, index, rows.astype(float), y, y, y)
    finite = y[np.isfinite(y)]
    return curves(
        [line],
        x_label="iterations",
        y_label=label,
        log_y=bool(0 <= finite.min() < 0.1 * finite.max()),
        falling=False,
        width=WIDTH,
        height=HEIGHT,
        dots=len(y) <= 40,
    )
