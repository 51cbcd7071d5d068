"""What is wrong with a problem, said before anything is tuned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.compare.race_functions import oracles
from ravine.core.function import Function
from ravine.core.problem import Objective
from ravine.problems.problem import Problem
from ravine.training.batches import examples, require_form
from ravine.training.model import check_loss


def check_problem(problem: Problem, start: Any) -> float:
    """Evaluates the problem once, at its first start, and returns the value; for training that of the first batch.

    Raises:
        ValueError: the loss does not take the data, or what is minimised is not finite there; validation data have another form
            than the data.
    """
    if problem.loss is None:
        return _finite(problem, _value(oracles(problem, Objective, None), start), "")
    n = examples(problem.data)
    batch = jax.tree.map(lambda v: v[: problem.batch_size or n], problem.data)
    loss = Function(problem.loss, "loss")
    check_loss(loss, start, batch)
    if problem.validation is not None:
        examples(problem.validation, "validation")
        require_form(problem.validation, problem.data, "validation")
        check_loss(loss, start, problem.validation, "validation")
    return _finite(problem, _value(Objective(loss, (jax.tree.map(jnp.asarray, batch),)), start), " on its first batch")


@jax.jit
def _value(asked: Any, x: Any) -> Any:
    return asked.value(x)


def _finite(problem: Problem, value: Any, where: str) -> float:
    if not np.isfinite(value):
        cure = "x0" if problem.init is None else "init(key)"
        raise ValueError(f"problem {problem.name!r} is {float(value)} at its start{where}: give {cure} where it is finite")
    return float(value)
