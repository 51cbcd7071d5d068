"""Sparse Jacobians from few products: columns that share no row get one colour, and one product Jv serves all columns of a colour.

    v = Σ eⱼ over the columns j of colour c,   (Jv)ᵢ = Jᵢⱼ for the only column j of that colour in row i

As many products as colours, at least as many as the longest row has entries. Greedy: every column takes the first colour that
none of its rows has yet (distance-2 colouring of the columns).

[1] A. R. Curtis, M. J. D. Powell, J. K. Reid, "On the estimation of sparse Jacobian matrices", IMA J. Appl. Math. 13 (1974).
[2] A. H. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian?", SIAM Review 47 (2005), section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ravine.math.sparse import scipy_sparse


def as_pattern(given: Any, m: int, n: int) -> Any:
    """Where J may be other than zero, as a SciPy CSR matrix of booleans; on the host.

    Args:
        given: a SciPy sparse matrix, a BCOO or an array, m×n; entries that are stored (sparse) or not zero (array) count.

    Raises:
        TypeError: something else. ValueError: another shape.
    """
    sparse = scipy_sparse()
    if sparse.issparse(given):
        pattern = given.tocoo()
        shape, rows, columns = pattern.shape, pattern.row, pattern.col
    elif hasattr(given, "indices") and hasattr(given, "todense"):
        shape, places = given.shape, np.asarray(given.indices)
        if places.ndim != 2 or places.shape[1] != 2:
            raise TypeError("a BCOO pattern has no batch and no dense dimensions: make it with BCOO.fromdense(pattern)")
        rows, columns = places[(places < np.asarray(shape)).all(axis=1)].T
    else:
        dense = np.asarray(given)
        if dense.dtype == object or dense.ndim != 2:
            raise TypeError(
                f"sparsity must be 'probe', a SciPy sparse matrix, a BCOO or a two-dimensional array, got {type(given).__name__}"
                + (f" of shape {dense.shape}" if dense.dtype != object else "")
            )
        shape, (rows, columns) = dense.shape, np.nonzero(dense)
    if tuple(shape) != (m, n):
        raise ValueError(
            f"sparsity has shape {shape[0]}×{shape[1]}, but the Jacobian of {m} residuals of {n} parameters is {m}×{n}"
        )
    pattern = sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(m, n))
    pattern.sum_duplicates()
    return pattern


def colour(pattern: Any) -> np.ndarray:
    """The colour of each column, (n,) from 0, such that no row has a colour twice.

    Args:
        pattern: m×n, SciPy sparse.

    Example:
        >>> import numpy as np, scipy.sparse
        >>> from ravine.math.colouring import colour
        >>> colour(scipy.sparse.csr_array(np.eye(5) + np.eye(5, k=1) + np.eye(5, k=-1))).tolist()
        [0, 1, 2, 0, 1]
    """
    by_column = pattern.tocsc()
    starts, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    taken = [0] * pattern.shape[0]  # the colours of each row, as bits
    colours = np.zeros(pattern.shape[1], np.int32)
    for j in range(pattern.shape[1]):
        here, used = rows[starts[j] : starts[j + 1]], 0
        for i in here:
            used |= taken[i]
        bit = ~used & (used + 1)  # the lowest that is not used
        colours[j] = bit.bit_length() - 1
        for i in here:
            taken[i] |= bit
    return colours


def table(pattern: Any, colours: np.ndarray) -> np.ndarray:
    """Which column each product shows in each row: (colours, m) int32, n where it shows none."""
    m, n = pattern.shape
    entries = pattern.tocoo()
    out = np.full((int(colours.max(initial=0)) + 1, m), n, np.int32)
    out[colours[entries.col], entries.row] = entries.col
    return out
