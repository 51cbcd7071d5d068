"""Linear maps that compose and keep their structure: A @ v, A.T @ u, A + B, A @ B, 2 * A, blocks, Kronecker products, stencils.

An operator is a record, so it goes through `jit`, `vmap` and `grad` with its arrays as leaves. `A.mv(v)` is the product with one
vector, `A.T` the transpose. What a class can tell of itself (its diagonal, its dense form) it tells; a map that is only a function
refuses in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import end_to_end
from ravine.core.function import Function
from ravine.core.pytree import Record, part, static


class Operator(Record):
    """Base of all linear maps from ℝⁿ to ℝᵐ."""

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        raise NotImplementedError

    @property
    def dtype(self) -> Any:
        """Of the entries."""
        return jnp.result_type(*[v for v in jax.tree.leaves(self) if jnp.issubdtype(v.dtype, jnp.inexact)])

    @property
    def symmetric(self) -> bool | None:
        """Whether A = Aᵀ, where the structure says so; None where nobody knows."""
        return None

    def mv(self, v: Any) -> Any:
        """A v for a vector of length n."""
        raise NotImplementedError

    @property
    def T(self) -> Operator:
        """Aᵀ."""
        return self if self.symmetric else Adjoint(self)

    def diagonal(self) -> Any:
        """The entries aᵢᵢ.

        Raises:
            TypeError: the entries are not known: A is a function.
        """
        raise TypeError(
            f"{type(self).__name__} knows only its products, not its diagonal: pass diagonal(s) as a preconditioner yourself"
        )

    def dense(self) -> Any:
        """The m×n array, by n products."""
        return jax.vmap(self.mv, 0, 1)(jnp.eye(self.shape[1], dtype=self.dtype))

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, Operator):
            _fits(self, other.shape[0])
            return Product(self, other)
        _fits(self, jnp.shape(other)[0])
        return self.mv(other) if jnp.ndim(other) == 1 else jax.vmap(self.mv, 1, 1)(other)

    def __add__(self, other: Operator) -> Operator:
        if self.shape != other.shape:
            raise ValueError(f"operators of shapes {self.shape} and {other.shape} cannot be added")
        return self.plus(other)

    def plus(self, other: Operator) -> Operator:
        """A + B; a class that can say it in its own form does."""
        return Sum(self, other)

    def scaled(self, factor: Any) -> Operator:
        """α A; a class that can say it in its own form does."""
        return Scaled(factor, self)

    def __neg__(self) -> Operator:
        return self * -1

    def __sub__(self, other: Operator) -> Operator:
        return self + -other

    def __mul__(self, scalar: Any) -> Operator:
        return self.scaled(jnp.asarray(scalar, self.dtype))

    __rmul__ = __mul__


def _fits(A: Operator, n: int) -> None:
    if A.shape[1] != n:
        raise ValueError(f"an operator of shape {A.shape} cannot be applied to something of length {n}")


class Dense(Operator):
    """An array as an operator."""

    array: Any = part(doc="m×n")
    known_symmetric: bool | None = static(None)

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape

    @property
    def symmetric(self) -> bool | None:
        return self.known_symmetric

    def mv(self, v: Any) -> Any:
        return self.array @ v

    @property
    def T(self) -> Operator:
        return Dense(self.array.T, self.known_symmetric)

    def diagonal(self) -> Any:
        return jnp.diagonal(self.array)

    def dense(self) -> Any:
        return self.array

    def scaled(self, factor: Any) -> Operator:
        return self.replace(array=factor * self.array)

    def plus(self, other: Operator) -> Operator:
        if not isinstance(other, Dense):
            return Sum(self, other)
        return Dense(self.array + other.array, True if self.symmetric and other.symmetric else None)


class Diagonals(Operator):
    """A matrix of a few diagonals: bands[k, i] = A[i, i + offsets[k]]. Diagonal, tridiagonal and banded matrices are this one.

    A product is a sum of shifted slices, without an index in it. What would stand outside A is ignored.
    """

    bands: Any = part(doc="(k, m)")
    offsets: tuple[int, ...] = static(doc="k distances from the main diagonal, upwards positive")
    columns: int | None = static(None, doc="n; None for m")
    known_symmetric: bool | None = static(None)

    @property
    def shape(self) -> tuple[int, int]:
        m = self.bands.shape[1]
        return m, m if self.columns is None else self.columns

    @property
    def symmetric(self) -> bool | None:
        return True if self.offsets == (0,) and self.shape[0] == self.shape[1] else self.known_symmetric

    @property
    def bandwidths(self) -> tuple[int, int]:
        """How many diagonals lie below the main one, and how many above."""
        return max(0, -min(self.offsets)), max(0, max(self.offsets))

    def mv(self, v: Any) -> Any:
        m, n = self.shape
        low, up = self.bandwidths
        padded = jnp.pad(v, (low, max(0, m + up - n)))
        return sum(self.bands[k] * jax.lax.slice(padded, (low + o,), (low + o + m,)) for k, o in enumerate(self.offsets))

    @property
    def T(self) -> Operator:
        if self.symmetric:
            return self
        m, n = self.shape
        low, up = self.bandwidths
        padded = jnp.pad(self.bands, ((0, 0), (up, low + max(0, n - m))))
        bands = jnp.stack([padded[k, up - o : up - o + n] for k, o in enumerate(self.offsets)])
        return Diagonals(bands, tuple(-o for o in self.offsets), m)

    def diagonal(self) -> Any:
        r = min(self.shape)
        return self.bands[self.offsets.index(0), :r] if 0 in self.offsets else jnp.zeros(r, self.dtype)

    def dense(self) -> Any:
        m, n = self.shape
        out = jnp.zeros((m, n), self.dtype)
        for k, o in enumerate(self.offsets):
            rows = np.arange(max(0, -o), max(max(0, -o), min(m, n - o)))
            out = out.at[rows, rows + o].add(self.bands[k, rows])
        return out

    def scaled(self, factor: Any) -> Operator:
        return self.replace(bands=factor * self.bands)

    def plus(self, other: Operator) -> Operator:
        if not isinstance(other, Diagonals):
            return Sum(self, other)
        bands = dict(zip(self.offsets, self.bands, strict=True))
        for o, band in zip(other.offsets, other.bands, strict=True):
            bands[o] = bands[o] + band if o in bands else band
        offsets = tuple(sorted(bands))
        symmetric = True if self.symmetric and other.symmetric else None
        return Diagonals(jnp.stack([bands[o] for o in offsets]), offsets, self.columns, symmetric)


def diagonal(d: Any) -> Diagonals:
    """diag(d)."""
    return Diagonals(jnp.asarray(d)[None], (0,))


def tridiagonal(lower: Any, main: Any, upper: Any) -> Diagonals:
    """The matrix with `main` (n) on its diagonal, `lower` (n − 1) below and `upper` (n − 1) above.

    Example:
        >>> import jax.numpy as jnp
        >>> from ravine.math.operators import tridiagonal
        >>> tridiagonal(-jnp.ones(2), 2 * jnp.ones(3), -jnp.ones(2)).dense().tolist()
        [[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]]
    """
    low, n, up = (jnp.shape(d)[0] for d in (lower, main, upper))
    if not low == up == n - 1:
        raise ValueError(f"a diagonal of {n} entries needs off-diagonals of one less, got {low} and {up}")
    return Diagonals(jnp.stack([jnp.pad(lower, (1, 0)), main, jnp.pad(upper, (0, 1))]), (-1, 0, 1))


def banded(diagonals: dict[int, Any]) -> Diagonals:
    """A square matrix from its diagonals by offset (upwards positive), each as long as it is in the matrix."""
    n = {jnp.shape(d)[0] + abs(o) for o, d in diagonals.items()}
    if len(n) != 1:
        raise ValueError(f"the diagonals do not fit one square matrix: they speak of n = {sorted(n)}")
    offsets = tuple(sorted(diagonals))
    return Diagonals(jnp.stack([jnp.pad(diagonals[o], (max(0, -o), max(0, o))) for o in offsets]), offsets)


class BlockDiagonal(Operator):
    """Equal square blocks along the diagonal."""

    blocks: Any = part(doc="(k, p, p)")

    @property
    def shape(self) -> tuple[int, int]:
        k, p, q = self.blocks.shape
        return k * p, k * q

    def mv(self, v: Any) -> Any:
        k, _, q = self.blocks.shape
        return jnp.einsum("kpq,kq->kp", self.blocks, v.reshape(k, q)).reshape(-1)

    @property
    def T(self) -> Operator:
        return BlockDiagonal(self.blocks.swapaxes(1, 2))

    def diagonal(self) -> Any:
        return jnp.diagonal(self.blocks, axis1=1, axis2=2).reshape(-1)

    def dense(self) -> Any:
        return jax.scipy.linalg.block_diag(*self.blocks)

    def scaled(self, factor: Any) -> Operator:
        return BlockDiagonal(factor * self.blocks)


class MatrixFree(Operator):
    """A function v ↦ A v of a vector, or of a tree that `unpack` and `pack` make of it."""

    fun: Function = part()
    size: tuple[int, int] = static(doc="(m, n)")
    number: Any = static(doc="dtype")
    known_symmetric: bool | None = static(None)

    @property
    def shape(self) -> tuple[int, int]:
        return self.size

    @property
    def dtype(self) -> Any:
        return jnp.dtype(self.number)

    @property
    def symmetric(self) -> bool | None:
        return self.known_symmetric

    def mv(self, v: Any) -> Any:
        return self.fun(v)


def matrix_free(fun: Callable[[Any], Any], like: Any, symmetric: bool | None = None) -> MatrixFree:
    """The operator of a linear function of a vector `like`; m is found by tracing it once."""
    out = jax.eval_shape(fun, like)
    return MatrixFree(Function(fun, "A"), (out.shape[0], like.shape[0]), str(like.dtype), symmetric)


class Sum(Operator):
    """A + B."""

    left: Operator = part()
    right: Operator = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape

    @property
    def symmetric(self) -> bool | None:
        return True if self.left.symmetric and self.right.symmetric else None

    def mv(self, v: Any) -> Any:
        return self.left.mv(v) + self.right.mv(v)

    @property
    def T(self) -> Operator:
        return self if self.symmetric else Sum(self.left.T, self.right.T)

    def diagonal(self) -> Any:
        return self.left.diagonal() + self.right.diagonal()

    def dense(self) -> Any:
        return self.left.dense() + self.right.dense()


class Product(Operator):
    """A B."""

    left: Operator = part()
    right: Operator = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    def mv(self, v: Any) -> Any:
        return self.left.mv(self.right.mv(v))

    @property
    def T(self) -> Operator:
        return Product(self.right.T, self.left.T)

    def dense(self) -> Any:
        return self.left.dense() @ self.right.dense()

    def diagonal(self) -> Any:
        return jnp.diagonal(self.dense())


class Scaled(Operator):
    """α A."""

    factor: Any = part()
    inner: Operator = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def symmetric(self) -> bool | None:
        return self.inner.symmetric

    def mv(self, v: Any) -> Any:
        return self.factor * self.inner.mv(v)

    @property
    def T(self) -> Operator:
        return Scaled(self.factor, self.inner.T)

    def diagonal(self) -> Any:
        return self.factor * self.inner.diagonal()

    def dense(self) -> Any:
        return self.factor * self.inner.dense()


class Adjoint(Operator):
    """Aᵀ of a map that has no transpose of its own, by JAX's transposition of its product."""

    inner: Operator = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape[::-1]

    @property
    def symmetric(self) -> bool | None:
        return self.inner.symmetric

    def mv(self, v: Any) -> Any:
        like = jax.ShapeDtypeStruct((self.inner.shape[1],), self.inner.dtype)
        return jax.linear_transpose(self.inner.mv, like)(v)[0]

    @property
    def T(self) -> Operator:
        return self.inner

    def diagonal(self) -> Any:
        return self.inner.diagonal()

    def dense(self) -> Any:
        return self.inner.dense().T


