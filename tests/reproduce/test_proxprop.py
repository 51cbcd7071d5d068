"""The experiment on small data: interrupted is uninterrupted, and the picture and the table hold what was measured."""

import dataclasses

import numpy as np
import pytest

from ravine.cli import run
from ravine.problems.datasets import Dataset, Split
from ravine.problems.networks import MLP
from ravine.reproduce.picture import figure, lines, summary, table, write
from ravine.reproduce.proxprop import Experiment, method_of


def small_data():
    rng = np.random.default_rng(0)

    def split(n):
        y = rng.integers(0, 10, n).astype(np.int32)
        return Split((rng.normal(size=(n, 12)) + y[:, None] / 3).astype(np.float32), y)

    return Dataset(split(1000), split(60), split(60), tuple("abcdefghij"), "small", "none")


def experiment(folder, epochs=2, **changes):
    folder.mkdir(exist_ok=True)
    settings = {"runs": ("backprop", "cg3"), "data": small_data, "model": MLP((12, 8, 6, 10)), "save_every": 0.0, **changes}
    return Experiment(folder, epochs=epochs, **settings)


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k not in ("seconds", "batch_loss")} for row in rows]


def test_a_run_in_pieces_is_the_uninterrupted_run(tmp_path):
    whole, pieces = experiment(tmp_path / "whole", 3), tmp_path / "pieces"
    steps = [(run, row["epoch"]) for run, _, row in whole.advance()]
    assert steps == [("backprop", 1), ("cg3", 1), ("backprop", 2), ("cg3", 2), ("backprop", 3), ("cg3", 3)]
    for epochs in (1, 3):
        assert len(list(experiment(pieces, epochs).advance())) == (2 if epochs == 1 else 4)
    for run_name in ("backprop", "cg3"):
        rows = whole.rows(run_name, 0)
        assert without_seconds(experiment(pieces, 3).rows(run_name, 0)) == without_seconds(rows)
        assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
        assert rows[3]["train_loss"] < rows[0]["train_loss"]
    assert whole.rows("backprop", 0)[0]["train_loss"] == whole.rows("cg3", 0)[0]["train_loss"]  # one start
    assert list(whole.advance()) == []


def test_a_quick_run_is_saved_when_it_is_complete_or_left(tmp_path):
    plan = experiment(tmp_path / "quick", 2, save_every=1e9)
    begun = plan.advance()
    assert next(begun)[:2] == ("backprop", 0)
    assert plan.rows("backprop", 0) == []
    begun.close()
    assert [row["epoch"] for row in plan.rows("backprop", 0)] == [0, 1]
    assert [(run, row["epoch"]) for run, _, row in plan.advance()] == [("cg3", 1), ("cg3", 2), ("backprop", 2)]
    alternating = experiment(tmp_path / "slow", 2)
    list(alternating.advance())
    for name in plan.runs:
        assert without_seconds(plan.rows(name, 0)) == without_seconds(alternating.rows(name, 0))


def test_the_picture_and_the_table(tmp_path):
    plan = experiment(tmp_path / "two", 1, seeds=2)
    assert figure(plan).startswith("<svg")  # before anything is known
    list(plan.advance())
    text = write(plan)
    assert text == f"{table(plan)}\n\n{summary(plan)}"
    losses = [plan.rows("cg3", seed)[1]["train_loss"] for seed in range(2)]
    assert f"| ProxProp (cg3) | 2 | 1 | {np.mean(losses):.2g} ({min(losses):.2g} to {max(losses):.2g}) | " in summary(plan)
    assert [line.split(" | ")[:3] for line in table(plan).splitlines()[2:]] == [
        ["| BackProp", "0", "1"],
        ["| BackProp", "1", "1"],
        ["| ProxProp (cg3)", "0", "1"],
        ["| ProxProp (cg3)", "1", "1"],
    ]
    picture = (plan.folder / "figure.svg").read_text()
    assert picture.count('class="band"') == 6  # two runs in three panels
    assert all(words in picture for words in ("epochs", "seconds of training", "validation accuracy", "ProxProp (cg3)"))
    paced = lines(dataclasses.replace(plan, pace=(2.0, 3.0)), "seconds", "train_loss")
    assert [line.x.tolist() for line in paced] == [[0, 2], [0, 3]]
    for nothing in ({"seeds": 0}, {"epochs": 0}):
        with pytest.raises(ValueError, match="must be a whole number of at least 1, got 0"):
            dataclasses.replace(plan, **nothing)
    with pytest.raises(ValueError, match="pace is the seconds of an epoch for each of backprop, cg3; got 1 numbers"):
        dataclasses.replace(plan, pace=(2.0,))
    assert text in (plan.folder / "figure.html").read_text()


def test_a_run_that_diverges_is_said_so(tmp_path):
    plan = experiment(tmp_path / "far", 2, runs=("backprop@1e30",))
    list(plan.advance())
    assert "| diverged |" in table(plan)


def test_refusals(tmp_path, capsys):
    plan = experiment(tmp_path / "states", 1, runs=("backprop",))
    list(plan.advance())
    with pytest.raises(ValueError, match="give another folder with --out"):
        list(experiment(tmp_path / "states", 2, runs=("backprop",), train_size=500).advance())
    with pytest.raises(ValueError, match="train-size must be between 500"):
        list(experiment(tmp_path / "other", train_size=100).advance())
    with pytest.raises(ValueError, match='a run is "backprop" or a solver'):
        method_of("mlp", "backprop@fast")
    assert run(["reproduce", "proxprop", "--runs", "lu", "--out", str(tmp_path)]) == 2
    assert "solver must be" in capsys.readouterr().err
    assert run(["reproduce", "alexnet"]) == 2


def test_step_sizes_and_networks():
    assert method_of("mlp", "exact").tau == 0.05
    assert method_of("convnet", "cg3").tau == 1.0
    assert method_of("mlp", "reference-cg3@0.5").solver == "reference-cg3"
