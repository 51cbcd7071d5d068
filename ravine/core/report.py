"""A result as text and as a table, laid out like the full report of Ceres and the fit report of lmfit.

The rows are data, so that text and HTML say the same:

    [("Value", [("initial", "4"), ("final", "1.3e-20"), …]), …]
"""

from __future__ import annotations

import dataclasses
import html
from typing import Any

import jax
import numpy as np

from ravine.core import work
from ravine.core.choice import label
from ravine.core.problem import LeastSquares
from ravine.core.pytree import Record
from ravine.core.status import Status

SMALL = 10
"""A solution of so many numbers is shown whole."""

TRACED = "not known while tracing"

Rows = list[tuple[str, str]]


def report(result: Any) -> str:
    """The sections of a result as text, the values of all rows in one column."""
    parts = sections(result)
    width = max(len(name) for _, rows in parts for name, _ in rows)
    return "\n".join(line for title, rows in parts for line in (title, *(f"  {name:<{width}}  {value}" for name, value in rows)))


def as_html(result: Any) -> str:
    """The same rows as a table for notebooks; a message may quote what users named, so everything is escaped."""
    left = "style='text-align:left'"
    lines = ["<table>"]
    for title, rows in sections(result):
        lines.append(f"<tr><th colspan='2' {left}>{html.escape(title)}</th></tr>")
        lines += [f"<tr><td {left}>{html.escape(name)}</td><td {left}>{html.escape(value)}</td></tr>" for name, value in rows]
    return "\n".join([*lines, "</table>"])


def sections(result: Any) -> list[tuple[str, Rows]]:
    """Titles with their rows (name, value); sections without rows are left out."""
    if isinstance(result.code, jax.core.Tracer):
        return [("Result", [("status", TRACED)])]
    many = bool(np.ndim(result.code))
    parts = [
        ("Problem", _problem(result)),
        ("Method", _method(result)),
        ("Value", _values_of_many(result) if many else _value(result)),
        ("Iterations", _iterations_of_many(result) if many else _iterations(result)),
        ("Work", _work(result)),
        ("Seconds", _seconds(result)),
        ("Solution", [] if many else _solution(result)),
        ("Termination", _statuses(result) if many else [("status", result.message)]),
    ]
    return [(title, rows) for title, rows in parts if rows]


def settings(method: Any) -> str:
    """A method as the call that makes it, without the arrays that it holds: "BFGS(search=StrongWolfe(c1=0.0001, …))"."""
    method = getattr(method, "rule", method)
    if not isinstance(method, Record) or label(method) != type(method).__name__:
        return label(method)
    return f"{label(method)}({', '.join(_shown(method))})"


def _shown(record: Any) -> list[str]:
    out = []
    for f in dataclasses.fields(record):
        kind, value = f.metadata.get("kind"), getattr(record, f.name)
        if kind == "hyper":
            out.append(f"{f.name}={_hyperparameter(value)}")
        elif kind == "static" and isinstance(value, bool | str | int | float):
            out.append(f"{f.name}={value!r}")
        elif isinstance(value, Record) and (_shown(value) or not dataclasses.fields(value)):  # type: ignore[arg-type]
            out.append(f"{f.name}={settings(value)}")
    return out


def _hyperparameter(value: Any) -> str:
    """A number, which `vmap` repeats; of a schedule or a sweep there is not one."""
    same = not callable(value) and np.all(np.asarray(value) == np.ravel(value)[0])
    return f"{float(np.ravel(value)[0]):.6g}" if same else "…"


def _problem(result: Any) -> Rows:
    arrays = [v for v in jax.tree.leaves(result.x) if hasattr(v, "dtype")]
    lanes = np.ndim(result.code)
    n = sum(v.size for v in arrays) // max(1, np.size(result.code))
    each = f" in each of {np.size(result.code):,} problems" if lanes else ""
    rows = [("parameters", f"{n:,} in {_many(len(arrays), 'array')}{each}")]
    fitted = getattr(result.aux, "problem", None)
    if isinstance(fitted, LeastSquares) and not lanes:
        rows.append(("residuals", f"{fitted.shape(result.aux.start).size:,}"))
    rows.append(("dtype", ", ".join(sorted({str(v.dtype) for v in arrays}))))
    devices = {d for v in arrays if isinstance(v, jax.Array) for d in v.devices()}
    kinds = sorted({f"{d.platform}: {d.device_kind}" for d in devices})
    if kinds:
        rows.append(("device", ", ".join(kinds) + (f" ({len(devices)} of them)" if len(devices) > 1 else "")))
    return rows


