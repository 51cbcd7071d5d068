"""`ravine check`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def check(
    problem: str,
    *,
    x0: str | None = None,
    x64: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Look at one problem before anything is minimised: value, derivatives, scaling, speed, data.

    Each line begins with ok, with warning and what to do about it, or with wrong. The exit code is 1 where something is wrong.

    Parameters
    ----------
    problem
        A built-in name (see `ravine list problems`), `module:attr` or `file.py:attr`, with values in brackets: "rosenbrock[n=10]".
    x0
        The start, numbers with commas between in the order of its arrays, in place of the problem's own: --x0=-1.2,1.
    x64
        Compute in float64.
    """
    from ravine.cli.compare import numbers

    start = numbers(x0)
    import jax  # without the cache of compiled programs: how long compiling takes is to be said

    if x64:
        jax.config.update("jax_enable_x64", True)
    from ravine.cli.findings import OK, WARNING, WRONG, findings
    from ravine.compare.load import load_problem

    described = load_problem(problem, start)
    print(f"ravine check {described.name}" + (f": {described.doc}" if described.doc else ""), flush=True)
    marks = []
    for mark, about, words in findings(described):
        print(f"  {mark:<9}{about:<12}{words}", flush=True)
        marks.append(mark)
    if WRONG in marks:
        return 1
    n = marks.count(WARNING)
    print(f"{n} warning{'' if n == 1 else 's'}; {marks.count(OK)} ok" if n else "nothing stands in the way")
    return 0
