"""Tuning: a sweep of step sizes first, then a search of the hyperparameters around the best one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ravine.compare.comparison import Comparison, ranked
from ravine.compare.contenders import GRID
from ravine.compare.front import compare
from ravine.compare.space import Range, declared, read_space
from ravine.core.registry import method_class

SWEEP = 16
"""Step sizes of the sweep."""
AROUND = 10.0
"""The search goes from the best step size of the sweep divided by this to that times this."""


def tune(
    problem: Any,
    methods: Any = None,
    *,
    trials: int = 50,
    space: Any = None,
    tell: Callable[[str], None] | None = None,
    **options: Any,
) -> Comparison:
    """Looks for the best hyperparameters of methods on a problem.

    First every method tries 16 step sizes, with its other hyperparameters as they come; then `trials` points of a Halton sequence
    in the space of all its hyperparameters, with the step size within a factor of 10 of the best. Who does better in the first
    round keeps what it had there. Settings are chosen on tuning seeds and scored on others, as in `compare`.

    Args:
        problem, methods, options: as in `compare`.
        trials: points of the space that are tried for each method.
        space: the ranges of the search, see `ravine.compare.space`; those that the methods declare if not given.
        tell: called with a line of progress now and then.

    Returns:
        A `Comparison`; `.settings` has the names to race with again: "adam[lr=0.0215, b1=0.87]".

    Raises:
        ValueError: as `compare`.

    Example:
        >>> import ravine as rv
        >>> tuned = rv.tune("beale", ["momentum"], trials=32, budget="200steps")
        >>> sorted(tuned.winner.tuned)
        ['beta', 'lr']
    """
    first = compare(problem, methods, trials=SWEEP, tell=tell, **options)
    ranges = read_space(space) if space is not None else {}
    for e in first.entries if space is None and not first.interrupted else ():
        if e.step_size is not None:
            ranges = {**ranges, e.name: _around(e.step_size, declared(method_class(e.name)()))}
    ranges = {name: its for name, its in ranges.items() if its}
    if not ranges:
        return first
    names = list(ranges)
    second = compare(problem, names, trials=trials, space=ranges, tell=tell, **options)
    both = {name: [e for c in (second, first) for e in c.entries if e.name == name] for name in names}
    better = [ranked(found, first.target)[0] for found in both.values()]
    others = [e for e in first.entries if e.name not in names]
    return dataclasses.replace(
        second,
        entries=ranked([*better, *others], first.target),
        warnings=tuple(dict.fromkeys((*second.warnings, *first.warnings))),
        seconds=first.seconds + second.seconds,
        paths=first.paths,
        interrupted=first.interrupted or second.interrupted,
    )


def _around(lr: float, ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The ranges, that of the step size around the best one."""
    low, high = max(lr / AROUND, GRID[0] / AROUND), min(lr * AROUND, GRID[1] * AROUND)
    return (Range("lr", low, high, log=True), *(r for r in ranges if r.name != "lr"))
