"""`tensorboard:DIR`, written by tensorboardX."""

from __future__ import annotations

import json
import os
import re
from typing import Any

SECONDS_BETWEEN_WRITES = 10


class TensorBoard:
    """Event files in a folder; those of a run that has a name, in a folder of that name below."""

    def __init__(self, folder: str):
        self.folder = folder

    def start(self, name: str, config: dict[str, Any]) -> None:
        """Opens a file of events and writes the settings as a text."""
        import tensorboardX

        # A name may hold what a user called a problem: it must lead nowhere else.
        parts = [re.sub(r"[^\w.,=()\[\]+-]+", "_", part) for part in name.split("/") if part.strip(". ")]
        self.writer = tensorboardX.SummaryWriter(os.path.join(self.folder, *parts), flush_secs=SECONDS_BETWEEN_WRITES)
        self._write("config", config)

    def log(self, metrics: dict[str, float], step: int) -> None:
        """A scalar for each number."""
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def artifact(self, path: str, name: str) -> None:
        """A text that says where the file lies."""
        self.writer.add_text(f"artifact/{name}", str(path))

    def finish(self, summary: dict[str, Any]) -> None:
        """The summary as a text; closes the file."""
        self._write("summary", summary)
        self.writer.close()

    def _write(self, name: str, values: dict[str, Any]) -> None:
        # TensorBoard shows texts as Markdown, where four spaces make a block that stands as it is written.
        self.writer.add_text(name, "\n".join("    " + line for line in json.dumps(values, indent=1, default=str).splitlines()))
