"""A comparison as one self-contained HTML file: it asks nothing of the network and can be read with JavaScript off."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from ravine.compare import svg
from ravine.compare.comparison import Comparison, Curve, Entry, which
from ravine.compare.page import render, swatch
from ravine.compare.text import MISS, count, latex, measures, notes, number, size, spread, ties, time, times

FEW_SEEDS = 5
"""Up to so many seeds the band shows all of them, from the lowest to the highest; beyond, the 20 to 80 % quantiles."""


def bundle(curves: Sequence[Curve], axis: str, measure: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The seeds of one method on one grid: x, median, and both edges of the band.

    Each seed counts with the last value that it had shown by then. A loss that is not finite counts as infinite.

    Args:
        axis: "iteration", "work" or "seconds".
        measure: "loss", or a validation measure as "validation_accuracy".
    """
    runs = []
    for c in curves:
        y = c.loss if measure == "loss" else c.validation.get(measure.removeprefix("validation_"))
        if y is not None and len(y):
            y = np.asarray(y, float)
            runs.append((np.asarray(getattr(c, axis), float), np.where(np.isfinite(y), y, np.inf) if _is_loss(measure) else y))
    if not runs:
        return (np.zeros(0),) * 4
    grid = np.unique(np.concatenate([x[np.isfinite(x)] for x, _ in runs]))
    rows = np.stack([y[np.clip(np.searchsorted(x, grid, side="right") - 1, 0, None)] for x, y in runs])
    low, high = band_of(len(curves))
    return grid, _quantile(rows, 0.5), _quantile(rows, low), _quantile(rows, high)


def _is_loss(measure: str) -> bool:
    return measure.endswith("loss")


def band_of(seeds: int) -> tuple[float, float]:
    """Which quantiles the band of so many seeds spans."""
    return (0.0, 1.0) if seeds <= FEW_SEEDS else (0.2, 0.8)


def _quantile(rows: np.ndarray, q: float) -> np.ndarray:
    """Quantiles down the columns; NaNs are left out, and infinities do not become NaN."""
    out = np.full(rows.shape[1], np.nan)
    for i, column in enumerate(rows.T):
        v = np.sort(column[~np.isnan(column)])
        if v.size:
            p = q * (v.size - 1)
            below, part = v[math.floor(p)], p - math.floor(p)
            out[i] = below if part == 0 else below + part * (v[math.floor(p) + 1] - below) if np.isfinite(below) else below
    return out


def lines(c: Comparison, axis: str, measure: str) -> list[svg.Line]:
    """The curves of all methods, best first."""
    return [svg.Line(e.name, i, *bundle(e.curves, axis, measure)) for i, e in enumerate(c.entries)]


@dataclasses.dataclass(frozen=True)
class _Cell:
    """A cell of the ranking: what is read, what is sorted by, and what stands around it."""

    text: str
    sort: Any = ""
    sub: str = ""
    left: bool = False
    bar: float | None = None
    mark: Any = None


@dataclasses.dataclass(frozen=True)
class _Column:
    title: str
    help: str
    left: bool = False


def _sortable(v: Any) -> Any:
    return "" if v is None or not np.isfinite(v) else repr(float(v))


