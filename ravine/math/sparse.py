"""Sparse matrices as operators in the format whose product is the fastest on the CPU.

Chosen by measuring a 2-D Poisson matrix of 10⁶ rows: BCOO and BCSR took five times as long as SciPy's CSR, shifted diagonals and
rows of equal length laid out column by column (transposed ELLPACK) about half; `python benchmarks/linear.py formats` repeats it. So
a matrix of few diagonals becomes `Diagonals`, any other one `Ell`, its rows sorted into groups of similar length.
"""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import end_to_end
from ravine.core.pytree import part, static
from ravine.math.operators import Adjoint, Dense, Diagonals, Operator, Realified, Stencil, padded_rows
from ravine.math.triangular import Swept, level_triangles


def scipy_sparse() -> Any:
    """SciPy's sparse module.

    Raises:
        ImportError: SciPy is not installed; the message has the cure.
    """
    try:
        importlib.import_module("scipy.sparse.linalg")
        importlib.import_module("scipy.sparse.csgraph")
        return importlib.import_module("scipy.sparse")
    except ImportError:
        raise ImportError("this works on sparse matrices on the host, with SciPy: pip install scipy") from None


class Ell(Operator):
    """Rows in groups of equal length k: (A v)ᵢ = Σₖ values[k, i] v[columns[k, i]].

    Attributes:
        columns, values: one (k, g) array for each group of g rows.
        order: where row i stands among the groups, or None where they are in order.
        width: n.
        transposed: Aᵀ in the same format, or None.
    """

    columns: tuple[Any, ...] = part()
    values: tuple[Any, ...] = part()
    order: Any = part(None)
    width: int = static(0)
    known_symmetric: bool | None = static(None)
    transposed: Operator | None = part(None)

    @property
    def shape(self) -> tuple[int, int]:
        return sum(v.shape[1] for v in self.values), self.width

    @property
    def dtype(self) -> Any:
        return self.values[0].dtype

    @property
    def symmetric(self) -> bool | None:
        return self.known_symmetric

    def scaled(self, factor: Any) -> Operator:
        other = None if self.transposed is None else factor * self.transposed
        return self.replace(values=tuple(factor * v for v in self.values), transposed=other)

    def _in_order(self, groups: list[Any]) -> Any:
        y = end_to_end(groups)
        return y if self.order is None else y.at[self.order].get(mode="promise_in_bounds")

    def mv(self, v: Any) -> Any:
        return self._in_order([padded_rows(c, a, v) for c, a in zip(self.columns, self.values, strict=True)])

    @property
    def T(self) -> Operator:
        if self.known_symmetric:
            return self
        return Adjoint(self) if self.transposed is None else self.transposed

    def _row_numbers(self) -> list[Any]:
        m = self.shape[0]
        rows = jnp.arange(m) if self.order is None else jnp.zeros(m, jnp.int32).at[self.order].set(jnp.arange(m, dtype=jnp.int32))
        return jnp.split(rows, np.cumsum([a.shape[1] for a in self.values])[:-1].tolist())

    def diagonal(self) -> Any:
        groups = zip(self._row_numbers(), self.columns, self.values, strict=True)
        return self._in_order([jnp.sum(jnp.where(c == r[None].astype(c.dtype), a, 0), 0) for r, c, a in groups])[: min(self.shape)]

    def dense(self) -> Any:
        out = jnp.zeros(self.shape, self.dtype)
        for r, c, a in zip(self._row_numbers(), self.columns, self.values, strict=True):
            out = out.at[jnp.broadcast_to(r, c.shape), c].add(a)
        return out


class Coordinates(Operator):
    """Entries at (row, column), in any order, for matrices whose pattern is being traced; slower than `Ell`."""

    values: Any = part()
    rows: Any = part()
    columns: Any = part()
    size: tuple[int, int] = static((0, 0))

    @property
    def shape(self) -> tuple[int, int]:
        return self.size

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    def mv(self, v: Any) -> Any:
        return jax.ops.segment_sum(self.values * v[self.columns], self.rows, self.size[0])

    @property
    def T(self) -> Operator:
        return Coordinates(self.values, self.columns, self.rows, self.size[::-1])

    def diagonal(self) -> Any:
        on = jnp.where(self.rows == self.columns, self.values, 0)
        return jax.ops.segment_sum(on, self.rows, self.size[0])[: min(self.size)]

    def dense(self) -> Any:
        return jnp.zeros(self.size, self.dtype).at[self.rows, self.columns].add(self.values)


def from_scipy(M: Any) -> Operator:
    """The operator of a SciPy sparse matrix, in the format that suits its pattern."""
    M = M.tocsr()
    M.sum_duplicates()
    if not np.issubdtype(M.dtype, np.inexact):
        M = M.astype(np.float64)
    M = M.astype(jax.dtypes.canonicalize_dtype(M.dtype))
    m, n = M.shape
    lengths = np.diff(M.indptr)
    rows = np.repeat(np.arange(m), lengths)
    distances, counts = np.unique(M.indices.astype(np.int64) - rows, return_counts=True)
    difference = abs(M - M.conj().T) if m == n else None
    symmetric = True if difference is not None and difference.nnz == 0 and not np.iscomplexobj(M) else None
    if M.nnz and counts.sum() >= 0.4 * distances.size * m:
        bands = np.zeros((distances.size, m), M.dtype)
        bands[np.searchsorted(distances, M.indices - rows), rows] = M.data
        return Diagonals(jnp.asarray(bands), tuple(int(d) for d in distances), n, symmetric)
    return ell(M, symmetric, symmetric is None)


