"""What the user gave as a method, as a method; with the cure when it is none."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.method import Method
from ravine.core.problem import Objective, Oracles, Training
from ravine.core.pytree import Hyper, Record
from ravine.core.registry import method_class, name_of
from ravine.core.rule import Descent, MinibatchDescent, Rule, Transformation
from ravine.core.tracing import tracing


def as_method(given: Any, solves: type[Oracles] = Objective) -> Method:
    """A method for the problem class `solves`.

    Args:
        given: a method or rule object, a registered name, or an optax transformation.

    Raises:
        ValueError: no such name, or a method for another kind of problem; the message says what to call instead.
        TypeError: not a method at all.
    """
    if isinstance(given, str):
        given = method_class(given, lambda cls: _can_solve(cls, solves))()
    if isinstance(given, type):
        raise TypeError(f"{given.__name__} is a class; write {given.__name__}(…) to make a method of it")
    rule: Rule | Transformation | None = given if isinstance(given, Rule) else None
    if rule is None and hasattr(given, "init") and hasattr(given, "update") and not isinstance(given, Method):
        rule = Transformation(given)
    if rule is not None:
        if solves is Training:
            return MinibatchDescent(rule)
        if solves is Objective:
            return Descent(rule)
        raise ValueError(f"{label(given)} follows gradients of a scalar function: {Objective.cure}")
    if not isinstance(given, Method):
        raise TypeError(
            f"method must be a name, a method such as Adam(1e-3), or an optax transformation; got {type(given).__name__}"
        )
    if not issubclass(solves, given.solves):
        raise ValueError(f"{label(given)} needs {given.solves.asks}: {given.solves.cure}")
    return given


def _can_solve(cls: type, solves: type[Oracles]) -> bool:
    if issubclass(cls, Rule):
        return solves in (Objective, Training)
    return issubclass(solves, cls.solves)  # type: ignore[attr-defined]


def check_settings(method: Any, last: int = 0) -> None:
    """Refuses settings that are right for a sweep or by their type alone, but not for one run.

    Args:
        method: a method, a rule, or what they are made of.
        last: the last step that a schedule will be asked for, counted from 0.

    Raises:
        ValueError: an array in place of a number, or a schedule whose first or last value is no step size.
    """
    if not isinstance(method, Record):
        return
    attributes = method.__dict__
    for h in method.hypers():
        value = attributes[h.name]
        if isinstance(value, int | float):
            continue
        if callable(value):
            _check_schedule(label(method), h, value, last)
        elif np.ndim(value):
            raise ValueError(
                f"{label(method)}: {h.name} must be one number, got an array of shape {np.shape(value)}: sweep it by jax.vmap"
            )
    for value in attributes.values():
        if isinstance(value, Record):
            check_settings(value, last)


def _check_schedule(owner: str, h: Hyper, schedule: Any, last: int) -> None:
    if tracing():  # a schedule may be made of what is traced
        return
    for count in dict.fromkeys((0, last)):
        with jax.numpy_dtype_promotion("standard"):  # as when it is used
            value = schedule(jnp.int32(count))
        if isinstance(value, str) or np.shape(value) != () or not (np.isfinite(value) and value >= 0):
            what = f"{value!r}" if isinstance(value, str) or np.shape(value) != () else f"{float(value):.6g}"
            raise ValueError(
                f"{owner}: the schedule of {h.name} must return one finite number, 0 or greater; at {count} it is {what}"
            )


def label(method: Any) -> str:
    """The name that a method has in messages and tables: the class's own."""
    inner = getattr(method, "rule", method)
    return "optax transformation" if isinstance(inner, Transformation) else type(inner).__name__


def takes_batches(kind: type) -> bool:
    """Whether `train` runs what is of this class: a rule, a method for training, or an optax transformation, which says nothing."""
    return issubclass(kind, Rule) or getattr(kind, "solves", Training) is Training


def registered_name(method: Any) -> str:
    """The registry's name of a method, a rule or what wraps one."""
    return name_of(type(getattr(method, "rule", method)))


def args_as_tuple(args: Any) -> tuple[Any, ...]:
    """The further arguments; a single one may stand without its tuple.

    Raises:
        TypeError: a method stands in their place, or they hold a word.
    """
    if isinstance(args, str | Method | Rule):
        raise TypeError(f"args are further arguments of fun, got {args!r}: write method={args!r}")
    others = [v for v in jax.tree.leaves(args) if isinstance(v, str) or callable(v)]
    if others:
        raise TypeError(f"args are arrays and numbers, which JAX can trace, got {others[0]!r}: bind it with functools.partial")
    return args if isinstance(args, tuple) else (args,)
