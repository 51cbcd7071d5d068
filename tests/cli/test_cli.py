"""The command line: what it prints, what it writes, and how it fails."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest

from ravine.cli import run

QUICK = ["-m", "sgd", "momentum", "--budget", "60steps", "--trials", "3", "--seeds", "1"]


def test_compare_prints_a_table_a_verdict_and_the_code(tmp_path, capsys):
    assert run(["compare", "sphere", *QUICK, "-t", "1e-3", "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == "ravine compare sphere"
    assert "Take " in text
    assert "import ravine as rv" in text
    data = ["config.json", "curves.csv", "report.html", "result.json", "summary.md"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*data, "loss.svg", "step_size.svg"])


def test_json_on_standard_output_and_nothing_else(tmp_path, capsys):
    assert run(["compare", "sphere", *QUICK, "--json", "-o", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["problem"] == "sphere"
    assert "racing 2 methods" in captured.err


def test_nobody_at_the_target_is_exit_code_3(tmp_path):
    assert run(["compare", "sphere", *QUICK, "-t", "-1", "-q", "-o", str(tmp_path)]) == 3


def test_a_problem_whose_code_raises_leaves_the_others_and_is_exit_code_1(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        """
import jax, jax.numpy as jnp, ravine as rv
f = jax.custom_jvp(lambda x: jnp.sum(x**2))
f.defjvp(lambda at, along: 1 / 0)
problem = rv.Problem(name="wrong", fun=f, x0=jnp.ones(2))
"""
    )
    out = tmp_path / "out"
    assert run(["compare", "sphere", f"{tmp_path}/mine.py:problem", *QUICK, "-o", str(out)]) == 1
    text = capsys.readouterr().out
    assert "Left out, because its own code raised: " in text
    assert "ZeroDivisionError: division by zero" in text
    assert (out / "sphere" / "report.html").exists()
    assert (out / "report.html").exists()


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
    monkeypatch.setattr("ravine.core.files.tempfile.TemporaryFile", refuse)
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


def test_a_function_that_jax_cannot_trace_is_told_the_cure_in_a_sentence_with_its_place(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("import ravine as rv\n\ndef f(x):\n    return x if x > 0 else -x\n\nproblem = rv.Problem(fun=f, x0=1.0)\n")
    assert run(["compare", str(file), *QUICK, "-o", str(tmp_path / "out")]) == 2
    text = capsys.readouterr().err
    assert text.startswith("ravine: f asks for numbers while JAX traces it")
    assert "jnp.where(…) for an if" in text
    assert text.endswith(f"({file}:4)\n")
    assert text.count("\n") == 1


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


def test_list_trackers_says_what_each_needs(capsys, monkeypatch):
    entry = types.SimpleNamespace(name="own", value="package:make", dist=types.SimpleNamespace(name="package"))
    monkeypatch.setattr("ravine.trackers.front.entry_points", lambda group: [entry])
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert run(["list", "trackers"]) == 0
    jsonl, _, wandb, _, mlflow, own = capsys.readouterr().out.splitlines()
    assert jsonl.split()[0] == "jsonl:FILE"
    assert jsonl.endswith("needs no package")
    assert wandb.split()[0] == "wandb:PROJECT"
    assert wandb.endswith("wandb is installed")
    assert mlflow.endswith("pip install mlflow")
    assert own.split() == ["own:…", "package:make", "package", "is", "installed"]


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


def test_several_problems_end_with_one_table(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["sphere[n=2|3]", "beale", "-m", "bfgs", "lbfgs", "--budget", "200steps", "--x-axis", "time", "-o", str(out)]
    assert run(["compare", *arguments]) == 0
    text = capsys.readouterr().out
    assert "problem 3 of 3: beale" in text
    assert "sphere[n=2]" in text
    assert "Take " in text.splitlines()[-3]
    assert {"beale", "sphere-n-2", "sphere-n-3", "profile.csv"} <= set(os.listdir(out))
    assert '"x_axis":"seconds"' in (out / "beale" / "report.html").read_text("utf-8")
    assert run(["report", str(out / "beale"), str(out / "sphere-n-2"), "--format", "md"]) == 0
    assert capsys.readouterr().out.startswith("## ravine compare: 2 problems")


def test_a_report_is_made_again_and_printed_in_every_form(tmp_path, capsys):
    assert run(["compare", "sphere", *QUICK, "-t", "1e-3", "-q", "-o", str(tmp_path / "a")]) == 0
    (tmp_path / "a" / "report.html").unlink()
    capsys.readouterr()
    assert run(["report", str(tmp_path / "a")]) == 0
    assert (tmp_path / "a" / "report.html").exists()
    starts = {"md": "## ravine", "csv": "method,seed", "tex": "% needs", "html": "<!doctype", "json": "{", "text": "#"}
    capsys.readouterr()
    for form, start in starts.items():
        assert run(["report", str(tmp_path / "a"), "--format", form]) == 0
        assert capsys.readouterr().out.startswith(start), form
    assert run(["report", str(tmp_path / "a"), str(tmp_path / "a")]) == 2
    assert "say where to write to, --out DIR" in capsys.readouterr().err
    assert run(["report", str(tmp_path / "b"), "-f", "md"]) == 2
    assert "there is no" in capsys.readouterr().err


def test_a_race_is_gone_on_with_from_its_folder(tmp_path, capsys):
    out = str(tmp_path / "out")
    assert run(["compare", "sphere", *QUICK, "-t", "1e-3", "-o", out]) == 0
    capsys.readouterr()
    assert run(["compare", "sphere", *QUICK, "-m", "nesterov", "-t", "1e-3", "-o", out, "--resume", "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    assert "racing 1 method" in text
    assert {e["name"] for e in json.loads((tmp_path / "out" / "result.json").read_text())["entries"]} == {
        "sgd",
        "momentum",
        "nesterov",
    }
    assert run(["compare", "sphere", *QUICK, "--resume"]) == 2
    assert "name it with --out DIR" in capsys.readouterr().err
    assert run(["compare", "sphere", "beale", *QUICK, "--resume", "-o", out]) == 2


def test_curves_go_to_a_tracker_whose_name_is_checked_before_the_race(tmp_path, capsys):
    file = tmp_path / "race.jsonl"
    assert run(["compare", "sphere", *QUICK, "-q", "-t", "1e-3", "-o", str(tmp_path / "o"), "--log", f"jsonl:{file}"]) == 0
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert {e["run"] for e in events} == {"sphere/sgd/seed0", "sphere/momentum/seed0"}
    capsys.readouterr()
    assert run(["compare", "sphere", *QUICK, "--log", "jsnol:x"]) == 2
    captured = capsys.readouterr()
    assert "did you mean 'jsonl'" in captured.err
    assert "racing" not in captured.out


def test_tune_writes_a_file_that_compare_races_with(tmp_path, capsys):
    file = tmp_path / "tuned.toml"
    assert run(["tune", "sphere", "-m", "momentum", "--budget", "20steps", "--trials", "8", "-o", str(file)]) == 0
    assert f"ravine compare --config {file}" in capsys.readouterr().out
    assert run(["compare", "--config", str(file), "-t", "1e3", "-q", "-o", str(tmp_path / "o")]) == 0
    (entry,) = json.loads((tmp_path / "o" / "result.json").read_text())["entries"]
    assert entry["name"] == "momentum"
    assert entry["step_size"] is None


def test_a_config_that_is_not_there_is_named(capsys):
    assert run(["compare", "--config", "nowhere.toml"]) == 2
    assert capsys.readouterr().err == "ravine: --config nowhere.toml cannot be read: No such file or directory\n"


def test_spaces_in_the_file_of_settings_count_and_a_wide_table_is_whole(tmp_path, capsys):
    file = tmp_path / "race.toml"
    ranges = '[ravine.space.momentum]\none_minus_beta = { min = 0.01, max = 0.5, scaling = "log" }\n'
    file.write_text(f'[ravine.compare]\nproblem = "sphere"\nmethods = ["momentum"]\nbudget = "20steps"\ntrials = 4\n{ranges}')
    assert run(["compare", "--config", str(file), "-t", "1e3", "-v", "-o", str(tmp_path / "o")]) == 0
    (entry,) = json.loads((tmp_path / "o" / "result.json").read_text())["entries"]
    assert set(entry["tuned"]) == {"lr", "beta"}
    assert "× best" in capsys.readouterr().out


def test_a_tuned_file_has_all_that_the_search_had(tmp_path, capsys):
    file = tmp_path / "new" / "tuned.toml"
    flags = ["--x0=2,1", "--seed", "4", "--budget", "20steps", "--trials", "4", "-t", "auto"]
    assert run(["tune", "sphere", "-m", "momentum[beta=0.5]", "bfgs", *flags, "-o", str(file)]) == 0
    text = file.read_text()
    assert 'x0 = "2,1"' in text
    assert "seed = 4" in text
    assert "beta=0.5" in text
    assert run(["compare", "--config", str(file), "-q", "-o", str(tmp_path / "o")]) == 0
    assert run(["tune", "sphere", "-m", "momentum", "-o", str(tmp_path)]) == 2
    assert "is a folder: name the file to write" in capsys.readouterr().err


def test_a_tracker_that_fails_does_not_take_the_race_back(tmp_path, capsys):
    assert run(["compare", "sphere", *QUICK, "-t", "1e-3", "-o", str(tmp_path), "--log", "jsonl:/proc/nothing/x.jsonl"]) == 0
    captured = capsys.readouterr()
    assert "Take " in captured.out
    assert captured.err.startswith("note: --log: ")


def ravine(*arguments, **how):
    command = [sys.executable, "-m", "ravine", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)


def test_a_race_goes_on_where_nobody_reads_what_it_prints(tmp_path):
    with ravine("compare", "sphere", *QUICK, "-o", str(tmp_path / "out")) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 0, err
    assert (tmp_path / "out" / "report.html").exists()


def test_letters_that_the_output_lacks_end_no_command():
    process = ravine("minimize", "sphere", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert b"CONVERGED" in out


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="looks at what a process has loaded, as Linux shows it")
@pytest.mark.parametrize("library", ["_multiarray_umath", "libjax"])
def test_ctrl_c_while_the_command_loads_what_it_needs_ends_it(library):
    process = ravine("minimize", "rosenbrock[n=1000]", "--seconds", "60", "--tol", "0", "-m", "adam")
    began = time.monotonic()
    while library not in pathlib.Path(f"/proc/{process.pid}/maps").read_text():
        assert time.monotonic() - began < 60
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (out, err)
    assert err == b"interrupted\n"


@pytest.mark.parametrize("arguments", [["minimize", "sphere", "--steps", "1.5"], ["compare", "sphere", "--seeds", "1.7"]])
def test_a_part_of_a_whole_number_is_a_usage_error(arguments, capsys):
    assert run(arguments) == 2
    assert "is no whole number" in capsys.readouterr().err