class Block(Operator):
    """A matrix of operators, row by row; every entry is an operator."""

    rows: tuple[tuple[Operator, ...], ...] = part()

    @property
    def shape(self) -> tuple[int, int]:
        return sum(r[0].shape[0] for r in self.rows), sum(a.shape[1] for a in self.rows[0])

    def mv(self, v: Any) -> Any:
        ends = np.cumsum([a.shape[1] for a in self.rows[0]])[:-1]
        pieces = jnp.split(v, ends.tolist())
        return end_to_end(
            [sum((a.mv(p) for a, p in zip(r, pieces, strict=True)), jnp.zeros(r[0].shape[0], v.dtype)) for r in self.rows]
        )

    @property
    def T(self) -> Operator:
        return Block(tuple(tuple(a.T for a in column) for column in zip(*self.rows, strict=True)))

    def diagonal(self) -> Any:
        if any(r[i].shape[0] != r[i].shape[1] for i, r in enumerate(self.rows[: len(self.rows[0])])):
            return jnp.diagonal(self.dense())
        return end_to_end([r[i].diagonal() for i, r in enumerate(self.rows)])

    def dense(self) -> Any:
        return jnp.concatenate([jnp.concatenate([a.dense() for a in r], axis=1) for r in self.rows])


def block(rows: Any) -> Block:
    """[[A, B], [C, D]] as one operator.

    Raises:
        ValueError: rows or columns of blocks do not have one height and width.
    """
    grid = tuple(tuple(r) for r in rows)
    fits = len({len(r) for r in grid}) == 1
    fits = fits and all(len({a.shape[0] for a in r}) == 1 for r in grid)
    if not fits or any(len({a.shape[1] for a in column}) != 1 for column in zip(*grid, strict=True)):
        raise ValueError(f"the blocks do not fit: shapes {[[a.shape for a in r] for r in grid]}")
    return Block(grid)


