"""Tuning: a sweep of step sizes first, then a search of the hyperparameters around the best one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from ravine.compare.comparison import Comparison, ranked
from ravine.compare.contenders import GRID, Contender
from ravine.compare.front import Watch, race
from ravine.compare.plan import plan, require_count, with_spaces
from ravine.compare.space import Range, declared

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
    jobs: int = 2,
    tell: Callable[[str], None] | None = None,
    watch: Watch | None = None,
    command: str = "",
    **options: Any,
) -> Comparison:
    """Looks for the best hyperparameters of methods on a problem.

    First every method tries 16 step sizes, with its other hyperparameters as they come; then `trials` points in the space of all
    its hyperparameters: what was best in the sweep, and a Halton sequence with the step size within a factor of 10 of it. Settings
    are chosen on tuning seeds and scored on others, as in `compare`. What is given with a name, as in "adam[b1=0.8]", keeps its
    value; a name with its step size, and an object, race as they are.

    Args:
        problem, methods, jobs, tell, watch, command, options: as in `compare`.
        trials: points of the space that are tried for each method.
        space: the ranges of the search, see `ravine.compare.space`; those that the methods declare if not given.

    Returns:
        A `Comparison`; `.settings` has the names to race with again: "adam[lr=0.0215, b1=0.87]".

    Raises:
        ValueError: as `compare`; or a linear system, whose methods have nothing that is tuned.

    Example:
        >>> import ravine as rv
        >>> tuned = rv.tune("beale", ["momentum"], trials=32, budget="200steps")
        >>> sorted(tuned.winner.tuned)
        ['beta', 'lr']
    """
    began = time.perf_counter()
    require_count("trials", trials)
    if "resume" in options or "tune" in options:
        raise ValueError("tune takes neither resume nor tune: leave them out")
    planned = plan(problem, methods, trials=SWEEP, space=space, **options)
    if planned.problem.kind == "system":
        raise ValueError(
            f"problem {planned.problem.name!r} is a linear system, whose methods have nothing that is tuned: race them"
        )
    asked = {c.name: c.space for c in planned.racing}
    sweep = dataclasses.replace(planned, racing=tuple(_step_size_alone(c) for c in planned.racing))
    how: dict[str, Any] = {"jobs": jobs, "tell": tell, "watch": watch, "command": command}
    first = race(sweep, **how)
    best = {e.name: e for e in first.entries}
    ranges, starts = {}, {}
    for c in planned.racing:
        own = declared(c.given) if space is None and c.set is not None and (c.tuned or not c.set) else asked[c.name]
        own = tuple(r for r in own if r.name not in (c.set or ()))
        lr = best[c.name].step_size if c.name in best else None
        if lr is not None and space is None:
            own = (_around(lr), *(r for r in own if r.name != "lr"))
            starts[c.name] = {"lr": lr, **{name: float(v[0]) for name, v in c.own(r.name for r in own if r.name != "lr").items()}}
        if own:
            ranges[c.name] = own
    if not ranges or first.interrupted:
        return first
    aimed = dataclasses.replace(planned.problem, target=first.target)
    search = with_spaces(dataclasses.replace(planned, problem=aimed, part=None), ranges, starts, trials)
    try:
        second = race(search, **how)
    except KeyboardInterrupt:
        return dataclasses.replace(first, interrupted=True)
    found = {e.name for e in second.entries}
    return dataclasses.replace(
        second,
        entries=ranked([*second.entries, *(e for e in first.entries if e.name not in found)], first.target),
        warnings=tuple(dict.fromkeys((*(w for w in first.warnings if w.startswith("The target")), *second.warnings))),
        seconds=time.perf_counter() - began,
        paths=first.paths,
        options={**planned.options, "trials": trials},
    )


def _step_size_alone(c: Contender) -> Contender:
    """As it races in the sweep: tuned in its step size, where it has one to tune."""
    has_step_size = any(r.name == "lr" for r in c.space) if c.space else c.tuned
    return dataclasses.replace(c, space=(), tuned=c.tuned and has_step_size)


def _around(lr: float) -> Range:
    """Step sizes around the best one."""
    return Range("lr", max(lr / AROUND, GRID[0] / AROUND), min(lr * AROUND, GRID[1] * AROUND), log=True)
