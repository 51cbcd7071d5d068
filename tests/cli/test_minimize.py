"""`ravine minimize`: every kind of problem, the exit code, the picture, and wrong calls."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ravine.cli import run
from ravine.cli.picture import picture
from ravine.compare.load import load_problem
from ravine.core.target import Elements

MINE = """
import jax.numpy as jnp
import numpy as np
import ravine as rv

t = np.linspace(0.0, 4.0, 20)

def residual(p):
    return p["a"] * jnp.exp(-p["k"] * t) - 2 * jnp.exp(-t)

def fit(loss="linear"):
    return rv.Problem(name="fit", residual=residual, residual_loss=loss, x0={"a": 1.0, "k": 0.5})

def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)

x = np.random.default_rng(0).normal(size=(40, 3))
line = rv.Problem(name="line", loss=loss, x0=np.zeros(3), data=(x, x @ np.arange(3.0)), batch_size=8, target=1e-3)
box = rv.Problem(name="box", fun=lambda x: jnp.sum((x - 3.0) ** 2), x0=np.zeros(2), bounds=(-1.0, 1.0))
system = rv.Problem(name="system", A=np.diag([1.0, 2.0, 4.0]), b=np.ones(3))

def nowhere(x):
    return jnp.log(-jnp.sum(x**2))

def raises(x):
    return x.nothing

x0 = np.ones(2)
"""


@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        (":fit", [], ["LevenbergMarquardt(", "x['k']", "residuals"]),
        (":fit", ["-m", "bfgs"], ["BFGS(", "gradients"]),
        (":fit[loss=huber]", ["-m", "dogleg"], ["Dogleg("]),
        (":fit[loss=huber]", ["-m", "lbfgs[memory=3]"], ["LBFGS(memory=3"]),
        (":line", [], ["[", "over all data at once", "The target of the problem, 0.001, is reached."]),
        (":box", [], ["[1, 1]", "bounds"]),
        (":system", [], ["[1, 0.5, 0.25]", "Av"]),
        (":system", ["-m", "cg[preconditioner=jacobi]"], ["CG(", "[1, 0.5, 0.25]"]),
    ],
)
def test_every_kind_of_problem_is_solved_and_reported(what, more, words, mine, capsys):
    assert run(["minimize", mine + what, *more]) == 0
    text = capsys.readouterr().out
    for word in [*words, "initial", "status"]:
        assert word in text


def test_what_was_given_is_told_as_it_was_given(capsys):
    assert run(["minimize", "sphere", "-m", "bfgs", "--x0=3,4"]) == 0
    text = capsys.readouterr().out
    assert "given           bfgs\n" in text
    assert "initial         12.5\n" in text


def test_the_numbers_of_a_start_go_into_the_arrays_of_the_problems_own(mine, capsys):
    assert load_problem(f"{mine}:fit", Elements([2, 3])).x0 == {"a": 2.0, "k": 3.0}
    assert run(["minimize", f"{mine}:fit", "--x0=2,3"]) == 0
    assert run(["minimize", f"{mine}:fit", "--x0=2,1,3"]) == 2
    assert "x0 must be like the start of 'fit', which is {'a': 'float64[]', 'k': 'float64[]'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--steps", "3"], "MAX_STEPS"),
        (["--seconds", "0.05", "--tol", "0"], "MAX_SECONDS"),
        (["--tol", "1e-30", "--steps", "4"], "4 of"),
    ],
)
def test_a_budget_that_ends_the_run_is_exit_code_3(more, words, capsys):
    assert run(["minimize", "rosenbrock", "-m", "adam", *more]) == 3
    assert words in capsys.readouterr().out


def test_the_tolerance_is_in_force_beside_a_budget(capsys):
    assert run(["minimize", "sphere", "--steps", "50", "--tol", "1e-3"]) == 0
    assert "tol 0.001" in capsys.readouterr().out


def test_json_is_all_there_is(mine, capsys):
    assert run(["minimize", f"{mine}:fit", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["problem"] == "fit"
    assert result["x"]["k"] == pytest.approx(1)
    assert len(result["history"]["f"]) == result["nit"] + 1


def test_the_picture_shows_value_and_optimality(tmp_path, capsys):
    file = tmp_path / "run.svg"
    assert run(["minimize", "rosenbrock", "--plot", str(file)]) == 0
    assert f"picture: {file}" in capsys.readouterr().out
    text = file.read_text()
    root = ET.fromstring(text)
    assert root.get("aria-label") == "rosenbrock: value and optimality against iterations"
    assert text.count('class="curve"') == 2
    assert "prefers-color-scheme:dark" in text


def test_a_picture_of_odd_histories_is_a_picture():
    for values in ([np.nan], [0.0], [-1.0, np.inf, -2.0], np.linspace(1, 2, 5000)):
        ET.fromstring(picture("<a> & b", {"f": np.asarray(values), "optimality": np.full(len(values), np.nan)}))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sfere"], "did you mean 'sphere'"),
        (["sphere", "-m", "adma"], "did you mean 'adam'"),
        (["sphere", "-m", "adam[rate=1]"], "no hyperparameter 'rate'"),
        (["sphere", "-m", "second_order"], "race them with `ravine compare`"),
        (["sphere", "-m", "cg"], "linear system"),
        (["sphere", "--steps", "0"], "--steps must be"),
        (["sphere", "--seconds", "-1"], "--seconds must be"),
        (["sphere", "--tol", "nan"], "--tol must be"),
        (["sphere", "--plot", "run.png"], "ends in .svg"),
        (["sphere", "--plot", "nowhere/run.svg"], "there is no folder nowhere"),
        (["sphere", "--x0=a"], "numbers with commas"),
        (["sphere", "--x0=1,2,3"], "x0 must be like the start"),
        (["mine.py:nowhere"], "at its start: give x0 where it is finite"),
        ([], "problem"),
    ],
)
def test_misuse_is_exit_code_2_and_writes_nothing(arguments, words, mine, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["minimize", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err + captured.out
    assert "Traceback" not in captured.err
    assert set(os.listdir(tmp_path)) <= {"mine.py", "cache", "__pycache__"}


def test_an_error_in_the_user_s_code_is_exit_code_1_with_its_line(mine, capsys):
    assert run(["minimize", f"{mine}:raises"]) == 1
    assert "return x.nothing" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX")
def test_control_c_reports_what_was_reached(tmp_path):
    arguments = [sys.executable, "-m", "ravine", "minimize", "digits_mlp", "-m", "adam", "--tol", "0", "--steps", "100000000"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted" in (out + err).lower()
    assert "Traceback" not in err