class Kronecker(Operator):
    """A ⊗ B, by (A ⊗ B) vec(X) = vec(A X Bᵀ), row by row."""

    left: Operator = part()
    right: Operator = part()

    @property
    def shape(self) -> tuple[int, int]:
        (p, q), (r, s) = self.left.shape, self.right.shape
        return p * r, q * s

    @property
    def symmetric(self) -> bool | None:
        return True if self.left.symmetric and self.right.symmetric else None

    def mv(self, v: Any) -> Any:
        X = v.reshape(self.left.shape[1], self.right.shape[1])
        return (self.left @ (self.right @ X.T).T).reshape(-1)

    @property
    def T(self) -> Operator:
        return Kronecker(self.left.T, self.right.T)

    def diagonal(self) -> Any:
        if self.right.shape[0] != self.right.shape[1]:
            return jnp.diagonal(self.dense())
        return jnp.kron(self.left.diagonal(), self.right.diagonal())

    def dense(self) -> Any:
        return jnp.kron(self.left.dense(), self.right.dense())

    def scaled(self, factor: Any) -> Operator:
        return Kronecker(factor * self.left, self.right)


class Stencil(Operator):
    """Constant coefficients on a grid with zeros outside: (A u)ᵢ = Σₖ cₖ uᵢ₊ₒₖ. Nothing is stored but the coefficients."""

    coefficients: Any = part(doc="(k,)")
    offsets: tuple[tuple[int, ...], ...] = static(doc="k steps on the grid")
    grid: tuple[int, ...] = static(doc="its shape")

    @property
    def shape(self) -> tuple[int, int]:
        n = math.prod(self.grid)
        return n, n

    def mv(self, v: Any) -> Any:
        reach = [max(abs(o[d]) for o in self.offsets) for d in range(len(self.grid))]
        padded = jnp.pad(v.reshape(self.grid), [(r, r) for r in reach])
        starts = [tuple(r + i for r, i in zip(reach, o, strict=True)) for o in self.offsets]
        pieces = [jax.lax.slice(padded, s, tuple(i + n for i, n in zip(s, self.grid, strict=True))) for s in starts]
        return sum(self.coefficients[k] * u for k, u in enumerate(pieces)).reshape(-1)

    @property
    def T(self) -> Operator:
        return Stencil(self.coefficients, tuple(tuple(-i for i in o) for o in self.offsets), self.grid)

    def diagonal(self) -> Any:
        zero = (0,) * len(self.grid)
        value = self.coefficients[self.offsets.index(zero)] if zero in self.offsets else jnp.zeros((), self.dtype)
        return jnp.full(self.shape[0], value)

    def scaled(self, factor: Any) -> Operator:
        return self.replace(coefficients=factor * self.coefficients)