def ell(M: Any, symmetric: bool | None = None, transposed: bool = False) -> Ell:
    """A CSR matrix in groups of rows of similar length: within a group none is longer than about 1.5 times another."""
    m, n = M.shape
    lengths = np.maximum(np.diff(M.indptr), 1)
    group = np.ceil(np.log(lengths) / np.log(1.5)).astype(int)
    if lengths.max() * m <= 1.5 * max(M.nnz, 1):
        group[:] = 0
    by_group = np.argsort(group, kind="stable")
    columns, values = [], []
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        k, size = int(lengths[rows].max()), rows.size
        there = np.arange(k)[:, None] < np.diff(M.indptr)[rows][None]
        at = np.where(there, M.indptr[rows][None] + np.arange(k)[:, None], 0)
        empty = M.nnz == 0
        columns.append(jnp.asarray(np.where(there, 0 if empty else M.indices[at], 0).astype(np.int32).reshape(k, size)))
        values.append(jnp.asarray(np.where(there, 0 if empty else M.data[at], 0).astype(M.dtype).reshape(k, size)))
    order = np.empty(m, np.int32)
    order[by_group] = np.arange(m, dtype=np.int32)
    in_order = bool(np.all(by_group == np.arange(m)))
    other = ell(M.T.tocsr()) if transposed else None
    return Ell(tuple(columns), tuple(values), None if in_order else jnp.asarray(order), n, symmetric, other)


def to_scipy(A: Operator) -> Any:
    """The entries of an operator that is no function and not being traced, as a SciPy CSR matrix; on the host.

    Raises:
        TypeError: the entries are not at hand.
    """
    sparse = scipy_sparse()
    A = A.inner if isinstance(A, Swept) else A
    if any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(A)):
        raise TypeError("the entries of A are being traced by jit, grad or vmap; this step needs them as numbers, on the host")
    if isinstance(A, Dense):
        return sparse.csr_array(np.asarray(A.array))
    if isinstance(A, Diagonals):
        (m, n), bands = A.shape, np.asarray(A.bands)
        rows = [np.arange(max(0, -o), max(max(0, -o), min(m, n - o))) for o in A.offsets]
        at = np.concatenate(rows), np.concatenate([r + o for r, o in zip(rows, A.offsets, strict=True)])
        out = sparse.csr_array((np.concatenate([b[r] for b, r in zip(bands, rows, strict=True)]), at), A.shape)
        out.eliminate_zeros()
        return out
    if isinstance(A, Ell):
        groups = zip(A._row_numbers(), A.columns, A.values, strict=True)
        triples = [(np.broadcast_to(r, c.shape).ravel(), np.ravel(c), np.ravel(a)) for r, c, a in groups]
        i, j, values = (np.concatenate(t) for t in zip(*triples, strict=True))
        out = sparse.csr_array((values, (i, j)), A.shape)
        out.eliminate_zeros()
        return out
    if isinstance(A, Coordinates):
        return sparse.csr_array((np.asarray(A.values), (np.asarray(A.rows), np.asarray(A.columns))), A.shape)
    if isinstance(A, Realified):
        M = to_scipy(A.inner)
        return sparse.csr_array(sparse.block_array([[M.real, -M.imag], [M.imag, M.real]]))
    if isinstance(A, Stencil):
        return to_scipy(diagonals_of(A))
    raise TypeError(f"{type(A).__name__} is a rule for products; its entries are not at hand")


def diagonals_of(A: Stencil) -> Diagonals:
    """A stencil as the diagonals of its matrix."""
    grid = A.grid
    index = np.indices(grid).reshape(len(grid), -1)
    strides = [int(np.prod(grid[d + 1 :])) for d in range(len(grid))]
    bands: dict[int, Any] = {}
    for c, o in zip(np.asarray(A.coefficients), A.offsets, strict=True):
        inside = np.all([(i + s >= 0) & (i + s < n) for i, s, n in zip(index, o, grid, strict=True)], axis=0)
        distance = sum(s * stride for s, stride in zip(o, strides, strict=True))
        bands[distance] = bands.get(distance, 0) + np.where(inside, c, 0)
    offsets = tuple(sorted(bands))
    return Diagonals(jnp.asarray(np.stack([bands[o] for o in offsets]), A.dtype), offsets)


def swept(A: Operator) -> Swept:
    """A with the levels of both triangles, for sweeps; on the host."""
    if isinstance(A, Swept):
        return A
    if A.shape[0] != A.shape[1]:
        raise ValueError(f"sweeps need a square A, got {A.shape[0]}×{A.shape[1]}")
    return Swept(A, *level_triangles(to_scipy(A)))