def _ranking(c: Comparison) -> tuple[list[_Column], list[list[_Cell]]]:
    rows, equal = c.rows(), ties(c)
    with_target = c.target is not None
    columns = [_Column("#", "rank; ≈ marks a tie with the winner"), _Column("method", "as it was raced", left=True)]
    if with_target:
        columns += [
            _Column("reached", "seeds that reached the target; below, how many stayed there to the end"),
            _Column("iterations", "to the target: all spent ÷ seeds that reached it; below, the range over those seeds"),
            _Column(c.work_unit, f"{'products with A and Aᵀ' if c.kind == 'system' else 'gradients'} to the target"),
            _Column("time", "to the target, this method alone on the machine, compiled"),
            _Column("× best", "time to the target over that of the winner"),
        ]
    final = f"final {c.value_name}"
    columns.append(_Column(final, "median over seeds; below, the range"))
    columns += [
        _Column(name, f"the {which(name)} value on validation data, the median over seeds; below, the range")
        for name in measures(c)
    ]
    columns += [_Column("per iteration", "time of one iteration alone on the machine"), _Column("compile", "tracing and compiling")]
    best = rows[0]["seconds_to_target"] if rows else math.inf
    slowest = max((r["seconds_to_target"] for r in rows if np.isfinite(r["seconds_to_target"])), default=1.0)
    out = []
    for i, (e, r, tie) in enumerate(zip(c.entries, rows, equal, strict=True)):
        k, hit, held = len(e.curves), e.reached(c.target), e.held(c.target)
        cells = [
            _Cell(f"{r['rank']}{'≈' if tie else ''}", r["rank"]),
            _Cell(e.name, e.name, sub=e.setting, left=True, mark=swatch(i)),
        ]
        if with_target:
            seconds = r["seconds_to_target"]
            ratio = seconds / best if np.isfinite(seconds) and best > 0 else math.inf
            cells += [
                _Cell(f"{hit}/{k}", hit, sub=f"{held} held" if hit and held < hit else ""),
                _Cell(
                    count(r["iteration_to_target"]),
                    _sortable(r["iteration_to_target"]),
                    sub=spread(r["iteration_spread"], count),
                ),
                _Cell(number(r["work_to_target"]), _sortable(r["work_to_target"]), sub=spread(r["work_spread"])),
                _Cell(
                    time(seconds),
                    _sortable(seconds),
                    sub=times(r["seconds_spread"]),
                    bar=100 * seconds / slowest if np.isfinite(seconds) and slowest > 0 else None,
                ),
                _Cell(f"{ratio:.2f}" if np.isfinite(ratio) else MISS, _sortable(ratio)),
            ]
        cells.append(_Cell(number(r["final_loss"]), _sortable(r["final_loss"]), sub=spread(r["final_spread"])))
        for name in measures(c):
            cells.append(_Cell(number(r.get(name), 4), _sortable(r.get(name)), sub=spread(r.get(f"{name}_spread"))))
        cells += [
            _Cell(time(e.seconds_per_iteration), _sortable(e.seconds_per_iteration)),
            _Cell(time(e.seconds_compile), _sortable(e.seconds_compile)),
        ]
        out.append(cells)
    return columns, out


def _figures(c: Comparison) -> list[tuple[str, str, str]]:
    """The winner's numbers: (value, unit, what it is)."""
    best = c.winner
    out = []
    if c.target is not None and best.reached(c.target):
        value, _, unit = time(best.expected("seconds", c.target)).partition(" ")
        out.append((value, unit, f"to {c.target:g}"))
        out.append((count(best.expected("iteration", c.target)), "", "iterations"))
        out.append((number(best.expected("work", c.target)), "", c.work_unit))
    if c.target is not None:
        out.append((f"{best.reached(c.target)}/{len(best.curves)}", "", "seeds reached it"))
    out.append((number(best.final), "", f"final {c.value_name}"))
    for name in measures(c)[:2]:
        values = best.validated(name)
        if np.isfinite(values).any():
            v = float(np.nanmedian(values))
            out.append(
                (f"{100 * v:.1f}", "%", f"validation {name}") if "accuracy" in name else (number(v), "", f"validation {name}")
            )
    return out


def convergence(c: Comparison, axis: str = "iteration", standalone: bool = False) -> list[dict[str, Any]]:
    """The curves of the loss, and of the first validation measure: what each is of, and its plot."""
    labels = {"iteration": "iterations", "work": c.work_unit, "seconds": "seconds"}
    titles = {"loss": "training loss" if c.kind == "loss" else c.value_name}
    shown = ["loss", *(f"validation_{name}" for name in measures(c)[:1])]
    if len(shown) == 1 and any("loss" in curve.validation for e in c.entries for curve in e.curves):
        shown.append("validation_loss")
    out = []
    for n, measure in enumerate(shown):
        plot = svg.curves(
            lines(c, axis, measure),
            x_label=labels[axis],
            y_label=titles.get(measure, measure.replace("_", " ")),
            log_y=_is_loss(measure),
            target=c.target if measure == "loss" else None,
            falling=_is_loss(measure),
            width=620 if n == 0 else 508,
            height=400,
            standalone=standalone,
        )
        out.append({"measure": measure, "svg": plot})
    return out


def _strips(c: Comparison) -> list[tuple[str, str]]:
    if c.target is None or not any(e.reached(c.target) for e in c.entries):
        return []
    labels = {
        "iteration": f"iterations to {c.target:g}",
        "work": f"{c.work_unit} to {c.target:g}",
        "seconds": f"seconds to {c.target:g}",
    }
    return [
        (axis, svg.strip([(e.name, i, e.to_target(axis, c.target)) for i, e in enumerate(c.entries)], x_label=label, width=860))
        for axis, label in labels.items()
    ]


