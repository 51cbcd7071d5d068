"""`ravine tune`."""

from __future__ import annotations

import json as json_text
import pathlib
from typing import Annotated, Any

from cyclopts import Parameter

from ravine.cli.whole import Whole


def tune(
    problem: str,
    *,
    methods: Annotated[list[str] | None, Parameter(name=["--methods", "-m"], consume_multiple=True, negative="")] = None,
    trials: Whole = 50,
    budget: str | None = None,
    seeds: Whole = 3,
    seed: Whole = 0,
    target: Annotated[str | None, Parameter(name=["--target", "-t"])] = None,
    space: pathlib.Path | None = None,
    x0: str | None = None,
    out: Annotated[pathlib.Path, Parameter(name=["--out", "-o"])] = pathlib.Path("tuned.toml"),
    x64: bool = False,
    config: pathlib.Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
) -> int:
    """Look for the best hyperparameters of methods on a problem, and write them down.

    A sweep of step sizes, then points of a Halton sequence in the space of all hyperparameters around the best one. Writes a file
    that `ravine compare --config FILE` races with.

    Parameters
    ----------
    problem
        As in `ravine compare`.
    methods
        Names or families; all that fit if not given.
    trials
        Points that are tried for each method.
    budget
        The same for each method and trial: 20epochs, 1000steps, 5000grads.
    seeds
        Starts and orders of batches on which what was chosen is scored.
    seed
        The first of these seeds.
    target
        The value that counts as solved, 1% of the way, or auto.
    space
        A TOML file of search spaces: tables such as [ravine.space.adam]; the ranges that the methods declare if not given.
    x0
        The start, numbers with commas between.
    out
        The file to write.
    x64
        Compute in float64.
    config
        A TOML file with these flags by name in a table [ravine.tune].
    json
        Print the whole result as JSON and nothing else.
    quiet
        Print what was found only.
    """

    from ravine.cli.compare import check_folder, command, listed, numbers, space_of, teller

    say = teller(quiet, json)

    if out.is_dir():
        raise ValueError(f"--out {out} is a folder: name the file to write, such as {out / 'tuned.toml'}")
    check_folder(out.parent)
    start = numbers(x0)
    say(f"ravine tune {problem}")
    import jax

    from ravine.cli import use_compilation_cache
    from ravine.cli.board import following
    from ravine.compare.tune import tune as search
    from ravine.core.files import write_whole

    use_compilation_cache()
    if x64:
        jax.config.update("jax_enable_x64", True)
    given: dict[str, Any] = {"budget": budget, "seeds": seeds, "seed": seed, "target": target, "x0": start, "command": command()}
    with following(say, quiet or json) as (tell, watch):
        found = search(problem, listed(methods), trials=trials, space=space_of(space, config), tell=tell, watch=watch, **given)
    flags = {"problem": problem, "methods": found.settings, "seeds": seeds, "seed": seed, "x64": x64}
    flags |= {name: value for name, value in (("budget", budget), ("target", target), ("x0", x0)) if value is not None}
    text = "".join(f"{name} = {json_text.dumps(value, ensure_ascii=False)}\n" for name, value in flags.items())
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, f"# Found by: {' '.join(command().split())}\n[ravine.compare]\n{text}")
    if json:
        print(found.to_json())
        return 130 if found.interrupted else 0
    print()
    print(found.table())
    for warning in found.warnings:
        print(f"note: {warning}")
    print()
    for setting in found.settings:
        print(f"  {setting}")
    print(f"\nwritten to {out}: ravine compare --config {out}")
    return 130 if found.interrupted else 0
