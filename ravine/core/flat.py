"""Trees become vectors here, and nowhere else.

Deterministic methods see one flat vector. Rules see arrays: leaves of fewer than `GROUP_BELOW` elements are laid end to end, one
group a dtype, because XLA on the CPU spends about 3 µs on every separate small leaf and loop (1,000 leaves of 64×64: 2 ms for a
flat Adam step, 14 ms leaf by leaf), while a large leaf gains nothing from it and would have to be copied out again for the model.
Nor does it pay for a few small leaves beside large ones, which would have to wait for each other: with them joined, `train` on a
network 784-500-500-10 took 2 to 4 % longer (`docs/first_order.md`). Sharded leaves are never joined.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.codegen import apart
from ravine.core.pytree import widest
from ravine.core.tracing import tracing

GROUP_BELOW = 2**13
FUSED = 8
"""Arrays laid end to end by one loop of XLA's on a processor; more are copied one after the other."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a tree is packed into arrays and back. Static and compared by value.

    Attributes:
        treedef, shapes, dtypes: the tree.
        groups: the leaves (by number) that each packed array holds.
        dtype: the one dtype of a packed vector, or None where each group keeps its own.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    groups: tuple[tuple[int, ...], ...]
    dtype: Any = None

    @classmethod
    def vector(cls, tree: Any, name: str = "x0") -> Layout:
        """One vector of the widest dtype in the tree."""
        leaves, treedef = _described(tree, name)
        kinds = {d for _, d in leaves}
        dtype = kinds.pop() if len(kinds) == 1 else widest(*kinds)
        return cls(treedef, *_unzip(leaves), (tuple(range(len(leaves))),), dtype)

    @classmethod
    def grouped(cls, tree: Any, name: str = "params") -> Layout:
        """Small leaves joined by dtype, others on their own; for rules that act on each element alone."""
        leaves, treedef = _described(tree, name)
        small: dict[Any, list[int]] = {}
        alone: list[tuple[int, ...]] = []
        for i, ((shape, dtype), value) in enumerate(zip(leaves, jax.tree.leaves(tree), strict=True)):
            if math.prod(shape) < GROUP_BELOW and not _sharded(value):
                small.setdefault(dtype, []).append(i)
            else:
                alone.append((i,))
        large = bool(alone)
        for group in small.values():
            alone += [(i,) for i in group] if large and len(group) <= FUSED else [tuple(group)]
        return cls(treedef, *_unzip(leaves), tuple(sorted(alone)))

    @classmethod
    def leafwise(cls, tree: Any, name: str = "params") -> Layout:
        """Every leaf on its own; for rules that look at an array's shape."""
        leaves, treedef = _described(tree, name)
        return cls(treedef, *_unzip(leaves), tuple((i,) for i in range(len(leaves))))

    @property
    def size(self) -> int:
        """The number of parameters."""
        return sum(math.prod(s) for s in self.shapes)

    @property
    def is_vector(self) -> bool:
        return self.dtype is not None

    def pack(self, tree: Any, cast: bool = True) -> Any:
        """The tree as one vector (`vector`), or as a tuple of arrays, one a group.

        Raises:
            ValueError: the tree's structure or shapes are not those of the layout.
        """
        leaves, treedef = jax.tree.flatten(tree)
        shapes = tuple(np.shape(v) for v in leaves)
        if treedef != self.treedef or shapes != self.shapes:
            raise ValueError(
                f"the tree does not match the parameters: expected {self.describe()}, got {treedef} with shapes {shapes}"
            )
        if self.is_vector:
            dtype = self.dtype if cast else None
            # NumPy's arrays are packed by NumPy: an operation of `jnp` outside a program is a program of its own.
            if leaves and all(isinstance(v, np.ndarray) for v in leaves):
                flat = [np.ravel(np.asarray(v, dtype)) for v in leaves]
                return flat[0] if len(flat) == 1 else np.concatenate(flat)
            return end_to_end([jnp.asarray(v, dtype) for v in leaves]) if leaves else jnp.zeros(0, self.dtype)
        return tuple(jnp.asarray(leaves[g[0]]) if len(g) == 1 else end_to_end([leaves[i] for i in g]) for g in self.groups)

    def unpack(self, packed: Any) -> Any:
        """The tree again."""
        arrays = (packed,) if self.is_vector else packed
        leaves: list[Any] = [None] * len(self.shapes)
        for array, group in zip(arrays, self.groups, strict=True):
            if len(group) == 1 and not (self.is_vector and array.shape != self.shapes[group[0]]):
                leaves[group[0]] = _as(array, self.dtypes[group[0]])
                continue
            start = 0
            for i in group:
                n = math.prod(self.shapes[i])
                piece = array[start : start + n]
                leaves[i] = _as(piece.reshape(self.shapes[i]), self.dtypes[i])
                start += n
        return jax.tree.unflatten(self.treedef, leaves)

    def describe(self) -> str:
        """The tree in words."""
        return f"{self.treedef} with shapes {self.shapes}"


