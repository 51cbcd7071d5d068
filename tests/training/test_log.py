"""What a tracker is told of a training run, and that the run is the same without it."""

import json
import signal
import warnings

import jax
import numpy as np
import optax
import pytest

import ravine as rv
from tests.trackers.conftest import Recorder
from tests.training.test_checkpoint import same_run


@pytest.fixture
def tracker():
    return Recorder()


def mean_error(params, batch):
    x, y = batch
    return abs(x @ params["w"] + params["b"] - y).mean()


def test_each_epoch_is_told(loss, start, line, tracker):
    done = rv.train(
        loss, start, line, rv.Adam(0.05), batch_size=16, epochs=3, validation=line, metrics=mean_error, key=7, log=tracker
    )
    method = "Adam(lr=0.05, b1=0.9, b2=0.999, eps=1e-08)"
    assert tracker.calls[0] == ("start", "", {"method": method, "lr": 0.05, "batch_size": 16, "epochs": 3, "seed": 7})
    rows = tracker.rows()
    assert [step for step, _ in rows] == [4, 8, 12]
    for name, column in (("train/loss", "loss"), ("eval/loss", "validation_loss"), ("eval/mean_error", "mean_error")):
        assert [row[name] for _, row in rows] == done.history[column].tolist()
    assert all(row["lr"] == 0.05 for _, row in rows)
    assert ["step_time" in row for _, row in rows] == [False, True, True]  # the first would be that of the compilation
    assert 0 < rows[1][1]["step_time"] < 10
    assert tracker.calls[-1] == ("finish", {"status": "MAX_STEPS", "loss": done.history["loss"][-1], "iterations": 12})


@pytest.mark.parametrize("validation", [True, False])
def test_a_run_has_the_same_bits_with_and_without(loss, start, line, tracker, validation):
    keywords = {"batch_size": 10, "epochs": 40, "validation": line if validation else None, "key": 2}
    without, told = rv.train(loss, start, line, "adam", **keywords), rv.train(loss, start, line, "adam", log=tracker, **keywords)
    same_run(without, told)
    assert without.best.nit == told.best.nit
    assert len(tracker.rows()) == 40


