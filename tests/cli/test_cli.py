"""The command line: what it prints, what it writes, and how it fails."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ravine.cli import run

QUICK = ["-m", "sgd", "momentum", "--budget", "60steps", "--trials", "3", "--seeds", "1"]


def test_compare_prints_a_table_a_verdict_and_the_code(tmp_path, capsys):
    assert run(["compare", "sphere", *QUICK, "-t", "1e-3", "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == "ravine compare sphere"
    assert "Take " in text
    assert "import ravine as rv" in text
    assert sorted(os.listdir(tmp_path / "out")) == ["curves.csv", "report.html", "result.json", "summary.md"]


def test_json_on_standard_output_and_nothing_else(tmp_path, capsys):
    assert run(["compare", "sphere", *QUICK, "--json", "-o", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["problem"] == "sphere"
    assert "racing 2 methods" in captured.err


def test_nobody_at_the_target_is_exit_code_3(tmp_path):
    assert run(["compare", "sphere", *QUICK, "-t", "-1", "-q", "-o", str(tmp_path)]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "sfere"], "did you mean 'sphere'"),
        (["compare", "sphere", "-m", "adma"], "did you mean 'adam'"),
        (["compare", "sphere", "--budget", "soon"], "cannot be read"),
        (["compare", "nothing.py"], "there is no file nothing.py"),
        (["list", "metods"], "metods"),
        (["compare", "sphere", "--sedes", "3"], "sedes"),
    ],
)
def test_misuse_is_exit_code_2_without_a_traceback(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err + captured.out
    assert "Traceback" not in captured.err + captured.out
    assert os.listdir(tmp_path) in ([], ["cache"])


def test_a_folder_that_cannot_be_written_is_told_before_the_race(tmp_path, capsys):
    file = tmp_path / "taken"
    file.write_text("mine")
    for out in (file, file / "below"):
        assert run(["compare", "sphere", *QUICK, "-o", str(out)]) == 2
        captured = capsys.readouterr()
        assert f"{file} is a file; name a folder" in captured.err
        assert "racing" not in captured.out
    assert file.read_text() == "mine"


@pytest.mark.parametrize("named", [["-o", "below/out"], []])
def test_a_folder_in_which_nothing_can_be_made_is_told_before_the_race(named, tmp_path, capsys, monkeypatch):
    def refuse(dir):
        raise OSError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ravine.cli.compare.tempfile.TemporaryDirectory", refuse)
    assert run(["compare", "sphere", *QUICK, *named]) == 2
    captured = capsys.readouterr()
    assert "is not writable; name a folder to write to" in captured.err
    assert "racing" not in captured.out


def test_flags_may_stand_in_a_file_and_those_of_the_command_line_come_first(tmp_path, capsys):
    file = tmp_path / "race.toml"
    file.write_text('[ravine.compare]\nproblem = "sphere"\nmethods = ["sgd", "adam"]\nbudget = "30steps"\ntrials = 3\nseeds = 2\n')
    assert run(["compare", "--config", str(file), "-m", "momentum", "--json", "-o", str(tmp_path / "out")]) in (0, 3)
    result = json.loads(capsys.readouterr().out)
    assert result["problem"] == "sphere"
    assert [e["name"] for e in result["entries"]] == ["momentum"]
    assert max(c["iteration"][-1] for c in result["entries"][0]["curves"]) <= 30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[ravine.compare]\nsedes = 2\n", "sedes"),
        ('[ravine.compare]\nseeds = "many"\n', "many"),
        ("[compare]\nseeds = 2\n", r"has no table [ravine.compare]"),
        ("seeds = [", "is no TOML"),
        (None, "No such file"),
    ],
)
def test_a_file_of_flags_that_says_nothing_is_refused(text, words, tmp_path, capsys):
    file = tmp_path / "race.toml"
    if text is not None:
        file.write_text(text)
    assert run(["compare", "sphere", f"--config={file}"]) == 2
    captured = capsys.readouterr()
    assert words in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err


def test_methods_may_be_written_with_commas(tmp_path, capsys):
    few = ["--budget", "5steps", "--trials", "2", "--seeds", "1", "-q", "-o", str(tmp_path)]
    run(["compare", "sphere", "-m", "momentum[beta=0.5,lr=0.1],sgd", "adam[lr=0.1]", *few])
    text = capsys.readouterr().out
    assert all(name in text for name in ("momentum", "sgd", "adam"))


def said_of(body, tmp_path, capsys):
    """What is said of a user's function of x that fails."""
    file = tmp_path / "mine.py"
    file.write_text(f"import ravine as rv\n\ndef f(x):\n    {body}\n\nproblem = rv.Problem(fun=f, x0=1.0)\n")
    assert run(["compare", str(file), *QUICK, "-o", str(tmp_path / "out")]) == 1
    text = capsys.readouterr().err
    assert body in text
    return text