def end_to_end(arrays: Sequence[Any]) -> Any:
    """The elements of arrays of one dtype as one vector.

    On a processor XLA would make one loop of a few arrays, as long for each as for the longest, and mask what it reads beyond an
    array. In some processes such reads are slow: a step of Adam on a network 64-200-200-200-10 took 0.28 ms in one and 2.3 in
    another (jax 0.10.2; `docs/first_order.md`). A program of its own is not fused, so they are copied.
    """
    flat = [jnp.ravel(v) for v in arrays]
    if len(flat) == 1:
        return flat[0]
    if len(flat) > FUSED or jax.default_backend() != "cpu" or not tracing():
        return jnp.concatenate(flat)
    return apart(_concatenated, *flat)


def _concatenated(*flat: Any) -> Any:
    return jnp.concatenate(flat)


def _as(array: Any, dtype: Any) -> Any:
    """`array.astype(dtype)`, which outside of a program takes time even where nothing is to be done."""
    return array if isinstance(array, jax.Array) and array.dtype == dtype and not array.weak_type else array.astype(dtype)


@functools.partial(jax.jit, static_argnums=0)
def unpacked(layout: Layout, packed: Any) -> Any:
    """`layout.unpack` as one program: outside of programs every slice is one of its own, to be compiled and to be called."""
    return layout.unpack(packed)


def _described(tree: Any, name: str) -> tuple[list[tuple[tuple[int, ...], Any]], Any]:
    with_path, treedef = jax.tree_util.tree_flatten_with_path(tree)
    described = []
    for path, leaf in with_path:
        if not hasattr(leaf, "dtype"):
            where = name + jax.tree_util.keystr(path)
            raise TypeError(f"{where} is {leaf!r} of type {type(leaf).__name__}; parameters must be arrays of floats")
        dtype = jnp.dtype(leaf.dtype)
        if not jnp.issubdtype(dtype, jnp.floating):
            where = name + jax.tree_util.keystr(path)
            cure = "split it into real and imaginary parts"
            if dtype.kind in "iub":
                cure = f"convert it with {where}.astype(float), or leave out what is not to be trained (a counter, a random key)"
            raise TypeError(f"{where} has dtype {dtype}; parameters must be floating point: {cure}")
        described.append((tuple(leaf.shape), dtype))
    if not any(math.prod(shape) for shape, _ in described):
        raise ValueError(f"{name} has no parameters: it is an empty tree" + (" of empty arrays" if described else ""))
    return described, treedef


def _unzip(leaves: Any) -> tuple[Any, Any]:
    return tuple(s for s, _ in leaves), tuple(d for _, d in leaves)


def _sharded(value: Any) -> bool:
    sharding = getattr(value, "sharding", None) if not isinstance(value, jax.core.Tracer) else None
    return sharding is not None and sharding.num_devices > 1 and not sharding.is_fully_replicated


def as_arrays(tree: Any) -> Any:
    """Python numbers become float arrays, a flat list or tuple of numbers one vector (as SciPy takes it); arrays stay.

    NumPy's default float64 becomes float32 where JAX would make it so later, so that no step sees two dtypes.
    """

    def is_number(v: Any) -> bool:
        return isinstance(v, int | float) and not isinstance(v, bool)

    def one(v: Any) -> Any:
        v = np.asarray(v, np.float64) if is_number(v) else v
        return v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype == np.float64 else v

    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    if isinstance(tree, list | tuple) and tree and all(map(is_number, tree)):
        return np.asarray(tree, dtype)
    return jax.tree.map(one, tree)
