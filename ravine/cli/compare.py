"""`ravine compare`."""

from __future__ import annotations

import pathlib
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ravine.cli import tell
from ravine.cli.whole import Whole

WIDTH, WIDE = 100, 10**6
AXES = {"steps": "iteration", "grads": "work", "time": "seconds"}


def compare(
    problem: Annotated[list[str] | None, Parameter(negative="")] = None,
    *,
    methods: Annotated[list[str] | None, Parameter(name=["--methods", "-m"], consume_multiple=True, negative="")] = None,
    budget: str | None = None,
    seeds: Whole = 3,
    seed: Whole = 0,
    target: Annotated[str | None, Parameter(name=["--target", "-t"])] = None,
    trials: Whole = 16,
    tune: bool = True,
    space: pathlib.Path | None = None,
    x0: str | None = None,
    x_axis: Literal["steps", "grads", "time"] = "steps",
    out: Annotated[pathlib.Path | None, Parameter(name=["--out", "-o"])] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    jobs: Whole = 2,
    log: Annotated[list[str] | None, Parameter(negative="")] = None,
    x64: bool = False,
    config: pathlib.Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    open_: Annotated[bool, Parameter(name="--open", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative="")] = False,
) -> int:
    """Race methods on one problem, or on several, and say which one to take.

    Without a problem it answers the lecture's question on real data: which first-order method trains a small network on
    handwritten digits best? Writes report.html, result.json, curves.csv, summary.md, config.json and the plots.

    Parameters
    ----------
    problem
        A built-in name (see `ravine list problems`), `module:attr` or `file.py:attr`, with values in brackets: "rosenbrock[n=10]".
        Several, or "rosenbrock[n=2|10]", are raced one after the other and compared by performance profiles.
    methods
        Names ("adam", "adam[b1=0.8]"), families ("first_order"), with spaces or commas between; all that fit if not given.
    budget
        The same for each method: 20epochs, 1000steps, 5000grads, or 60s for the whole race.
    seeds
        Starts and orders of batches that are scored.
    seed
        The first of these seeds; the others follow it.
    target
        The value that counts as solved; 1% is that part of the way from the least value seen back to the start; auto is the
        problem's own, or 1% where it has none.
    trials
        Step sizes tried for each method.
    tune
        Choose step sizes; with --no-tune every method races with its default one.
    space
        A TOML file of search spaces, to tune other hyperparameters too: tables such as [ravine.space.adam]. Those in the file of
        --config count as well.
    x0
        The start, numbers with commas between in the order of its arrays, in place of the problem's own: --x0=-1.2,1.
    x_axis
        What the report draws curves against at first.
    out
        The folder to write to; compare-PROBLEM-TIME if not given.
    resume
        Go on with the race in the folder --out: what has finished there is not run again.
    jobs
        Methods compiled and run beside each other; what is timed runs alone.
    log
        Write all curves to a tracker as well, such as tensorboard:DIR; see `ravine list trackers`. May be repeated.
    x64
        Compute in float64 (certified fits such as nist need it to be meaningful).
    config
        A TOML file with these flags by name in a table [ravine.compare]; flags on the command line come first.
    json
        Print the whole result as JSON and nothing else.
    open_
        Open the report in the browser.
    quiet
        Print the table and the verdict only.
    verbose
        Print all columns of the table, however wide.
    """

    say = teller(quiet, json)
    check_folder(out or pathlib.Path())
    if resume and out is None:
        raise ValueError("--resume goes on with the race in a folder: name it with --out DIR")
    problems = problem or ["digits_mlp"]
    say(f"ravine compare {' '.join(problems)}")
    import jax

    from ravine.cli import use_compilation_cache
    from ravine.cli.board import following
    from ravine.compare.contenders import expanded
    from ravine.compare.front import compare as race
    from ravine.compare.several import compare_suite
    from ravine.compare.suite import Suite
    from ravine.compare.tracking import log_comparison
    from ravine.core.files import file_name
    from ravine.trackers.front import open_tracker

    use_compilation_cache()
    if x64:
        jax.config.update("jax_enable_x64", True)
    each = expanded(problems)
    if resume and len(each) > 1:
        raise ValueError("--resume goes on with the race on one problem: name one, and its folder with --out DIR")
    given: dict[str, Any] = {
        "budget": budget,
        "seeds": seeds,
        "seed": seed,
        "target": target,
        "trials": trials,
        "tune": tune,
        "space": space_of(space, config),
        "x0": numbers(x0),
        "jobs": jobs,
        "command": command(),
    }
    names = listed(methods)
    try:
        tracker = open_tracker(log) if log else None  # before the race, so that a wrong name is told now
    except ImportError as error:
        raise ValueError(str(error)) from None
    with following(say, quiet or json) as (following_up, watch):
        given |= {"tell": following_up, "watch": watch}
        if len(each) > 1:
            outcome: Any = compare_suite(each, names, **given)
        else:
            outcome = race(each[0], names, resume=out if resume else None, **given)
    several = isinstance(outcome, Suite)
    kept = "problems" if several else file_name(outcome.problem)
    folder = out or pathlib.Path(f"compare-{kept}-{time.strftime('%Y%m%d-%H%M%S')}")
    report = outcome.save(folder, AXES[x_axis])
    if json:
        tell(outcome.to_json())
    else:
        show(outcome, WIDE if verbose else _room())
        tell(f"report: {report} (with result.json and summary.md beside it)")
    comparisons = outcome.comparisons if several else (outcome,)
    if tracker is not None:
        try:
            for comparison in comparisons:
                log_comparison(comparison, tracker)
        except Exception as error:  # the race is done and saved: a tracker must not take it back
            print(f"note: --log: {type(error).__name__}: {error}", file=sys.stderr)
    if open_:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    if outcome.interrupted:
        return 130
    if several and outcome.broken:
        return 1
    missed = [c.target is not None and not any(e.reached(c.target) for e in c.entries) for c in comparisons]
    return 3 if all(missed) else 0


