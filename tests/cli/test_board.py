"""The live table of a race in a terminal."""

import os
import pty
import subprocess
import sys

from ravine.cli.board import BARS, WIDTH, Board, sparkline


def test_a_sparkline_falls_as_the_loss_does():
    assert sparkline([8.0, 4.0, 2.0, 1.0]) == "█▆▃▁"
    assert len(sparkline(range(1, 1000))) == WIDTH
    assert sparkline([1.0, 1.0]) == BARS[0] * 2
    assert sparkline([2.0, float("nan"), 1.0]) == "█ ▁"
    assert sparkline([float("inf")]) == ""
    assert sparkline([1.0, 0.0, -1.0]) == "█▅▁"


def test_each_method_has_a_line_and_another_race_begins_anew():
    board = Board()
    for name in ("adam", "sgd"):
        board.show(name, "waiting")
    board.show("adam", "running")
    board.show("adam", "done", "final value 0.1", [2.0, 1.0])
    board.show("adam", "timing")
    board.show("sgd", "diverged", "final value inf", [2.0, float("inf")])
    assert board.rows == {"adam": ("timing", "final value 0.1", "█▁"), "sgd": ("diverged", "final value inf", "▁ ")}
    board.show("lion", "waiting")
    assert list(board.rows) == ["lion"]


def test_in_a_terminal_the_table_moves_and_the_ranking_stays(tmp_path):
    """The same command, on a terminal and into a pipe."""
    arguments = [
        "compare",
        "sphere",
        "-m",
        "bfgs",
        "momentum",
        "--budget",
        "30steps",
        "--trials",
        "3",
        "-t",
        "1e3",
        "-o",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "ravine", *arguments]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "120", "TERM": "xterm"})
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    assert process.wait() == 0
    text = seen.decode()
    assert "✔ bfgs" in text
    assert "running" in text
    assert "\x1b[" in text
    assert text.rstrip().splitlines()[-1].startswith("report: ")
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "\x1b[" not in piped
    assert "✔" not in piped
    assert "  BFGS(): final value" in piped
