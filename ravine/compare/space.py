"""Search spaces: which hyperparameters of a method are tuned, and over which ranges, in AlgoPerf's vocabulary.

    [ravine.space.adam]
    lr = { min = 1e-4, max = 1.0, scaling = "log" }
    one_minus_b1 = { min = 1e-3, max = 0.5, scaling = "log" }     # b1 = 1 − this
    eps = { feasible_points = [1e-8, 1e-5] }

Trials are points of a Halton sequence in the space, so that more of them only add to the first ones; over a single range they are
spread evenly.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ravine.compare.contenders import GRID, Contender
from ravine.core.hyperparameters import holder
from ravine.core.registry import HOMES, nearest, unknown

ENDS = 0.03
"""A best value so near to an end of its range, as a part of the range, is told: a better one may lie outside."""


@dataclasses.dataclass(frozen=True)
class Range:
    """The values of one hyperparameter: from `low` to `high`, walked in the logarithm if `log`, or `points` alone.

    `minus` says that the range is that of 1 − value.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    points: tuple[float, ...] = ()
    minus: bool = False

    def at(self, u: np.ndarray) -> np.ndarray:
        """The values at the parts 0 ≤ u < 1 of the range."""
        if self.points:
            values = np.array(self.points)[np.minimum((u * len(self.points)).astype(int), len(self.points) - 1)]
        elif self.log:
            values = np.clip(np.exp(np.log(self.low) + u * np.log(self.high / self.low)), self.low, self.high)
        else:
            values = self.low + u * (self.high - self.low)
        return 1 - values if self.minus else values

    def everywhere(self) -> np.ndarray:
        """Both ends, or all points."""
        return self.at(np.arange(len(self.points)) / len(self.points) if self.points else np.array([0.0, 1.0]))

    def end(self, value: float) -> str:
        """The end of the range that a value lies at, in words; empty inside of it, and for points."""
        if self.points:
            return ""
        v = 1 - value if self.minus else value
        u = np.log(v / self.low) / np.log(self.high / self.low) if self.log else (v - self.low) / (self.high - self.low)
        if ENDS < u < 1 - ENDS:
            return ""
        return f"{self.name} = {value:.4g} lies at the end of its range"


Space = Mapping[str, tuple[Range, ...]]


def read_space(given: Any) -> Space:
    """The ranges of each method, from a TOML file (tables `[ravine.space.NAME]`) or a dict of the same form.

    Raises:
        ValueError: an unknown method or hyperparameter (with the nearest right one), a range that cannot be read, or values that
            the method does not take.

    Example:
        >>> read_space({"sgd": {"lr": {"min": 0.01, "max": 1.0, "scaling": "log"}}})["sgd"][0].at(np.array([0.0, 0.5]))
        array([0.01, 0.1 ])
    """
    if isinstance(given, str | os.PathLike):
        given = _from_file(given)
    if not isinstance(given, Mapping):
        raise ValueError(f"space must be a TOML file or a dict of methods, got {given!r}")
    return {name: _ranges(name, what) for name, what in given.items()}


def has_spaces(path: str | os.PathLike[str]) -> bool:
    """Whether a TOML file, which can be read, has search spaces."""
    with open(path, "rb") as file:
        return bool(tomllib.load(file).get("ravine", {}).get("space"))


def _from_file(path: str | os.PathLike[str]) -> Any:
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except ValueError as error:
        raise ValueError(f"space {path} is no TOML: {error}") from None
    except OSError as error:
        raise ValueError(f"space {path} cannot be read: {error.strerror}; name a TOML file") from None
    space = tables.get("ravine", {}).get("space")
    if not isinstance(space, dict) or not space:
        raise ValueError(f"space {path} has no table such as [ravine.space.adam]")
    return space


def _ranges(method: str, given: Any) -> tuple[Range, ...]:
    if method not in HOMES:
        raise unknown(method, HOMES)
    if isinstance(given, tuple) and all(isinstance(r, Range) for r in given):
        return given
    if not isinstance(given, Mapping):
        raise ValueError(f"the space of {method} must be a table of hyperparameters, got {given!r}")
    found = tuple(_range(method, key, what) for key, what in given.items())
    names = [r.name for r in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"the space of {method} has both {twice[0]} and one_minus_{twice[0]}: leave out one")
    return found