def laplacian(*grid: int, dtype: Any = None) -> Stencil:
    """−Δ with zero boundary values on a grid of spacing 1: 2d on the diagonal, −1 to each neighbour; symmetric positive definite.

    Example:
        >>> from ravine.math.operators import laplacian
        >>> laplacian(3).dense().tolist()
        [[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]]
    """
    d = len(grid)
    steps = [tuple(s if i == j else 0 for i in range(d)) for j in range(d) for s in (-1, 1)]
    coefficients = jnp.asarray([2.0 * d] + [-1.0] * (2 * d), jax.dtypes.canonicalize_dtype(dtype or float))
    return Stencil(coefficients, ((0,) * d, *steps), grid)


UNROLLED = 32  # entries of a row up to which every gather is written out


def padded_rows(columns: Any, values: Any, v: Any) -> Any:
    """Σₖ values[k, i] v[columns[k, i]] for every i. One gather of (k, n) places takes up to ten times as long as k gathers of n."""
    if columns.shape[0] > UNROLLED:
        return jnp.sum(values * v.at[columns].get(mode="promise_in_bounds"), 0)
    y = jnp.zeros(values.shape[1], v.dtype)
    for c, a in zip(columns, values, strict=True):
        y = y + a * v.at[c].get(mode="promise_in_bounds")
    return y


class Realified(Operator):
    """A complex n×n map as the real 2n×2n map of (Re v, Im v): [[Re A, −Im A], [Im A, Re A]].

    It is symmetric (positive definite) exactly where A is Hermitian (positive definite).
    """

    inner: Operator = part()

    @property
    def shape(self) -> tuple[int, int]:
        m, n = self.inner.shape
        return 2 * m, 2 * n

    @property
    def dtype(self) -> Any:
        return jnp.finfo(self.inner.dtype).dtype

    def mv(self, v: Any) -> Any:
        n = self.inner.shape[1]
        w = self.inner.mv(jax.lax.complex(v[:n], v[n:]))
        return jnp.concatenate([w.real, w.imag])

    def diagonal(self) -> Any:
        d = self.inner.diagonal().real
        return jnp.concatenate([d, d])

    def dense(self) -> Any:
        a = self.inner.dense()
        return jnp.block([[a.real, -a.imag], [a.imag, a.real]])
