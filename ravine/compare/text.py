"""A comparison as text: a table for a terminal, Markdown for a pull request, LaTeX for a paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ravine.compare.comparison import TIE, Comparison, Entry, which

MISS = "–"
Column = tuple[str, str, bool, list[str]]
"""Of a table: its key, its title, whether it is aligned to the left, and its cells."""


def number(v: Any, digits: int = 3) -> str:
    """A number in few characters; a dash for what is missing or infinite."""
    if v is None or not np.isfinite(v):
        return MISS
    v = float(v)
    if v and not 1e-3 <= abs(v) < 1e6:
        mantissa, exponent = f"{v:.{digits - 2}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if abs(v) >= 10 ** (digits - 1):
        return f"{v:,.0f}"
    return f"{v:.{digits}g}"


def time(s: Any) -> str:
    """Seconds with the unit that suits them."""
    if s is None or not np.isfinite(s):
        return MISS
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if s >= size * (100 if unit in ("h", "min") else 1):
            return f"{number(s / size)} {unit}"
    return f"{number(s / 1e-6)} µs"


def size(n: int) -> str:
    """So many bytes, with the unit that suits them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= factor:
            return f"{number(n / factor)} {unit}"
    return f"{n} bytes"


def count(v: Any) -> str:
    """A whole number of things."""
    return MISS if v is None or not np.isfinite(v) else f"{v:,.0f}"


def times(values: Sequence[float] | None) -> str:
    """A range of seconds, the unit once where it is the same: "112–119 ms"."""
    text = spread(values, time)
    low, _, high = text.partition("–")
    return f"{low.split(' ')[0]}–{high}" if high and low.split(" ")[1] == high.split(" ")[1] else text


def spread(values: Sequence[float] | None, form: Callable[[Any], str] = number) -> str:
    """The range over seeds, "392–460"; empty where there is none to speak of."""
    if values is None or not np.all(np.isfinite(values)):
        return ""
    low, high = form(values[0]), form(values[1])
    return "" if low == high else f"{low}–{high}"


def ties(comparison: Comparison) -> list[bool]:
    """For each entry, whether it cannot be told from the winner.

    With a target: `Comparison.as_quick`. Without one, or where nobody reached it: the ranges of the final values over seeds
    overlap.
    """
    best, target = comparison.winner, comparison.target

    def same(e: Entry) -> bool:
        if target is not None and best.reached(target):
            return comparison.as_quick(e)
        ours, theirs = [c.final for c in best.curves], [c.final for c in e.curves]
        return bool(np.isfinite(min(theirs))) and len(ours) > 1 and min(theirs) <= max(ours)

    return [i > 0 and same(e) for i, e in enumerate(comparison.entries)]


def measures(comparison: Comparison) -> list[str]:
    """The validation measures besides the loss."""
    first = next((e.curves[0] for e in comparison.entries if e.curves), None)
    return [name for name in (first.validation if first else {}) if name != "loss"]


def _columns(c: Comparison) -> list[Column]:
    """In the order in which they are shown."""
    rows = c.rows()
    equal = ties(c)
    n = [len(e.curves) for e in c.entries]

    def with_spread(key: str, of: str, form: Callable[[Any], str] = number) -> list[str]:
        cells = []
        for r in rows:
            extent = spread(r[of], form)
            cells.append(form(r[key]) + (f" ({extent})" if extent and form(r[key]) != MISS else ""))
        return cells

    best = rows[0]["seconds_to_target"]
    columns: list[Column] = [
        ("rank", "#", False, [f"{r['rank']}{'≈' if t else ''}" for r, t in zip(rows, equal, strict=True)]),
        ("method", "method", True, [str(r["method"]) for r in rows]),
        ("step_size", "step size", False, [number(r["step_size"]) for r in rows]),
    ]
    if c.target is not None:
        reached = [e.reached(c.target) for e in c.entries]
        held = [e.held(c.target) for e in c.entries]
        columns += [
            ("reached", "reached", False, [f"{r}/{k}" if r else MISS for r, k in zip(reached, n, strict=True)]),
            ("held", "held", False, [f"{h}/{r}" if r else MISS for h, r in zip(held, reached, strict=True)]),
            ("iteration", "iterations", False, with_spread("iteration_to_target", "iteration_spread", count)),
            ("work", c.work_unit, False, [number(r["work_to_target"]) for r in rows]),
            ("seconds", "time", False, [time(r["seconds_to_target"]) for r in rows]),
            ("ratio", "× best", False, [_ratio(r["seconds_to_target"], best) for r in rows]),
        ]
    columns.append(("final", f"final {c.value_name}", False, with_spread("final_loss", "final_spread", short)))
    for name in measures(c):
        title = f"final {name}" if which(name) == "last" else name
        columns.append((name, title, False, [number(r.get(name)) for r in rows]))
    return columns


def short(v: Any) -> str:
    """A number with two digits."""
    return number(v, 2) if v is None or not np.isfinite(v) or abs(v) < 10 else number(v)


def _ratio(a: float, best: float) -> str:
    return f"{a / best:.2f}" if np.isfinite(a) and np.isfinite(best) and best > 0 else MISS


def notes(c: Comparison) -> list[str]:
    """What the marks in a table mean, as far as they occur."""
    said = []
    if any(ties(c)):
        how = f"within {TIE:.0%} of it" if c.target is not None and c.winner.reached(c.target) else "the seeds' ranges overlap"
        said.append(f"≈ cannot be told from the winner ({how})")
    if c.target is not None:
        said.append(f"{MISS} did not reach {c.target:g}" if any(not e.reached(c.target) for e in c.entries) else "")
        said.append("to the target: all cost spent ÷ seeds that reached it; in brackets the range over those seeds")
        if any(e.held(c.target) < e.reached(c.target) for e in c.entries):
            said.append("held: stayed at the target until the end")
    return [s for s in said if s]


