"""What is wrong with a problem, said before anything is tuned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.compare.race_functions import oracles
from ravine.core.function import Function, traced_shape
from ravine.core.problem import Objective
from ravine.core.run import value_at
from ravine.problems.problem import Problem
from ravine.training.batches import examples, require_form
from ravine.training.model import check_loss

NO_SCALAR = "must be a scalar, the mean over the batch, got shape {}: average it"
"""What is wrong with such a metric."""


def check_problem(problem: Problem, start: Any) -> float:
    """Evaluates the problem once, at its first start, and returns the value; for training that of the first batch.

    Raises:
        ValueError: the loss does not take the data, or what is minimised is not finite there; validation data have another form
            than the data; the data have numbers that are not finite.
    """
    if problem.loss is None:
        return _finite(problem, value_at(oracles(problem, Objective, None), start), "")
    n = examples(problem.data)
    batch = jax.tree.map(lambda v: v[: problem.batch_size or n], problem.data)
    loss = Function(problem.loss, "loss")
    for what, given in (("data", problem.data), ("validation data", problem.validation)):
        for v in jax.tree.leaves(given):
            wrong = 0 if not jnp.issubdtype(v.dtype, jnp.floating) else v.size - int(np.isfinite(np.asarray(v)).sum())
            if wrong:
                raise ValueError(
                    f"the {what} of problem {problem.name!r} have {wrong:,} numbers that are not finite: leave them out"
                )
    check_loss(loss, start, batch)
    if problem.validation is not None:
        examples(problem.validation, "validation")
        require_form(problem.validation, problem.data, "validation")
        check_loss(loss, start, problem.validation, "validation")
    return _finite(problem, value_at(Objective(loss, (jax.tree.map(jnp.asarray, batch),)), start), " on its first batch")


def check_metrics(problem: Problem, start: Any) -> None:
    """Traces each metric once over the validation data.

    Raises:
        ValueError: one is no scalar.
    """
    for name, metric in problem.metrics.items():
        shape = getattr(traced_shape(_called, Function(metric, name), start, problem.validation), "shape", None)
        if shape != ():
            raise ValueError(f"metric {name!r} {NO_SCALAR.format(shape)}")


def _called(function: Any, *args: Any) -> Any:
    return function(*args)


def _finite(problem: Problem, value: Any, where: str) -> float:
    if not np.isfinite(value):
        cure = "x0" if problem.init is None else "init(key)"
        raise ValueError(f"problem {problem.name!r} is {float(value)} at its start{where}: give {cure} where it is finite")
    return float(value)
