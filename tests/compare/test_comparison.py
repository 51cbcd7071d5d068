import csv
import dataclasses
import io
import json
import os
import types

import numpy as np
import pytest

from ravine.compare.contenders import contenders
from ravine.compare.front import _interruption
from ravine.compare.report import html
from ravine.compare.sweep import Sweep
from tests.compare.conftest import HOSTILE, comparison, curve, entry


def test_csv_has_one_row_a_point_and_quotes_names():
    name = f'{HOSTILE}, "twice"'
    c = comparison([entry(name, [curve([2, np.nan], s, [0.1, 0.2]) for s in (0, 1)])])
    rows = list(csv.DictReader(io.StringIO(c.to_csv())))
    assert len(rows) == 4
    assert rows[0]["method"] == name
    assert rows[3]["validation_accuracy"] == "0.2"
    assert rows[3]["loss"] == "nan"


def test_json_is_strict_and_whole(three):
    data = json.loads(three.to_json(), parse_constant=lambda name: pytest_fail(name))
    assert [e["name"] for e in data["entries"]] == ["adam", "sgd", "lion"]
    assert data["entries"][2]["curves"][0]["loss"] == [2, 40, None, None]


def pytest_fail(name):
    raise AssertionError(f"{name} is no JSON")


def test_save_writes_all_files_and_leaves_nothing_else(three, tmp_path):
    page = three.save(tmp_path / "out")
    data = ["config.json", "curves.csv", "report.html", "result.json", "summary.md"]
    plots = ["loss.svg", "step_size.svg", "validation_accuracy.svg"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*data, *plots])
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_exports_are_the_same_from_the_object(three):
    assert three.markdown().startswith("## ravine compare: digits")
    assert "toprule" in three.latex()
    assert three.table().splitlines()[0].split()[0] == "#"


def test_a_report_that_cannot_be_made_leaves_no_folder(three, tmp_path, monkeypatch):
    monkeypatch.setattr("ravine.compare.report.html", lambda c, x_axis: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        three.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verdict_does_not_say_more_than_was_seen(three):
    def said(c, **fields):
        return dataclasses.replace(c, **fields).verdict

    assert said(three).startswith("Take Adam(0.1): it reached 0.1 on 2 of 2 seeds, on average after 20 iterations")
    assert said(three, target=1e-9, interrupted=True).startswith("No method reached 1e-09 before the interruption; ")
    assert said(three, target=None, interrupted=True).startswith(
        "Take Adam(0.1): it came lowest, to 0.01 (median of 2 seeds) before"
    )
    one = comparison([entry("adam", [curve([2, 0.5, 0.01])])])
    assert said(one).startswith("Take Adam(0.1): it reached 0.1 after 20 iterations")
    assert "after 1 iteration (" in said(comparison([entry("adam", [curve([2, 0.01], steps=1)])]))
    assert said(one, target=None).startswith("Take Adam(0.1): it came lowest, to 0.01 in 3 epochs")
    left = comparison([entry("adam", [curve([2, 0.05, 0.01 + 0.5 * s]) for s in (0, 1)])])
    assert "epochs, 10 ms), but left it again on 1; no other method" in said(left)
    broken = comparison([entry("lion", [curve([2, np.nan])])])
    assert said(broken).startswith("No method ended at a finite value in 3 epochs")
    assert said(broken, target=None).startswith("No method ended at a finite value in 3 epochs")
    assert broken.code == ""
    assert "rv.Lion" not in html(broken) + broken.markdown()
    assert "method = rv.Adam(0.1)" in html(one)


@pytest.mark.parametrize(
    ("unfinished", "some", "said"), [(0, True, ""), (2, True, "left out (2 methods)"), (2, False, "no method")]
)
def test_an_interruption_says_what_is_missing(unfinished, some, said):
    assert said in _interruption(True, unfinished, some)
    assert bool(_interruption(True, unfinished, some)) == bool(said)


def test_a_method_that_only_passed_through_the_target_does_not_win():
    through = entry("lion", [curve([2, 0.05, 0.4, 0.4])])
    spike = entry("adam", [curve([2, 1.5, 0.05, 0.4, 0.01])])
    slow = entry("sgd", [curve([2, 1, 0.5, 0.2, 0.05])])
    assert [e.name for e in comparison([through, slow, spike]).entries] == ["adam", "sgd", "lion"]
    behind = comparison([slow, through])
    assert [e.name for e in behind.entries] == ["sgd", "lion"]
    assert not behind.as_quick(behind.entries[1])  # though it was quicker
    assert "≈" not in behind.table()
    assert "no other method ended at it" in behind.verdict
    alone = comparison([through, entry("adagrad", [curve([2, 1, 0.5, 0.2])])])
    assert alone.winner.name == "lion"
    assert "but left it again; no other method reached it" in alone.verdict


def test_a_step_size_that_only_passes_through_the_target_is_not_chosen():
    class Made(Sweep):
        contender = contenders("sgd", "loss")[0]
        race = types.SimpleNamespace(tuning_seeds=(0,))
        losses = np.array([[[2, 0.5, 0.05, 0.04], [2, 0.05, 0.5, 0.4], [2, 3, 4, 5]]])
        points, tried = {"lr": np.array([0.1, 1.0, 10.0])}, 3

    sweep = Made()
    sweep.choose(0.1)
    assert sweep.point == {"lr": 0.1}
    Made.losses, Made.points, Made.tried = Made.losses[:, 1:], {"lr": Made.points["lr"][1:]}, 2
    sweep.choose(0.1)
    assert sweep.point == {"lr": 1.0}
