"""`mlflow:EXPERIMENT_OR_URI`."""

from __future__ import annotations

import numbers
import os
import re
import time
from typing import Any

ENDS = {"FAILED": "FAILED", "INTERRUPTED": "KILLED"}


class MLflow:
    """Runs of an experiment; with the address of a server or a database, those of its default experiment.

    A client of its own, so that neither the address nor a run that the user has set globally is changed.
    """

    def __init__(self, where: str):
        self.where = where

    def start(self, name: str, config: dict[str, Any]) -> None:
        """Opens a run with the settings as its parameters."""
        import mlflow

        address, experiment = (self.where, "Default") if "://" in self.where else (None, self.where)
        self.client = mlflow.MlflowClient(address)
        found = self.client.get_experiment_by_name(experiment)
        number = self.client.create_experiment(experiment) if found is None else found.experiment_id
        self.run = self.client.create_run(number, run_name=name or None).info.run_id
        for key, value in config.items():
            self.client.log_param(self.run, _legal(key), value)

    def log(self, metrics: dict[str, float], step: int) -> None:
        """The numbers of a step, in one call."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, metrics=[Metric(_legal(name), float(v), now, step) for name, v in metrics.items()])

    def artifact(self, path: str, name: str) -> None:
        """Copies the file to where MLflow keeps those of the run; a name that is not the file's own is that of a folder there."""
        self.client.log_artifact(self.run, str(path), None if os.path.basename(path) == name else name)

    def finish(self, summary: dict[str, Any]) -> None:
        """The summary's numbers as metrics, the rest of it as tags; ends the run."""
        for key, value in summary.items():
            if isinstance(value, numbers.Real):
                self.client.log_metric(self.run, f"summary/{_legal(key)}", float(value))
            else:
                self.client.set_tag(self.run, f"summary/{_legal(key)}", str(value))
        self.client.set_terminated(self.run, ENDS.get(summary.get("status", ""), "FINISHED"))


def _legal(name: str) -> str:
    """A name as MLflow takes it."""
    return re.sub(r"[^\w./ -]", "_", name)
