"""The live line: silent where there is no terminal, and what it says where there is one."""

import io
import types

import pytest

import ravine as rv
from ravine.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal 120 columns wide in the place of standard error."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr("ravine.training.progress.sys", types.SimpleNamespace(stderr=screen))
    return screen


def test_nothing_is_written_where_there_is_no_terminal(loss, start, line, capfd):
    rv.train(loss, start, line, "adam", batch_size=16, epochs=3)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_written_when_it_is_not_wanted(loss, start, line, terminal):
    rv.train(loss, start, line, "adam", batch_size=16, epochs=3, progress=False)
    assert terminal.getvalue() == ""


def test_the_last_state_stays_on_the_screen(loss, start, line, terminal):
    rv.train(loss, start, line, "adam", batch_size=16, epochs=300)
    last = terminal.getvalue().splitlines()[-2]
    for part in ("epoch 300.0/300", "iteration 1,200/1,200", "loss ", "samples/s", "100%"):
        assert part in last


def test_a_stream_of_unknown_length_has_no_end_to_show(loss, start, line, terminal):
    rv.train(loss, start, [line] * 4, "adam", epochs=2)
    last = terminal.getvalue().splitlines()[-2]
    assert "epoch 2.0/2" in last
    assert "iteration 8 " in last


def test_an_error_leaves_no_live_line_behind(start, line, terminal):
    def callback(row):
        raise RuntimeError("mine")

    def loss(params, batch):
        return (params["w"] ** 2).sum()

    with pytest.raises(RuntimeError, match="mine"):
        rv.train(loss, start, line, "adam", epochs=2, callback=callback)
    before = terminal.getvalue()
    assert "\x1b[?25h" in before  # the cursor is back


def test_a_checkpoint_that_is_refused_leaves_no_live_line_behind(loss, start, line, terminal, tmp_path):
    (tmp_path / "run.npz").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not a checkpoint"):
        rv.train(loss, start, line, "adam", epochs=2, checkpoint=tmp_path / "run.npz")
    assert "\x1b[?25h" in terminal.getvalue()


def test_the_rate_counts_what_this_run_did(terminal, monkeypatch):
    clock = iter([0.0, 2.0])
    monkeypatch.setattr("ravine.training.progress.time.perf_counter", lambda: next(clock))
    progress = Progress(True, 10, 1000, 50)
    progress.resumed_at(400)
    progress.show(600, 6.0, 0.25)
    progress.close()
    assert "5k samples/s" in terminal.getvalue()


def test_in_eighty_columns_the_time_that_is_left_stays(loss, start, line, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rv.train(loss, start, line, "adam", batch_size=16, epochs=300)
    last = terminal.getvalue().splitlines()[-2]
    for part in ("epoch 300.0/300", "iteration 1,200/1,200", "loss ", "samples/s", "0:00:00"):
        assert part in last
