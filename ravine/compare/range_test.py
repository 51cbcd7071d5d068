"""The range test: one short run whose step size grows from tiny to too large, and what the loss says of it.

    αₖ = α₀ (α₁ / α₀)^(k / (n − 1)),   the loss at θₖ is noted before the step αₖ

Where the loss begins to fall the step size begins to matter; where it rises, it is too large. Three readings of the curve are
common; each is fooled by some curves, so what is suggested is the middle one.

Source: L. N. Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3; the reading in the valley is
fastai's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from ravine.compare.contenders import GRID, contenders
from ravine.compare.load import load_problem
from ravine.compare.race_functions import objective_of
from ravine.core.hyperparameters import with_values
from ravine.core.keywords import with_cures
from ravine.core.run import as_key
from ravine.core.stop import MaxSteps
from ravine.training.batches import is_whole

SMOOTH = 0.9
"""How much of the running mean is kept at each step."""
DIVERGED = 4.0
"""Above so many times the least loss, counted from there to the start, nothing more is to be learned."""


class RangeTest(NamedTuple):
    """What the range test saw.

    Attributes:
        lrs: the step sizes, growing; losses: the loss before each step; smoothed: its running mean, without bias.
        suggestion: the step size to begin with, the middle one of `candidates`; None where the loss never fell.
        candidates: "steepest", where the smoothed loss falls most for a relative change of the step size; "min_over_10", a tenth of
            where it is least; "valley", two thirds along the longest fall.
        diverged_at: the step size at which the loss blew up, None if it did not.
    """

    lrs: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    candidates: dict[str, float]
    diverged_at: float | None


@with_cures
def lr_find(
    problem: Any,
    method: Any = "sgd",
    *,
    start: float = GRID[0] / 100,
    end: float = GRID[1],
    steps: int = 100,
    x0: Any = None,
    key: Any = None,
) -> RangeTest:
    """Finds a step size to begin with, by one run of `steps` steps.

    Args:
        problem: as in `compare`; a training loss takes its minibatches.
        method: a first-order rule, or its name.
        start, end: the least and the largest step size.
        steps: how many steps.
        x0: a start in place of the problem's own.
        key: the seed of the order of batches; 0 if not given.

    Returns:
        A `RangeTest`; `.suggestion` is the step size.

    Raises:
        ValueError: a method without a step size, or a range that is none.

    Example:
        >>> import ravine as rv
        >>> found = rv.lr_find("digits_mlp[width=16]", "momentum")
        >>> 1e-3 < found.suggestion < 1.0
        True
    """
    if not all(isinstance(v, int | float | np.number) for v in (start, end)) or not 0 < start < end < float("inf"):
        raise ValueError(f"start and end must be step sizes, the first less than the second, got {start!r} and {end!r}")
    if not is_whole(steps) or steps < 10:
        raise ValueError(f"steps must be a whole number of at least 10, got {steps!r}")
    drawn = as_key(0 if key is None else key)
    described = load_problem(problem, x0)
    if described.kind == "system":
        raise ValueError(f"problem {described.name!r} is a linear system: its methods have no step size to look for")
    if described.bounds is not None:
        raise ValueError(f"problem {described.name!r} has bounds, which rules with a step size do not know: take 'lbfgsb'")
    named = contenders([method], "loss" if described.batched else "batch" if described.kind == "loss" else described.kind)
    contender = named[0]
    if len(named) > 1:
        raise ValueError(f"{method!r} stands for {len(named)} methods: name one of them")
    if "lr" in (contender.set or ()):
        raise ValueError(f"{method!r} has a step size already: leave it out")
    if not hasattr(contender.given, "lr"):
        raise ValueError(f"{contender.name} has no step size to look for: take a first-order rule, such as 'adam'")
    growth = (end / start) ** (1 / (steps - 1))
    rule = with_values(contender.given, {"lr": lambda k: start * growth**k})
    first = described.start(jax.random.key(0))
    if described.batched:
        from ravine.training.front import train

        how: dict[str, Any] = {"batch_size": described.batch_size, "key": drawn, "progress": False}
        losses = train(described.loss, first, described.data, rule, steps=steps, **how).history["step_loss"]  # type: ignore[arg-type]
    else:
        from ravine.api import minimize

        fun, args = objective_of(described)
        losses = minimize(fun, first, args, rule, stop=MaxSteps(steps), history="f").history["f"]
    seen = np.asarray(losses, np.float64)[:steps]
    return read_curve(start * growth ** np.arange(len(seen)), seen)


def read_curve(lrs: np.ndarray, losses: np.ndarray) -> RangeTest:
    """The readings of a curve of losses against growing step sizes."""
    least = np.fmin.accumulate(np.where(np.isfinite(losses), losses, np.nan))
    bound = least + DIVERGED * np.maximum(losses[0] - least, np.abs(losses[0]) * 0.1)
    bad = np.flatnonzero(~(losses <= bound))
    n = int(bad[0]) if bad.size else len(losses)
    diverged_at = float(lrs[n]) if bad.size else None
    weights = SMOOTH ** np.arange(n)
    smoothed = np.array([np.dot(weights[k::-1], losses[: k + 1]) / weights[: k + 1].sum() for k in range(n)])
    if n < 3 or smoothed.min() >= losses[0]:
        return RangeTest(lrs, losses, smoothed, None, {}, diverged_at)
    lowest = int(smoothed.argmin())
    begin, finish = _longest_fall(smoothed)
    candidates = {
        "steepest": float(lrs[: lowest + 1][np.gradient(smoothed)[: lowest + 1].argmin()]),
        "min_over_10": float(lrs[lowest] / 10),
        "valley": float(lrs[begin + (2 * (finish - begin)) // 3]),
    }
    return RangeTest(lrs, losses, smoothed, float(np.median([*candidates.values()])), candidates, diverged_at)


def _longest_fall(values: np.ndarray) -> tuple[int, int]:
    """The first and the last index of the longest stretch in which each value is below the one before."""
    falls = np.concatenate([[False], np.diff(values) < 0])
    best, begin = (0, 0), 0
    for i, down in enumerate(falls):
        begin = begin if down else i
        best = max(best, (begin, i), key=lambda span: span[1] - span[0])
    return best
