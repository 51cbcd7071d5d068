"""The race as it goes on, in a terminal: a line a method, with its stage, its outcome and a small picture of its loss."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 16
MARKS = {"waiting": "·", "running": "…", "done": "✔", "diverged": "✗", "cut short": "!", "timing": "⏱"}


class Board:
    """A live table on standard output; use it as a context, and give `show` to a race as `watch`."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.rows: dict[str, tuple[str, str, str]] = {}
        self.live = Live(console=Console(highlight=False), auto_refresh=False, transient=True)

    def __enter__(self) -> Board:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def say(self, line: str) -> None:
        """Prints a line above the table; what the table shows needs none."""
        if not line.startswith("  "):
            self.live.console.print(line, markup=False)

    def show(self, name: str, stage: str, words: str = "", losses: Any = None) -> None:
        """Sets the line of a method."""
        if stage == "waiting" and all(row[0] != "waiting" for row in self.rows.values()):
            self.rows = {}  # another race begins
        before = self.rows.get(name, ("", "", ""))
        self.rows[name] = (stage, words or before[1], before[2] if losses is None else sparkline(losses))
        self.live.update(self._table(), refresh=True)

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for name, (stage, words, curve) in self.rows.items():
            style = {"done": "green", "timing": "green", "diverged": "red", "waiting": "dim"}.get(stage, "")
            table.add_row(Text(f"{MARKS[stage]} {name}", style=style), Text(stage, style="dim"), Text(curve), Text(words))
        return table


@contextmanager
def following(say: Callable[[str], None], quiet: bool) -> Iterator[tuple[Callable[[str], None], Any]]:
    """What a race is given as `tell` and `watch`: lines, or the board where somebody looks on."""
    if quiet or not sys.stdout.isatty():
        yield say, None
        return
    with Board() as board:
        yield board.say, board.show


def sparkline(losses: Any) -> str:
    """A curve in few characters, of the logarithm where all of it is positive; a blank where it is not finite.

    >>> sparkline([8.0, 4.0, 2.0, 1.0])
    '█▆▃▁'
    """
    values = np.asarray(losses, np.float64)
    values = values[np.unique(np.linspace(0, len(values) - 1, WIDTH).astype(int))]
    finite = np.isfinite(values)
    if not finite.any():
        return ""
    if (values[finite] > 0).all():
        values = np.log(np.where(finite, values, 1.0))
    low, high = values[finite].min(), values[finite].max()
    part = (values - low) / (high - low) if high > low else np.zeros(len(values))
    return "".join(BARS[round(p * (len(BARS) - 1))] if good else " " for p, good in zip(part, finite, strict=True))
