"""`jsonl:FILE`: one JSON object a line."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from ravine.core.plain import plain


class JSONLines:
    """Adds lines to a file, each of them there at once; numbers that are not finite become null."""

    def __init__(self, path: str):
        self.path = pathlib.Path(path)

    def start(self, name: str, config: dict[str, Any]) -> None:
        """Makes the folder where there is none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.name = name
        self._write("start", {"config": config})

    def log(self, metrics: dict[str, float], step: int) -> None:
        """A line with the step and the numbers."""
        self._write("log", {"step": step, **metrics})

    def artifact(self, path: str, name: str) -> None:
        """A line that says where the file lies."""
        self._write("artifact", {"name": name, "path": str(path)})

    def finish(self, summary: dict[str, Any]) -> None:
        """A line with the summary."""
        self._write("finish", {"summary": summary})

    def _write(self, event: str, values: dict[str, Any]) -> None:
        line = json.dumps(plain({"event": event, "run": self.name, **values}), allow_nan=False, ensure_ascii=False)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
