"""Pages that stand alone: one HTML file with its style, script and data inside, which asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

import numpy as np

from ravine.compare import svg

DIGITS = 7
"""Significant digits of the numbers in a page: what a float32 holds."""


def render(name: str, data: Any, **context: Any) -> str:
    """The page made of the templates NAME.html.j2 and NAME.js, with `data` for the script. What comes from the user is escaped."""
    import jinja2
    from markupsafe import Markup

    folder = resources.files("ravine.compare") / "templates"
    # Templates are package data, wherever the package lies.
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda file: (folder / file).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    script = "".join((folder / f"{part}.js").read_text("utf-8") for part in ("page", name))
    return environment.get_template(f"{name}.html.j2").render(
        script=Markup(script),
        script_hash=Markup(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
        style=Markup(svg.STYLE + (folder / "report.css").read_text("utf-8")),
        data=Markup(for_script(rounded(data))),
        backdrop=Markup(_backdrop()),
        **context,
    )


def rounded(value: Any) -> Any:
    """JSON's values with floats of at most `DIGITS` digits."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        v = float(f"{value:.{DIGITS}g}")
        return int(v) if v.is_integer() and abs(v) < 1e15 else v
    return value


def for_script(data: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def swatch(index: int) -> Any:
    """A short stroke in a method's colour and dash."""
    from markupsafe import Markup

    return Markup(f'<svg class="swatch {svg.classes(index)}" viewBox="0 0 22 10" aria-hidden="true"><path d="M1 5h20"/></svg>')


def _backdrop() -> str:
    def valley(p: np.ndarray) -> np.ndarray:
        x, y = p[..., 0], p[..., 1] - 0.12 * p[..., 0] - 0.5 * np.sin(0.5 * p[..., 0])
        return np.sqrt(0.08 * x**2 + 1.6 * y**2)

    return svg.contour_lines(valley, (-9, 6, -3, 2.8), tuple(np.arange(0.25, 5, 0.25)), 1300, 500, resolution=70)