def _method(result: Any) -> Rows:
    rows = [] if result.method is None else [("used", settings(result.method))]
    if result.given is not None:
        rows.insert(0, ("given", result.given if isinstance(result.given, str) else settings(result.given)))
    return [*rows, ("why", result.why)] if result.why else rows


def _value(result: Any) -> Rows:
    final, rows = float(result.fun), []
    if "f" in result.history:
        initial = float(np.asarray(result.history["f"])[0])
        rows = [("initial", f"{initial:.8g}"), ("final", f"{final:.8g}"), ("change", f"{final - initial:.8g}")]
    else:
        rows = [("final", f"{final:.8g}")]
    if result.best is not None:
        rows.append(("best", f"{float(result.best.fun):.8g} at iteration {int(result.best.nit):,}"))
    optimality, scale = float(result.optimality), float(result.scale)
    if not np.isnan(optimality):
        first = float(getattr(result.gauge, "first", np.nan))
        rows.append(("optimality", f"{optimality:.3g}" + (f", at the start {first:.3g}" if np.isfinite(first) else "")))
        relative = f", so the relative optimality is {optimality / scale:.3g}" if scale else ""  # 0 beside residuals that are 0
        rows.append(("scale", f"{scale:.3g}{relative}"))
    return rows


def _values_of_many(result: Any) -> Rows:
    rows = [("final", _spread(result.fun))]
    if np.isnan(result.optimality).all():
        return rows
    with np.errstate(invalid="ignore", divide="ignore"):
        return [*rows, ("relative optimality", _spread(np.asarray(result.optimality) / np.asarray(result.scale)))]


def _iterations(result: Any) -> Rows:
    rows = [("accepted steps", f"{int(result.nit):,}")]
    trials = getattr(result.carry, "k", None)
    if trials is not None and int(trials) > int(result.nit):
        rows.append(("rejected steps", f"{int(trials) - int(result.nit):,} (trials that did not move the point)"))
    return rows


def _iterations_of_many(result: Any) -> Rows:
    return [("accepted steps", _spread(result.nit))]


def _work(result: Any) -> Rows:
    return [(work.KINDS[name], f"{int(np.sum(n)):,}" + (" in all" if np.ndim(n) else "")) for name, n in result.work.items()]


def _seconds(result: Any) -> Rows:
    s = result.seconds
    if not s.total:
        return []
    steps = int(np.max(np.asarray(result.nit), initial=0))
    each = f", {1e3 * s.run / steps:.3g} ms an iteration" if steps else ""
    return [("compile", f"{s.compile:.3g}"), ("run", f"{s.run:.3g}{each}"), ("total", f"{s.total:.3g}")]


def _solution(result: Any) -> Rows:
    leaves = jax.tree_util.tree_leaves_with_path(result.x)
    if not all(hasattr(v, "dtype") for _, v in leaves) or sum(v.size for _, v in leaves) > SMALL:
        return []
    return [("x" + jax.tree_util.keystr(path), numbers(v)) for path, v in leaves]


def _statuses(result: Any) -> Rows:
    codes, n = np.unique(np.asarray(result.code), return_counts=True)
    rows = [(Status(int(c)).name, f"{int(k):,}") for c, k in zip(codes, n, strict=True)]
    return [*rows, ("remark", result.remark)] if result.remark else rows


def numbers(array: Any) -> str:
    """An array of numbers in one line."""
    values = np.asarray(array).astype(np.float64)
    text = np.array2string(values, separator=", ", formatter={"float_kind": lambda v: f"{v:.6g}"}, max_line_width=10**6)
    return " ".join(text.split())


def _spread(values: Any) -> str:
    """Least, median and largest of what is finite, and how many are not."""
    v = np.asarray(values).astype(np.float64).ravel()
    finite = v[np.isfinite(v)]
    bad = f"; {v.size - finite.size:,} not finite" if finite.size < v.size else ""
    if not finite.size:
        return f"none of {v.size:,} is finite"
    return f"{finite.min():.6g} to {finite.max():.6g}, median {np.median(finite):.6g}{bad}"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" + "s" * (n != 1)
