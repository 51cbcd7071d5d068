"""A run that was broken off and taken up again has the same bits as one without the break."""

import os
import signal

import jax
import numpy as np
import pytest

import ravine as rv


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def same_run(one, other):
    assert equal(one.x, other.x)
    assert equal(one.best.x, other.best.x)
    assert int(one.nit) == int(other.nit)
    assert one.njev == other.njev
    for name in set(one.history) - {"seconds"}:
        np.testing.assert_array_equal(one.history[name], other.history[name])


@pytest.mark.parametrize("ragged", ["drop", "keep"])
@pytest.mark.parametrize("steps", [1, 6, 9])
def test_a_resumed_run_is_the_uninterrupted_one(loss, start, line, tmp_path, steps, ragged):
    keywords = {"batch_size": 10, "key": 4, "validation": line, "ragged": ragged}
    whole = rv.train(loss, start, line, "adam", epochs=5, **keywords)
    saved = tmp_path / "run.npz"
    broken = rv.train(loss, start, line, "adam", steps=steps, checkpoint=saved, **keywords)
    assert int(broken.nit) == steps
    same_run(whole, rv.train(loss, start, line, "adam", epochs=5, checkpoint=saved, **keywords))


def test_a_stream_is_read_on_from_where_it_was(loss, start, line, tmp_path):
    x, y = line
    batches = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 64, 8)]
    whole = rv.train(loss, start, batches, "momentum", epochs=3)
    rv.train(loss, start, batches, "momentum", steps=11, checkpoint=tmp_path / "run.npz")
    same_run(whole, rv.train(loss, start, batches, "momentum", epochs=3, checkpoint=tmp_path / "run.npz"))


def test_a_run_that_was_done_does_nothing_more(loss, start, line, tmp_path):
    keywords = {"batch_size": 16, "epochs": 2, "checkpoint": tmp_path / "run.npz"}
    done = rv.train(loss, start, line, "adam", **keywords)
    again = rv.train(loss, start, line, "adam", **keywords)
    same_run(done, again)
    assert again.status is done.status is rv.Status.MAX_STEPS


def test_a_target_that_was_met_stays_met(loss, start, line, tmp_path):
    keywords = {"batch_size": 16, "epochs": 90, "checkpoint": tmp_path / "run.npz", "stop": rv.Target(0.1)}
    done = rv.train(loss, start, line, rv.Adam(0.1), **keywords)
    again = rv.train(loss, start, line, rv.Adam(0.1), **keywords)
    same_run(done, again)
    assert again.status is done.status is rv.Status.TARGET


def test_more_epochs_go_on_from_a_finished_run(loss, start, line, tmp_path):
    keywords = {"batch_size": 16, "checkpoint": tmp_path / "run.npz"}
    rv.train(loss, start, line, "adam", epochs=2, **keywords)
    same_run(
        rv.train(loss, start, line, "adam", batch_size=16, epochs=5), rv.train(loss, start, line, "adam", epochs=5, **keywords)
    )


def test_another_method_key_or_file_is_refused(loss, start, line, tmp_path):
    saved = tmp_path / "run.npz"
    rv.train(loss, start, line, "adam", batch_size=16, epochs=2, checkpoint=saved, key=0)
    with pytest.raises(ValueError, match="another method or for other parameters; delete it"):
        rv.train(loss, start, line, "sgd", batch_size=16, epochs=3, checkpoint=saved, key=0)
    with pytest.raises(ValueError, match="another key"):
        rv.train(loss, start, line, "adam", batch_size=16, epochs=3, checkpoint=saved, key=1)
    saved.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not a checkpoint of ravine"):
        rv.train(loss, start, line, "adam", batch_size=16, epochs=3, checkpoint=saved, key=0)


def test_nothing_but_the_checkpoint_is_left_behind(loss, start, line, tmp_path):
    rv.train(loss, start, line, "adam", batch_size=16, epochs=2, checkpoint=tmp_path / "deep" / "run.npz")
    assert os.listdir(tmp_path / "deep") == ["run.npz"]


def test_the_checkpoint_is_written_on_the_way(loss, start, line, tmp_path, monkeypatch):
    monkeypatch.setattr("ravine.training.front.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    there = []
    rv.train(
        loss,
        start,
        line,
        "adam",
        batch_size=16,
        epochs=3,
        checkpoint=tmp_path / "run.npz",
        callback=lambda row: there.append((tmp_path / "run.npz").exists()) and None,
    )
    assert there == [False, True, True]


def test_ctrl_c_ends_the_run_with_a_result_that_goes_on(loss, start, line, tmp_path):
    keywords = {"batch_size": 16, "epochs": 6, "checkpoint": tmp_path / "run.npz"}
    broken = rv.train(
        loss, start, line, "adam", callback=lambda row: row["epoch"] == 2 and signal.raise_signal(signal.SIGINT), **keywords
    )
    assert broken.status is rv.Status.INTERRUPTED
    assert int(broken.nit) == 8
    same_run(rv.train(loss, start, line, "adam", batch_size=16, epochs=6), rv.train(loss, start, line, "adam", **keywords))


def test_other_batches_are_refused(loss, start, line, tmp_path):
    x, y = line
    saved = tmp_path / "run.npz"
    rv.train(loss, start, line, "adam", batch_size=16, epochs=2, checkpoint=saved)
    for data, size in ((line, 32), ((x[:32], y[:32]), 16), ([line], None)):
        with pytest.raises(ValueError, match="was saved with batches of 16 out of 64 examples and this run has batches of"):
            rv.train(loss, start, data, "adam", batch_size=size, epochs=3, checkpoint=saved)


@pytest.mark.parametrize("before", [True, False])
def test_validation_may_come_and_go(loss, start, line, tmp_path, before):
    keywords = {"batch_size": 16, "checkpoint": tmp_path / "run.npz"}
    rv.train(loss, start, line, "adam", epochs=2, validation=line if before else None, **keywords)
    on = rv.train(loss, start, line, "adam", epochs=4, validation=None if before else line, **keywords)
    assert np.isfinite(on.history["validation_loss"]).tolist() == [before, before, not before, not before]
    assert on.best.fun == np.min(on.history["loss" if before else "validation_loss"][2:])


def test_a_checkpoint_of_another_method_with_the_same_state_is_refused(loss, start, line, tmp_path):
    saved = tmp_path / "run.npz"
    rv.train(loss, start, line, rv.Momentum(0.01), batch_size=16, epochs=1, checkpoint=saved)
    with pytest.raises(ValueError, match="was saved by Momentum and this run has Lion"):
        rv.train(loss, start, line, rv.Lion(0.01), batch_size=16, epochs=2, checkpoint=saved)
    assert rv.train(loss, start, line, rv.Momentum(0.001), batch_size=16, epochs=2, checkpoint=saved).nit == 8


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_run(loss, start, line, tmp_path):
    seen = []
    (tmp_path / "none").write_text("a file, and no folder")
    with pytest.raises(ValueError, match="cannot be written"):
        rv.train(loss, start, line, "sgd", batch_size=16, epochs=1, checkpoint=tmp_path / "none" / "run.npz", callback=seen.append)
    assert not seen
