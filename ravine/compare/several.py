"""The race on several problems, one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from ravine.compare.budget import read_budget
from ravine.compare.contenders import expanded
from ravine.compare.front import compare
from ravine.compare.load import load_problem
from ravine.compare.suite import Suite


def compare_suite(
    problems: Sequence[Any],
    methods: Any = None,
    *,
    x0: Any = None,
    tell: Callable[[str], None] | None = None,
    command: str = "",
    **options: Any,
) -> Suite:
    """Races methods on several problems and says which one to take over all of them.

    Args:
        problems: as `compare` takes one; "rosenbrock[n=2|10]" stands for two.
        methods, x0, tell, command, options: as in `compare`. Problems without a target have no say in the verdict; `target="1%"`
            gives each of them one.

    Returns:
        A `Suite`: `.table() .verdict .standings() .comparisons .save(folder)`.

    Raises:
        ValueError: no problems, or what `compare` raises, before the first race where it can be told by then.

    Example:
        >>> import ravine as rv
        >>> suite = rv.compare_suite(["sphere", "rosenbrock[n=2|4]"], ["lbfgs", "bfgs"], budget="200steps")
        >>> [s.solved for s in suite.standings()]
        [3, 3]
    """
    began = time.perf_counter()
    if isinstance(problems, str) or not isinstance(problems, Sequence):
        problems = [problems]
    each = expanded(problems)
    if not each:
        raise ValueError("no problems to race on; name some, for example ['rosenbrock', 'beale']")
    say = tell or (lambda line: None)
    loaded = [load_problem(given, x0) for given in each]
    for problem in loaded:
        read_budget(options.get("budget"), problem)  # refused before the first race, not after it
    done = []
    for i, problem in enumerate(loaded, 1):
        say(f"problem {i} of {len(each)}: {each[i - 1] if isinstance(each[i - 1], str) else problem.name}")
        done.append(compare(problem, methods, tell=tell, command=command, **options))
        say(done[-1].verdict)
        if done[-1].interrupted:
            break
    names = [c.problem for c in done]
    # The same problem with other values: what was written tells them apart.
    told = [
        given if names.count(c.problem) > 1 and isinstance(given, str) else c.problem for c, given in zip(done, each, strict=False)
    ]
    comparisons = tuple(dataclasses.replace(c, problem=name) for c, name in zip(done, told, strict=True))
    return Suite(comparisons, command, time.perf_counter() - began)
