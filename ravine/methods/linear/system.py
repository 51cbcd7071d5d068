"""A x = b as the methods see it: real, one dtype, vectors; and how to give x back in the user's form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import as_arrays, end_to_end
from ravine.core.function import Function
from ravine.core.tracing import is_traced
from ravine.math.operators import Dense, MatrixFree, Operator, Realified
from ravine.methods.linear.as_operator import as_operator
from ravine.methods.linear.finite import check_finite


@dataclasses.dataclass(frozen=True)
class System:
    """A x = b as the methods see it, and how to give x back.

    Attributes:
        A: a real operator.
        b: a real vector, or (m, k) for k right-hand sides.
        unpack: from a vector x (or a row of the transposed solution) to what the user expects.
        norm: ‖A‖_F, where the pass over the entries that looks for NaN has given it.
    """

    A: Operator
    b: Any
    unpack: Callable[[Any], Any]
    pack: Callable[[Any], Any]
    norm: Any = None

    @property
    def many(self) -> bool:
        return self.b.ndim == 2


def posed(A: Any, b: Any, x0: Any) -> System:
    """Checks shapes and numbers, brings both to one dtype, makes a complex system a real one of twice the size.

    Raises:
        ValueError: shapes that do not fit; NaN or infinity in A or b, with the place of the first.
        TypeError: A or b are nothing linear.
    """
    free = callable(A) and not isinstance(A, Operator) and not hasattr(A, "mv")
    norm = None
    b = _floating(as_arrays(b))
    leaves = jax.tree.leaves(b)
    if not leaves:
        raise ValueError("b is an empty tree")
    columns = not free and len(leaves) == 1 and not isinstance(b, dict | list | tuple) and np.ndim(leaves[0]) == 2
    if not free and len(leaves) == 1 and np.ndim(leaves[0]) not in (1, 2):
        raise ValueError(
            f"b must be a vector of length m or an array (m, k) of k right-hand sides, got shape {np.shape(leaves[0])}"
        )
    size_of_b = check_finite(b, "b")
    if x0 is not None:
        check_finite(_floating(as_arrays(x0)), "x0")
    layout_b = None if columns else _Packing.of(b)
    vector = jnp.asarray(leaves[0]) if columns else layout_b.pack(b)  # type: ignore[union-attr]
    if free:
        like = b if x0 is None else _floating(as_arrays(x0))
        packing = _Packing.of(like)
        operator: Any = of_function(A, packing, layout_b)
        refuse_nonlinear(operator)
    else:
        operator = as_operator(A)
        norm = check_finite(operator, "A")
        square = operator.shape[0] == operator.shape[1]
        packing = _Packing.of(x0) if x0 is not None and not columns else (layout_b if square and not columns else None)  # type: ignore[assignment]
    m, n = operator.shape
    if m == 0 or n == 0:
        raise ValueError(f"A is {m}×{n}: there is nothing to solve")
    if vector.shape[0] != m:
        raise ValueError(f"A is {m}×{n}, so b must have length {m}; it has {vector.shape[0]}")
    if packing is not None and packing.size != n:
        raise ValueError(f"A is {m}×{n}, so x0 must have length {n}; it has {packing.size}")
    if columns and x0 is not None and np.shape(x0) != (n, vector.shape[1]):
        raise ValueError(
            f"A is {m}×{n} and b has {vector.shape[1]} columns, so x0 must have shape {(n, vector.shape[1])}, not {np.shape(x0)}"
        )
    kind = common_dtype(operator.dtype, vector.dtype)
    info = jnp.finfo(kind)
    if size_of_b and not (float(info.tiny) / float(info.eps)) ** 0.5 < size_of_b < float(info.max) ** 0.5:
        raise ValueError(f"‖b‖ is {size_of_b:.2g}, and its square leaves the range of {info.dtype}: scale b, and x scales with it")
    is_complex = jnp.issubdtype(kind, jnp.complexfloating)
    operator = jax.tree.map(lambda v: jnp.asarray(v, kind) if jnp.issubdtype(v.dtype, jnp.inexact) else v, operator)
    vector = vector.astype(kind)
    if isinstance(operator, MatrixFree):
        operator = operator.replace(number=str(kind))
    if is_complex:
        operator, vector = Realified(operator), _halves(vector)

    def unpack(x: Any) -> Any:
        z = jax.lax.complex(*jnp.split(x, 2)) if is_complex else x
        return z if packing is None else packing.unpack(z)

    def pack(x: Any) -> Any:
        z = jnp.asarray(x) if packing is None else packing.pack(x)
        return _halves(z.astype(kind)) if is_complex else z.astype(vector.dtype)

    dense = isinstance(operator.inner if is_complex else operator, Dense)
    known = jnp.asarray(norm * np.sqrt(1 + is_complex), vector.dtype) if dense and norm is not None else None
    return System(operator, vector, unpack, pack, known)


def _halves(z: Any) -> Any:
    return jnp.concatenate([z.real, z.imag])


@dataclasses.dataclass(frozen=True)
class _Packing:
    """A tree of real or complex arrays as one vector (`Layout` is for parameters, which are real)."""

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtype: Any

    @classmethod
    def of(cls, tree: Any) -> _Packing:
        leaves, treedef = jax.tree.flatten(tree)
        return cls(treedef, tuple(np.shape(v) for v in leaves), common_dtype(*(v.dtype for v in leaves)))

    @property
    def size(self) -> int:
        return sum(int(np.prod(s)) for s in self.shapes)

    def pack(self, tree: Any) -> Any:
        leaves, treedef = jax.tree.flatten(tree)
        if treedef != self.treedef or tuple(np.shape(v) for v in leaves) != self.shapes:
            raise ValueError(
                f"x0 and b, or A's outcome and b, differ in structure: expected {self.treedef} with shapes {self.shapes}"
            )
        return end_to_end([jnp.asarray(v, self.dtype) for v in leaves])

    def unpack(self, x: Any) -> Any:
        if len(self.shapes) == 1:
            return jax.tree.unflatten(self.treedef, [x.reshape(self.shapes[0])])
        ends = np.cumsum([int(np.prod(s)) for s in self.shapes])[:-1].tolist()
        return jax.tree.unflatten(self.treedef, [v.reshape(s) for v, s in zip(jnp.split(x, ends), self.shapes, strict=True)])


def common_dtype(*dtypes: Any) -> Any:
    """The real or complex dtype, of single precision or more, that holds them all."""
    double = any(jnp.finfo(d).dtype == jnp.float64 for d in dtypes)
    if any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes):
        return jnp.dtype(jnp.complex128 if double else jnp.complex64)
    return jnp.dtype(jnp.float64 if double else jnp.float32)


def _floating(tree: Any) -> Any:
    def one(v: Any) -> Any:
        v = v if hasattr(v, "dtype") else np.asarray(v)
        return v if jnp.issubdtype(v.dtype, jnp.inexact) else v.astype(jax.dtypes.canonicalize_dtype(float))

    return jax.tree.map(one, tree)


class _OfTrees:
    """A user's function of trees as one of vectors; compared by value, so that it compiles once."""

    def __init__(self, fun: Function, domain: _Packing, image: _Packing):
        self.fun, self.domain, self.image = fun, domain, image

    def __call__(self, v: Any) -> Any:
        return self.image.pack(self.fun(self.domain.unpack(v)))


