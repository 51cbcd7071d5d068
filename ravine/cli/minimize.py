"""`ravine minimize`."""

from __future__ import annotations

import pathlib
import sys
import warnings
from typing import Annotated, Any

from cyclopts import Parameter

from ravine.cli.whole import WholeOrNone


def minimize(
    problem: str,
    *,
    method: Annotated[str, Parameter(name=["--method", "-m"])] = "auto",
    tol: float | None = None,
    steps: WholeOrNone = None,
    seconds: float | None = None,
    x0: str | None = None,
    x64: Annotated[bool, Parameter(negative="")] = False,
    plot: Annotated[pathlib.Path | None, Parameter(name=["--plot", "-o"])] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run one method on one problem and say how it went, and why it stopped.

    Residuals are fitted by least squares, linear systems are solved, and a training loss is taken over all its data at once.

    Parameters
    ----------
    problem
        A built-in name (see `ravine list problems`), `module:attr` or `file.py:attr`, with values in brackets: "rosenbrock[n=10]".
    method
        A name, perhaps with settings: "lbfgs[memory=20]"; chosen by the problem if not given.
    tol
        The optimality asked for, relative to the problem's own scale; the square root of the machine precision if not given.
    steps
        The most iterations; if neither these nor seconds are given, as many as `minimize` and its kin take.
    seconds
        The most seconds.
    x0
        The start, numbers with commas between in the order of its arrays, in place of the problem's own: --x0=-1.2,1.
    x64
        Compute in float64.
    plot
        An SVG file to draw value and optimality into, against the iterations.
    json
        Print the result as JSON and nothing else.
    """
    from ravine.cli.compare import numbers

    _check_numbers(tol, steps, seconds)
    if plot is not None:
        _check_file(plot)
    start = numbers(x0)
    import jax

    from ravine.cli import use_compilation_cache

    use_compilation_cache()
    if x64:
        jax.config.update("jax_enable_x64", True)
    from ravine.cli.solve import solve
    from ravine.compare.load import load_problem

    described = load_problem(problem, start)
    if not json:
        _announce(described)
    with warnings.catch_warnings(record=True) as notes:  # shown with a line of this package they would look like faults of it
        warnings.simplefilter("default")
        result = solve(described, method, tol, steps, seconds)
    for note in notes:
        print(f"note: {note.message}", file=sys.stderr)
    if json:
        print(_json(described.name, result))
    else:
        _show(described, result)
    if plot is not None:
        from ravine.cli.picture import picture
        from ravine.core.files import write_whole

        write_whole(plot, picture(described.name, result.history))
        if not json:
            print(f"\npicture: {plot}")
    if result.status.name == "INTERRUPTED":
        return 130
    return 0 if result.success else 3


def _check_numbers(tol: float | None, steps: int | None, seconds: float | None) -> None:
    """Refuses, before JAX is imported, what is no budget."""
    if tol is not None and not 0 <= tol < float("inf"):
        raise ValueError(f"--tol must be a number of at least 0, such as 1e-8, got {tol:g}")
    if steps is not None and not 1 <= steps < 2**31:
        raise ValueError(f"--steps must be a whole number of at least 1, got {steps}")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ValueError(f"--seconds must be a number above 0, got {seconds:g}")


def _check_file(plot: pathlib.Path) -> None:
    """Refuses, before the run and not after it, a file that cannot be written or is to be no SVG."""
    from ravine.core.files import require_place

    if plot.suffix != ".svg":
        raise ValueError(f"--plot {plot}: an SVG is drawn; name a file that ends in .svg")
    if not plot.parent.is_dir():
        raise ValueError(f"--plot {plot}: there is no folder {plot.parent}; make it, or name another file")
    require_place(plot)


def _json(name: str, result: Any) -> str:
    import json

    return json.dumps({"problem": name, **result.to_dict()}, indent=1, allow_nan=False)


def _announce(problem: Any) -> None:
    print(f"ravine minimize {problem.name}" + (f": {problem.doc}" if problem.doc else ""))
    if problem.batched:
        print("(the loss over all data at once; `ravine compare` and `rv.train` take batches)")
    print(flush=True)


def _show(problem: Any, result: Any) -> None:
    print(result.report())
    if problem.target is not None and problem.kind != "system":  # a system's is its tolerance
        print(
            f"\nThe target of the problem, {problem.target:g}, {'is' if result.best.fun <= problem.target else 'was not'} reached."
        )
