"""Sweeps over the triangles of a matrix: forward and backward substitution as operators, dense or level by level.

A sparse triangle is solved in levels: all rows whose predecessors are known are one level and are done at once. The levels are
found on the host, for the entries of A and Aᵀ together, so that both triangles share one table of rows and nothing has to be put
in another order between a sweep down and one up. A sweep is a `scan` over the rows of that table which keeps only as many levels
at hand as an entry reaches back: on a grid of 1000×1000 (1,999 levels of up to 1,000 rows, each reached from the one before it)
that halved the time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from ravine.core.pytree import part, static
from ravine.math.operators import Dense, Operator, padded_rows

STEP = 1000  # what one more step of the scan costs, in rows


class Substitution(Operator):
    """(diag d + strict triangle)⁻¹. A sweep may work on its own layout of a vector."""

    def laid(self, v: Any) -> Any:
        """A vector as `sweep` takes it."""
        return v

    def taken(self, laid: Any) -> Any:
        """The vector of a layout."""
        return laid

    def sweep(self, r: Any) -> Any:
        """The substitution, from layout to layout."""
        raise NotImplementedError

    def with_diagonal(self, d: Any) -> Any:
        """The same triangle with another diagonal."""
        raise NotImplementedError

    def mv(self, v: Any) -> Any:
        return self.taken(self.sweep(self.laid(v)))


class Triangle(Substitution):
    """The substitution with a triangle of a dense A."""

    array: Any = part(doc="n×n; only the triangle beside the diagonal is read")
    d: Any = part(doc="the diagonal to use")
    lower: bool = static(True)

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape

    def with_diagonal(self, d: Any) -> Triangle:
        return self.replace(d=d)

    def sweep(self, r: Any) -> Any:
        n = self.d.size
        strict = jnp.tril(self.array, -1) if self.lower else jnp.triu(self.array, 1)
        return solve_triangular(strict.at[jnp.arange(n), jnp.arange(n)].set(self.d), r, lower=self.lower)


class LevelTriangle(Substitution):
    """The substitution with a triangle of a sparse A, level by level.

    Attributes:
        place: where row i stands in the table, length n.
        rows: (levels, width): the row in each place; n where there is none.
        columns, values: (levels, k, width): the entries, and where what they multiply stands among the last `span` levels.
        inverse: (levels, width): 1 / d; None where no diagonal has been given yet.
        span: how many levels back an entry reaches.
        lower: whether the first level comes first.
    """

    place: Any = part()
    rows: Any = part()
    columns: Any = part()
    values: Any = part()
    inverse: Any = part(None)
    span: int = static(1)
    lower: bool = static(True)

    @property
    def shape(self) -> tuple[int, int]:
        return self.place.size, self.place.size

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    def with_diagonal(self, d: Any) -> LevelTriangle:
        return self.replace(inverse=self.laid(1 / d))

    def laid(self, v: Any) -> Any:
        return v.at[self.rows].get(mode="fill", fill_value=0)

    def taken(self, laid: Any) -> Any:
        return laid.reshape(-1).at[self.place].get(mode="promise_in_bounds")

    def sweep(self, r: Any) -> Any:
        levels, width = r.shape

        def level(recent: Any, now: Any) -> Any:
            i, r, inverse, columns, values = now
            y = (r - padded_rows(columns, values, recent)) * inverse
            return jax.lax.dynamic_update_slice(recent, y, (i % self.span * width,)), y

        steps = (jnp.arange(levels, dtype=jnp.int32), r, self.inverse, self.columns, self.values)
        return jax.lax.scan(level, jnp.zeros(self.span * width, r.dtype), steps, reverse=not self.lower)[1]


class Sweeps(Operator):
    """v ↦ U⁻¹ (e ∘ L⁻¹ v): a forward sweep, a scaling e in the layout of the sweeps, a backward sweep."""

    down: Any = part()
    scaling: Any = part()
    up: Any = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.down.shape

    def mv(self, v: Any) -> Any:
        return self.up.taken(self.up.sweep(self.scaling * self.down.sweep(self.down.laid(v))))


class Swept(Operator):
    """A sparse A together with the levels of its triangles, for the methods that sweep."""

    inner: Operator = part()
    down: LevelTriangle = part()
    up: LevelTriangle = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def dtype(self) -> Any:
        return self.inner.dtype

    @property
    def symmetric(self) -> bool | None:
        return self.inner.symmetric

    def mv(self, v: Any) -> Any:
        return self.inner.mv(v)

    def diagonal(self) -> Any:
        return self.inner.diagonal()

    def dense(self) -> Any:
        return self.inner.dense()


def _triangle(A: Operator, d: Any, lower: bool) -> Any:
    if isinstance(A, Swept):
        return (A.down if lower else A.up).with_diagonal(d)
    if isinstance(A, Dense):
        return Triangle(A.array, d, lower)
    raise TypeError(
        f"sweeping needs the entries of A, and {type(A).__name__} has not prepared them: pass an array or a sparse matrix"
    )


def lower_solver(A: Operator, weight: Any) -> Operator:
    """(D / ω + L)⁻¹; NaN where the diagonal has a zero."""
    d = A.diagonal()
    return _triangle(A, jnp.where(d == 0, jnp.nan, d) / weight, True)


def symmetric_sweeps(A: Operator, weight: Any) -> Operator:
    """((2 − ω) / ω) (D / ω + U)⁻¹ D (D / ω + L)⁻¹; NaN where the diagonal has a zero."""
    d = A.diagonal()
    d = jnp.where(d == 0, jnp.nan, d)
    down, up = _triangle(A, d / weight, True), _triangle(A, d / weight, False)
    return Sweeps(down, down.laid((2 - weight) / weight * d), up)


def level_triangles(M: Any) -> tuple[LevelTriangle, LevelTriangle]:
    """Both triangles of a square SciPy matrix, without its diagonal; on the host."""
    n, coordinates = M.shape[0], M.tocoo()
    wave_of = waves(coordinates)
    sizes = np.bincount(wave_of)
    width = _width(sizes)
    # A wave wider than the table fills several of its rows.
    first_row = np.concatenate([[0], np.cumsum(-(-sizes // width))])
    order = np.argsort(wave_of, kind="stable")
    nth = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.empty(n, np.int64)
    place[order] = first_row[wave_of[order]] * width + nth
    table = np.full((int(first_row[-1]), width), n, np.int32)
    table.ravel()[place] = np.arange(n)
    shared = (jnp.asarray(place, jnp.int32), jnp.asarray(table))
    return tuple(_level_triangle(coordinates, place, shared, lower) for lower in (True, False))  # type: ignore[return-value]


def _level_triangle(M: Any, place: Any, shared: tuple[Any, Any], lower: bool) -> LevelTriangle:
    levels, width = shared[1].shape
    keep = (M.col < M.row if lower else M.col > M.row) & (M.data != 0)
    at, source, value = place[M.row[keep]], place[M.col[keep]], M.data[keep]
    order = np.argsort(at, kind="stable")
    at, source, value = at[order], source[order], value[order]
    span = int(np.max(np.abs(at // width - source // width), initial=1))
    counts = np.bincount(at, minlength=levels * width)
    nth = np.arange(at.size) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (levels, max(1, int(counts.max(initial=0))), width)
    columns, values = np.zeros(shape, np.int32), np.zeros(shape, jax.dtypes.canonicalize_dtype(M.dtype))
    columns[at // width, nth, at % width] = source // width % span * width + source % width
    values[at // width, nth, at % width] = value
    return LevelTriangle(*shared, jnp.asarray(columns), jnp.asarray(values), None, span, lower)


def waves(M: Any) -> Any:
    """The level of each row of a SciPy COO matrix: one more than the highest among its neighbours of lower number, 0 for none."""
    n, there = M.shape[0], (M.row != M.col) & (M.data != 0)
    row, column = M.row[there].astype(np.int64), M.col[there].astype(np.int64)
    earlier, later = np.divmod(np.unique(np.minimum(row, column) * n + np.maximum(row, column)), n)
    first = np.searchsorted(earlier, np.arange(n + 1))
    level, waiting = np.zeros(n, np.int64), np.bincount(later, minlength=n)
    ready, wave = np.flatnonzero(waiting == 0), 0
    while ready.size:
        level[ready] = wave
        freed, how_often = np.unique(later[ranges(first[ready], first[ready + 1])], return_counts=True)
        waiting[freed] -= how_often
        ready, wave = freed[waiting[freed] == 0], wave + 1
    return level


def _width(sizes: Any) -> int:
    """The width of a table of waves of these sizes for which a sweep is the quickest."""
    candidates = np.unique(-(-sizes.max() // 2 ** np.arange(24)))
    steps = [int(np.sum(-(-sizes // w))) for w in candidates]
    return int(min(zip(steps, candidates, strict=True), key=lambda c: c[0] * (STEP + c[1]))[1])


def ranges(starts: Any, ends: Any) -> Any:
    """All integers of the ranges [start, end), one after the other."""
    lengths = ends - starts
    return np.arange(lengths.sum()) + np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
