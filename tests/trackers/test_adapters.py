"""Each adapter against a stand-in of its package, and against the package itself where it is installed."""

import json
import struct
import types

import numpy as np
import pytest

from ravine.trackers.front import open_tracker

NAN, INF = float("nan"), float("inf")


def told(spec, name="", status="MAX_STEPS"):
    """One whole run."""
    tracker = open_tracker(spec)
    tracker.start(name, {"method": "Adam(0.1)", "lr": 0.1})
    tracker.log({"train/loss": 2.0, "eval/acc@1": 0.5}, 10)
    tracker.log({"train/loss": NAN}, 20)
    tracker.artifact("folder/report.html", "report.html")
    tracker.finish({"status": status, "loss": INF, "spread": (1.0, 2.0)})
    assert len(tracker.live) == 1
    return tracker


class Calls:
    """Stands for any object: it keeps the calls of its methods."""

    def __init__(self, **attributes):
        self.made = []
        self.__dict__.update(attributes)

    def __getattr__(self, name):
        if name.startswith("__") or name in self.__dict__.get("lacks", ()):
            raise AttributeError(name)
        return lambda *args, **keywords: self.made.append((name, *args, *([keywords] if keywords else [])))


def test_jsonl_is_strict_json_added_line_by_line(tmp_path):
    file = tmp_path / "run.jsonl"
    told(f"jsonl:{file}", "first")
    told(f"jsonl:{file}", "second")
    lines = [json.loads(line, parse_constant=pytest.fail) for line in file.read_text("utf-8").splitlines()]
    assert [line["run"] for line in lines] == ["first"] * 5 + ["second"] * 5
    assert lines[:5] == [
        {"event": "start", "run": "first", "config": {"method": "Adam(0.1)", "lr": 0.1}},
        {"event": "log", "run": "first", "step": 10, "train/loss": 2.0, "eval/acc@1": 0.5},
        {"event": "log", "run": "first", "step": 20, "train/loss": None},
        {"event": "artifact", "run": "first", "name": "report.html", "path": "folder/report.html"},
        {"event": "finish", "run": "first", "summary": {"status": "MAX_STEPS", "loss": None, "spread": [1.0, 2.0]}},
    ]


def test_jsonl_takes_numpy_numbers_and_any_settings(tmp_path):
    file = tmp_path / "run.jsonl"
    tracker = open_tracker(f"jsonl:{file}")
    tracker.start("α", {"steps": np.int64(3), "rate": np.float32(np.nan), "of": tmp_path, 1: [np.float64(0.5)]})
    assert json.loads(file.read_text("utf-8"))["config"] == {"steps": 3, "rate": None, "of": str(tmp_path), "1": [0.5]}
    assert "α" in file.read_text("utf-8")


def test_jsonl_has_each_line_at_once(tmp_path):
    tracker = open_tracker(f"jsonl:{tmp_path / 'run.jsonl'}")
    tracker.start("", {})
    for n in range(2, 5):
        tracker.log({"loss": 1.0}, n)
        assert len((tmp_path / "run.jsonl").read_text().splitlines()) == n


def test_tensorboard(package, tmp_path):
    writers = []

    def writer(folder, **keywords):
        writers.append((folder, Calls()))
        return writers[-1][1]

    package("tensorboardX", SummaryWriter=writer)
    told(f"tensorboard:{tmp_path}")
    folder, calls = writers[0]
    assert folder == str(tmp_path)
    (_, name, text), *rest = calls.made
    assert name == "config"
    assert '"method": "Adam(0.1)"' in text
    assert rest[:2] == [("add_scalar", "train/loss", 2.0, 10), ("add_scalar", "eval/acc@1", 0.5, 10)]
    assert rest[3] == ("add_text", "artifact/report.html", "folder/report.html")
    assert rest[4][:2] == ("add_text", "summary")
    assert rest[5] == ("close",)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("digits/adam[b1=0.8]/seed0", ["digits", "adam[b1=0.8]", "seed0"]),
        ("/etc/../adam (2)/seed0", ["etc", "adam_(2)", "seed0"]),
        ("C:\\x/<b>", ["C_x", "_b_"]),
    ],
)
def test_tensorboard_keeps_runs_with_names_below_its_folder(package, tmp_path, name, parts):
    folders = []
    package("tensorboardX", SummaryWriter=lambda folder, **keywords: folders.append(folder) or Calls())
    told(f"tensorboard:{tmp_path}", name)
    assert folders == [str(tmp_path.joinpath(*parts))]


