"""Comparisons read back from their result.json, and several of one problem made one."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ravine.compare.budget import STEPS
from ravine.compare.comparison import Comparison, Curve, Entry, Shipped, ranked
from ravine.compare.suite import Suite, told_apart

LARGEST = 2**29
"""Bytes of a result.json that is still read."""


def read(path: str | os.PathLike[str]) -> Comparison:
    """The comparison that was saved in a folder, or in a file result.json.

    Numbers that were not finite come back as NaN.

    Raises:
        ValueError: there is none, or the file holds something else.

    Example:
        >>> import ravine as rv, tempfile
        >>> race = rv.compare("sphere", ["momentum"], budget="20steps", trials=2, target=1e-3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = race.save(folder)
        ...     read(folder).verdict == race.verdict
        True
    """
    found = _read(path)
    if len(found) > 1:
        raise ValueError(f"{path} has races on {len(found)} problems; name the folder of one of them")
    return found[0]


def together(paths: Sequence[str | os.PathLike[str]]) -> Comparison | Suite:
    """Saved races as one: those on the same problem in one ranking, those on several as a `Suite`.

    Raises:
        ValueError: nothing to read there, or races on one problem that have no common ranking (other targets or seeds).
    """
    by_problem: dict[Any, list[Comparison]] = {}
    for path in paths:
        for c in _read(path):
            by_problem.setdefault((c.options.get("problem", c.problem), c.options.get("fingerprint")), []).append(c)
    made = [merged(found) if len(found) > 1 else found[0] for found in by_problem.values()]
    if len(made) == 1:
        return made[0]
    commands = dict.fromkeys(c.command for c in made)
    return Suite(told_apart(made), "\n".join(commands), sum(c.seconds for c in made))


def _read(path: str | os.PathLike[str]) -> list[Comparison]:
    file = pathlib.Path(path)
    file = file / "result.json" if file.is_dir() else file
    if not file.is_file():
        raise ValueError(f"there is no {file}; name the folder of a finished `ravine compare`")
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file} has more than {LARGEST >> 20} MiB: it is no result of `ravine compare`")
    try:
        saved = json.loads(file.read_text("utf-8"))
        found = [_comparison(c) for c in saved.get("problems", [saved])]
        if not found:
            raise ValueError("it has no races")
        return found
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{file} is no result of `ravine compare` ({type(error).__name__}: {error})") from None


def _comparison(saved: dict[str, Any]) -> Comparison:
    known = {f.name: saved[f.name] for f in dataclasses.fields(Comparison) if f.name in saved}
    known["entries"] = tuple(map(_entry, saved["entries"]))
    known["paths"] = {name: _numbers(rows) for name, rows in saved["paths"].items()}
    for name in ("seeds", "tuning_seeds", "warnings"):
        known[name] = tuple(saved[name])
    made = Comparison(**known)
    if not made.entries or not all(e.curves and all(len(c.loss) for c in e.curves) for e in made.entries):
        raise ValueError("a race without runs")
    if made.kind not in STEPS or not isinstance(made.target, int | float | None):
        raise ValueError(f"a race of kind {made.kind!r} to {made.target!r}")
    return made


def _entry(saved: dict[str, Any]) -> Entry:
    known: dict[str, Any] = {f.name: saved[f.name] for f in dataclasses.fields(Entry) if f.name in saved}
    known |= {name: _numbers(saved.get(name, [])) for name in ("grid", "grid_loss", "by_trials")}
    known["trials"] = {name: _numbers(v) for name, v in saved.get("trials", {}).items()}
    known["ends"] = tuple(saved.get("ends", ()))
    known["curves"] = tuple(map(_curve, saved["curves"]))
    shipped: Any = saved.get("shipped")
    if shipped is not None:
        lost: dict[str, Any] = {name: np.inf if value is None else value for name, value in shipped.items()}
        known["shipped"] = Shipped(**lost)
    return Entry(**known)


def _curve(saved: dict[str, Any]) -> Curve:
    numbers = {name: _numbers(saved[name]) for name in ("work", "seconds", "loss")}
    validation = {name: _numbers(v) for name, v in saved["validation"].items()}
    return Curve(int(saved["seed"]), np.array(saved["iteration"], int), **numbers, validation=validation, status=saved["status"])


def _numbers(saved: Any) -> np.ndarray:
    return np.array(saved, np.float64)  # None becomes NaN


def merged(comparisons: Sequence[Comparison]) -> Comparison:
    """Several comparisons of one problem as one: all methods in one ranking.

    Raises:
        ValueError: they are of different problems, or have different targets or seeds.
    """
    first = comparisons[0]
    for what in ("problem", "kind", "target", "seeds", "work_unit"):
        values = [getattr(c, what) for c in comparisons]
        if any(v != values[0] for v in values):
            raise ValueError(f"comparisons with different {what} have no common ranking: {' and '.join(map(str, values))}")
    taken: dict[str, int] = {}
    entries = []
    for e in (e for c in comparisons for e in c.entries):
        taken[e.name] = taken.get(e.name, 0) + 1
        entries.append(e if taken[e.name] == 1 else dataclasses.replace(e, name=f"{e.name} ({taken[e.name]})"))
    said = [f"Made of {len(comparisons)} races: seconds are those of different runs."] if len(comparisons) > 1 else []
    for what in ("trials", "tune", "space", "x64"):
        values = [c.options.get(what) for c in comparisons]
        if any(v != values[0] for v in values):
            said.append(f"The races were not alike: {what} was {' and '.join(dict.fromkeys(map(_words, values)))}.")
    for what, differ in (
        ("budget", "Budgets differ"),
        ("environment", "Machines or versions differ, so seconds cannot be compared"),
    ):
        values = [getattr(c, what) for c in comparisons]
        if any(v != values[0] for v in values):
            said.append(f"{differ}: {'; '.join(sorted(set(map(_words, values))))}.")
    return dataclasses.replace(
        first,
        entries=ranked(entries, first.target),
        warnings=tuple(dict.fromkeys([*said, *(w for c in comparisons for w in c.warnings)])),
        paths={name: p for c in comparisons for name, p in c.paths.items()},
        budget=" and ".join(dict.fromkeys(c.budget for c in comparisons)),
        command="\n".join(dict.fromkeys(c.command for c in comparisons)),
        seconds=sum(c.seconds for c in comparisons),
        interrupted=any(c.interrupted for c in comparisons),
    )


def _words(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
