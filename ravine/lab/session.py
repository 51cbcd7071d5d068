"""What the page asks for, and the answers. Every request is checked here before anything is computed.

    paths   all methods' runs            field   the values on a grid, to draw the map from
    tune    good step sizes             train   a network's next steps    slice   its loss on a plane
    linear  the iterates of a linear system, as images

An answer is one binary message: u32 length of the header | header, JSON padded to whole words | float32 arrays end to end, of the
shapes that the header's `parts` say. Errors and progress are JSON texts.
"""

from __future__ import annotations

import json
import math
import struct
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.pytree import VALID
from ravine.core.registry import nearest
from ravine.core.status import Status
from ravine.lab import network, systems
from ravine.lab import paths as engine
from ravine.lab.expression import Expression, ExpressionError, parse
from ravine.lab.network import Live
from ravine.lab.scenes import SCENES, TYPED, TYPED_RESIDUAL, Scene, finite

MOST_GRID = 201
MOST_NETWORKS = 6
LARGEST = 1e6


class RequestError(ValueError):
    """A request that is not answered; the message goes to the page, with the column of a formula that is wrong."""

    def __init__(self, what: str, column: int | None = None):
        super().__init__(what)
        self.column = column


class Session:
    """Answers requests, one after the other.

    Args:
        tell: called with what takes longer than usual ("compiling 6 methods").
        warm: compile in the background what is likely to be asked for next.
    """

    def __init__(self, tell: Callable[[str], None] = lambda what: None, warm: bool = False):
        self.tell = tell
        self.warm = warm
        self.live: Live | None = None
        self.run = -1

    def answer(self, request: Any) -> bytes:
        """The answer to one request.

        Raises:
            RequestError: the request is not understood or asks for too much.
        """
        if not isinstance(request, dict):
            raise RequestError("a request is a JSON object")
        answers = {
            "paths": self.paths,
            "field": self.field,
            "tune": self.tune,
            "train": self.train,
            "slice": self.slice,
            "linear": self.linear,
        }
        op = request.get("op")
        _integer(request, "seq", 0, 0, 2**53)
        if not isinstance(op, str) or op not in answers:
            raise RequestError(f"unknown request {str(op)[:40]!r}{nearest(str(op)[:40], answers)}")
        return answers[op](request)

    def paths(self, request: dict[str, Any]) -> bytes:
        """The runs of all methods asked for, and the state of the one in focus."""
        scene, settings = _scene(request), _settings(request)
        out = engine.paths(scene, settings, self._program(scene, settings))
        header = {
            "methods": {n: {"status": Status(r.status).name if r.status else "", "nit": r.nit} for n, r in out.runs.items()},
            "focus": settings.focus,
            "state": {n: v.shape[1] for n, v in out.state.items()},
        }
        parts = [a for r in out.runs.values() for a in (r.x, r.f, r.g)] + [out.curvature, *out.state.values()]
        return pack(request, header, parts)

    def tune(self, request: dict[str, Any]) -> bytes:
        """Good step sizes for the methods asked for."""
        scene, settings = _scene(request), _settings(request)
        found = engine.step_sizes(scene, settings, self._program(scene, settings))
        return pack(request, {"methods": found, "tried": len(engine.STEP_SIZES)}, [])

    def field(self, request: dict[str, Any]) -> bytes:
        """The values on a grid of n×n points, row by row from below, and where the minima are."""
        scene, knobs = _scene(request), _knobs(request, _scene(request))
        n = _integer(request, "n", 161, 2, MOST_GRID)
        window = [_number(v, "window") for v in _list(request, "window", 4, scene.window)]
        if not finite(window):
            raise RequestError("window: the lower end must lie below the upper one")
        dtype = jnp.result_type(float)
        minima = scene.minima_at(*(k for k in knobs if not isinstance(k, Expression)))
        given = jax.tree.map(lambda v: np.asarray(v, dtype), knobs)
        values, lowest = _grid(scene, n, given, np.asarray(window, dtype), np.asarray(minima, dtype))
        floor = float(np.min(lowest)) if len(minima) else None
        return pack(request, {"n": n, "window": window, "minima": minima.tolist(), "floor": floor}, [values])

    def train(self, request: dict[str, Any]) -> bytes:
        """The next steps of the run of that number; another number begins anew."""
        run = _integer(request, "run", 0, 0, 2**31)
        methods = _methods(request, network.offered())
        if self.live is None or run != self.run:
            data = request.get("data", "spirals")
            if data not in network.DATA:
                raise RequestError(f"unknown data {str(data)[:40]!r}; there are {', '.join(network.DATA)}")
            if len(methods) > MOST_NETWORKS:
                raise RequestError(f"at most {MOST_NETWORKS} methods train side by side")
            self.tell("starting")
            width, batch = _integer(request, "width", 16, 2, 64), _integer(request, "batch", 32, 1, 512)
            setting = network.Setting(data, width, batch, _integer(request, "seed", 0, 0, 2**31 - 1), methods)
            self.live, self.run = network.Live(setting), run
        steps = _integer(request, "steps", 10, 0, network.MOST_STEPS_A_FRAME)
        frames = self.live.advance(steps, methods) if steps else self.live.frames
        told = {n: {"loss": _finite(f.loss), "accuracy": f.accuracy, "test": f.test} for n, f in frames.items()}
        seen = self.live.data
        digits = self.live.setting.data == "digits"
        x, y = (seen.test_x[: network.SHOWN_DIGITS], seen.test_y[: network.SHOWN_DIGITS]) if digits else (seen.x, seen.y)
        header = {"run": run, "step": self.live.step, "methods": told, "digits": digits, "map": network.MAP}
        return pack(request, header, [*(f.picture for f in frames.values()), x, y])

    def slice(self, request: dict[str, Any]) -> bytes:
        """The loss on a plane through the weights of the run, and the runs in that plane."""
        if self.live is None:
            raise RequestError("train the network first")
        kind = request.get("kind")
        if kind not in ("random", "path"):
            raise RequestError("a slice is along random directions or along the path")
        n = _integer(request, "n", 31, 3, 61)
        focus = request.get("focus")
        focus = focus if focus in self.live.names else self.live.names[0]
        values, window, runs, held = self.live.plane(kind, focus, n, _integer(request, "seed", 0, 0, 2**31 - 1))
        header = {"kind": kind, "focus": focus, "n": n, "window": window.tolist(), "held": held, "names": self.live.names}
        return pack(request, header, [values, *runs])

    def linear(self, request: dict[str, Any]) -> bytes:
        """The iterates of all methods on a Poisson problem, as images."""
        n, start = request.get("n", systems.SIZES[-1]), request.get("start", systems.STARTS[0])
        if isinstance(n, float) or n not in systems.SIZES or start not in systems.STARTS:
            raise RequestError(f"n is one of {systems.SIZES}, start one of {', '.join(systems.STARTS)}")
        steps = _integer(request, "steps", 100, 1, systems.MOST_STEPS)
        found = systems.runs(n, start, _methods(request, systems.offered()), steps)
        told = {m: Status(r.status).name if r.status else "" for m, r in found.items()}
        header = {"n": n, "frames": systems.frames_of(steps), "methods": told}
        parts = [a for r in found.values() for a in (r.residual, r.error, r.images)]
        return pack(request, header, [systems.poisson(n)[2], *parts])

    def _program(self, scene: Scene, settings: engine.Settings) -> tuple[str, ...]:
        """The methods of a program that is compiled already and has all that are asked for, or else just these."""
        key = (scene.name, scene.residual is None, jax.tree.structure(settings.knobs))
        asked = tuple(n for n in engine.offered(scene.residual is not None) if n in settings.methods)
        with _lock:
            ready = [m for m in _compiled.setdefault(key, []) if set(asked) <= set(m)]
        if ready:
            return min(ready, key=len)
        self.tell(f"compiling {len(asked)} method{'s' * (len(asked) > 1)}")
        engine.paths(scene, settings._replace(steps=1), asked)
        with _lock:
            _compiled[key].append(asked)
        if self.warm and scene.name != "typed":  # formulas come and go
            everything = engine.offered(scene.residual is not None)
            threading.Thread(target=_warm, args=(key, scene, settings, everything), daemon=True).start()
        return asked


