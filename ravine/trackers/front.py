"""`open_tracker`: a text such as "tensorboard:runs/a", or an object, turned into what a run is told to.

A package is imported when a tracker that needs it is opened, never before.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, Protocol

from ravine.core.registry import nearest
from ravine.core.warning import warn

METHODS = ("start", "log", "artifact", "finish")
GROUP = "ravine.trackers"


class Tracker(Protocol):
    """What keeps the numbers of a run. After `finish` it may be started again: that is another run."""

    def start(self, name: str, config: dict[str, Any]) -> None:
        """A run begins. The name is empty where the run has none of its own; `config` holds its settings."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Numbers by name, at an iteration."""

    def artifact(self, path: str, name: str) -> None:
        """A file that belongs to the run."""

    def finish(self, summary: dict[str, Any]) -> None:
        """The run has ended, as `summary["status"]` says: the name of a `Status`, or FAILED after an error."""


class Kind(NamedTuple):
    """A tracker that has a name: its factory, what stands after the colon, the package it needs, and one line."""

    home: str
    after: str
    package: str | None
    doc: str


KINDS = {
    "jsonl": Kind("ravine.trackers.jsonl:JSONLines", "FILE", None, "one JSON object a line, added to the file"),
    "tensorboard": Kind("ravine.trackers.tensorboard:TensorBoard", "DIR", "tensorboardX", "event files that TensorBoard shows"),
    "wandb": Kind("ravine.trackers.runs:wandb", "PROJECT", "wandb", "Weights & Biases"),
    "trackio": Kind("ravine.trackers.runs:trackio", "PROJECT", "trackio", "Trackio"),
    "mlflow": Kind(
        "ravine.trackers.mlflow:MLflow", "EXPERIMENT_OR_URI", "mlflow", "MLflow: an experiment, or the address of a server"
    ),
}


def others() -> dict[str, EntryPoint]:
    """Trackers of other packages by name: entry points of the group `ravine.trackers`, factories of the text after the colon."""
    return {e.name: e for e in entry_points(group=GROUP) if e.name not in KINDS}


def is_installed(package: str) -> bool:
    """Whether a package could be imported; it is not."""
    if package in sys.modules:
        return sys.modules[package] is not None
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None  # a folder of that name, such as wandb makes, is no package


def open_tracker(spec: Any) -> Trackers:
    """What a run is told to; nothing is written before `start`.

    Args:
        spec: a text such as "jsonl:run.jsonl", "tensorboard:runs/a", "wandb:project", "trackio:project", "mlflow:experiment"; an
            object with the methods `start`, `log`, `artifact` and `finish` of `Tracker`; or a list of these.

    Raises:
        ValueError: a name that no tracker has, or nothing after the colon.
        TypeError: an object that lacks one of the methods.
        ImportError: a package is missing; the message says what to install.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "run.jsonl"
        >>> tracker = open_tracker(f"jsonl:{file}")
        >>> tracker.start("first", {"lr": 0.1})
        >>> tracker.log({"loss": 0.25}, step=10)
        >>> tracker.finish({"status": "MAX_STEPS"})
        >>> print(file.read_text(), end="")
        {"event": "start", "run": "first", "config": {"lr": 0.1}}
        {"event": "log", "run": "first", "step": 10, "loss": 0.25}
        {"event": "finish", "run": "first", "summary": {"status": "MAX_STEPS"}}
    """
    specs = spec if isinstance(spec, list | tuple) else [spec]
    return Trackers([_named(s) for s in specs])


def _named(spec: Any) -> tuple[str, Tracker]:
    if isinstance(spec, str):
        return spec, _of_text(spec)
    if isinstance(spec, type):
        raise TypeError(f"{spec.__name__} is a class; write {spec.__name__}(…) to make a tracker of it")
    _require_methods(spec, type(spec).__name__)
    return type(spec).__name__, spec


def _of_text(spec: str) -> Tracker:
    name, colon, text = spec.partition(":")
    if name in KINDS:
        kind = KINDS[name]
        if not text.strip():
            raise ValueError(f"the tracker {spec!r} does not say where to: write '{name}:{kind.after}'")
        if kind.package is not None and not is_installed(kind.package):
            raise ImportError(f"the tracker {name} needs the package {kind.package}: pip install {kind.package}")
        module, factory = kind.home.split(":")
        return getattr(importlib.import_module(module), factory)(text)
    known = others()
    if name in known:
        tracker = known[name].load()(text)
        _require_methods(tracker, f"what {known[name].value} made of {spec!r}")
        return tracker
    if not colon:
        raise ValueError(f"{spec!r} is no tracker: write its name, a colon and where to, such as 'jsonl:run.jsonl'")
    raise ValueError(f"unknown tracker {name!r}{nearest(name, [*KINDS, *known])}")


def _require_methods(tracker: Any, what: str) -> None:
    missing = [m for m in METHODS if not callable(getattr(tracker, m, None))]
    if missing:
        raise TypeError(
            f"a tracker is a text such as 'jsonl:run.jsonl' or an object with the methods {', '.join(METHODS)}; "
            f"{what} lacks {', '.join(missing)}"
        )


class Trackers:
    """Several trackers as one. One that fails after its start is dropped with a warning: it never stops a run."""

    def __init__(self, named: list[tuple[str, Tracker]]):
        self.live = named

    def start(self, name: str, config: dict[str, Any]) -> None:
        """Starts all of them. What one raises is raised, and those that had been started are finished before."""
        for i, (_, tracker) in enumerate(self.live):
            try:
                tracker.start(name, dict(config))
            except BaseException:
                for _, started in self.live[:i]:
                    with contextlib.suppress(Exception):
                        started.finish({"status": "FAILED"})
                raise

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Numbers by name, at an iteration."""
        self._each("log", lambda tracker: tracker.log(dict(metrics), step))

    def artifact(self, path: str, name: str) -> None:
        """A file that belongs to the run."""
        self._each("artifact", lambda tracker: tracker.artifact(path, name))

    def finish(self, summary: dict[str, Any]) -> None:
        """The run has ended."""
        self._each("finish", lambda tracker: tracker.finish(dict(summary)))

    def _each(self, what: str, call: Callable[[Tracker], None]) -> None:
        for named in tuple(self.live):
            try:
                call(named[1])
            except Exception as error:
                self.live = [other for other in self.live if other is not named]
                reason = f"{type(error).__name__}: {error}"
                warn(f"the tracker {named[0]} failed in {what} and is told no more, while the run goes on ({reason})")
