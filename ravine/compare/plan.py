"""What a race is about, understood and checked before anything runs."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ravine.compare.budget import Budget, many, read_budget, with_target
from ravine.compare.check import check_metrics, check_problem
from ravine.compare.contenders import Contender, contenders
from ravine.compare.load import load_problem
from ravine.compare.race_systems import suitable
from ravine.compare.space import Range, in_space, read_space
from ravine.core.choice import takes_batches
from ravine.core.flat import Layout, as_arrays
from ravine.problems.problem import Problem

TUNING = 1000
"""How far the seeds of tuning are from those of the race."""
SAMPLE = 2**21
"""Of a larger array so many elements tell it from others."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A race that has not run.

    Attributes:
        problem: with its target; `part` is the part of the way where that depends on what the race sees.
        racing: who races.
        budget: of each method, but for the seconds, which are those of the whole race.
        seeds: those that are scored.
        trials: step sizes, or points of a space, that are tried.
        tune: whether they are.
        options: what was asked for, as JSON can hold it, and what tells the problem from others of its name.
        warnings: what a reader must know of it.
    """

    problem: Problem
    part: float | None
    racing: tuple[Contender, ...]
    budget: Budget
    seeds: range
    trials: int
    tune: bool
    options: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def is_minibatch(self, contender: Contender) -> bool:
        """Whether this one sees minibatches; others take all data at once."""
        return self.problem.batched and takes_batches(type(contender.given))


def plan(
    problem: Any,
    methods: Any = None,
    *,
    budget: Any = None,
    seeds: int = 3,
    seed: int = 0,
    target: Any = None,
    trials: int = 16,
    tune: bool = True,
    space: Any = None,
    x0: Any = None,
) -> Plan:
    """What `compare` was asked for.

    Raises:
        ValueError: what `compare` raises before it begins.
    """
    described = load_problem(problem, x0)
    described, part = with_target(described, target)
    for name, value in (("seeds", seeds), ("trials", trials)):
        require_count(name, value)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31 - 2 * TUNING:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
    if seeds > TUNING:
        raise ValueError(f"seeds must be {TUNING:,} at most, got {seeds:,}")
    if not isinstance(tune, bool):
        raise ValueError(f"tune must be True or False, got {tune!r}")
    if space is not None and not tune:
        raise ValueError("a space is for tuning: leave out space or tune=False")
    system = described.kind == "system"
    if space is not None and system:
        raise ValueError(f"problem {described.name!r} is a linear system, whose methods race as they are: leave out space")
    kind = "batch" if described.kind == "loss" and not described.batched else described.kind
    if methods is None and system:
        methods = suitable(described)
    start: Any = () if system else as_arrays(described.start(jax.random.key(0)))
    if not system:
        Layout.leafwise(start, "x0" if described.init is None else "init(key)")  # refuses what are no parameters
    racing = contenders(methods, kind, sum(np.size(v) for v in jax.tree.leaves(start)), tune)
    ranges = {} if space is None else read_space(space)
    racing, ignored = in_space(racing, ranges)
    at_start = 0.0 if system else check_problem(described, start)
    check_metrics(described, start)
    if system and not np.any(np.asarray(jax.tree.leaves(described.b)[0])):
        raise ValueError(f"problem {described.name!r} has b = 0, whose solution is 0: there is nothing to race for")
    spend = read_budget(budget, described)
    made = Plan(described, part, tuple(racing), spend, range(seed, seed + seeds), trials, tune, {}, tuple(ignored))
    whole = [c.name for c in racing if described.batched and not made.is_minibatch(c)]
    if whole and np.isinf(spend.seconds) and np.isinf(spend.work):
        said = f"Budget of what takes all data at once ({', '.join(whole)}): {many(spend.steps, 'iteration')}."
        made = dataclasses.replace(made, warnings=(*made.warnings, said))
    options = {
        "problem": problem if isinstance(problem, str) else described.name,
        "methods": {c.name: c.spec({}) or c.setting({}) for c in racing},
        "budget": spend.words,
        "seeds": seeds,
        "seed": seed,
        "target": target,
        "trials": trials,
        "tune": tune,
        "space": {name: [dataclasses.asdict(r) for r in its] for name, its in ranges.items()},
        "x64": jax.dtypes.canonicalize_dtype(float) == np.float64,
        "x0": None if x0 is None else jax.tree.map(lambda v: np.asarray(v).tolist(), x0),
        "fingerprint": _fingerprint(described, at_start),
    }
    return dataclasses.replace(made, options=options)


def require_count(name: str, value: Any) -> None:
    """Refuses what is no whole number of at least 1.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def with_spaces(plan: Plan, ranges: Mapping[str, tuple[Range, ...]], first: Mapping[str, Mapping[str, float]], trials: int) -> Plan:
    """The plan with these contenders alone, each tuned over its ranges, with `first` as the first point that it tries."""
    racing = [
        dataclasses.replace(c, tuned=True, space=ranges[c.name], first=dict(first.get(c.name, {})))
        for c in plan.racing
        if c.name in ranges
    ]
    return dataclasses.replace(plan, racing=tuple(racing), trials=trials)


def _fingerprint(problem: Problem, value: float) -> str:
    """What tells a problem from others of its name: its arrays, its target, and its value at the start to four digits."""
    code = hashlib.blake2b(digest_size=12)
    start = problem.x0 if problem.kind == "system" else problem.start(jax.random.key(0))
    for leaf in jax.tree.leaves((start, problem.data, problem.validation, problem.args, problem.bounds, problem.A, problem.b)):
        if hasattr(leaf, "dtype") or isinstance(leaf, int | float):
            flat = np.ravel(np.asarray(leaf))
            code.update(f"{flat.dtype}{np.shape(leaf)}".encode())
            code.update(np.ascontiguousarray(flat[:: max(1, flat.size // SAMPLE)]).tobytes())
    code.update(f"{problem.kind} {problem.target} {problem.batch_size} {value:.4g}".encode())
    return code.hexdigest()
