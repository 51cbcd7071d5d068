"""The 27 nonlinear regressions of NIST's Statistical Reference Datasets, with certified results to eleven digits.

Source: National Institute of Standards and Technology, *Statistical Reference Datasets: Nonlinear Regression*,
https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml. The files in `data/` are NIST's own, unchanged; as works of the
United States government they are in the public domain.

>>> misra = load("Misra1a")
>>> misra.starts.shape, misra.certified
((2, 2), array([2.38942129e+02, 5.50156432e-04]))
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.resources
import math
import re

import jax
import jax.numpy as jnp
import numpy as np

from ravine.problems.nist.models import MODELS, Model

_FLOAT = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PARAMETER = re.compile(rf"^\s*b\d+\s*=\s*({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})\s*$", re.M)
_LEVEL = re.compile(r"(Lower|Average|Higher) Level of Difficulty")


@dataclasses.dataclass(frozen=True, eq=False)
class Regression:
    """One certified problem: find b that minimises Σ (y − model(b, x))².

    Attributes:
        name: NIST's name of it.
        level: "Lower", "Average" or "Higher" difficulty, as NIST has it.
        description: NIST's own, one paragraph.
        model: `model(b, x) -> y` in JAX.
        x: predictor, (m,); (2, m) for Nelson.
        y: response, (m,); log y for Nelson, whose model is of log y.
        starts: the two starting points, (2, n): the first far off, the second near.
        certified: certified parameters, (n,), to 11 digits.
        deviations: certified standard deviations of the parameters, (n,).
        sum_of_squares: certified Σ r²; the cost in this library's convention is half of it.
        deviation: certified residual standard deviation.
        degrees_of_freedom: m − n (Rat43's file says 9; its certified deviation is that of 15 − 4 = 11).
    """

    name: str
    level: str
    description: str
    model: Model
    x: np.ndarray
    y: np.ndarray
    starts: np.ndarray
    certified: np.ndarray
    deviations: np.ndarray
    sum_of_squares: float
    deviation: float
    degrees_of_freedom: int

    def residual(self, b: jax.Array) -> jax.Array:
        """r = model(b, x) − y, (m,), in the dtype of b."""
        b = jnp.asarray(b)
        return self.model(b, jnp.asarray(self.x, b.dtype)) - jnp.asarray(self.y, b.dtype)

    def curve(self, x: jax.Array, *b: jax.Array) -> jax.Array:
        """The model as `curve_fit` wants it: f(x, b1, b2, …)."""
        return self.model(jnp.stack(b), x)

    def digits(self, b: np.ndarray) -> float:
        """How many significant digits of the certified parameters b has: minᵢ −log₁₀(|bᵢ − cᵢ|/|cᵢ|), from 0 to 11."""
        worst = float(np.max(np.abs(np.asarray(b, float) - self.certified) / np.abs(self.certified)))
        return min(max(-math.log10(max(worst, 1e-11)), 0.0), 11.0) if math.isfinite(worst) else 0.0


def names() -> tuple[str, ...]:
    """The names of the 27 problems, sorted."""
    return tuple(MODELS)


@functools.cache
def load(name: str) -> Regression:
    """The problem of that name (one object for each, so that its residual is compiled once).

    Raises:
        ValueError: no such problem; the message has the nearest name.
    """
    if name not in MODELS:
        lowered = {known.lower(): known for known in MODELS}
        near = difflib.get_close_matches(name.lower(), lowered, 1, 0.5)
        meant = f"did you mean {lowered[near[0]]!r}? " if near else ""
        raise ValueError(f"NIST has no regression {name!r}; {meant}All: {', '.join(MODELS)}")
    text = (importlib.resources.files(__name__) / "data" / f"{name}.dat").read_text("ascii")
    return parse(text, name, MODELS[name])


def parse(text: str, name: str, model: Model) -> Regression:
    """Read one file of NIST's format.

    Raises:
        ValueError: the text lacks a part of that format, or its counts do not agree.
    """
    head, data, tail = _split(text)
    table = np.array(_PARAMETER.findall(head), float)
    level = _LEVEL.search(head)
    about = re.search(r"Description:\s*(.*?)\n\s*\n?\s*Reference:", head, re.S)
    if not data or not table.size or not level or not about:
        raise ValueError(f"{name}: not a file of NIST's StRD format (starts, certified values, difficulty, data)")
    rows = [line.split() for line in tail.splitlines() if line.strip()]
    stated = int(_certified(head, "Number of Observations", name))
    if len(rows) != stated or len({len(row) for row in rows}) != 1:
        raise ValueError(f"{name}: the file says {stated} observations and has {len(rows)} lines of them, or a broken one")
    observations = np.array(rows, float)
    y, x = observations[:, 0], observations[:, 1:].T
    return Regression(
        name=name,
        level=level.group(1),
        description=" ".join(about.group(1).split()),
        model=model,
        x=x[0] if len(x) == 1 else x,
        y=np.log(y) if name == "Nelson" else y,
        starts=table[:, :2].T,
        certified=table[:, 2],
        deviations=table[:, 3],
        sum_of_squares=_certified(head, "Residual Sum of Squares", name),
        deviation=_certified(head, "Residual Standard Deviation", name),
        degrees_of_freedom=len(y) - len(table),
    )


def _split(text: str) -> tuple[str, str, str]:
    """What stands before the table of data, its title line, and the table."""
    title = re.search(r"^Data:\s+y\s.*$", text, re.M)
    return (text[: title.start()], title.group(), text[title.end() :]) if title else (text, "", "")


def _certified(head: str, label: str, name: str) -> float:
    found = re.search(rf"^{label}:\s*({_FLOAT})\s*$", head, re.M)
    if not found:
        raise ValueError(f"{name}: the line {label!r} is missing or not a number")
    return float(found.group(1))
