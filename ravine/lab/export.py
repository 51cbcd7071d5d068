"""A page that stands alone: the same page with recorded answers in place of the server, in one file and with nothing to load."""

from __future__ import annotations

import base64
import json
import pathlib
import re
from typing import Any

from ravine.core.files import write_whole
from ravine.core.registry import HOMES
from ravine.lab import systems
from ravine.lab.meta import meta
from ravine.lab.scenes import SCENES
from ravine.lab.server import static
from ravine.lab.session import Session, unpack

CLASSICS = ("ravine", "rosenbrock", "himmelblau", "saddle", "curve_fit")
METHODS = ("gradient_descent", "momentum", "adam", "bfgs", "newton", "levenberg_marquardt")
STEPS = 100
GRID = 101


def export(file: pathlib.Path, scenes: tuple[str, ...] = CLASSICS) -> int:
    """Writes the page with recorded runs of these scenes; returns its size in bytes.

    The runs are those of the server's page when it opens: from the usual start, with each method's best step size of a grid.
    """
    told = dict(meta())
    told["scenes"] = [s for s in told["scenes"] if s["name"] in scenes]
    recorded: dict[str, Any] = {"meta": told, "answers": {}, "settings": {}, "state": f"scene={scenes[0]}"}
    session = Session()

    def record(name: str, request: dict[str, Any]) -> None:
        recorded["answers"][name] = base64.b64encode(session.answer(request)).decode()

    for scene in scenes:
        fits = next(s["methods"] for s in told["scenes"] if s["name"] == scene)
        methods = [m for m in METHODS if m in HOMES and m in fits]
        request: dict[str, Any] = {"op": "tune", "scene": scene, "steps": STEPS, "methods": {m: {} for m in methods}}
        tuned = unpack(session.answer(request))[0]["methods"]
        request["methods"] = {m: tuned.get(m, {}) for m in methods}
        for focus in methods:
            record(f"paths:{scene}:{focus}", {**request, "op": "paths", "focus": focus})
        record(f"field:{scene}", {"op": "field", "scene": scene, "n": GRID})
        recorded["settings"][scene] = {"methods": request["methods"], "steps": STEPS, "x0": SCENES[scene].start}
    chosen = {m: {"weight": 1.75} if m == "sor" else {} for m in ("jacobi", "gauss_seidel", "sor", "cg") if m in systems.offered()}
    record("linear:", {"op": "linear", "n": systems.SIZES[0], "steps": STEPS, "methods": chosen})
    told["linear"] = {**told["linear"], "sizes": systems.SIZES[:1]}
    page = _inlined(json.dumps(recorded, ensure_ascii=False, separators=(",", ":")))
    write_whole(file, page)
    return len(page.encode())


def _inlined(recorded: str) -> str:
    """The page with its style, its script and the recordings inside."""
    page = static("index.html").decode()
    style, script = static("lab.css").decode(), static("lab.js").decode()
    data = f'<script id="recorded" type="application/json">{_harmless(recorded)}</script>'
    page = page.replace('<link rel="stylesheet" href="lab.css">', f"<style>{style}</style>")
    return page.replace('<script src="lab.js"></script>', f"{data}\n<script>{_harmless(script)}</script>")


def _harmless(text: str) -> str:
    """Nothing in a script may end it before its time."""
    return re.sub(r"</(script)|<(!--)", lambda m: f"<\\/{m[1]}" if m[1] else f"\\u003c{m[2]}", text, flags=re.IGNORECASE)
