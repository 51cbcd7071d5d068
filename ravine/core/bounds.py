"""Bounds as users write them, as packed arrays; and a start point inside them."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.choice import label
from ravine.core.flat import Layout
from ravine.core.method import Method
from ravine.core.registry import HOMES, method_class
from ravine.core.tracing import is_traced
from ravine.core.warning import warn


def as_bounds(bounds: Any, x0: Any, fit: bool = False) -> tuple[Any, Any] | None:
    """The lower and the upper bounds as two trees of arrays like x0, infinite where there is none; None where nothing is bounded.

    Args:
        bounds: None, or one of
            `(lower, upper)`: each None, a number, or a tree that matches x0 or can be broadcast to it leaf by leaf;
            `[(low, high), …]`: a pair of numbers (or None) for each element of a one-dimensional x0, or an array of shape
            (n, 2), as SciPy takes it (of two elements, `([l₀, l₁], [u₀, u₁])`, a tuple of lists or arrays, is `(lower, upper)`);
            an object with `lb` and `ub`, such as `scipy.optimize.Bounds`.
        x0: the start, a tree of arrays.
        fit: of two parameters, two pairs are the lower and the upper bounds, as SciPy's fits take them.

    Raises:
        ValueError: bounds that cross, are NaN, or do not match x0; the message names the parameter.
    """
    if bounds is None:
        return None
    lower, upper = sides(bounds, x0, fit)
    low, high = like(lower, -np.inf, x0, "lower"), like(upper, np.inf, x0, "upper")
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(low), jax.tree.leaves(high), strict=True):
        if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
            continue
        wrong = np.argwhere(~(np.asarray(a) <= np.asarray(b)))
        if wrong.size:
            i = tuple(int(j) for j in wrong[0])
            where = "x0" + jax.tree_util.keystr(path) + (f"[{', '.join(map(str, i))}]" if i else "")
            raise ValueError(f"the bounds of {where} cross or are NaN: lower {np.asarray(a)[i]} and upper {np.asarray(b)[i]}")
    if is_all(low, -np.inf) and is_all(high, np.inf):
        return None  # nothing is bounded: every method will do
    return low, high


def sides(bounds: Any, x0: Any, fit: bool = False) -> tuple[Any, Any]:
    """(lower, upper) as the user wrote them, of any form that `as_bounds` takes."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        return bounds.lb, bounds.ub
    if isinstance(bounds, np.ndarray | jax.Array) and np.ndim(bounds) == 2 and not fit:
        bounds = list(bounds)
    if _are_pairs(bounds, x0, fit):
        lower = [-np.inf if low is None else low for low, _ in bounds]
        upper = [np.inf if high is None else high for _, high in bounds]
        traced = any(isinstance(v, jax.core.Tracer) for v in lower + upper)
        array = functools.partial(jnp.array, dtype=x0.dtype) if traced else np.array
        return array(lower), array(upper)
    if isinstance(bounds, tuple | list) and len(bounds) == 2:
        return bounds[0], bounds[1]
    raise ValueError(
        "bounds must be (lower, upper), each None, a number or a tree like x0, or one (low, high) pair for each element of "
        f"a one-dimensional x0; got {bounds!r} for {_describe(x0)}"
    )


def is_all(side: Any, value: float) -> bool:
    """Whether every bound of a side is known to be `value`."""
    return all(not isinstance(v, jax.core.Tracer) and bool(np.all(v == value)) for v in jax.tree.leaves(side))


def _are_pairs(bounds: Any, x0: Any, fit: bool) -> bool:
    """Whether it is SciPy's list: one pair of numbers for each element of a vector x0."""

    def is_pair(b: Any) -> bool:
        if isinstance(b, np.ndarray | jax.Array):  # in a list as SciPy's; a tuple of two arrays is (lower, upper)
            return isinstance(bounds, list) and not fit and b.shape == (2,)
        return isinstance(b, tuple | list) and len(b) == 2 and all(v is None or np.ndim(v) == 0 for v in b)

    # Of two parameters, ([0, 0], [1, 2]) are two vectors and ((0, 1), (0, 2)) two pairs.
    two_vectors = fit or (isinstance(bounds, tuple) and all(isinstance(b, list) for b in bounds))
    is_vector = hasattr(x0, "shape") and len(x0.shape) == 1 and not (two_vectors and x0.shape[0] == 2)
    return is_vector and isinstance(bounds, tuple | list) and len(bounds) == x0.shape[0] and all(map(is_pair, bounds))


