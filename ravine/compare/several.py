"""The race on several problems, one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from ravine.compare.contenders import expanded
from ravine.compare.front import Watch, race
from ravine.compare.plan import Plan, plan, require_count
from ravine.compare.space import in_space, read_space
from ravine.compare.suite import Suite, told_apart


def compare_suite(
    problems: Sequence[Any],
    methods: Any = None,
    *,
    space: Any = None,
    jobs: int = 2,
    tell: Callable[[str], None] | None = None,
    watch: Watch | None = None,
    command: str = "",
    **options: Any,
) -> Suite:
    """Races methods on several problems and says which one to take over all of them.

    All problems are looked at before the first race. Ctrl-C ends the race that is under way; what has finished is returned. Where a
    problem's own code raises in its race, the others race without it, and the suite says so.

    Args:
        problems: as `compare` takes one; "rosenbrock[n=2|10]" stands for two.
        methods, jobs, tell, watch, command, options: as in `compare`. Problems without a target have no say in the verdict;
            `target="1%"` gives each of them one.
        space: as in `compare`; a method that races on some of the problems is tuned there.

    Returns:
        A `Suite`: `.table() .verdict .standings() .comparisons .save(folder)`.

    Raises:
        ValueError: no problems, or what `compare` raises, before the first race.
        Exception: what the code of the first problem raised, if no race could be run.

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
    if "resume" in options:
        raise ValueError("resume is for the race on one problem: leave it out, or call compare")
    require_count("jobs", jobs)
    say = tell or (lambda line: None)
    plans = _in_space([plan(given, methods, **options) for given in each], space)
    done, broken, interrupted = [], [], False
    for i, planned in enumerate(plans, 1):
        name = planned.options["problem"]
        say(f"problem {i} of {len(plans)}: {name}")
        try:
            done.append(race(planned, jobs=jobs, tell=tell, watch=watch, command=command))
        except KeyboardInterrupt:
            if not done:
                raise
            interrupted = True
        except BrokenPipeError:  # of whoever reads what is told
            raise
        except Exception as error:
            broken.append((name, error))
            say(f"{name} broke: {type(error).__name__}: {error}")
            continue
        if interrupted or done[-1].interrupted:
            interrupted = True
            break
        say(done[-1].verdict)
    if not done:
        raise broken[0][1]
    said = tuple(f"{name}: {type(error).__name__}: {error}" for name, error in broken)
    return Suite(told_apart(done), command, time.perf_counter() - began, interrupted, said)


def _in_space(plans: list[Plan], space: Any) -> list[Plan]:
    """The plans with what each has of the space."""
    if space is None:
        return plans
    ranges = read_space(space)
    racing = {c.name.split(" ")[0] for p in plans for c in p.racing}
    absent = [name for name in ranges if name not in racing]
    if absent:
        raise ValueError(f"the space has {absent[0]}, which does not race; racing are {', '.join(sorted(racing))}")
    out = []
    for p in plans:
        here = {c.name.split(" ")[0] for c in p.racing} if p.tune and p.problem.kind != "system" else set()
        made, ignored = in_space(list(p.racing), {name: its for name, its in ranges.items() if name in here})
        out.append(dataclasses.replace(p, racing=tuple(made), warnings=(*p.warnings, *ignored)))
    return out