def table(comparison: Comparison, width: int = 100) -> str:
    """The ranking in plain text, aligned, at most `width` columns wide: what has no room is left out, least needed first."""
    columns = _columns(comparison)
    all_held = comparison.target is None or all(
        e.held(comparison.target) == e.reached(comparison.target) for e in comparison.entries
    )
    if all_held:
        columns = [column for column in columns if column[0] != "held"]
    shrinks: list[tuple[str, Callable[[str], str] | None]] = [
        ("final", lambda cell: cell.split(" (")[0]),
        ("ratio", None),
        ("work", None),
        ("method", lambda cell: cell if len(cell) <= 22 else cell[:21] + "…"),
        ("iteration", lambda cell: cell.split(" (")[0]),
        *((name, None) for name in reversed(measures(comparison))),
        ("step_size", None),
        ("held", None),
    ]
    for key, change in shrinks:
        if width_of(columns) <= width:
            break
        if change is None:
            columns = [column for column in columns if column[0] != key]
        else:
            columns = [(k, t, a, [change(cell) for cell in cells] if k == key else cells) for k, t, a, cells in columns]
    lines = aligned(columns)
    return "\n".join([*lines, *(f"  {note}" for note in notes(comparison))])


def aligned(columns: Sequence[Column]) -> list[str]:
    """The lines of a table: titles, a rule, and the rows."""
    lines = []
    widths = [max(len(title), *map(len, cells)) for _, title, _, cells in columns]
    for i in range(-1, len(columns[0][3])):
        cells = [title if i < 0 else shown[i] for _, title, _, shown in columns]
        padded = [c.ljust(w) if a else c.rjust(w) for c, w, (_, _, a, _) in zip(cells, widths, columns, strict=True)]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "─" * width_of(columns))
    return lines


def width_of(columns: Sequence[Column]) -> int:
    """How many characters wide a table is."""
    return sum(max(len(title), *map(len, cells)) for _, title, _, cells in columns) + 2 * (len(columns) - 1)


def for_markdown(text: str) -> str:
    """Text in which nothing is markup."""
    for mark in "\\|`*_<>[]":
        text = text.replace(mark, "\\" + mark if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return " ".join(text.split())


def fenced_by(text: str) -> str:
    """A fence that the text does not have."""
    longest = max((len(run) for run in "".join(ch if ch == "`" else " " for ch in text).split()), default=0)
    return "`" * max(3, longest + 1)


def markdown_table(columns: Sequence[Column]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = ["| " + " | ".join(for_markdown(title) for _, title, _, _ in columns) + " |"]
    lines.append("|" + "|".join(":--" if left else "--:" for _, _, left, _ in columns) + "|")
    return lines + ["| " + " | ".join(map(for_markdown, row)) + " |" for row in zip(*(cells for *_, cells in columns), strict=True)]


def markdown(comparison: Comparison) -> str:
    """The summary for a pull request: verdict, table, warnings, how to reproduce."""
    c = comparison
    columns = _columns(c)
    lines = [f"## ravine compare: {for_markdown(c.problem)}", ""]
    if c.doc:
        lines += [for_markdown(c.doc), ""]
    lines += [f"**{for_markdown(c.verdict)}**", ""]
    lines += [f"> {for_markdown(w)}  " for w in c.warnings] + [""] * bool(c.warnings)
    lines += markdown_table(columns)
    lines += ["", *(f"{for_markdown(note)}.  " for note in notes(c)), ""]
    for language, text in (("python", c.code), ("sh", c.command)):
        if text:
            fence = fenced_by(text)
            lines += [f"{fence}{language}", text, fence, ""]
    lines.append(for_markdown(facts(c)) + ".")
    return "\n".join(lines) + "\n"


def facts(c: Comparison) -> str:
    """One line: seeds, budget, versions, device, duration."""
    seeds = f"seeds {', '.join(map(str, c.seeds))}" + (
        f"; step sizes tuned on {', '.join(map(str, c.tuning_seeds))}" if c.tuning_seeds else ""
    )
    where = ", ".join(f"{name} {value}" for name, value in c.environment.items() if isinstance(value, str | int | float))
    return " · ".join(
        part for part in (seeds, f"budget {c.budget}" if c.budget else "", where, f"{time(c.seconds)} in all") if part
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "µ": r"$\mu$",
    "÷": r"$\div$",
    "≤": r"$\leq$",
    "·": r"$\cdot$",
}


def _for_latex(text: str) -> str:
    return "".join(_LATEX.get(ch, ch) for ch in text)


def latex_table(columns: Sequence[Column], caption: str) -> str:
    """A table in LaTeX; it needs the package booktabs."""
    rule = "".join("l" if left else "r" for _, _, left, _ in columns)
    rows = [[title for _, title, _, _ in columns], *zip(*(cells for *_, cells in columns), strict=True)]
    title, *body = ["    " + " & ".join(map(_for_latex, row)) + " \\\\" for row in rows]
    head = ["% needs \\usepackage{booktabs}", "\\begin{table}", "  \\centering", f"  \\caption{{{_for_latex(caption)}}}"]
    table = [
        f"  \\begin{{tabular}}{{{rule}}}",
        "    \\toprule",
        title,
        "    \\midrule",
        *body,
        "    \\bottomrule",
        "  \\end{tabular}",
    ]
    return "\n".join([*head, *table, "\\end{table}"]) + "\n"


def latex(comparison: Comparison) -> str:
    """The ranking as a LaTeX table."""
    return latex_table(_columns(comparison), f"{comparison.problem}: {comparison.verdict}")
