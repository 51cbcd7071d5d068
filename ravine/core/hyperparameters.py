"""Where a hyperparameter lies: in a method, or in the rule that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ravine.core.pytree import Record, substitute


def _inside(method: Any) -> dict[str, Any]:
    """The rule that a method is made of, by the name of its field."""
    found = {part: getattr(method, part, None) for part in ("inner", "rule")}
    return {part: inner for part, inner in found.items() if isinstance(inner, Record)}


def holder(method: Any, name: str) -> Any:
    """The rule that a method is made of, or the method, that has this hyperparameter; None if neither has."""
    for inner in _inside(method).values():
        found = holder(inner, name)
        if found is not None:
            return found
    return method if any(h.name == name for h in method.hypers()) else None


def with_values(method: Any, values: Mapping[str, Any]) -> Any:
    """A method with other values of hyperparameters, of its own or of the rule that it is made of (traced ones included)."""
    rest = dict(values)
    for part, inner in _inside(method).items():
        its = {name: rest.pop(name) for name in values if name in rest and holder(inner, name) is not None}
        method = substitute(method, **{part: with_values(inner, its)}) if its else method
    return substitute(method, **rest)


def step_size_of(method: Any) -> Any:
    """The number or the schedule that is the step size of a method or its rule; None where there is none."""
    found = holder(method, "lr") if isinstance(method, Record) else None
    if found is None or not any(h.name == "lr" and h.schedule for h in found.hypers()):
        return None
    return found.lr