def like(bound: Any, missing: float, x0: Any, side: str) -> Any:
    """One side of the bounds as a tree of arrays like x0, `missing` where there is none."""
    if bound is None:
        bound = missing
    if isinstance(bound, int | float):
        return jax.tree.map(lambda v: np.full(np.shape(v), bound, v.dtype), x0)
    treedef: Any = jax.tree.structure(x0)
    leaves, found = jax.tree.flatten(bound, is_leaf=lambda v: v is None or (isinstance(v, tuple | list) and hasattr(x0, "shape")))
    if found != treedef and not (len(leaves) == 1 and leaves[0] is bound and treedef.num_leaves == 1):
        raise ValueError(f"the {side} bounds do not match x0: expected {_describe(x0)}, got {found}")

    def one(b: Any, v: Any) -> Any:
        b = missing if b is None else b
        b = b if isinstance(b, jax.core.Tracer) else np.asarray(b)
        if b.dtype.kind not in "biuf" and not jnp.issubdtype(b.dtype, jnp.floating):
            raise ValueError(f"the {side} bounds must be real numbers, got {b!r}")
        try:
            return (jnp if isinstance(b, jax.core.Tracer) else np).broadcast_to(b.astype(v.dtype), np.shape(v))
        except ValueError:
            raise ValueError(f"the {side} bounds do not match x0: {b.shape} does not fit {np.shape(v)}") from None

    return jax.tree.unflatten(treedef, [one(b, v) for b, v in zip(leaves, jax.tree.leaves(x0), strict=True)])


def _describe(x0: Any) -> str:
    return f"x0 with {jax.tree.structure(x0)} and shapes {[np.shape(v) for v in jax.tree.leaves(x0)]}"


def inside(x0: Any, bounds: tuple[Any, Any]) -> Any:
    """x0 projected onto the box, with a warning where that changes it."""

    def clipped(x: Any, a: Any, b: Any) -> Any:
        # NumPy's arrays by NumPy: an operation of `jnp` outside a program is a program of its own.
        if all(isinstance(v, np.ndarray) for v in (x, a, b)):
            return np.asarray(np.minimum(np.maximum(x, a), b))
        return jnp.clip(jnp.asarray(x), a, b)

    projected = jax.tree.map(clipped, x0, *bounds)
    leaves = zip(jax.tree.leaves(x0), jax.tree.leaves(projected), strict=True)
    if not is_traced(x0, projected):
        outside = sum(int(np.sum((np.asarray(x) != np.asarray(p)) & ~np.isnan(np.asarray(x)))) for x, p in leaves)
        if outside:
            warn(f"x0 is outside the bounds in {outside} of its elements; it was projected onto them")
    return projected


def crossed(lower: Any, upper: Any) -> Any:
    """Whether a lower bound is above its upper one, or is none: for bounds that JAX traces, which only a status can refuse."""
    sides = zip(jax.tree.leaves(lower), jax.tree.leaves(upper), strict=True)
    return ~jnp.all(jnp.stack([jnp.all(a <= b) for a, b in sides]))


def require_bounds(method: Method) -> None:
    """Refuses a method that would ignore bounds, and names those that keep to them."""
    if not method.takes_bounds:
        able = [n for n in HOMES if getattr(method_class(n), "takes_bounds", False) and method_class(n).solves is method.solves]
        raise ValueError(f"{label(method)} does not keep to bounds; methods that do: {', '.join(able)}")


def packed(bounds: tuple[Any, Any] | None, layout: Layout | None) -> tuple[Any, Any]:
    """Both bounds as the method sees the parameters; (None, None) for none."""
    if bounds is None:
        return None, None
    return tuple(b if layout is None else layout.pack(b) for b in bounds)