def test_tensorboardx_itself(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    told(f"tensorboard:{tmp_path}", "a/b")
    (file,) = (tmp_path / "a" / "b").iterdir()
    data, scalars, texts, at = file.read_bytes(), [], {}, 0
    while at < len(data):  # a length, its checksum, a record, its checksum
        (n,) = struct.unpack_from("<Q", data, at)
        event = Event.FromString(data[at + 12 : at + 12 + n])
        at += n + 16
        for v in event.summary.value:
            if v.HasField("tensor"):
                texts[v.tag] = v.tensor.string_val[0].decode()
            else:
                scalars.append((event.step, v.tag, v.simple_value))
    np.testing.assert_equal(scalars, [(10, "train/loss", 2.0), (10, "eval/acc_1", 0.5), (20, "train/loss", NAN)])
    assert '"lr": 0.1' in next(text for tag, text in texts.items() if tag.startswith("config"))


@pytest.mark.parametrize(("status", "code"), [("MAX_STEPS", 0), ("NONFINITE", 0), ("FAILED", 1)])
def test_wandb(package, status, code):
    made, run = [], Calls(summary={})
    package("wandb", init=lambda **keywords: made.append(keywords) or run)
    told("wandb:project", "digits/adam/seed0", status)
    config = {"method": "Adam(0.1)", "lr": 0.1}
    assert made == [{"project": "project", "name": "digits/adam/seed0", "config": config, "reinit": "create_new"}]
    assert run.made[0] == ("log", {"train/loss": 2.0, "eval/acc@1": 0.5}, {"step": 10})
    assert run.made[2:] == [
        ("log_artifact", "folder/report.html", {"name": "report.html", "type": "file"}),
        ("finish", {"exit_code": code}),
    ]
    assert run.summary == {"status": status, "loss": INF, "spread": (1.0, 2.0)}


def test_trackio(package):
    made, run = [], Calls(lacks=("summary",))
    package("trackio", init=lambda **keywords: made.append(keywords) or run)
    told("trackio:project")
    assert made == [{"project": "project", "name": None, "config": {"method": "Adam(0.1)", "lr": 0.1}}]
    assert run.made[0] == ("log", {"train/loss": 2.0, "eval/acc@1": 0.5}, {"step": 10})
    assert run.made[-2:] == [
        ("log", {"summary/status": "MAX_STEPS", "summary/loss": INF, "summary/spread": (1.0, 2.0)}),
        ("finish",),
    ]


@pytest.mark.parametrize(
    ("where", "address", "experiment"),
    [
        ("mine", None, "mine"),
        ("http://server:5000", "http://server:5000", "Default"),
        ("sqlite:///m.db", "sqlite:///m.db", "Default"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_mlflow(package, where, address, experiment, there):
    asked = []

    class Client(Calls):
        def __init__(self, uri):
            super().__init__()
            asked.append((uri, self))

        def get_experiment_by_name(self, name):
            assert name == experiment
            return types.SimpleNamespace(experiment_id="7") if there else None

        def create_experiment(self, name):
            assert not there
            return "7"

        def create_run(self, number, run_name):
            self.made.append(("create_run", number, run_name))
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="run"))

    package("mlflow", MlflowClient=Client)
    package("mlflow.entities", Metric=lambda *values: values)
    told(f"mlflow:{where}", status="INTERRUPTED")
    ((uri, client),) = asked
    assert uri == address
    assert client.made[:3] == [
        ("create_run", "7", None),
        ("log_param", "run", "method", "Adam(0.1)"),
        ("log_param", "run", "lr", 0.1),
    ]
    name, run, keywords = client.made[3]
    assert (name, run) == ("log_batch", "run")
    assert [(key, value, step) for key, value, _, step in keywords["metrics"]] == [("train/loss", 2.0, 10), ("eval/acc_1", 0.5, 10)]
    assert client.made[5:] == [
        ("log_artifact", "run", "folder/report.html", None),
        ("set_tag", "run", "summary/status", "INTERRUPTED"),
        ("log_metric", "run", "summary/loss", INF),
        ("set_tag", "run", "summary/spread", "(1.0, 2.0)"),
        ("set_terminated", "run", "KILLED"),
    ]
