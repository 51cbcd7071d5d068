"""A user's function as a pytree that is compared by value, so that the same function never compiles twice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import work
from ravine.core.tracing import tracing

UNTRACEABLE = (
    jax.errors.TracerArrayConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
)
"""What JAX raises where a function asks for numbers that are being traced."""


class Untraceable(TypeError):
    """The user's function asks for numbers that are being traced; JAX's own error is the cause."""


@jax.tree_util.register_pytree_node_class
class Function:
    """A callable whose arrays are leaves and whose code is static.

    A plain function has no leaves. A `functools.partial`, an Equinox module or any other callable pytree is taken apart: its
    arrays and Python floats are traced, all else is compared by value. Arrays that a function closes over are constants
    of the compiled program, as under `jax.jit`: pass through `args` what will change.

    Raises:
        TypeError: `fun` cannot be called, or has a constant that cannot be hashed.
    """

    __slots__ = ("form", "leaves")
    leaves: tuple[Any, ...]
    form: tuple[Any, ...]

    def __init__(self, fun: Callable[..., Any], name: str = "f"):
        if isinstance(fun, Function):
            self.leaves, self.form = fun.leaves, fun.form
            return
        if not callable(fun):
            raise TypeError(f"{name} must be a function, got {type(fun).__name__}; did you mean to swap two arguments?")
        if isinstance(fun, functools.partial):
            fun = jax.tree_util.Partial(fun.func, *fun.args, **fun.keywords)
        flat, treedef = jax.tree.flatten(fun)
        traced = tuple(isinstance(v, float | jax.Array | np.ndarray) for v in flat)
        constants = tuple(None if t else v for v, t in zip(flat, traced, strict=True))
        self.leaves = tuple(v for v, t in zip(flat, traced, strict=True) if t)
        self.form = (treedef, traced, constants)
        try:
            hash(self.form)
        except TypeError:
            raise TypeError(f"{name} carries a value that cannot be hashed; pass it through args instead") from None

    @property
    def whole(self) -> Any:
        """What was given, put together again."""
        treedef, traced, constants = self.form
        leaves = iter(self.leaves)
        return jax.tree.unflatten(treedef, [next(leaves) if t else c for t, c in zip(traced, constants, strict=True)])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            # What the user's code counts is its own: a solver inside of it would leave traced numbers in the tally of this one.
            with work.tallied():
                return self.whole(*args, **kwargs)
        except UNTRACEABLE as wrong:
            raise Untraceable(
                f"{self.name} asks for numbers while JAX traces it: write jnp.exp(x) for np.exp(x) or math.exp(x), and "
                "jnp.where(…) for an if or for x[x > 0]"
            ) from wrong

    @property
    def name(self) -> str:
        """The function's own name, for messages."""
        for constant in self.form[2]:
            if hasattr(constant, "__name__"):
                return str(constant.__name__)
        return "f"

    def tree_flatten(self) -> tuple[Any, Any]:
        return self.leaves, self.form

    @classmethod
    def tree_unflatten(cls, form: Any, leaves: Any) -> Function:
        self = object.__new__(cls)
        self.leaves, self.form = tuple(leaves), form
        return self


def hoisted(fun: Function, *args: Any) -> tuple[Function, tuple[Any, ...]]:
    """`fun` with the numbers that it closes over while they are being traced as further arguments, and these numbers.

    A loop around `fun` can then be told not to be differentiated with respect to them, and a derivative be taken without it.

    Args:
        args: arguments that `fun` can be called with.
    """
    if not tracing():
        return fun, ()
    converted, numbers = jax.closure_convert(fun.whole, *args)
    if not numbers:
        return fun, ()
    converted.__name__ = fun.name
    return Function(converted), tuple(numbers)


def traced_shape(call: Callable[..., Any], *args: Any) -> Any:
    """Shapes and dtypes of call(*args), for args that are trees; it is traced once for arguments of the same structure.

    Args:
        call: a function of its module, so that it is the same in every call.
    """
    leaves, structure = jax.tree.flatten(args)
    return _traced_shape(call, structure, tuple(map(_form, leaves)))


def _form(v: Any) -> tuple[Any, Any]:
    """Shape and dtype; `jnp.result_type` would take a tenth of the time of a small fit."""
    dtype = getattr(v, "dtype", None)
    return np.shape(v), jnp.result_type(v) if dtype is None else jax.dtypes.canonicalize_dtype(dtype, allow_extended_dtype=True)


@functools.lru_cache(maxsize=256)
def _traced_shape(call: Callable[..., Any], structure: Any, leaves: tuple[tuple[Any, Any], ...]) -> Any:
    return jax.eval_shape(call, *jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*v) for v in leaves]))