def _sensitivity(c: Comparison, standalone: bool = False) -> str:
    tuned = [(i, e) for i, e in enumerate(c.entries) if len(e.grid) > 1]
    if not tuned:
        return ""
    plotted = []
    for i, e in tuned:
        x, y = np.asarray(e.grid, float), np.asarray(e.grid_loss, float)
        plotted.append(svg.Line(e.name, i, x, y, y, y))
    # The first point of a grid is no start: what is worse than the worst start is off the scale.
    starts = [curve.loss[0] for e in c.entries for curve in e.curves if len(curve.loss) and np.isfinite(curve.loss[0])]
    top = 1.3 * max(starts) if starts else math.inf
    plotted = [
        dataclasses.replace(p, middle=m, low=m, high=m) for p in plotted for m in [np.where(p.middle <= top, p.middle, np.nan)]
    ]
    return svg.curves(
        plotted,
        x_label="step size",
        y_label=f"final {c.value_name}",
        log_x=True,
        target=c.target,
        falling=False,
        dots=True,
        chosen={i: e.step_size for i, e in tuned if e.step_size is not None},
        width=1100,
        height=420,
        standalone=standalone,
    )


def _ravine(c: Comparison) -> dict[str, Any] | None:
    if not c.paths:
        return None
    from ravine.compare import ravine2d as r

    order = {e.name: i for i, e in enumerate(c.entries)}
    for name in c.paths:
        order.setdefault(name, len(order))
    drawn = sorted(((name, order[name], np.asarray(p, float)) for name, p in c.paths.items()), key=lambda item: item[1])
    small = svg.contour_lines(r.ravine_quadratic, r.WINDOW, r.LEVELS[::2], 266, 104, resolution=160)
    minis = []
    for n, (name, index, points) in enumerate(drawn):
        finite = points[np.isfinite(points).all(1)]
        value = float(r.ravine_quadratic(finite[-1])) if len(finite) == len(points) else math.nan
        ground = f'<g id="ground">{small}</g>' if n == 0 else '<use href="#ground"/>'
        path = svg.path_lines(points, r.WINDOW, 266, 104, index, name)
        label = f'role="img" aria-label="{escape(name)} in the ravine"'
        picture = f'<svg class="plot contours" viewBox="0 0 266 104" {label}>{ground}{path}</svg>'
        minis.append({"name": name, "value": number(value) if np.isfinite(value) else "diverged", "svg": picture})
    return {
        "svg": svg.contours(r.ravine_quadratic, r.WINDOW, r.LEVELS, drawn, minimum=(0.0, 0.0), width=1100, height=430),
        "minis": minis,
        "kappa": r.KAPPA,
        "start": r.START,
        "steps": r.STEPS,
        "tried": len(r.GRID),
    }


def _cards(c: Comparison) -> list[dict[str, Any]]:
    paces = [e.seconds_per_iteration for e in c.entries if e.seconds_per_iteration > 0]
    base = next((e for e in c.entries if e.name == "sgd" and e.seconds_per_iteration > 0), None)
    reference, word = (base.seconds_per_iteration, "SGD") if base else (min(paces, default=math.nan), "the fastest")
    cards = []
    for i, e in enumerate(c.entries):
        known: list[tuple[str, str]] = []
        if e.step_size is not None:
            known.append(("step size", number(e.step_size) + (f", {e.edge} tried" if e.edge else "")))
        known += [(name, number(value, 4)) for name, value in e.tuned.items() if name != "lr"]
        interval = e.interval("seconds", c.target)
        if interval is not None:
            known.append(("to target, 95 %", _interval(*interval)))
        ratio = e.seconds_per_iteration / reference
        known.append(("one iteration", time(e.seconds_per_iteration)))
        if np.isfinite(ratio):
            known.append((f"against {word}", f"{ratio:.2f} ×"))
        known.append(("compile", time(e.seconds_compile)))
        if e.memory is not None:
            known.append(("memory of the state", size(e.memory)))
        known.append(("final, best seed", number(min((curve.final for curve in e.curves), default=math.nan))))
        known.append(("final, worst seed", number(max((curve.final for curve in e.curves), default=math.nan))))
        known += [("ended", _endings(e))]
        remark = " ".join(filter(None, (e.remark, *(f"{end[0].upper()}{end[1:]}." for end in e.ends))))
        cards.append({"swatch": swatch(i), "name": e.name, "setting": e.setting, "facts": known, "remark": remark})
    return cards


def _interval(low: float, high: float) -> str:
    if np.isfinite(high):
        return times((low, high)) or time(low)
    return f"{time(low)} – ∞"


