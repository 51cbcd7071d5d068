"""`ravine compare`."""

from __future__ import annotations

import pathlib
import re
import shlex
import sys
import tempfile
import time
from typing import Annotated, Any

from cyclopts import Parameter


def compare(
    problem: str = "digits_mlp",
    *,
    methods: Annotated[list[str] | None, Parameter(name=["--methods", "-m"], consume_multiple=True)] = None,
    budget: str | None = None,
    seeds: int = 3,
    target: Annotated[str | None, Parameter(name=["--target", "-t"])] = None,
    trials: int = 16,
    tune: bool = True,
    x0: str | None = None,
    out: Annotated[pathlib.Path | None, Parameter(name=["--out", "-o"])] = None,
    x64: bool = False,
    config: pathlib.Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    open_: Annotated[bool, Parameter(name="--open", negative="")] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
) -> int:
    """Race methods on one problem and say which one to take.

    Without a problem it answers the lecture's question on real data: which first-order method trains a small network on
    handwritten digits best? Writes report.html, result.json, curves.csv and summary.md.

    Parameters
    ----------
    problem
        A built-in name (see `ravine list problems`), `module:attr` or `file.py:attr`, with values in brackets: "rosenbrock[n=10]".
    methods
        Names ("adam", "adam[b1=0.8]"), families ("first_order"), with spaces or commas between; all that fit if not given.
    budget
        The same for each method: 20epochs, 1000steps, or 60s for the whole race.
    seeds
        Starts and orders of batches that are scored.
    target
        The value that counts as solved; 1% is that part of the way from the least value seen back to the start.
    trials
        Step sizes tried for each method.
    tune
        Choose step sizes; with --no-tune every method races with its default one.
    x0
        The start, numbers with commas between, in place of the problem's own: --x0=-1.2,1.
    out
        The folder to write to; compare-PROBLEM-TIME if not given.
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
    """

    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr if json else sys.stdout, flush=True)

    del config  # its values are in force already: `ravine.cli` reads it before the flags
    _check_folder(out or pathlib.Path())
    say(f"ravine compare {problem}")
    import jax

    from ravine.cli import use_compilation_cache
    from ravine.compare.front import compare as race

    use_compilation_cache()
    if x64:
        jax.config.update("jax_enable_x64", True)
    called = pathlib.Path(sys.argv[0]).stem in ("ravine", "__main__")
    command = shlex.join(["ravine", *sys.argv[1:]]) if called else "ravine compare"
    named = None if methods is None else [name for text in methods for name in re.split(r",(?![^\[]*\])", text) if name]
    given = {"budget": budget, "seeds": seeds, "target": target, "trials": trials, "tune": tune, "x0": _numbers(x0)}
    outcome = race(problem, named, tell=say, command=command, **given)
    folder = out or pathlib.Path(f"compare-{_safe(outcome.problem)}-{time.strftime('%Y%m%d-%H%M%S')}")
    report = outcome.save(folder)
    if json:
        print(outcome.to_json())
    else:
        _show(outcome, report)
    if open_:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    if outcome.interrupted:
        return 130
    return 3 if outcome.target is not None and not any(e.reached(outcome.target) for e in outcome.entries) else 0


def _numbers(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(f"--x0 {text}: write numbers with commas between, as in --x0=-1.2,1") from None


def _show(outcome: Any, report: pathlib.Path) -> None:
    print()
    print(outcome.table())
    for warning in outcome.warnings:
        print(f"note: {warning}")
    print()
    print(outcome.verdict)
    print()
    if outcome.code:
        print(f"{outcome.code}\n")
    print(f"report: {report} (with result.json, curves.csv and summary.md beside it)")


def _check_folder(out: pathlib.Path) -> None:
    """Refuses, before the race and not after it, a folder that cannot be written."""
    there = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    try:
        tempfile.TemporaryDirectory(dir=there).cleanup()
    except OSError:
        what = "not writable" if there.is_dir() else "a file"
        raise ValueError(f"--out {out}: {there} is {what}; name a folder to write to") from None


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:60]
