"""Requests: answered as asked, refused where they are wrong, capped where they are too much; and the server around them."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from ravine.cli import run
from ravine.lab import server
from ravine.lab.meta import meta, rule, symbol
from ravine.lab.scenes import SCENES
from ravine.lab.session import RequestError, Session, unpack

PATHS = {
    "op": "paths",
    "seq": 7,
    "scene": "ravine",
    "methods": {"adam": {"lr": 0.1}, "momentum": {}},
    "steps": 9,
    "focus": "momentum",
}


@pytest.fixture(scope="module")
def session():
    return Session()


def test_paths_are_packed_method_by_method(session):
    header, parts = unpack(session.answer(PATHS))
    assert (header["op"], header["seq"], header["focus"]) == ("paths", 7, "momentum")
    assert list(header["methods"]) == ["momentum", "adam"] or list(header["methods"]) == ["adam", "momentum"]
    assert [p.shape for p in parts] == [(10, 2), (10,), (10, 2)] * 2 + [(10, 2, 2), (10, 2)]
    assert header["state"] == {"v": 2}
    np.testing.assert_allclose(parts[0][0], SCENES["ravine"].start, rtol=1e-6)


def test_a_field_is_the_function_row_by_row_from_below(session):
    window = [-1.0, 2.0, 0.0, 1.0]
    request = {"op": "field", "scene": "typed", "formula": "x + 10y", "n": 5, "window": window}
    header, (values,) = unpack(session.answer(request))
    np.testing.assert_allclose(values, np.linspace(-1, 2, 5)[None] + 10 * np.linspace(0, 1, 5)[:, None], rtol=1e-6)
    assert header["minima"] == []


def test_a_run_that_leaves_every_bound_is_told_without_an_error(session):
    wild = {**PATHS, "methods": {"gradient_descent": {"lr": 10.0}}, "knobs": {"condition": 1000}, "steps": 200}
    header, parts = unpack(session.answer(wild))
    assert header["methods"]["gradient_descent"]["status"] == "NONFINITE" or not np.isfinite(parts[1][-1])


def test_tune_answers_with_step_sizes(session):
    header, parts = unpack(session.answer({**PATHS, "op": "tune"}))
    assert set(header["methods"]) == {"adam", "momentum"}
    assert parts == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"op": "path"}, "did you mean 'paths'"),
        ({"op": "__class__"}, "unknown request"),
        ({"scene": "rosenbrok"}, "did you mean 'rosenbrock'"),
        ({"scene": ["ravine"]}, "unknown function"),
        ({"methods": {"adm": {}}}, "did you mean 'adam'"),
        ({"methods": {}}, "at least one method"),
        ({"methods": {"adam": 3}}, "JSON object"),
        ({"methods": {"adam": {"b1": 1.5}}}, "b1 must be at least 0 and less than 1"),
        ({"methods": {"adam": {"lr": "1"}}}, "must be a number"),
        ({"methods": {"adam": {"lr": True}}}, "must be a number"),
        ({"op": ["paths"]}, "unknown request"),
        ({"seq": float("nan")}, "seq must be"),
        ({"methods": {"adam": {"lrr": 0.1}}}, "did you mean 'lr'"),
        ({"knobs": {"kappa": 3}}, "ravine has no slider 'kappa'"),
        ({"op": "linear", "methods": {"jacobi": {}}, "n": 12.0}, "n is one of"),
        ({"steps": 10**9}, "from 1 to 1000"),
        ({"steps": 1.5}, "whole number"),
        ({"batch": -1}, "whole number"),
        ({"x0": [1.0]}, "2 numbers"),
        ({"x0": [1.0, 1e300]}, "between"),
        ({"x0": [1.0, float("nan")]}, "between"),
        ({"knobs": {"condition": 1e5}}, "from 1 to 1000"),
        ({"scene": "typed"}, "a formula is a text"),
        ({"op": "field", "n": 10**6}, "from 2 to 201"),
        ({"op": "field", "window": [1, 0, 0, 1]}, "lower end"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(session, change, words):
    with pytest.raises(RequestError, match=words):
        session.answer({**PATHS, **change})


def test_an_error_in_a_formula_has_its_column(session):
    with pytest.raises(RequestError, match="unknown name") as caught:
        session.answer({**PATHS, "scene": "typed", "formula": "x + __import__(x)"})
    assert caught.value.column == 5


NONSENSE = [None, True, -1, 1.5, 10**400, float("nan"), float("inf"), "", "x" * 50, [], [[]], [1, 2], {}, {"a": {}}]


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        (PATHS, ["op", "seq", "scene", "formula", "knobs", "x0", "methods", "focus", "steps", "batch", "seed"]),
        ({"op": "field", "scene": "ravine"}, ["scene", "knobs", "n", "window"]),
        ({"op": "train", "methods": {"sgd": {}}, "steps": 0}, ["run", "data", "width", "batch", "seed", "methods", "steps"]),
        ({"op": "slice", "kind": "path", "n": 3}, ["kind", "focus", "n", "seed"]),
        ({"op": "linear", "methods": {"jacobi": {}}, "n": 12, "steps": 3}, ["n", "start", "steps", "methods"]),
    ],
)
def test_nonsense_of_every_type_is_answered_or_refused_but_no_accident(session, request_, keys):
    refused = 0
    for key in keys:
        for value in NONSENSE:
            try:
                unpack(session.answer({**request_, key: value}))
            except RequestError:
                refused += 1
    assert refused > 5 * len(keys)


@pytest.mark.parametrize("request_", [None, 3, [], "paths"])
def test_what_is_no_request_is_refused(session, request_):
    with pytest.raises(RequestError, match="JSON object"):
        session.answer(request_)


def test_meta_comes_from_the_library():
    methods = {m["name"]: m for m in meta()["methods"]}
    adam = methods["adam"]
    assert adam["rule"][-1] == "θ⁺ = θ − α m̂ / (√v̂ + ε)"
    assert [(s["name"], s["symbol"]) for s in adam["sliders"]] == [
        ("lr", "α"),
        ("power", "p"),
        ("b1", "β₁"),
        ("b2", "β₂"),
        ("eps", "ε"),
    ]
    assert all(m["rule"] for m in methods.values())
    json.dumps(meta(), allow_nan=False)
    assert symbol("decay β₁ of the mean") == "β₁"
    assert rule("gradient_descent") == ["θ⁺ = θ − α ∇L(θ)"]


def get(address, path, host=None):
    connection = http.client.HTTPConnection(address)
    connection.request("GET", path, headers={"Host": host or address})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def talk(address, host=None, **more):
    """A WebSocket to the server, which may be told another host than it is reached at."""
    name, port = address.split(":")
    more.setdefault("origin", f"http://{address}")
    return connect(f"ws://{host or address}/ws", sock=socket.create_connection((name, int(port))), **more)


def test_the_page_and_its_parts_are_served(address):
    answer, text = get(address, "/")
    assert "lab.js" in text
    assert "default-src 'self'" in answer.getheader("content-security-policy")
    for path in ("/lab.js", "/lab.css", "/api/meta"):
        assert get(address, path)[0].status == 200
    assert get(address, "/../pyproject.toml")[0].status == 404


def test_only_the_loopback_name_is_answered(address):
    port = address.split(":")[1]
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert get(address, "/", host)[0].status == 400
    assert get(address, "/", f"localhost:{port}")[0].status == 200


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:9", "null", "https://{}"])
def test_a_socket_from_another_page_is_refused(address, origin):
    with pytest.raises(InvalidStatus, match="403"):
        talk(address, origin=origin and origin.format(address))


def test_a_socket_by_another_name_is_refused(address):
    with pytest.raises(InvalidStatus, match=r"40[03]"):
        talk(address, host="evil.example", origin="http://evil.example")


def final(ws):
    """The answer, past the notes that say what takes time."""
    while True:
        message = ws.recv()
        if isinstance(message, bytes) or "busy" not in json.loads(message):
            return message


def test_the_socket_answers_and_survives_nonsense(address):
    with talk(address) as ws:
        ws.send(json.dumps(PATHS))
        assert unpack(final(ws))[0]["seq"] == 7
        for text in ("{", "[" * 30000, "null", '{"op": 3}'):
            ws.send(text)
            assert "error" in json.loads(final(ws))
        ws.send(json.dumps({**PATHS, "scene": "typed", "formula": "(" * 10000, "seq": 8}))
        told = json.loads(final(ws))
        assert (told["seq"], told["column"]) == (8, 501)
        ws.send(json.dumps({**PATHS, "seq": 9}))
        assert unpack(final(ws))[0]["seq"] == 9


def test_a_message_that_is_too_large_ends_the_conversation(address):
    with talk(address) as ws:
        ws.send(json.dumps({**PATHS, "scene": "typed", "formula": "x" * 10**6}))
        with pytest.raises(ConnectionClosedError, match="1009"):
            ws.recv()


def test_only_the_newest_request_of_a_kind_is_answered(address):
    with talk(address) as ws:
        ws.send(json.dumps(PATHS))
        final(ws)
        for seq in range(100, 160):
            ws.send(json.dumps({**PATHS, "seq": seq}))
        answered = []
        while not answered or answered[-1] < 159:
            answered.append(unpack(final(ws))[0]["seq"])
        assert answered == sorted(answered)


def test_it_listens_on_the_loopback_address_only():
    with server.listen() as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        with pytest.raises(OSError, match="cannot be used"):
            server.listen(bound.getsockname()[1])


def test_the_command_refuses_what_it_does_not_know(capsys):
    assert run(["lab", "rosenbrok", "--no-browser"]) == 2
    assert "did you mean 'rosenbrock'" in capsys.readouterr().err
    assert run(["lab", "--no-browser", "--port", "99999"]) == 2
    assert "from 0 to 65535" in capsys.readouterr().err
    assert run(["lab", "--export", "no such folder/scene.html"]) == 2
    assert "there is no folder" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(["lab", "--no-browser", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_it_opens_the_browser_at_its_address(tmp_path):
    told = tmp_path / "address"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {told}.part && mv {told}.part {told}\n')
    browser.chmod(0o755)
    command = [sys.executable, "-c", "from ravine.cli import main; main()", "lab", "beale"]
    environment = os.environ | {"BROWSER": f"{browser} %s"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as process:
        line = process.stdout.readline()
        began = time.monotonic()
        while not told.exists() and time.monotonic() - began < 60:
            time.sleep(0.05)
        process.kill()
    assert told.read_text() == line.split()[2]
    assert told.read_text().endswith("#scene=beale")


def test_ctrl_c_ends_it_cleanly():
    command = [sys.executable, "-c", "from ravine.cli import main; main()", "lab", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        address = line.split("//")[1].split("/")[0]
        while True:
            try:
                with talk(address):
                    process.send_signal(signal.SIGINT)  # with a page open
                break
            except ConnectionRefusedError:
                continue
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.strip() == "ravine lab: ended"
