"""What a tracker is opened from, what is refused, and that one which fails stops nothing."""

import pathlib
import subprocess
import sys
import warnings

import pytest

from ravine.trackers.front import KINDS, open_tracker
from tests.trackers.conftest import Recorder


def refused(error, match, spec):
    with pytest.raises(error, match=match) as caught:
        open_tracker(spec)
    assert "\n" not in str(caught.value)


def test_an_object_a_text_and_a_list_of_both(tmp_path):
    one, file = Recorder(), tmp_path / "deep" / "run.jsonl"
    tracker = open_tracker([one, f"jsonl:{file}"])
    assert not file.exists()
    tracker.start("a", {"lr": 0.1})
    tracker.log({"loss": 1.0}, 5)
    tracker.artifact("there.txt", "text")
    tracker.finish({"status": "MAX_STEPS"})
    assert one.calls == [
        ("start", "a", {"lr": 0.1}),
        ("log", {"loss": 1.0}, 5),
        ("artifact", "there.txt", "text"),
        ("finish", {"status": "MAX_STEPS"}),
    ]
    assert len(file.read_text().splitlines()) == 4


def test_what_was_opened_may_be_opened_again():
    one = Recorder()
    open_tracker(open_tracker(one)).log({"loss": 1.0}, 5)
    assert one.calls == [("log", {"loss": 1.0}, 5)]


def test_misuse_is_told():
    refused(ValueError, "unknown tracker 'tensorbord'; did you mean 'tensorboard'", "tensorbord:runs")
    refused(ValueError, "unknown tracker 'comet'; there are: jsonl, mlflow, tensorboard, trackio, wandb", "comet:runs")
    refused(ValueError, "'jsonl' does not say where to: write 'jsonl:FILE'", "jsonl")
    refused(ValueError, "'mlflow: ' does not say where to: write 'mlflow:EXPERIMENT_OR_URI'", "mlflow: ")
    refused(ValueError, "'run.jsonl' is no tracker: write its name, a colon and where to", "run.jsonl")
    refused(TypeError, "methods start, log, artifact, finish; int lacks start, log, artifact, finish", 3)
    refused(TypeError, "PosixPath lacks|WindowsPath lacks", pathlib.Path("run.jsonl"))
    refused(TypeError, r"Recorder is a class; write Recorder\(…\)", Recorder)
    refused(ValueError, "did you mean 'wandb'", [Recorder(), "wanbd:project"])


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.package])
def test_a_package_that_is_missing_is_named(name, package):
    package(KINDS[name].package)
    refused(ImportError, f"{name} needs the package {KINDS[name].package}: pip install {KINDS[name].package}", f"{name}:there")


def test_a_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()  # as wandb leaves where it ran
    (tmp_path / "ravine_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(KINDS, "folder", KINDS["wandb"]._replace(package="ravine_folder"))
    refused(ImportError, "pip install ravine_folder", "folder:there")


def test_trackers_of_other_packages(monkeypatch):
    made = []

    class Entry:
        name, value = "own", "package:make"

        def load(self):
            return lambda text: made.append((text, Recorder())) or made[-1][1]

    class Broken(Entry):
        name = "half"

        def load(self):
            return lambda text: object()

    class Shadow(Entry):
        name = "jsonl"

    monkeypatch.setattr(
        "ravine.trackers.front.entry_points", lambda group: [Entry(), Broken(), Shadow()] if group == "ravine.trackers" else []
    )
    open_tracker("own:a:b").log({"loss": 1.0}, 1)
    open_tracker("own")
    assert [text for text, _ in made] == ["a:b", ""]
    assert made[0][1].calls == [("log", {"loss": 1.0}, 1)]
    refused(TypeError, "what package:make made of 'half:x' lacks start, log, artifact, finish", "half:x")
    refused(ValueError, "unknown tracker 'owm'; did you mean 'own'", "owm:x")
    assert type(open_tracker("jsonl:x").live[0][1]).__name__ == "JSONLines"


def test_an_installed_package_may_bring_one(tmp_path, monkeypatch):
    (tmp_path / "brought.py").write_text("from tests.trackers.conftest import Recorder\ndef make(text): return Recorder(text)\n")
    (tmp_path / "brought-1.0.dist-info").mkdir()
    (tmp_path / "brought-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (tmp_path / "brought-1.0.dist-info" / "entry_points.txt").write_text("[ravine.trackers]\nbrought = brought:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert open_tracker("brought:there").live[0][1].fails == ("there",)


@pytest.mark.parametrize("broken", ["log", "artifact", "finish"])
def test_one_that_fails_warns_once_and_is_dropped(broken):
    bad, good = Recorder(broken), Recorder()
    tracker = open_tracker([bad, good])

    def whole():
        tracker.start("", {})
        for step in (1, 2):
            tracker.log({"loss": 1.0}, step)
            tracker.artifact("file", "name")
        tracker.finish({"status": "MAX_STEPS"})

    words = (
        rf"the tracker Recorder failed in {broken} and is told no more, while the run goes on \(RuntimeError: {broken} is broken\)"
    )
    with pytest.warns(UserWarning, match=words) as caught:
        whole()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert bad.calls[-1][0] == broken
    assert len(good.calls) == 6
    before = len(bad.calls)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole()
    assert len(bad.calls) == before


def test_a_start_that_fails_is_raised_and_the_others_are_closed():
    first, second, third = Recorder("finish"), Recorder("start"), Recorder()
    with pytest.raises(RuntimeError, match="start is broken"):
        open_tracker([first, second, third]).start("", {})
    assert first.calls[-1] == ("finish", {"status": "FAILED"})
    assert third.calls == []


def test_a_tracker_may_change_what_it_is_given():
    class Greedy(Recorder):
        def log(self, metrics, step):
            metrics.clear()

    good = Recorder()
    open_tracker([Greedy(), good]).log({"loss": 1.0}, 1)
    assert good.calls == [("log", {"loss": 1.0}, 1)]


def test_nothing_is_imported_that_is_not_asked_for():
    packages = sorted({kind.package for kind in KINDS.values() if kind.package})
    code = f"import sys, ravine, ravine.training.front; print([m for m in {packages!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = "import sys, ravine; print([m for m in sys.modules if m.startswith('ravine.trackers')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