def _range(method: str, key: str, given: Any) -> Range:
    from ravine.core.registry import method_class

    minus = key.startswith("one_minus_")
    name = key.removeprefix("one_minus_")
    fresh = method_class(method)()
    owner = holder(fresh, name)
    if owner is None:
        known = [h.name for h in fresh.hypers()]
        raise ValueError(f"{method} has no hyperparameter {name!r}{nearest(name, known) if known else '; it has none'}")
    made = _read(f"the range of {method}.{key}", name, minus, given)
    for value in made.everywhere():
        owner.replace(**{name: float(value)})  # refuses, in words, what the method does not take
    return made


def _read(what: str, name: str, minus: bool, given: Any) -> Range:
    cure = "write { min = 1e-4, max = 1.0, scaling = 'log' } or { feasible_points = [0.9, 0.99] }"
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} cannot be read: {cure}")
    if set(given) == {"feasible_points"}:
        points = given["feasible_points"]
        if not isinstance(points, list | tuple) or not points or not all(_is_number(v) for v in points):
            raise ValueError(f"{what}: feasible_points must be a list of numbers")
        return Range(name, points=tuple(map(float, points)), minus=minus)
    scaling = given.get("scaling", "linear")
    if set(given) - {"scaling"} != {"min", "max"} or scaling not in ("log", "linear"):
        raise ValueError(f"{what} cannot be read: {cure}")
    low, high = given["min"], given["max"]
    if not (_is_number(low) and _is_number(high) and low < high) or (scaling == "log" and low <= 0):
        raise ValueError(f"{what}: min must be less than max" + (", and greater than 0 where scaling is log" * (scaling == "log")))
    return Range(name, float(low), float(high), scaling == "log", minus=minus)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def declared(method: Any) -> tuple[Range, ...]:
    """The ranges worth trying that a method declares of all its hyperparameters; those close to 1 are walked as 1 − value."""
    ranges = []
    for h in method.hypers():
        if h.valid == "[0,1)" and not h.log:
            ranges.append(Range(h.name, max(1 - h.high, 1e-4), max(1 - h.low, 1e-3), True, minus=True))
        elif h.high > h.low:
            ranges.append(Range(h.name, h.low, h.high, h.log))
    return tuple(ranges)


def trials(ranges: tuple[Range, ...], n: int, first: Mapping[str, float] | None = None) -> dict[str, np.ndarray]:
    """n points of the space, by the name of the hyperparameter: evenly over one range, a Halton sequence over several.

    Args:
        first: a point to begin with, in place of the last of the others.
    """
    if len(ranges) == 1:
        parts = np.linspace(0, 1, n)[:, None] if n > 1 else np.full((1, 1), 0.5)
    else:
        from scipy.stats import qmc

        parts = qmc.Halton(len(ranges), seed=0).random(n)
    points = {r.name: r.at(parts[:, i]) for i, r in enumerate(ranges)}
    return {name: np.concatenate([[first[name]], v[: n - 1]]) for name, v in points.items()} if first else points


def in_space(contenders: list[Contender], space: Space) -> tuple[list[Contender], list[str]]:
    """The contenders, each tuned over its part of the space, and in words what of the space is not used.

    What that does not name keeps its default, but for the step size. What came with the name of a method keeps its value; a step
    size that did means that it races as it is.

    Raises:
        ValueError: the space names a method that does not race.
    """
    racing = {c.name.split(" ")[0] for c in contenders}
    absent = [name for name in space if name not in racing]
    if absent:
        raise ValueError(f"the space has {absent[0]}, which does not race; racing are {', '.join(sorted(racing))}")
    made = [_with_ranges(c, space.get(c.name.split(" ")[0], ())) for c in contenders]
    kept = [c.name for c in made if not c.space and space.get(c.name.split(" ")[0])]
    return made, [f"The space is not used by what races as it was given: {', '.join(kept)}."] if kept else []


def _with_ranges(contender: Contender, ranges: tuple[Range, ...]) -> Contender:
    if contender.set is None or contender.fixed or (not contender.tuned and contender.set):
        return contender
    ranges = tuple(r for r in ranges if r.name not in contender.set)
    if not ranges:
        return contender
    if contender.tuned and all(r.name != "lr" for r in ranges):
        ranges = (Range("lr", *GRID, log=True), *ranges)
    return dataclasses.replace(contender, tuned=True, space=ranges)