_lock = threading.Lock()
_one_at_a_time = threading.Lock()
_compiled: dict[Any, list[tuple[str, ...]]] = {}


def _warm(key: Any, scene: Scene, settings: engine.Settings, methods: tuple[str, ...]) -> None:
    """Compiles the program of all methods, so that switching one on does not wait."""
    with _one_at_a_time:
        with _lock:
            known = methods in _compiled[key]
        if not known:
            engine.paths(scene, settings._replace(steps=1), methods)
            with _lock:
                _compiled[key].append(methods)


@partial(jax.jit, static_argnames=("scene", "n"))
def _grid(scene: Scene, n: int, knobs: Any, window: Any, minima: Any) -> tuple[Any, Any]:
    """f on the grid, and at the minima."""
    x = jnp.linspace(window[0], window[1], n)
    y = jnp.linspace(window[2], window[3], n)
    grid = jax.vmap(lambda b: jax.vmap(lambda a: scene.value(jnp.stack([a, b]), *knobs))(x))(y)
    return grid, jax.vmap(lambda point: scene.value(point, *knobs))(minima)


def pack(request: dict[str, Any], header: dict[str, Any], parts: list[Any]) -> bytes:
    """One binary message."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is as good as infinite on a picture
        arrays = [np.asarray(p, "<f4") for p in parts]
    told = {"op": request["op"], "seq": request.get("seq", 0), **header, "parts": [a.shape for a in arrays]}
    text = json.dumps(told, allow_nan=False, ensure_ascii=True).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<I", len(text)) + text + b"".join(a.tobytes() for a in arrays)


def unpack(message: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Header and arrays of a binary message."""
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    parts, begin = [], 4 + length
    for shape in header["parts"]:
        count = math.prod(shape)
        parts.append(np.frombuffer(message, "<f4", count, begin).reshape(shape))
        begin += 4 * count
    return header, parts