def teller(quiet: bool, json: bool) -> Callable[[str], None]:
    """What prints a line of progress: not at all, or beside the JSON that has standard output for itself."""

    def say(line: str) -> None:
        if not quiet:
            tell(line, sys.stderr if json else sys.stdout)

    return say


def space_of(space: pathlib.Path | None, config: pathlib.Path | None) -> pathlib.Path | None:
    """The file of search spaces: that of --space, or that of --config where it has some."""
    from ravine.compare.space import has_spaces

    return config if space is None and config is not None and has_spaces(config) else space


def listed(methods: list[str] | None) -> list[str] | None:
    """Names with spaces or commas between; a comma inside of brackets is none."""
    return None if methods is None else [name for text in methods for name in re.split(r",(?![^\[]*\])", text) if name]


def command() -> str:
    """The command as it was typed."""
    called = pathlib.Path(sys.argv[0]).stem in ("ravine", "__main__")
    return shlex.join(["ravine", *sys.argv[1:]]) if called else "ravine compare"


def numbers(text: str | None) -> Any:
    """The numbers of "1,2"."""
    from ravine.core.target import Elements

    if text is None:
        return None
    try:
        return Elements(float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"--x0 {text}: write numbers with commas between, as in --x0=-1.2,1") from None


def show(outcome: Any, width: int = WIDTH) -> None:
    """Prints the table, what a reader must know, the verdict, and the code that uses the winner."""
    table = outcome.table(width)
    tell("\n".join(["", table, *(f"note: {warning}" for warning in outcome.warnings), ""]))
    if table != outcome.verdict:
        tell(f"{outcome.verdict}\n")
    if getattr(outcome, "code", ""):
        tell(f"{outcome.code}\n")


def _room() -> int:
    """How wide a table may be: what the terminal has, and no more than reads well."""
    return min(WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH


def check_folder(out: pathlib.Path) -> None:
    """Refuses, before the race and not after it, a folder that cannot be written."""
    from ravine.core.files import hindered

    hindrance = hindered(out.absolute())
    if hindrance:
        what = "not writable" if hindrance[0].is_dir() else "a file"
        raise ValueError(f"--out {out}: {hindrance[0]} is {what}; name a folder to write to")