jax.tree_util.register_pytree_node(
    _OfTrees,
    lambda f: ((f.fun,), (f.domain, f.image)),
    lambda aux, leaves: _OfTrees(leaves[0], *aux),
)


def _closes_over_tracers(fun: Any, depth: int = 4) -> bool:
    inside = [c.cell_contents for c in getattr(fun, "__closure__", None) or ()]
    inside += [
        *getattr(fun, "args", ()),
        getattr(fun, "func", None),
        getattr(fun, "__self__", None),
        getattr(fun, "__wrapped__", None),
    ]
    return any(is_traced(v) or (depth > 0 and callable(v) and _closes_over_tracers(v, depth - 1)) for v in inside)


class _Hoisted:
    """f(constants, v) of a function whose constants were made explicit."""

    def __init__(self, fun: Callable[..., Any]):
        self.fun = fun

    def __call__(self, constants: tuple[Any, ...], v: Any) -> Any:
        return self.fun(v, *constants)


def of_function(fun: Callable[[Any], Any], domain: Any, image: Any) -> MatrixFree:
    """The operator of a function of trees; `domain` and `image` pack these into vectors."""
    wrapped: Any = _OfTrees(Function(fun, "A"), domain, image)
    if _closes_over_tracers(fun):
        # What the function closes over may be what is being differentiated: made explicit, its derivative is not lost.
        converted, constants = jax.closure_convert(wrapped, jnp.zeros(domain.size, domain.dtype))
        wrapped = jax.tree_util.Partial(_Hoisted(converted), tuple(constants)) if constants else wrapped
    return MatrixFree(Function(wrapped, "A"), (image.size, domain.size), str(domain.dtype))


def refuse_nonlinear(A: MatrixFree, name: str = "A") -> None:
    """Raises where a function is not linear, seen by two random vectors."""
    if is_traced(A):
        return
    error = _additivity(A)
    if not isinstance(error, jax.core.Tracer) and error > float(jnp.finfo(A.dtype).eps) ** 0.25:
        part = f"by {float(error):.2g} of their size"
        raise ValueError(
            f"{name} is no linear function: {name}(u + v) differs from {name}(u) + {name}(v) {part} for random u and v; "
            "leave constants out of it"
        )


@jax.jit
def _additivity(A: Operator) -> Any:
    """‖A(u + v) − A u − A v‖ relative to ‖A u‖ + ‖A v‖, for two random vectors."""
    u, v = jnp.asarray(np.random.default_rng(2).standard_normal((2, A.shape[1])), A.dtype)
    Au, Av = A.mv(u), A.mv(v)
    size = jnp.linalg.norm(Au) + jnp.linalg.norm(Av)
    return jnp.linalg.norm(A.mv(u + v) - Au - Av) / jnp.where(size > 0, size, 1)