def _endings(e: Entry) -> str:
    counted = {curve.status: sum(other.status == curve.status for other in e.curves) for curve in e.curves}
    return ", ".join(f"{status} × {n}" if n > 1 else status for status, n in counted.items())


def _tuning(c: Comparison) -> dict[str, Any] | None:
    """What was gained by tuning: each method as shipped beside its tuned self, and the loss against the settings tried."""
    tuned = [(i, e) for i, e in enumerate(c.entries) if e.shipped is not None]
    if not tuned:
        return None
    lines = [
        svg.Line(e.name, i, np.arange(1.0, len(e.by_trials) + 1), e.by_trials, e.by_trials, e.by_trials)
        for i, e in tuned
        if len(e.by_trials) > 1
    ]
    plot = svg.curves(
        lines,
        x_label="settings tried",
        log_x=True,
        y_label=f"expected final {c.value_name}",
        target=c.target,
        falling=False,
        width=860,
        height=340,
    )
    rows = []
    for i, e in tuned:
        shipped = e.shipped
        assert shipped is not None
        after = ((e.reached(c.target), e.expected("seconds", c.target), e.final), e.setting)
        before = ((shipped.reached, shipped.seconds, shipped.final), shipped.setting)
        sides = [
            (f"{hit}/{len(e.curves)}", time(seconds), number(final), setting) for (hit, seconds, final), setting in (before, after)
        ]
        rows.append({"swatch": swatch(i), "name": e.name, "sides": sides})
    return {"svg": plot if lines else "", "rows": rows}


def html(comparison: Comparison, x_axis: str = "iteration") -> str:
    """The report: verdict, ranking, convergence, cost by seed, step sizes, the ravine, one card a method, how to reproduce.

    One file with everything in it. What comes from the user (names, docs, messages) is escaped.

    Args:
        x_axis: what curves are drawn against at first: "iteration", "work" or "seconds".
    """
    from markupsafe import Markup

    c = comparison
    seeds = max((len(e.curves) for e in c.entries), default=0)
    columns, rows = _ranking(c)
    ravine = _ravine(c)
    if ravine is not None:
        ravine = ravine | {"svg": Markup(ravine["svg"]), "minis": [m | {"svg": Markup(m["svg"])} for m in ravine["minis"]]}
    tuning = _tuning(c)
    if tuning is not None:
        tuning = tuning | {"svg": Markup(tuning["svg"])}
    bold = Markup.escape(c.verdict).replace(
        Markup.escape(c.winner.setting), Markup("<strong>{}</strong>").format(c.winner.setting), 1
    )
    listed = [
        ("Seeds", ", ".join(map(str, c.seeds))),
        ("Tuning seeds", ", ".join(map(str, c.tuning_seeds)) or "none, step sizes were not tuned"),
        ("Budget", c.budget),
        ("Evaluated every", f"{c.spacing:,} iterations"),
        ("The race took", time(c.seconds)),
        *((str(name), str(value)) for name, value in c.environment.items()),
    ]
    return render(
        "report",
        c.to_dict() | {"latex": latex(c), "style": svg.STYLE, "band": band_of(seeds), "x_axis": x_axis},
        c=c,
        title=c.problem,
        verdict=bold,
        figures=_figures(c),
        n_seeds="1 seed" if seeds == 1 else f"{seeds} seeds",
        band="" if seeds < 2 else "from the lowest to the highest" if seeds <= FEW_SEEDS else "the middle 20 to 80 %",
        columns=columns,
        rows=rows,
        notes=notes(c),
        x_axis=x_axis,
        axes=[("iteration", "iterations"), ("work", c.work_unit), ("seconds", "seconds")],
        swatches=[swatch(i) for i in range(len(c.entries))],
        convergence=[figure | {"svg": Markup(figure["svg"])} for figure in convergence(c, x_axis)],
        strips=[(axis, Markup(plot)) for axis, plot in _strips(c)],
        sensitivity=Markup(_sensitivity(c)),
        tuning=tuning,
        ravine=ravine,
        cards=_cards(c),
        environment=[(label, value) for label, value in listed if value],
    )


def pictures(comparison: Comparison, x_axis: str = "iteration") -> dict[str, str]:
    """The plots of the report as SVG that stands alone, by name."""
    drawn = {str(figure["measure"]): str(figure["svg"]) for figure in convergence(comparison, x_axis, standalone=True)}
    sensitivity = _sensitivity(comparison, standalone=True)
    return drawn | ({"step_size": sensitivity} if sensitivity else {})
