"""`ravine init`: what it writes runs as it is, and nothing is overwritten."""

import os
import subprocess
import sys

import pytest

from ravine.cli import run


@pytest.fixture
def jax_as_it_comes():
    """In all threads, not strict as in the other tests."""
    import jax

    before = {name: getattr(jax.config, name) for name in ("jax_numpy_dtype_promotion", "jax_numpy_rank_promotion")}
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_numpy_rank_promotion", "allow")
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_what_is_written_runs_as_it_is(tmp_path, capsys, monkeypatch, jax_as_it_comes):
    monkeypatch.chdir(tmp_path)
    assert run(["init", "race"]) == 0
    text = capsys.readouterr().out
    assert "cd race && ravine check problem.py" in text
    assert "cd race && ravine compare --config ravine.toml" in text
    monkeypatch.chdir(tmp_path / "race")
    assert sorted(os.listdir()) == ["problem.py", "ravine.toml"]
    assert run(["compare", "--config", "ravine.toml", "--budget", "300steps", "--trials", "3", "-m", "bfgs", "adam", "-q"]) == 0
    assert "Take BFGS()" in capsys.readouterr().out
    for what in ("problem.py", "problem.py:network[width=4]"):
        assert run(["check", what]) == 0
        assert "nothing stands in the way" in capsys.readouterr().out
    assert run(["minimize", "problem.py", "--tol", "1e-6"]) == 0
    small = ["--budget", "2epochs", "--trials", "2", "--seeds", "1", "-q", "-t", "10"]
    assert run(["compare", "problem.py:network[width=4]", "-m", "adam", *small]) == 0


def test_in_the_folder_itself_the_commands_need_no_cd(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["init"]) == 0
    assert "\n  ravine check problem.py" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["problem.py", "ravine.toml"])
def test_nothing_is_overwritten(name, tmp_path, capsys):
    (tmp_path / name).write_text("mine")
    assert run(["init", str(tmp_path)]) == 2
    assert f"{name} is there already and is left as it is" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} - {"cache"} == {name}


@pytest.mark.parametrize("below", [".", "deeper"])
def test_a_file_is_no_folder(below, tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    assert run(["init", str(tmp_path / "taken" / below)]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_it_does_not_wait_for_jax(tmp_path):
    code = f"import sys\nfrom ravine.cli import run\nrun(['init', {str(tmp_path / 'new')!r}])\nassert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
