"""Preconditioners: objects that make an operator M ≈ A⁻¹ of a matrix. In the public API this module is `rv.precond`.

    rv.precond.Jacobi().of(A)          1 / diag A
    rv.precond.BlockJacobi(4).of(A)    inverses of the 4×4 blocks on the diagonal
    rv.precond.SSOR(1.2).of(A)         one sweep of SOR down and one up
    rv.precond.IncompleteCholesky().of(A)    L Lᵀ ≈ A on the pattern of A, IC(0)

The last two sweep over the triangles of A level by level. In the order of the grid a Poisson matrix has thousands of small levels;
`ordering="colours"` takes the unknowns in an order with a few large ones: quicker sweeps, and many more steps.

`of` takes an operator, or anything that `linear_solve` takes as A; what it returns has `mv(r)` and goes into any method that has a
field `preconditioner` or `linear`. `linear_solve` calls `of` itself. A plain function r ↦ M r will do everywhere, too.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ravine.core.pytree import Record, hyper, part, static
from ravine.core.registry import nearest
from ravine.math.operators import BlockDiagonal, Dense, Diagonals, Operator, diagonal
from ravine.math.sparse import ell, scipy_sparse, swept, to_scipy
from ravine.math.triangular import Sweeps, level_triangles, ranges, symmetric_sweeps, waves
from ravine.methods.linear.as_operator import as_operator


class Preconditioner(Record):
    """Base of the preconditioners."""

    def of(self, A: Any) -> Operator:
        """M ≈ A⁻¹ as an operator."""
        raise NotImplementedError


class Jacobi(Preconditioner):
    """M = D⁻¹, D the diagonal of A; where an entry is zero, 1 takes its place.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.precond.Jacobi().of(jnp.array([[4.0, 1.0], [1.0, 2.0]])).mv(jnp.ones(2)).tolist()
        [0.25, 0.5]
    """

    def of(self, A: Any) -> Operator:
        d = as_operator(A).diagonal()
        return diagonal(1 / jnp.where(d == 0, 1, d))


class BlockJacobi(Preconditioner):
    """M = blockdiag(A₁₁, A₂₂, …)⁻¹ with blocks of `size` rows; the last one may be filled up with ones.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> A = jnp.array([[2.0, 1.0, 0.5], [1.0, 2.0, 0.0], [0.5, 0.0, 4.0]])
        >>> rv.precond.BlockJacobi(2).of(A).mv(jnp.array([3.0, 3.0, 4.0])).round(3).tolist()
        [1.0, 1.0, 1.0]
    """

    size: int = static(4, least=1, doc="rows of a block")

    def of(self, A: Any) -> Operator:
        operator, p = as_operator(A), self.size
        n = operator.shape[0]
        blocks = BlockDiagonal(jnp.linalg.inv(diagonal_blocks(operator, p)))
        return blocks if n % p == 0 else Cut(blocks, n)


class SSOR(Preconditioner):
    """M = ((2 − ω) / ω) (D / ω + U)⁻¹ D (D / ω + L)⁻¹: one symmetric sweep of SOR; symmetric positive definite where A is.

    On a Poisson matrix of n points a side, in their natural order, ω = 2 / (1 + 2 sin(π / (2(n + 1)))) makes the steps of PCG grow
    as √n and no longer as n [1]; ω = 1 saves a part of them only.

    [1] O. Axelsson, "A generalized SSOR method", BIT 12 (1972) 443.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> A = jnp.array([[4.0, 1.0], [1.0, 2.0]])
        >>> rv.precond.SSOR(1.0).of(A).mv(jnp.array([4.0, 1.0])).round(3).tolist()
        [1.0, 0.0]
    """

    weight: float = hyper(1.0, 0.1, 1.99, valid="(0,2)", doc="weight ω")
    ordering: str = static("natural", choices=("natural", "colours"), doc="in which order the unknowns are swept")

    def of(self, A: Any) -> Operator:
        operator = as_operator(A)
        if isinstance(operator, Dense) and operator.shape[0] == operator.shape[1]:
            return symmetric_sweeps(operator, self.weight)
        if self.ordering == "natural":
            return symmetric_sweeps(swept(operator), self.weight)
        M, order = coloured(to_scipy(operator))
        return Reordered(symmetric_sweeps(swept(ell(M)), self.weight), jnp.asarray(order))


class IncompleteCholesky(Preconditioner):
    """M = (L Lᵀ)⁻¹ with L on the pattern of A and (L Lᵀ)ᵢⱼ = aᵢⱼ there: IC(0); on the host, with SciPy.

    What elimination would fill in outside of the pattern is dropped; modified, α of it is taken from the diagonal in its row
    instead. With α = 1 (MIC(0)) L Lᵀ has the row sums of A, and on a Poisson matrix of n points a side the steps of PCG grow as √n
    and no longer as n.

    Where a pivot would not be positive, the diagonal of A is raised by 0.1 %, 1 %, 10 % … until all are.

    [1] J. A. Meijerink, H. A. van der Vorst, "An iterative solution method for linear systems of which the coefficient matrix is a
    symmetric M-matrix", Math. Comp. 31 (1977) 148.
    [2] I. Gustafsson, "A class of first order factorization methods", BIT 18 (1978) 142.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> A = jnp.array([[4.0, 2.0], [2.0, 2.0]])
        >>> rv.precond.IncompleteCholesky().of(A).mv(jnp.array([6.0, 4.0])).round(3).tolist()
        [1.0, 1.0]
    """

    modified: float = hyper(0.0, 0.0, 1.0, valid="[0,1]", doc="part α of the dropped fill that goes to the diagonal")
    ordering: str = static("natural", choices=("natural", "colours"), doc="in which order the unknowns are eliminated")

    def of(self, A: Any) -> Operator:
        operator = as_operator(A)
        M = to_scipy(operator)
        M, order = (M, None) if self.ordering == "natural" else coloured(M)
        L = incomplete_cholesky(M, float(self.modified)).astype(operator.dtype)
        d, (down, up) = jnp.asarray(L.diagonal()), level_triangles(L + L.T)
        sweeps = Sweeps(down.with_diagonal(d), jnp.ones((), d.dtype), up.with_diagonal(d))
        return sweeps if order is None else Reordered(sweeps, jnp.asarray(order))


BY_NAME: dict[str, type[Preconditioner]] = {
    "jacobi": Jacobi,
    "block_jacobi": BlockJacobi,
    "ssor": SSOR,
    "incomplete_cholesky": IncompleteCholesky,
}


def named(word: str) -> Preconditioner:
    """The preconditioner of that name, with its defaults.

    Raises:
        ValueError: there is none; the message has the nearest right name.
    """
    if word not in BY_NAME:
        raise ValueError(f"unknown preconditioner {word!r}{nearest(word, BY_NAME)}")
    return BY_NAME[word]()


class Reordered(Operator):
    """Pᵀ M P: an operator that acts on the unknowns in another order."""

    inner: Operator = part()
    order: Any = part(doc="which unknown stands at each place")

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    def mv(self, v: Any) -> Any:
        there = self.inner.mv(v.at[self.order].get(mode="promise_in_bounds"))
        return jnp.zeros_like(v).at[self.order].set(there, mode="promise_in_bounds", unique_indices=True)


def incomplete_cholesky(M: Any, modified: float = 0.0) -> Any:
    """L of IC(0) as a SciPy matrix, a wave of columns at a time: √ of the pivots, division, and the products that they send on.

    Raises:
        ValueError: a zero on the diagonal, or no positive pivots even with it raised.
    """
    sparse = scipy_sparse()
    n = M.shape[0]
    if M.shape != (n, n):
        raise ValueError(f"incomplete Cholesky needs a square A, got {n}×{M.shape[1]}")
    lower = sparse.csc_array(sparse.tril(M, 0, "csc").astype(np.float64))
    lower.eliminate_zeros()
    lower.sort_indices()
    row, column = lower.indices.astype(np.int64), np.repeat(np.arange(n), np.diff(lower.indptr))
    diagonal = lower.indptr[:-1].astype(np.int64)  # the place of each diagonal entry: the first of its column
    if np.any(np.diff(lower.indptr) == 0) or np.any(row[diagonal] != np.arange(n)):
        raise ValueError("incomplete Cholesky needs a full diagonal; A has zeros there")
    # Every pair lᵢₖ, lⱼₖ (i ≥ j > k) of a column is taken from the entry (i, j), where there is one.
    below = np.flatnonzero(row != column)
    ends = lower.indptr[column[below] + 1]
    one, other = np.repeat(below, ends - below), ranges(below, ends)
    key, wanted = column * n + row, row[one] * n + row[other]
    target = np.minimum(np.searchsorted(key, wanted), key.size - 1)
    dropped = key[target] != wanted
    wave = waves(lower.tocoo())
    of_pivot, of_entry, of_pair = (_by_wave(w, wave.max() + 1) for w in (wave, wave[column[below]], wave[column[one]]))
    for raised in (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0):
        values = lower.data.copy()
        values[diagonal] *= 1 + raised
        for pivots, entries, pairs in zip(of_pivot, of_entry, of_pair, strict=True):
            at = diagonal[pivots]
            if not np.all(values[at] > 0):
                break
            values[at] = np.sqrt(values[at])
            e = below[entries]
            values[e] /= values[diagonal[column[e]]]
            product, out = values[one[pairs]] * values[other[pairs]], dropped[pairs]
            np.subtract.at(values, target[pairs][~out], product[~out])
            if modified:
                for end in (one, other):
                    np.subtract.at(values, diagonal[row[end[pairs][out]]], modified * product[out])
        else:
            return sparse.csr_array(sparse.csc_array((values, lower.indices, lower.indptr), lower.shape))
    raise ValueError("incomplete Cholesky found no positive pivots: A is far from positive definite")


def _by_wave(wave: Any, waves: int) -> list[Any]:
    """The numbers of the things in wave 0, in wave 1 …"""
    return np.split(np.argsort(wave, kind="stable"), np.cumsum(np.bincount(wave, minlength=waves))[:-1])


def coloured(M: Any) -> tuple[Any, Any]:
    """M with its rows and columns ordered by colour, neighbours of different colours, and that order."""
    sparse = scipy_sparse()
    n = M.shape[0]
    graph = sparse.csr_array(abs(M) + abs(M.T))
    colour = np.full(n, -1)
    weight = np.random.default_rng(0).permutation(n).astype(np.float64) + 1
    row = np.repeat(np.arange(n), np.diff(graph.indptr))
    beside = graph.indices != row
    row, column = row[beside], graph.indices[beside]
    parity = _two_colours(graph, row, column)
    if parity is not None:
        colour = parity
    c = 0
    while np.any(colour < 0):  # the next colour goes to a maximal independent set, grown by local maxima of random weights
        free = colour < 0
        while np.any(free):
            w = np.where(free, weight, 0)
            highest = np.zeros(n)
            np.maximum.at(highest, row, w[column])
            chosen = free & (w > highest)
            colour[chosen] = c
            free &= ~chosen
            free[row[chosen[column]]] = False
        c += 1
    order = np.argsort(colour, kind="stable").astype(np.int32)
    return sparse.csr_array(sparse.csr_array(M)[order][:, order]), order


def _two_colours(graph: Any, row: Any, column: Any) -> Any:
    """The parity of the distance from a start, where that is a colouring; None where the graph is not bipartite."""
    scipy_sparse()
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    n = graph.shape[0]
    parts, label = connected_components(graph, directed=False)
    if parts > 64:
        return None
    colour, before = np.zeros(n, int), np.arange(n)
    for p in range(parts):
        order, came_from = breadth_first_order(graph, int(np.flatnonzero(label == p)[0]), directed=False)
        before[order[1:]] = came_from[order[1:]]
        colour[order[1:]] = 1
    while np.any(before != before[before]):  # the distance to ever earlier rows on the way to the start
        colour, before = colour ^ colour[before], before[before]
    return None if np.any(colour[row] == colour[column]) else colour


class Cut(Operator):
    """The first n rows and columns of an operator that acts on vectors filled up with zeros."""

    inner: Operator = part()
    n: int = static(0, doc="rows")

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.n

    def mv(self, v: Any) -> Any:
        return self.inner.mv(jnp.pad(v, (0, self.inner.shape[1] - self.n)))[: self.n]


def diagonal_blocks(A: Operator, p: int) -> Any:
    """The p×p blocks along the diagonal, (⌈n/p⌉, p, p); the last one is filled up with ones on its diagonal."""
    n = A.shape[0]
    k = -(-n // p)
    if isinstance(A, Diagonals):
        bands = jnp.pad(A.bands, ((0, 0), (0, k * p - n))).reshape(-1, k, p)
        blocks = jnp.zeros((k, p, p), A.dtype)
        for band, o in zip(bands, A.offsets, strict=True):
            rows = jnp.arange(max(0, -o), min(p, p - o))
            blocks = blocks.at[:, rows, rows + o].set(band[:, rows])
    elif isinstance(A, BlockDiagonal) and A.blocks.shape[1] == p:
        return A.blocks
    else:
        dense = jnp.pad(A.dense(), (0, k * p - n))
        blocks = jnp.moveaxis(jnp.diagonal(dense.reshape(k, p, k, p), axis1=0, axis2=2), -1, 0)
    return blocks.at[-1, jnp.arange(p), jnp.arange(p)].add((jnp.arange(p) >= p - (k * p - n)).astype(A.dtype))
