import csv
import io
import json
import os

import numpy as np
import pytest

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
    assert sorted(os.listdir(tmp_path / "out")) == ["curves.csv", "report.html", "result.json", "summary.md"]
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_exports_are_the_same_from_the_object(three):
    assert three.markdown().startswith("## ravine compare: digits")
    assert "toprule" in three.latex()
    assert three.table().splitlines()[0].split()[0] == "#"


def test_a_report_that_cannot_be_made_leaves_no_folder(three, tmp_path, monkeypatch):
    monkeypatch.setattr("ravine.compare.report.html", lambda c: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        three.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()