def test_a_function_that_jax_cannot_trace_is_told_the_cure(tmp_path, capsys):
    text = said_of("return x if x > 0 else -x", tmp_path, capsys)
    assert "jnp.where or jax.lax.cond for if" in text
    assert "JAX has removed" not in text


def test_a_loss_that_does_not_take_its_data_is_told_in_a_sentence_with_its_place(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nimport ravine as rv\n\ndef loss(w, batch):\n    return (batch @ w).mean()\n\n"
        "problem = rv.Problem(loss=loss, x0=np.ones(2), data=np.ones((8, 3)), batch_size=4)\n"
    )
    assert run(["compare", str(file), *QUICK, "-o", str(tmp_path / "out")]) == 2
    text = capsys.readouterr().err
    assert text.startswith("ravine: loss(params, batch) fails on a batch of ")
    assert text.endswith(f"({file}:5)\n")
    assert text.count("\n") == 1


def test_the_start_can_be_named(tmp_path, capsys):
    quick = ["-m", "bfgs", "--budget", "40steps", "-o", str(tmp_path / "out")]
    assert run(["compare", "sphere", *quick, "--x0=3,4", "-t", "1e-3"]) == 0
    curves = json.loads((tmp_path / "out" / "result.json").read_text())["entries"][0]["curves"]
    assert curves[0]["loss"][0] == 12.5
    assert run(["compare", "sphere", *quick, "--x0=3,four"]) == 2
    assert "--x0 3,four: write numbers with commas between" in capsys.readouterr().err


def test_a_reader_that_has_read_enough_is_no_error():
    command = f"{sys.executable} -m ravine list problems | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_syntax_error_shows_the_line(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("x0 = 1.0\nproblem = (x0\n")
    assert run(["compare", str(file)]) == 1
    text = capsys.readouterr().err
    assert "problem = (x0" in text
    assert "was never closed" in text


def test_an_import_that_control_c_broke_is_an_interruption(capsys, monkeypatch):
    def interrupted(arguments, exit_on_error):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ImportError("initialising the extension failed") from None

    monkeypatch.setattr("ravine.cli.app", lambda config: interrupted)
    assert run(["list"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_command_is_a_module_too():
    done = subprocess.run([sys.executable, "-m", "ravine", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout


def test_an_error_in_the_user_s_file_is_exit_code_1_and_shows_their_line(tmp_path, capsys):
    text = said_of("return x.nothing", tmp_path, capsys)
    assert "site-packages" not in text
    assert not (tmp_path / "out").exists()


def test_list_methods_and_problems(capsys):
    assert run(["list"]) == 0
    assert "adam  " in capsys.readouterr().out
    assert run(["list", "methods", "-v"]) == 0
    assert "decay β₁" in capsys.readouterr().out
    assert run(["list", "problems"]) == 0
    assert "digits_mlp" in capsys.readouterr().out


def test_env_names_versions_and_no_host(capsys):
    import platform

    assert run(["env"]) == 0
    text = capsys.readouterr().out
    assert "jax" in text
    assert platform.node() not in text or not platform.node()


def test_help_does_not_wait_for_jax():
    code = (
        "import sys; sys.argv = ['ravine', '--help']\nfrom ravine.cli import run\nrun(['--help'])\nassert 'jax' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="signals as on POSIX")
def test_control_c_ends_cleanly(tmp_path):
    arguments = [sys.executable, "-c", "from ravine.cli import main; main()"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [*arguments, "compare", "digits_mlp", "-m", "sgd", "--budget", "2000epochs", "-o", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists() or "report.html" in os.listdir(tmp_path / "out")
    assert "interrupted" in (out + err).lower()
