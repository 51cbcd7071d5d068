"""What a race may spend, and what counts as solved: "20epochs", "5000gradients", "60s"; 0.05, "1%"."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from ravine.problems.problem import Problem

EPOCHS = 20
STEPS = {"fun": 1000, "residual": 200, "loss": 200, "system": 5000}
MOST_STEPS, MOST_EPOCHS = 100_000, 10_000
"""Where seconds are the budget: so many rows of a curve there is room for."""
MAX_WORK = "MAX_WORK"
"""The status of a run that has done all the gradients or products of its budget."""
MOST = 1_000_000
"""The most steps, epochs or gradients of a budget."""

_UNITS = {
    **dict.fromkeys(("s", "second", "seconds"), "seconds"),
    "min": "minutes",
    **dict.fromkeys(("", "step", "steps", "iteration", "iterations"), "steps"),
    **dict.fromkeys(("epoch", "epochs"), "epochs"),
    **dict.fromkeys(("grad", "grads", "gradient", "gradients"), "gradients"),
    **dict.fromkeys(("product", "products"), "products"),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """The same for each method.

    Attributes:
        steps: iterations, where there are no minibatches.
        epochs: passes over the data, where there are.
        seconds: of the whole race.
        work: gradients (of all data, where the problem has data), or products with A and Aᵀ; a method ends before it has done more.
        words: how it is told.
    """

    steps: int
    epochs: int
    words: str
    seconds: float = float("inf")
    work: float = float("inf")


def read_budget(given: Any, problem: Problem) -> Budget:
    """The budget that `given` stands for.

    Raises:
        ValueError: it cannot be read, or the problem has no such unit.

    Example:
        >>> from ravine.compare.load import load_problem
        >>> read_budget("200grads", load_problem("sphere")).words
        '200 gradients'
    """
    batches = _batches(problem)
    if given is None:
        words = many(EPOCHS, "epoch") if batches else many(STEPS[problem.kind], "iteration")
        return Budget(STEPS[problem.kind], EPOCHS, words)
    match = re.fullmatch(r"\s*(\d+\.?\d*(?:e\d+)?)\s*([a-z]*)\s*", str(given))
    if not match or float(match[1]) <= 0 or match[2] not in _UNITS:
        raise ValueError(f'budget {given!r} cannot be read; write "20epochs", "1000steps", "5000gradients" or "60s"')
    number, unit = float(match[1]), _UNITS[match[2]]
    if unit in ("seconds", "minutes"):
        seconds = number * (60 if unit == "minutes" else 1)
        steps = MOST_EPOCHS if problem.kind == "loss" else MOST_STEPS
        most = many(MOST_EPOCHS, "epoch") if batches else many(steps, "iteration")
        return Budget(steps, MOST_EPOCHS, f"{seconds:g} s for all methods together, {most} at most", seconds=seconds)
    if not number <= MOST:
        raise ValueError(f"budget {given!r} is above {MOST:,}, for which there is no room; give less, or seconds")
    if number != round(number):
        raise ValueError(f"budget {given!r} must be a whole number of {unit}")
    whole = round(number)
    if unit == "epochs" and problem.kind != "loss":
        raise ValueError(f"problem {problem.name!r} has no data, so no epochs; write steps")
    if unit in ("gradients", "products"):
        return _of_work(whole, unit, problem, batches)
    if unit == "epochs" and batches:  # what takes all data at once has as many gradients
        return Budget(whole + 1, whole, many(whole, "epoch"), work=whole)
    epochs = max(1, round(whole / batches)) if batches else whole
    return Budget(whole, epochs, many(epochs, "epoch") if batches else many(whole, "iteration"))


def _of_work(number: int, unit: str, problem: Problem, batches: int) -> Budget:
    right = "products" if problem.kind == "system" else "gradients"
    if unit != right:
        raise ValueError(f"the work on problem {problem.name!r} is counted in {right}; write budget '{number}{right}'")
    words = many(number, right.removesuffix("s"))
    if batches and number < batches:
        raise ValueError(f"budget '{number}{right}' is less than an epoch of {problem.name!r}, which has {batches:,} batches")
    most = number // batches if batches else number
    # An iteration has one gradient or product at least, so there is room for all that the work pays for.
    return Budget(most + 1, most, f"{words} of batches ({many(most, 'epoch')})" if batches else words, work=most)


def _batches(problem: Problem) -> int:
    """How many minibatches an epoch has; 0 for a problem without."""
    if not problem.batched:
        return 0
    from ravine.training.batches import examples

    assert problem.batch_size is not None
    return max(1, examples(problem.data) // problem.batch_size)


def with_target(problem: Problem, target: Any) -> tuple[Problem, float | None]:
    """The problem with that target, or without one and the part of the way that "1%" means; "auto" is its own, or 1%.

    Raises:
        ValueError: no finite number and no part of the way.
    """
    if target == "auto":
        target = "1%" if problem.target is None and problem.kind != "system" else None
    if target is None:
        return problem, None
    text = str(target).strip() if isinstance(target, str) else ""
    try:
        value = float(text.removesuffix("%") if text else target)
    except (TypeError, ValueError):
        value = np.nan
    if isinstance(target, bool) or not np.isfinite(value) or (text.endswith("%") and not 0 < value < 100):
        raise ValueError(
            f'target must be a finite number, the value that counts as solved, or a part of the way such as "1%", got {target!r}'
        )
    if not text.endswith("%"):
        return dataclasses.replace(problem, target=value), None
    if problem.kind == "system":
        raise ValueError(f"target={target!r}: the least residual of a system is 0; write a number, such as 1e-8")
    return dataclasses.replace(problem, target=None), value / 100


def many(n: int, what: str) -> str:
    """So many of something, in words: "1 method", "3 methods"."""
    return f"{n:,} {what}" + "s" * (n != 1)
