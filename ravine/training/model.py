"""Models whose trees hold more than parameters (Equinox modules hold activation functions), and losses of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import as_arrays
from ravine.core.function import Function, Untraceable, traced_shape
from ravine.core.problem import number
from ravine.core.pytree import Record, part, static


class Assembled(Record):
    """A function of a model, as a function of the model's parameters alone."""

    fun: Function = part()
    treedef: Any = static()
    constants: tuple[Any, ...] = static()

    def __call__(self, params: Any, *args: Any) -> Any:
        return self.fun(self.join(params), *args)

    def join(self, params: Any) -> Any:
        """The model again."""
        leaves = self.treedef.flatten_up_to(params)
        return self.treedef.unflatten([c if v is None else v for v, c in zip(leaves, self.constants, strict=True)])


def parameters(model: Any) -> tuple[Any, tuple[Any, tuple[Any, ...]] | None]:
    """The tree with its constants replaced by None, and what `Assembled` needs to put them back; None if there are none.

    Python's floats in dicts, lists and tuples are parameters; in a module they are settings of it, such as the rate of a dropout.

    Raises:
        TypeError: an integer in the place of a parameter, or no array at all.
    """
    if isinstance(model, list | tuple) and model and all(isinstance(v, float) for v in model):
        return as_arrays(model), None
    leaves: list[Any] = []
    for path, node in jax.tree_util.tree_leaves_with_path(model, is_leaf=_is_no_container):
        where = f"params{jax.tree_util.keystr(path)}"
        if isinstance(node, int) and not isinstance(node, bool):
            raise TypeError(
                f"{where} is the integer {node}; parameters must be floating point: write {float(node)}, or leave it out"
            )
        own = jax.tree.leaves(node)
        leaves += [as_arrays(v) if isinstance(v, np.ndarray) or (v is node and isinstance(v, float)) else v for v in own]
    treedef: Any = jax.tree.structure(model)
    is_array = [isinstance(v, jax.Array | np.ndarray | np.generic) for v in leaves]
    if leaves and not any(is_array):
        kinds = ", ".join(sorted({type(v).__name__ for v in leaves}))
        raise TypeError(f"params holds no array to be trained, only {kinds}: write numbers as jnp.asarray(…)")
    if all(is_array):
        return treedef.unflatten(leaves), None
    constants = tuple(None if a else v for a, v in zip(is_array, leaves, strict=True))
    return treedef.unflatten([v if a else None for a, v in zip(is_array, leaves, strict=True)]), (treedef, constants)


def _is_no_container(node: Any) -> bool:
    return node is not None and not isinstance(node, dict | list | tuple)


def of_arrays(fun: Callable[..., Any], constants: Any) -> Function:
    """A function of the model, as one of its arrays alone."""
    return Function(fun if constants is None else Assembled(Function(fun), *constants))


def check_loss(loss: Function, params: Any, batch: Any, what: str = "a batch") -> None:
    """Traces the loss once on these shapes, so that what is wrong is said in a sentence before anything compiles."""
    try:
        value = traced_shape(_call, loss, params, batch)
    except Untraceable:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        shapes = jax.tree.map(lambda v: f"{v.dtype}{list(v.shape)}", batch)
        why = str(error).strip().split("\n")[0]
        raise ValueError(f"loss(params, batch) fails on {what} of {shapes}: {why}") from error
    if getattr(value, "shape", None) != ():
        raise ValueError(f"loss must return a scalar, the mean over the batch, got {jax.tree.map(jnp.shape, value)}: average it")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"loss must return a floating-point number, got dtype {value.dtype}")


def _call(fun: Function, params: Any, batch: Any) -> Any:
    return number(fun.name, fun(params, batch))
