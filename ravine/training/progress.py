"""The live line of a training run; silent when the output is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any


class Progress:
    """Epoch, iteration, loss, samples/s and time left, on standard error.

    Args:
        epochs, steps: how many there will be, as far as it is known.
        size: examples a step.
    """

    def __init__(self, shown: bool, epochs: int | None, steps: int | None, size: int):
        self.bar: Any = None
        self.steps, self.epochs, self.size, self.first = steps, epochs, size, 0
        if shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar
            from rich.table import Column

            console = Console(file=sys.stderr)
            # What is too long is cut in the words, never in the time that is left.
            words, left = TextColumn("{task.description}"), TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7))
            middle = (BarColumn(20), TaskProgressColumn()) if console.width >= 110 else ()
            self.bar = Bar(words, *middle, left, console=console)
            self.task = self.bar.add_task("compiling", total=steps)
            self.bar.start()
            self.began = time.perf_counter()

    def resumed_at(self, step: int) -> None:
        """The steps that an earlier run did, which say nothing about the pace of this one."""
        self.first = step

    def show(self, step: int, epoch: float, loss: float) -> None:
        """The state of the run at a boundary; `epoch` counts the passes done, with the part of the present one."""
        if self.bar is None:
            return
        rate = (step - self.first) * self.size / max(time.perf_counter() - self.began, 1e-9)
        of_epochs = f"/{self.epochs}" if self.epochs is not None else ""
        of_steps = f"/{self.steps:,}" if self.steps is not None else ""
        words = f"epoch {epoch:.1f}{of_epochs} · iteration {step:,}{of_steps} · loss {loss:.4g} · {_short(rate)} samples/s"
        self.bar.update(self.task, completed=step, description=words)

    def close(self) -> None:
        """Leaves the last state on the screen."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _short(rate: float) -> str:
    """Three digits of a rate: 950, 52.3k, 1.12M."""
    for size, unit in (1e6, "M"), (1e3, "k"):
        if rate >= size:
            return f"{rate / size:.3g}{unit}"
    return f"{rate:.3g}"
