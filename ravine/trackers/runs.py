"""`wandb:PROJECT` and `trackio:PROJECT`, which have one interface."""

from __future__ import annotations

import importlib
from typing import Any


class Runs:
    """Runs of a project; `options` are further keywords of the package's `init`."""

    def __init__(self, package: str, project: str, **options: Any):
        self.package, self.project, self.options = package, project, options

    def start(self, name: str, config: dict[str, Any]) -> None:
        """Opens a run; one without a name is named by the package."""
        package = importlib.import_module(self.package)
        self.run = package.init(project=self.project, name=name or None, config=config, **self.options)

    def log(self, metrics: dict[str, float], step: int) -> None:
        """The numbers of a step."""
        self.run.log(metrics, step=step)

    def artifact(self, path: str, name: str) -> None:
        """Hands the file over to the package, which may send it to its server."""
        self.run.log_artifact(str(path), name=name, type="file")

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes the summary and closes the run."""
        if hasattr(self.run, "summary"):
            self.run.summary.update(summary)
            self.run.finish(exit_code=int(summary.get("status") == "FAILED"))
        else:
            self.run.log({f"summary/{name}": value for name, value in summary.items()})
            self.run.finish()


def wandb(project: str) -> Runs:
    """Runs of Weights & Biases beside one that the user may have open, which they leave as it is."""
    return Runs("wandb", project, reinit="create_new")


def trackio(project: str) -> Runs:
    """Runs of Trackio."""
    return Runs("trackio", project)
