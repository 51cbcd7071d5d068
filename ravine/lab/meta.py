"""What the page is told when it opens: the scenes, and every method with its sliders and its rule, read off the library itself."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from functools import cache
from typing import Any

from ravine.core.registry import HOMES, family, method_class
from ravine.lab import network, paths, systems
from ravine.lab.expression import CONSTANTS, FUNCTIONS
from ravine.lab.scenes import SCENES

_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
# The letter that a hyperparameter has in the formulae stands in its one line of documentation.
_SYMBOL = re.compile(rf"(?<!\w)([α-ωΑ-Ω][{_SUBSCRIPTS}]*|[a-zA-Z][{_SUBSCRIPTS}]+|(?<=power )p)(?!\w)")


@cache
def meta() -> dict[str, Any]:
    """Scenes, methods, and the limits of a request."""
    return {
        "scenes": [_scene(s) for s in SCENES.values()],
        "methods": [_method(n) for n in paths.offered(True)],
        "network": {
            "data": network.DATA,
            "methods": network.offered(),
            "step_sizes": network.SUGGESTED,
        },
        "linear": {
            "sizes": systems.SIZES,
            "starts": systems.STARTS,
            "most_steps": systems.MOST_STEPS,
            "methods": [_method(n) for n in systems.offered()],
        },
        "most_steps": paths.MOST_STEPS,
        "functions": [*FUNCTIONS, *CONSTANTS],
    }


def _scene(s: Any) -> dict[str, Any]:
    return {
        "name": s.name,
        "title": s.title,
        "formula": s.formula,
        "why": s.why,
        "window": s.window,
        "start": s.start,
        "knobs": [vars(k) for k in s.knobs],
        "axes": s.axes,
        "examples": s.count,
        "methods": paths.offered(s.residual is not None),
    }


def _method(name: str) -> dict[str, Any]:
    cls = method_class(name)
    return {
        "name": name,
        "label": cls.__name__,
        "family": family(name).replace("_", " "),
        "residual": paths.takes_residual(name),
        "about": (inspect.getdoc(cls) or "").splitlines()[0].replace("`", ""),
        "rule": rule(name),
        "sliders": [
            {
                "name": h.name,
                "symbol": symbol(h.doc),
                "default": h.default,
                "low": h.low,
                "high": h.high,
                "log": h.log,
                "doc": h.doc,
                "step_size": h.schedule,
            }
            for h in paths.sliders(name)
        ],
    }


def symbol(doc: str) -> str:
    """The letter of a hyperparameter: β₁ of "decay β₁ of the mean"; empty where it has none."""
    found = _SYMBOL.search(doc)
    return found[0] if found else ""


def rule(name: str) -> list[str]:
    """The update rule as the method's module states it: the indented formulae of its docstring, in the book's letters.

    Of formulae that begin with the name of a variant only those of the method's own stay.
    """
    module = importlib.import_module(HOMES[name].split(":")[0])
    text = inspect.cleandoc(module.__doc__ or "")
    lines = [line.strip() for line in re.findall(r"^ {4}(.*=.*)$", text, re.MULTILINE)]
    variant = next((f for f in dataclasses.fields(method_class(name)) if f.name == "variant"), None)
    if variant is None:
        return lines
    others = {v for v in variant.metadata["choices"] if v != variant.default}
    return [re.sub(rf"^{variant.default}( \[\d+\])? +", "", line) for line in lines if line.split()[0] not in others]
