"""Means over a whole data set, block by block, in one compiled call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from ravine.core.convolutions import in_fast_order
from ravine.core.function import Function
from ravine.core.pytree import computing
from ravine.training.batches import examples

BLOCK = 1000
COLUMNS = ("epoch", "iteration", "loss", "seconds", "validation_loss", "step_loss")
"""Of the history of `train`, beside the metrics."""


@partial(jax.jit, static_argnames="block")
def mean_over(fun: Function, params: Any, data: Any, *, block: int = BLOCK) -> Any:
    """The mean over all examples of `fun(params, batch)`, a tree of batch means. Blocks bound the memory for activations."""
    n = examples(data)
    full = n // block if n > block + block // 2 else 0  # for half a block more, a loop of one turn and its rest do not pay

    def one(rows: Any) -> Any:
        return jax.tree.map(computing, in_fast_order(fun)(params, rows))

    if not full:
        return one(data)
    head = jax.tree.map(lambda v: v[: full * block].reshape(full, block, *v.shape[1:]), data)
    total = jax.tree.map(lambda m: m.sum(0) * block, jax.lax.map(one, head))
    if n % block:
        tail = one(jax.tree.map(lambda v: v[full * block :], data))
        total = jax.tree.map(lambda t, m: t + m * (n % block), total, tail)
    return jax.tree.map(lambda t: t / n, total)


class Evaluation:
    """The loss and the user's metrics over validation data."""

    def __init__(self, fun: Function, unpack: Callable[[Any], Any]):
        self.fun, self.unpack = fun, unpack

    def __call__(self, packed: Any, data: Any) -> dict[str, float]:
        means = mean_over(self.fun, self.unpack(packed), data)
        for name, v in means.items():
            if v.shape != ():
                raise ValueError(f"the metric {name} must be a scalar, the mean over the batch, got an array of shape {v.shape}")
        return {name: float(v) for name, v in means.items()}


def together(loss: Any, metrics: Any) -> Callable[[Any, Any], dict[str, Any]]:
    """The loss and the metrics as one function of (params, batch), compared by value."""
    named = _named(metrics)
    _refuse_columns(named)
    return _Together(loss, tuple(named.items()))


class _Together:
    """loss and metrics as one function, compared by value."""

    def __init__(self, loss: Callable[..., Any], metrics: tuple[tuple[str, Any], ...]):
        self.parts = (loss, metrics)

    def __call__(self, params: Any, batch: Any) -> dict[str, Any]:
        loss, metrics = self.parts
        values = {"loss": loss(params, batch)}
        for name, metric in metrics:
            value = metric(params, batch)
            if isinstance(value, dict):
                _refuse_columns(value)
            values.update(value if isinstance(value, dict) else {name: value})
        return values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Together) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


def _refuse_columns(names: Any) -> None:
    taken = [name for name in names if name in COLUMNS]
    if taken:
        raise ValueError(f"a metric cannot be called {taken[0]!r}, which is a column of the history: give it another name")


def _named(metrics: Any) -> dict[str, Callable[..., Any]]:
    if metrics is None:
        return {}
    if callable(metrics):
        return {getattr(metrics, "__name__", "metric"): metrics}
    if isinstance(metrics, dict) and all(callable(m) for m in metrics.values()):
        return dict(metrics)
    raise TypeError(
        'metrics must be a function (params, batch) → number or dict, or a dict of such functions, {"accuracy": accuracy}'
    )
