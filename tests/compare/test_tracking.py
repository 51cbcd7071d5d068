"""A finished race in a tracker: one run a method and seed."""

import json
import sys
import types

import numpy as np
import pytest

from ravine.compare.tracking import log_comparison
from ravine.trackers.front import open_tracker
from tests.trackers.conftest import Recorder


def runs(calls):
    """The calls of each run by its name."""
    found = {}
    for name, *arguments in calls:
        if name == "start":
            current = found[arguments[0]] = []
        current.append((name, *arguments))
    return found


def test_every_curve_is_a_run(three):
    tracker = Recorder()
    log_comparison(three, tracker)
    found = runs(tracker.calls)
    assert list(found) == [f"digits/{method}/seed{j}" for method in ("adam", "sgd", "lion") for j in (0, 1)]
    first, *rows, last = found["digits/sgd/seed1"]
    assert first[2] == {"problem": "digits", "method": "Sgd(0.1)", "step_size": 0.1, "seed": 1, "budget": "3 epochs"}
    assert rows[2] == ("log", {"loss": 0.5, "validation_loss": 0.75, "validation_accuracy": 0.7}, 20)
    assert [type(v) for v in rows[2][1].values()] == [float] * 3
    assert [step for *_, step in rows] == [0, 10, 20, 30]
    assert last[1] == {"status": "MAX_STEPS", **three.rows()[1]}


def test_a_race_in_a_file(three, tmp_path):
    log_comparison(three, f"jsonl:{tmp_path / 'race.jsonl'}")
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "race.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 6 * (1 + 4 + 1)
    broken = [line for line in lines if line["run"] == "digits/lion/seed0"]
    assert [line["loss"] for line in broken[1:-1]] == [2, 40, None, None]
    assert broken[-1]["summary"]["status"] == "NONFINITE"
    assert broken[-1]["summary"]["final_loss"] is None


def test_names_of_users_stay_in_the_folder(hostile, tmp_path, monkeypatch):
    folders = []

    class Writer:
        def __init__(self, folder, **keywords):
            folders.append(folder)

        def __getattr__(self, name):
            return lambda *_: None

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    log_comparison(hostile, f"tensorboard:{tmp_path}")
    assert len(set(folders)) == 2
    for folder in folders:
        assert folder.startswith(str(tmp_path))
        assert not set(folder.removeprefix(str(tmp_path))) & set("<>\"'&|`;")


def test_a_tracker_that_fails_is_told_no_more(three):
    bad, good = Recorder("log"), Recorder()
    with pytest.warns(UserWarning, match="the tracker Recorder failed in log") as caught:
        log_comparison(three, [bad, good])
    assert len(caught) == 1
    assert [name for name, *_ in bad.calls] == ["start", "log"]
    assert len(runs(good.calls)) == 6


def test_misuse_may_be_told_before_the_race(three):
    kept = Recorder()
    log_comparison(three, open_tracker(kept))
    assert len(runs(kept.calls)) == 6
    with pytest.raises(ValueError, match="did you mean 'wandb'"):
        log_comparison(three, "wanbd:project")


def test_a_race_without_validation():
    from tests.compare.conftest import comparison, curve, entry

    tracker = Recorder()
    log_comparison(comparison([entry("adam", [curve(np.array([2.0, 0.05], np.float32))])], batch_size=20), tracker)
    assert tracker.rows()[0] == (0, {"loss": 2.0})
    assert tracker.calls[0][2]["batch_size"] == 20
