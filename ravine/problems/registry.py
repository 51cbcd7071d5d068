"""The built-in problems by name: what `ravine list problems` shows and `ravine compare NAME` takes.

A name stands for a factory, a function whose keyword parameters are what the brackets of `digits_mlp[width=32]` set. A new
problem is one line here. Factories are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
import inspect
import numbers
from collections.abc import Callable
from typing import Any

from ravine.core.registry import nearest
from ravine.problems.problem import Problem

HOMES: dict[str, str] = {
    # training
    "cifar10_convnet": "ravine.problems.training:cifar10_convnet",
    "cifar10_mlp": "ravine.problems.training:cifar10_mlp",
    "digits_convnet": "ravine.problems.training:digits_convnet",
    "digits_mlp": "ravine.problems.training:digits_mlp",
    "fashion_mnist_mlp": "ravine.problems.training:fashion_mnist_mlp",
    "mnist_mlp": "ravine.problems.training:mnist_mlp",
    # least squares
    "bundle_adjustment": "ravine.problems.fits:bundle_adjustment",
    "digits_mlp_squares": "ravine.problems.training:digits_mlp_squares",
    "digits_mlp_softmax": "ravine.problems.training:digits_mlp_softmax",
    "more_garbow_hillstrom": "ravine.problems.fits:more_garbow_hillstrom",
    "nist": "ravine.problems.fits:nist",
    # linear systems
    "matrix_market": "ravine.problems.systems:matrix_market",
    "poisson": "ravine.problems.systems:poisson",
    # functions
    "ackley": "ravine.problems.functions:ackley",
    "beale": "ravine.problems.functions:beale",
    "booth": "ravine.problems.functions:booth",
    "branin": "ravine.problems.functions:branin",
    "digits_logistic": "ravine.problems.functions:digits_logistic",
    "goldstein_price": "ravine.problems.functions:goldstein_price",
    "griewank": "ravine.problems.functions:griewank",
    "himmelblau": "ravine.problems.functions:himmelblau",
    "levy": "ravine.problems.functions:levy",
    "matyas": "ravine.problems.functions:matyas",
    "plateau": "ravine.problems.functions:plateau",
    "rastrigin": "ravine.problems.functions:rastrigin",
    "ravine": "ravine.problems.functions:ravine",
    "rosenbrock": "ravine.problems.functions:rosenbrock",
    "saddle": "ravine.problems.functions:saddle",
    "six_hump_camel": "ravine.problems.functions:six_hump_camel",
    "sphere": "ravine.problems.functions:sphere",
    "styblinski_tang": "ravine.problems.functions:styblinski_tang",
    "three_hump_camel": "ravine.problems.functions:three_hump_camel",
}


def names() -> list[str]:
    """All names, in the order of the table."""
    return list(HOMES)


def factory(name: str) -> Callable[..., Any]:
    """The function that makes the problem of that name.

    Raises:
        ValueError: there is none; the message has the nearest right name.
    """
    if name not in HOMES:
        raise ValueError(f"unknown problem {name!r}{nearest(name, HOMES)}")
    module, attribute = HOMES[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def parameters(name: str) -> dict[str, Any]:
    """The parameters of the problem and their defaults.

    >>> parameters("rosenbrock")
    {'n': 2}
    """
    return {key: p.default for key, p in inspect.signature(factory(name)).parameters.items()}


def summary(name: str) -> str:
    """One line that says what the problem is."""
    return (inspect.getdoc(factory(name)) or "").splitlines()[0]


def make(name: str, /, **given: Any) -> Problem:
    """The problem of that name with those parameters.

    Raises:
        ValueError: an unknown name or parameter (the message has the nearest right one), or a value that does not fit.

    >>> make("rosenbrock", n=3).x0
    array([-1.2,  1. , -1.2])
    """
    known = parameters(name)
    for key in given:
        if key not in known:
            has = nearest(key, known) if known else "; it has none"
            raise ValueError(f"problem {name!r} has no parameter {key!r}{has}")
        _require_kind(name, key, given[key], known[key])
    made = factory(name)(**given)
    return made if isinstance(made, Problem) else made.problem()


def _require_kind(name: str, key: str, value: Any, default: Any) -> None:
    """Refuses a word or a fraction where the default is a whole number, and a word where it is a number."""
    if isinstance(default, bool) or not isinstance(default, int | float) or value is None:
        return
    kind, words = (numbers.Integral, "whole number") if isinstance(default, int) else (numbers.Real, "number")
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"problem {name!r}: {key} must be a {words}, such as {default}; got {value!r}")
