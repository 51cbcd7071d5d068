"""Small SVG plots: curves with bands, dots, and contours with paths. They take their colours from the page, light or dark.

A plot is text. Colours are CSS classes (`k0` … `k7` with dashes `d1`, `d2`) and `currentColor`; `STYLE` gives them values, and
`standalone` puts it into a plot that must live without a page.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

COLOURS = 8
# Okabe and Ito's palette without its yellow, which white paper swallows, and with two dark hues in place of black.
_LIGHT = ("#0072b2", "#d55e00", "#00896a", "#b8568f", "#3a9bd9", "#c98500", "#4b3fa6", "#8c2a4d")
_DARK = ("#58aef0", "#ff8a4c", "#35d0a5", "#ee9fcf", "#9bd8ff", "#f6c04d", "#aea3ff", "#f07a9d")


def _variables(colours: Sequence[str], ink: str, grid: str, paper: str) -> str:
    hues = "".join(f"--k{i}:{c};" for i, c in enumerate(colours))
    return f"--ink:{ink};--grid:{grid};--paper:{paper};{hues}"


VARIABLES = (
    f":root{{{_variables(_LIGHT, '#1d2430', '#d8dce3', '#ffffff')}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_variables(_DARK, '#e7eaf0', '#39414f', '#171b22')}}}}}"
)
RULES = (
    ".plot{color:var(--ink);font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-variant-numeric:tabular-nums}"
    ".plot text{fill:currentColor;paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}"
    ".plot .minor{opacity:.72}.plot .axis-name{font-weight:600}"
    ".plot .grid{stroke:var(--grid);stroke-width:1}.plot .frame{stroke:currentColor;stroke-width:1;opacity:.55}"
    ".plot .curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.plot .band{stroke:none;opacity:.14}"
    ".plot .target{stroke:currentColor;stroke-width:1.3;stroke-dasharray:2 4;fill:none}"
    ".plot .dot{stroke:var(--paper);stroke-width:1.2}.level{fill:none;stroke:currentColor;stroke-width:1}"
    ".plot .steps{fill:none;stroke:var(--k);stroke-width:4;stroke-linecap:round}"
    ".plot .miss{fill:none;stroke-width:2}.plot .path{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    + "".join(f".k{i}{{--k:var(--k{i})}}" for i in range(COLOURS))
    + ".plot .curve,.plot .path,.plot .miss{stroke:var(--k)}.plot .band,.plot .dot{fill:var(--k)}"
    ".d1 .curve,.d1 .path,.d1.swatch{stroke-dasharray:7 4}.d2 .curve,.d2 .path,.d2.swatch{stroke-dasharray:2 3.5}"
    ".d3 .curve,.d3 .path,.d3.swatch{stroke-dasharray:9 3 2 3}"
)
STYLE = VARIABLES + RULES


def classes(index: int) -> str:
    """The colour and dash of the method with this rank (0 first)."""
    return f"k{index % COLOURS} d{index // COLOURS % 4}"


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve to draw: the middle and, where there are several seeds, the edges of its band.

    Attributes:
        name: for the legend and the read-out.
        index: which colour and dash.
        x, middle, low, high: arrays of one length; what is not finite leaves a gap.
    """

    name: str
    index: int
    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Axis:
    """A range of numbers laid along pixels, linear or logarithmic."""

    def __init__(self, low: float, high: float, begin: float, end: float, log: bool = False):
        if log:
            low, high = math.log10(low), math.log10(high)
        if not high > low:
            spread = abs(low) * 0.1 or 1.0
            low, high = low - spread, high + spread
        self.low, self.high, self.begin, self.end, self.log = low, high, begin, end, log

    def __call__(self, values: Any) -> np.ndarray:
        """Pixels; NaN where a value has none. Values far outside are brought near, so that coordinates stay short."""
        v = np.asarray(values, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            v = np.where(v > 0, np.log10(np.where(v > 0, v, 1.0)), np.where(v <= 0, self.low - 9, np.nan)) if self.log else v
            part = (v - self.low) / (self.high - self.low)
        return self.begin + np.clip(part, -3, 4) * (self.end - self.begin)

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        """Values and their labels."""
        if not self.log:
            return [(v, number(v)) for v in _linear_ticks(self.low, self.high, most)]
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        if last - first >= 2:
            every = max(1, math.ceil((last - first + 1) / most))
            return [(10.0**e, power(e)) for e in range(first, last + 1) if (e - last) % every == 0]
        values = [m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 5)]
        inside = [v for v in values if self.low - 1e-9 <= math.log10(v) <= self.high + 1e-9]
        if len(inside) >= 2:
            return [(v, number(v)) for v in inside]
        return [(v, number(v)) for v in _linear_ticks(10**self.low, 10**self.high, most)]


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(m * decade for m in (1, 2, 2.5, 5, 10) if m * decade >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    # Rounded, because 3 × 0.1 is not 0.3.
    return [round(i * step, 12) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(exponent: int) -> str:
    """A power of ten as a label: "0.01", "1,000", "10⁻⁶"."""
    return f"{10.0**exponent:g}" if -3 <= exponent <= 3 else "10" + str(exponent).translate(_SUPERSCRIPTS)


def number(v: float) -> str:
    """A tick's number, short."""
    if v == 0:
        return "0"
    if 1e-3 <= abs(v) < 1e6:
        return f"{v:,.6g}" if abs(v) < 1e4 else f"{v:,.0f}"
    mantissa, exponent = f"{v:.3e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    tail = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return tail if mantissa == "1" else f"{mantissa}·{tail}"


def span(lines: Sequence[Line], log: bool, target: float | None, falling: bool) -> tuple[float, float]:
    """The range of values worth showing; where they are meant to fall, a run that blows up does not squash the others."""
    parts = [a for line in lines for a in (line.middle, line.low, line.high)]
    finite = np.concatenate([a[np.isfinite(a)] for a in parts]) if parts else np.zeros(0)
    finite = finite[finite > 0] if log else finite
    starts = [line.middle[0] for line in lines if line.middle.size and np.isfinite(line.middle[0])]
    if log:
        starts = [s for s in starts if s > 0]
    if not finite.size:
        return (0.1, 10.0) if log else (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if starts and falling:
        high = min(high, 3 * max(starts)) if log else min(high, max(starts) + 0.25 * abs(max(starts) - low))
        high = max(high, low)
    if target is not None and (target > 0 or not log):
        low, high = min(low, target), max(high, target)
    if log:
        low = max(low, high * 1e-18)
        margin = (high / low) ** 0.04 if high > low else 1.5
        return low / margin, high * margin
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _runs(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Stretches of points without a gap."""
    good = np.isfinite(x) & np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(int), [0]])))
    return [np.stack([x[a:b], y[a:b]], 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _join(points: Any) -> str:
    return " ".join(f"{_short(a)},{_short(b)}" for a, b in points)


def _short(v: float) -> str:
    return f"{v:.1f}".rstrip("0").rstrip(".")


def polyline(x: np.ndarray, y: np.ndarray, kind: str) -> str:
    """A line through pixels, broken where they are not finite."""
    return "".join(f'<polyline class="{kind}" points="{_join(run)}"/>' for run in _runs(x, y))


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    both = _runs(x, low + 0 * high)
    text, at = "", 0
    for run in both:
        at = int(np.flatnonzero(x[at:] == run[0, 0])[0]) + at
        top = np.stack([x[at : at + len(run)], high[at : at + len(run)]], 1)[::-1]
        at += len(run)
        if len(run) > 1:
            text += f'<polygon class="band" points="{_join(run)} {_join(top)}"/>'
    return text


def _open(width: int, height: int, label: str, standalone: bool, kind: str = "") -> str:
    size = f' width="{width}" height="{height}"' if standalone else ""
    style = f"<style>{STYLE}</style>" if standalone else ""
    backdrop = f'<rect width="{width}" height="{height}" fill="var(--paper)"/>' if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{f"plot {kind}".strip()}" viewBox="0 0 {width} {height}"{size} role="img" '
        f'aria-label="{escape(label)}">{style}{backdrop}'
    )


def _frame(x: Axis, y: Axis, x_label: str, y_label: str, most_x: int = 7) -> str:
    """Grid, ticks and names of both axes."""
    parts = []
    left, right, bottom, top = x.begin, x.end, y.begin, y.end
    for v, label in y.ticks(6):
        p = float(y(v))
        parts.append(f'<path class="grid" d="M{_short(left)} {_short(p)}H{_short(right)}"/>')
        parts.append(f'<text class="minor" x="{_short(left - 7)}" y="{_short(p + 4)}" text-anchor="end">{label}</text>')
    for v, label in x.ticks(most_x):
        p = float(x(v))
        parts.append(f'<path class="grid" d="M{_short(p)} {_short(top)}V{_short(bottom)}"/>')
        parts.append(f'<text class="minor" x="{_short(p)}" y="{_short(bottom + 17)}" text-anchor="middle">{label}</text>')
    parts.append(f'<path class="frame" fill="none" d="M{_short(left)} {_short(top)}V{_short(bottom)}H{_short(right)}"/>')
    middle = _short((left + right) / 2)
    parts.append(f'<text class="axis-name" x="{middle}" y="{_short(bottom + 36)}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text class="axis-name" x="{_short(left - 44)}" y="{_short(top - 10)}">{escape(y_label)}</text>')
    return "".join(parts)


def _inside(x: Axis, y: Axis, content: str) -> str:
    """Clips to the frame; a nested drawing clips without needing an id that must be unique in the page."""
    box = f'x="{_short(x.begin)}" y="{_short(y.end)}" width="{_short(x.end - x.begin)}" height="{_short(y.begin - y.end)}"'
    view = f"{_short(x.begin)} {_short(y.end)} {_short(x.end - x.begin)} {_short(y.begin - y.end)}"
    return f'<svg {box} viewBox="{view}" overflow="hidden">{content}</svg>'


def curves(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = True,
    target: float | None = None,
    falling: bool = True,
    width: int = 640,
    height: int = 380,
    standalone: bool = False,
    dots: bool = False,
    chosen: dict[int, float] | None = None,
) -> str:
    """Curves with bands, a target line, and linear or logarithmic axes.

    Args:
        falling: curves begin high and are meant to fall: what rises far above the start is cut off.
        dots: mark every point (for step-size grids).
        chosen: index of a line → the x that was chosen, to be ringed.
    """
    # A logarithmic axis cannot show a value of 0 or below; where there is nothing else it is linear.
    log_y = log_y and any((line.middle[np.isfinite(line.middle)] > 0).any() for line in lines)
    low, high = span(lines, log_y, target, falling)
    xs = [line.x[np.isfinite(line.x)] for line in lines]
    every_x = np.concatenate(xs) if xs and sum(map(len, xs)) else np.array([0.0, 1.0])
    every_x = every_x[every_x > 0] if log_x else every_x
    x = Axis(float(every_x.min()), float(every_x.max()), 56, width - 14, log_x)
    y = Axis(low, high, height - 48, 28, log_y)
    shapes = []
    for line in reversed(lines):
        px = x(line.x)
        shape = "" if np.array_equal(line.low, line.high, equal_nan=True) else _band(px, y(line.low), y(line.high))
        shape += polyline(px, y(line.middle), "curve")
        if dots:
            good = np.isfinite(px) & np.isfinite(y(line.middle))
            shape += "".join(
                f'<circle class="dot" cx="{_short(a)}" cy="{_short(b)}" r="{5.5 if _is_chosen(chosen, line.index, v) else 2.6}"/>'
                for a, b, v in zip(px[good], y(line.middle)[good], line.x[good], strict=True)
            )
        shapes.append(f'<g class="{classes(line.index)}" data-m="{line.index}"><title>{escape(line.name)}</title>{shape}</g>')
    if target is not None and (target > 0 or not log_y):
        p = _short(float(y(target)))
        shapes.append(f'<path class="target" d="M{_short(x.begin)} {p}H{_short(x.end)}"/>')
        shapes.append(f'<text class="minor" x="{_short(x.end - 4)}" y="{_short(float(y(target)) - 5)}" text-anchor="end">')
        shapes.append(f"target {escape(number(target))}</text>")
    label = f"{y_label} against {x_label} for {len(lines)} methods"
    body = _frame(x, y, x_label, y_label, max(3, width // 90)) + _inside(x, y, "".join(shapes))
    return _open(width, height, label, standalone) + body + "</svg>"


def _is_chosen(chosen: dict[int, float] | None, index: int, v: float) -> bool:
    return chosen is not None and index in chosen and math.isclose(chosen[index], v, rel_tol=1e-3)


def strip(
    rows: Sequence[tuple[str, int, np.ndarray]],
    *,
    x_label: str,
    width: int = 640,
    standalone: bool = False,
) -> str:
    """One row a method, one dot a seed; what is infinite stands in a column of its own, "not reached".

    Args:
        rows: (name, index, costs).
    """
    finite = [c[np.isfinite(c)] for _, _, c in rows]
    every = np.concatenate(finite) if rows else np.zeros(0)
    missed = any(len(f) < len(c) for f, (_, _, c) in zip(finite, rows, strict=True))
    height = 34 + 22 * len(rows) + 46
    left = min(190, 24 + 7 * max((len(name) for name, _, _ in rows), default=0))
    right = width - (92 if missed else 16)
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    log = low > 0 and high > 12 * low
    x = Axis(low / 1.25, high * 1.25, left, right, True) if log else Axis(0.0, high * 1.06 or 1.0, left, right)
    bottom = height - 46
    parts = []
    for v, label in x.ticks(max(3, (right - left) // 80)):
        p = _short(float(x(v)))
        parts.append(f'<path class="grid" d="M{p} 12V{bottom}"/>')
        parts.append(f'<text class="minor" x="{p}" y="{bottom + 17}" text-anchor="middle">{label}</text>')
    name_at = _short((left + right) / 2)
    parts.append(f'<text class="axis-name" x="{name_at}" y="{bottom + 37}" text-anchor="middle">{escape(x_label)}</text>')
    if missed:
        parts.append(f'<text class="minor" x="{width - 46}" y="{bottom + 17}" text-anchor="middle">not reached</text>')
    for row, (name, index, costs) in enumerate(rows):
        h = 30 + 22 * row
        good = np.sort(costs[np.isfinite(costs)])
        shape = f'<text x="{left - 10}" y="{h + 4}" text-anchor="end">{escape(_trimmed(name))}</text>'
        if good.size > 1:
            shape += f'<path class="curve" opacity=".45" d="M{_short(float(x(good[0])))} {h}H{_short(float(x(good[-1])))}"/>'
        for n, v in enumerate(good):
            # Seeds that coincide stand one beside the other.
            same = int((np.abs(x(good[:n]) - x(v)) < 4).sum())
            at = h + (0, -6, 6, -9, 9)[same % 5]
            shape += (
                f'<circle class="dot" cx="{_short(float(x(v)))}" cy="{at}" r="4"><title>{escape(name)}: {v:.4g}</title></circle>'
            )
        shape += "".join(
            f'<path class="miss" d="M{width - 50 + 13 * i - 6 * (len(costs) - len(good) - 1)} {h - 4}l8 8m0-8l-8 8"/>'
            for i in range(min(5, len(costs) - len(good)))
        )
        parts.append(f'<g class="{classes(index)}" data-m="{index}">{shape}</g>')
    return _open(width, height, f"{x_label} for each seed", standalone) + "".join(parts) + "</svg>"


def _trimmed(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def marching_squares(z: np.ndarray, level: float) -> list[np.ndarray]:
    """The lines where a field on a grid has the value `level`.

    Args:
        z: values, (rows, columns).

    Returns:
        Polylines (k, 2) of (column, row), with fractions; a closed one repeats its first point.
    """
    # Each square of the grid holds 0, 1 or 2 segments between points on its edges; an edge is named by its lower-left end.
    above = z > level
    nexts: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    case = above[:-1, :-1] * 1 + above[:-1, 1:] * 2 + above[1:, 1:] * 4 + above[1:, :-1] * 8
    for i, j in np.argwhere((case > 0) & (case < 15)):
        bottom, right, top, left = (i, j, 0), (i, j + 1, 1), (i + 1, j, 0), (i, j, 1)
        pairs = {
            1: [(left, bottom)],
            2: [(bottom, right)],
            3: [(left, right)],
            4: [(right, top)],
            6: [(bottom, top)],
            7: [(left, top)],
            5: [(left, top), (bottom, right)],
            10: [(left, bottom), (right, top)],
        }
        c = int(case[i, j])
        for a, b in pairs[c if c in pairs else 15 - c]:
            nexts.setdefault(a, []).append(b)
            nexts.setdefault(b, []).append(a)

    def point(edge: tuple[int, int, int]) -> tuple[float, float]:
        i, j, upright = edge
        a, b = z[i, j], z[i + 1, j] if upright else z[i, j + 1]
        t = float((level - a) / (b - a))
        return (j, i + t) if upright else (j + t, i)

    lines = []
    ends = [e for e, n in nexts.items() if len(n) == 1]
    for start in [*ends, *nexts]:
        if not nexts.get(start):
            continue
        edges, here = [start], start
        while nexts.get(here):
            onward = nexts[here].pop()
            nexts[onward].remove(here)
            edges.append(onward)
            here = onward
        lines.append(np.array([point(e) for e in edges]))
    return lines


def contour_lines(
    f: Callable[[np.ndarray], np.ndarray],
    window: tuple[float, float, float, float],
    levels: Sequence[float],
    width: int,
    height: int,
    resolution: int = 240,
) -> str:
    """Contours of a function of points (…, 2) over a window (x₀, x₁, y₀, y₁), as SVG without a frame."""
    x0, x1, y0, y1 = window
    gx, gy = np.meshgrid(np.linspace(x0, x1, resolution), np.linspace(y0, y1, max(24, resolution * height // width)))
    z = np.asarray(f(np.stack([gx, gy], -1)))
    z = np.where(np.isfinite(z), z, np.nanmax(z[np.isfinite(z)], initial=0.0))
    x, y = width / (z.shape[1] - 1), height / (z.shape[0] - 1)
    parts = []
    for n, level in enumerate(levels):
        d = "".join(
            "M" + _join(_thinned(np.stack([line[:, 0] * x, height - line[:, 1] * y], 1))) for line in marching_squares(z, level)
        )
        # Low ground is drawn strongly, so that the valley is seen.
        strength = 0.62 - 0.46 * n / max(1, len(levels) - 1)
        parts.append(f'<path class="level" opacity="{strength:.2f}" d="{d}"/>')
    return "".join(parts)


def _thinned(points: np.ndarray, error: float = 0.2) -> np.ndarray:
    """Leaves out points that lie within `error` pixels of the line through their neighbours (Douglas and Peucker 1973)."""
    if len(points) < 3:
        return points
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    spans = [(0, len(points) - 1)]
    while spans:
        a, b = spans.pop()
        if b - a < 2:
            continue
        base = points[b] - points[a]
        length = float(np.hypot(*base))
        off = points[a + 1 : b] - points[a]
        away = np.abs(base[0] * off[:, 1] - base[1] * off[:, 0]) / length if length > 1e-9 else np.hypot(off[:, 0], off[:, 1])
        i = int(away.argmax())
        if away[i] > error:
            keep[a + 1 + i] = True
            spans += [(a, a + 1 + i), (a + 1 + i, b)]
    return points[keep]


def path_lines(
    points: np.ndarray, window: tuple[float, float, float, float], width: int, height: int, index: int, name: str
) -> str:
    """The path of a method over a window, with a dot at each step; it ends where it leaves for good or is not finite."""
    x, y = Axis(window[0], window[1], 0, width), Axis(window[2], window[3], height, 0)
    px, py = x(points[:, 0]), y(points[:, 1])
    good = np.isfinite(px) & np.isfinite(py)
    # A dot is a stroke of no length with round ends: a tenth of the text that a circle takes.
    steps = "".join(f"M{_short(a)} {_short(b)}h0" for a, b in _spread(np.stack([px[good], py[good]], 1), width, height))
    shape = polyline(px, py, "path") + f'<path class="steps" d="{steps}"/>'
    return f'<g class="{classes(index)}" data-m="{index}"><title>{escape(name)}</title>{shape}</g>'


def _spread(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Points inside the window that lie apart from the one kept before, so that a crowd at the end is one dot."""
    kept: list[np.ndarray] = []
    for p in points:
        if -3 <= p[0] <= width + 3 and -3 <= p[1] <= height + 3 and (not kept or np.abs(p - kept[-1]).max() > 3):
            kept.append(p)
    return np.array(kept).reshape(-1, 2)


def contours(
    f: Callable[[np.ndarray], np.ndarray],
    window: tuple[float, float, float, float],
    levels: Sequence[float],
    paths: Sequence[tuple[str, int, np.ndarray]] = (),
    *,
    minimum: tuple[float, float] | None = None,
    width: int = 980,
    height: int = 380,
    standalone: bool = False,
) -> str:
    """A function of two variables as contour lines, with the paths of methods on it.

    Args:
        f: maps points (…, 2) to values (…).
        window: x₀, x₁, y₀, y₁.
        levels: values of the contour lines, lowest first.
        paths: (name, index, points (k, 2)).
        minimum: where to put a star.
    """
    shapes = contour_lines(f, window, levels, width, height)
    if minimum is not None:
        x, y = Axis(window[0], window[1], 0, width), Axis(window[2], window[3], height, 0)
        cx, cy = float(x(minimum[0])), float(y(minimum[1]))
        cross = f"M{_short(cx - 8)} {_short(cy)}h16M{_short(cx)} {_short(cy - 8)}v16"
        shapes += f'<path class="frame" fill="none" stroke-width="2" d="{cross}"/>'
    shapes += "".join(path_lines(points, window, width, height, index, name) for name, index, points in reversed(paths))
    clipped = f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" overflow="hidden">{shapes}</svg>'
    return (
        _open(width, height, f"Contour lines with the paths of {len(paths)} methods", standalone, "contours") + clipped + "</svg>"
    )
