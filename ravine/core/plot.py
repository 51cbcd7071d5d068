"""A picture of a run: what was recorded, against the iterations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ravine.core.registry import nearest

CLOCKS = ("epoch", "iteration", "seconds", "k")
"""Columns that say when, not what."""


def plot_history(result: Any, columns: str | tuple[str, ...] = (), axes: Any = None) -> Any:
    """Draws recorded columns, one below the other; see `Result.plot`."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("Result.plot needs matplotlib: pip install 'ravine[plot]'") from None
    if np.ndim(result.code):
        raise ValueError("plot draws one run: take one of them, as in result[0]")
    named = (columns,) if isinstance(columns, str) else tuple(columns)
    drawn = {name: _column(result.history, name, int(result.nit)) for name in named or _drawable(result.history)}
    if not drawn:
        raise ValueError('no history was recorded: ask for it, as in minimize(fun, x0, history="f")')
    if axes is None:
        with matplotlib.rc_context({"font.size": 9}):
            figure = Figure(figsize=(6, 1 + 1.8 * len(drawn)), layout="constrained")
            axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    if np.size(axes) != len(drawn):
        raise ValueError(f"axes must be {len(drawn)}, one for each of {', '.join(drawn)}; got {np.size(axes)}")
    axes = np.ravel(axes)
    for axis, (name, (x, y)) in zip(axes, drawn.items(), strict=True):
        axis.plot(x, y, marker="." if len(y) < 40 else "", color="#08519c")
        axis.set_ylabel(name)
        if np.any(y > 0) and not np.any(y < 0):
            axis.set_yscale("log")
    axes[-1].set_xlabel("iteration")
    return axes


def _drawable(history: dict[str, Any]) -> list[str]:
    return [name for name, v in history.items() if name not in CLOCKS and np.ndim(v) == 1]


def _column(history: dict[str, Any], name: str, nit: int) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and values. Inside `jit` there is room for more rows than were written."""
    if name not in history:
        recorded = nearest(name, history) if history else f'; ask for it, as in minimize(fun, x0, history="{name}")'
        raise ValueError(f"no column {name!r} was recorded{recorded}")
    values = history[name]
    if np.ndim(values) != 1 or not hasattr(values, "shape"):
        raise ValueError(f"plot draws one number an iteration, and {name!r} has more: take what you want out of result.history")
    y = np.asarray(values).astype(np.float64)[: nit + 1]
    if name != "step_loss" and "iteration" in history:
        return np.asarray(history["iteration"]), y
    return np.arange(len(y)) + (name == "step_loss"), y  # a row for the start comes first, but no step made a batch's loss 0