def test_without_a_tracker_nothing_is_made(loss, start, line, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("ravine.training.front.RunLog", refuse)
    monkeypatch.setattr("ravine.training.front.open_tracker", refuse)
    assert rv.train(loss, start, line, "adam", epochs=1).nit == 1


def test_a_schedule_is_told_by_its_values(loss, start, line, tracker):
    schedule = optax.exponential_decay(0.1, 4, 0.5)
    rv.train(loss, start, line, rv.SGD(schedule), batch_size=16, epochs=3, log=tracker)
    last = [float(schedule(k)) for k in (3, 7, 11)]
    np.testing.assert_allclose([row["lr"] for _, row in tracker.rows()], last, rtol=1e-6)
    config = tracker.calls[0][2]
    assert "lr" not in config
    assert "0x" not in config["method"]


def test_what_is_no_number_is_left_out(loss, start, line, tracker):
    rv.train(loss, start, line, optax.adam(0.1), steps=3, key=jax.random.key(0), log=tracker)
    assert tracker.calls[0] == ("start", "", {"method": "optax transformation", "batch_size": 64, "steps": 3})
    assert "lr" not in tracker.rows()[0][1]


def test_a_method_made_of_a_rule_has_the_rule_sstep_size_of(loss, start, line):
    from ravine.core.hyperparameters import step_size_of

    assert step_size_of(rv.ProxProp(inner=rv.Adam(0.25))) == 0.25
    assert step_size_of(rv.ProxProp(inner=optax.adam(0.25))) is None


def test_the_rest_of_an_epoch_is_told_at_the_end(loss, start, line, tracker):
    done = rv.train(loss, start, line, "adam", batch_size=16, steps=6, log=tracker)
    assert [step for step, _ in tracker.rows()] == [4, 6]
    np.testing.assert_allclose(tracker.rows()[1][1]["train/loss"], np.mean(done.history["step_loss"][4:6]))


def test_an_epoch_that_never_ends_is_told_on_the_way(loss, start, line, tracker, monkeypatch):
    monkeypatch.setattr("ravine.training.log.SECONDS_BETWEEN_ROWS", 0.0)
    monkeypatch.setattr("ravine.core.driver._pace", {})  # so that the first boundary is after 16 steps
    done = rv.train(loss, start, iter([line] * 100), "adam", steps=100, log=tracker)
    steps = [step for step, _ in tracker.rows()]
    assert len(steps) > 1
    assert steps[-1] == 100
    assert steps == sorted(set(steps))
    for (begin, end), (_, row) in zip(zip([0, *steps], steps, strict=False), tracker.rows(), strict=True):
        np.testing.assert_allclose(row["train/loss"], np.mean(done.history["step_loss"][begin:end]), rtol=1e-6)


def test_steps_go_on_from_a_checkpoint(loss, start, line, tmp_path, tracker):
    keywords = {"batch_size": 16, "checkpoint": tmp_path / "run.npz"}
    rv.train(loss, start, line, "adam", epochs=2, **keywords)
    rv.train(loss, start, line, "adam", epochs=4, log=tracker, **keywords)
    assert [step for step, _ in tracker.rows()] == [12, 16]
    again = Recorder()
    rv.train(loss, start, line, "adam", epochs=4, log=again, **keywords)
    assert [name for name, *_ in again.calls] == ["start", "finish"]
    assert again.summary["iterations"] == 16


def test_ctrl_c_is_an_end(loss, start, line, tracker):
    def callback(row):
        signal.raise_signal(signal.SIGINT)

    done = rv.train(loss, start, line, "adam", batch_size=16, epochs=9, callback=callback, log=tracker)
    assert done.status is rv.Status.INTERRUPTED
    assert tracker.summary == {"status": "INTERRUPTED", "loss": done.fun, "iterations": done.nit}


def test_the_second_ctrl_c_is_an_end(loss, start, line, tracker):
    def callback(row):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        rv.train(loss, start, line, "adam", batch_size=16, epochs=9, callback=callback, log=tracker)
    assert tracker.summary["status"] == "INTERRUPTED"


def test_an_error_in_a_callback_is_an_end(loss, start, line, tracker):
    def callback(row):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        rv.train(loss, start, line, "adam", batch_size=16, epochs=9, callback=callback, log=tracker)
    assert [step for step, _ in tracker.rows()] == [4]
    assert tracker.summary["status"] == "FAILED"
    assert tracker.summary["iterations"] == 4


@pytest.mark.parametrize(("stop", "status"), [(rv.Target(0.5), "TARGET"), (rv.MaxSeconds(0.0), "MAX_SECONDS")])
def test_why_it_ended(loss, start, line, tracker, stop, status):
    done = rv.train(loss, start, line, rv.Adam(0.1), batch_size=16, epochs=99, stop=stop, log=tracker)
    assert done.status.name == tracker.summary["status"] == status


def test_a_loss_that_is_not_finite(start, line, tmp_path):
    def broken(params, batch):
        return (params["w"] ** 2).sum() / 0.0

    file = tmp_path / "run.jsonl"
    rv.train(broken, start, line, "adam", batch_size=16, epochs=2, log=f"jsonl:{file}")
    *_, row, ended = [json.loads(line, parse_constant=pytest.fail) for line in file.read_text().splitlines()]
    assert row["train/loss"] is None
    assert ended["summary"]["status"] == "NONFINITE"


@pytest.mark.parametrize("broken", ["log", "finish"])
def test_a_tracker_that_fails_stops_nothing(loss, start, line, tracker, broken):
    bad, keywords = Recorder(broken), {"batch_size": 16, "epochs": 5}
    with pytest.warns(UserWarning, match=f"the tracker Recorder failed in {broken}") as caught:
        done = rv.train(loss, start, line, "adam", log=[bad, tracker], **keywords)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    same_run(rv.train(loss, start, line, "adam", **keywords), done)
    assert len(tracker.rows()) == 5


def test_misuse_is_told_before_anything_runs(loss, start, line, tmp_path):
    def train(log, **keywords):
        calls = []
        rv.train(loss, start, line, "adam", epochs=2, callback=calls.append, log=log, **keywords)

    with pytest.raises(ValueError, match="did you mean 'tensorboard'"):
        train("tensorbord:runs")
    with pytest.raises(RuntimeError, match="start is broken"):
        train(Recorder("start"))
    with pytest.raises(TypeError, match="int lacks start"):
        train(3)
    # What is wrong with the rest of the call is told first, and leaves no empty run behind.
    file = tmp_path / "run.jsonl"
    with pytest.raises(ValueError, match="batch_size=65"):
        train(f"jsonl:{file}", batch_size=65)
    (tmp_path / "run.npz").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not a checkpoint"):
        train(f"jsonl:{file}", checkpoint=tmp_path / "run.npz")
    assert not file.exists()


def test_no_warning_where_all_is_well(loss, start, line, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rv.train(loss, start, line, "adam", epochs=2, log=[f"jsonl:{tmp_path / 'run.jsonl'}"])
