"""A finished race, handed to what the user keeps runs in."""

from __future__ import annotations

from typing import Any

from ravine.compare.comparison import Comparison
from ravine.trackers.front import open_tracker


def log_comparison(comparison: Comparison, spec: Any) -> None:
    """Writes every curve of a race: each method with each seed is a run, "<problem>/<method>/seed<j>".

    A run's metrics are `loss` and `validation_<measure>` at each evaluation, its step is the iteration, and its summary is the row
    that the method has in the ranking, with the status of this seed.

    Args:
        spec: a text such as "tensorboard:runs" or "wandb:project", an object with the methods start, log, artifact and finish, or a
            list of these, as `train` takes them; or what `open_tracker` made of them, to be told of misuse before the race.

    Raises:
        ValueError: a name that no tracker has, or nothing after the colon.
        TypeError: an object that lacks one of the methods.
        ImportError: a package is missing; the message says what to install.

    Example:
        >>> import json, pathlib, tempfile
        >>> import ravine as rv
        >>> from ravine.compare.tracking import log_comparison
        >>> race = rv.compare("rosenbrock", methods=["bfgs"], seeds=1, budget="50steps")
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "race.jsonl"
        >>> log_comparison(race, f"jsonl:{file}")
        >>> last = json.loads(file.read_text().splitlines()[-1])
        >>> last["run"], last["summary"]["rank"]
        ('rosenbrock/bfgs/seed0', 1)
    """
    tracker = open_tracker(spec)
    for entry, row in zip(comparison.entries, comparison.rows(), strict=True):
        for curve in entry.curves:
            settings = {
                "problem": comparison.problem,
                "method": entry.setting,
                "step_size": entry.step_size,
                "seed": curve.seed,
                "budget": comparison.budget,
                "batch_size": comparison.batch_size,
            }
            given = {name: value for name, value in settings.items() if value is not None}
            tracker.start(f"{comparison.problem}/{entry.name}/seed{curve.seed}", given)
            for i, iteration in enumerate(curve.iteration):
                measures = {f"validation_{name}": float(values[i]) for name, values in curve.validation.items()}
                tracker.log({"loss": float(curve.loss[i]), **measures}, int(iteration))
            tracker.finish({"status": curve.status, **row})