def _scene(request: dict[str, Any]) -> Scene:
    name = request.get("scene")
    if name == "typed":
        return TYPED_RESIDUAL if _formula(request).is_residual else TYPED
    if not isinstance(name, str) or name not in SCENES:
        raise RequestError(f"unknown function {str(name)[:40]!r}{nearest(str(name)[:40], SCENES)}")
    return SCENES[name]


def _formula(request: dict[str, Any]) -> Expression:
    text = request.get("formula")
    if not isinstance(text, str):
        raise RequestError("a formula is a text")
    try:
        return parse(text)
    except ExpressionError as error:
        raise RequestError(error.what, error.column) from None


def _knobs(request: dict[str, Any], scene: Scene) -> tuple[Any, ...]:
    if scene.name == "typed":
        return (_formula(request),)
    given = _object(request, "knobs")
    _no_others(given, [k.name for k in scene.knobs], f"{scene.name} has no slider")
    values = []
    for knob in scene.knobs:
        value = _number(given.get(knob.name, knob.default), knob.name)
        if not knob.low <= value <= knob.high:
            raise RequestError(f"{knob.name} must be from {knob.low:g} to {knob.high:g}, got {value:g}")
        values.append(value)
    return tuple(values)


def _settings(request: dict[str, Any]) -> engine.Settings:
    scene = _scene(request)
    methods = _methods(request, engine.offered(scene.residual is not None))
    x, y = (_number(v, "start") for v in _list(request, "x0", 2, scene.start))
    focus = request.get("focus")
    return engine.Settings(
        x0=(x, y),
        methods=methods,
        knobs=_knobs(request, scene),
        steps=_integer(request, "steps", 200, 1, engine.MOST_STEPS),
        batch=_integer(request, "batch", 0, 0, 2**20),
        seed=_integer(request, "seed", 0, 0, 2**31 - 1),
        focus=focus if isinstance(focus, str) and focus in methods else next(iter(methods)),
    )


def _methods(request: dict[str, Any], known: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """The methods asked for, with all values of their sliders."""
    methods: dict[str, dict[str, float]] = {}
    for name, given in _object(request, "methods").items():
        if name not in known:
            raise RequestError(f"no method {name[:40]!r} for this{nearest(name[:40], known)}")
        if not isinstance(given, dict):
            raise RequestError(f"{name}: the values of its sliders are a JSON object")
        hypers = engine.sliders(name)
        _no_others(given, [h.name for h in hypers], f"{name} has no slider")
        methods[name] = {h.name: _hyper(name, h, given.get(h.name, h.default)) for h in hypers}
    if not methods:
        raise RequestError("choose at least one method")
    return methods


def _no_others(given: dict[str, Any], known: list[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise RequestError(f"{what} {name[:40]!r}{nearest(name[:40], known)}")


def _finite(value: float) -> float | None:
    """A number as JSON can say it."""
    return value if math.isfinite(value) else None


def _hyper(method: str, h: Any, given: Any) -> float:
    value = _number(given, f"{method}: {h.name}")
    legal, words = VALID[h.valid]
    if not legal(value):
        raise RequestError(f"{method}: {h.name} must be {words}, got {value:g}")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise RequestError(f"{what} must be a number between −{LARGEST:g} and {LARGEST:g}")
    return float(value)


def _integer(request: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(f"{name} must be a whole number from {low} to {high}")
    return value


def _list(request: dict[str, Any], name: str, length: int, default: Any) -> list[Any]:
    value = request.get(name, default)
    if not isinstance(value, list | tuple) or len(value) != length:
        raise RequestError(f"{name} must have {length} numbers")
    return list(value)


def _object(request: dict[str, Any], name: str) -> dict[str, Any]:
    value = request.get(name, {})
    if not isinstance(value, dict) or len(value) > 100:
        raise RequestError(f"{name} must be a JSON object")
    return value
