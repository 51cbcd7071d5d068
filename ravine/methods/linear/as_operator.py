"""Whatever a user calls a matrix, as an operator."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import as_arrays
from ravine.math.operators import Dense, Operator, diagonal, matrix_free, tridiagonal
from ravine.math.sparse import Coordinates, from_scipy, scipy_sparse


def as_operator(A: Any) -> Operator:
    """An operator from a dense array, a sparse matrix, a lineax operator, or an operator.

    Raises:
        TypeError: none of these.
    """
    if isinstance(A, Operator):
        return A
    if isinstance(A, list | tuple):
        A = np.asarray(A)
    if isinstance(A, np.ndarray | jax.Array):
        return _dense(A)
    home = type(A).__module__
    if home.startswith("scipy.sparse"):
        return from_scipy(A)
    if home.startswith("jax.experimental.sparse"):
        return _from_jax(A)
    if home.startswith("lineax"):
        return _from_lineax(A)
    raise TypeError(
        f"A must be an array, a sparse matrix, an operator of ravine.math.operators, a lineax operator or a function v ↦ A v; "
        f"got {type(A).__name__}"
    )


def _dense(A: Any) -> Dense:
    if np.ndim(A) != 2:
        raise ValueError(f"A must have two dimensions, got shape {np.shape(A)}; for many systems at once use jax.vmap")
    if not jnp.issubdtype(A.dtype, jnp.inexact):
        A = np.asarray(A, np.float64) if isinstance(A, np.ndarray) else A.astype(float)
    A = as_arrays(A)
    return Dense(jnp.asarray(A))  # whether it is symmetric, two products with random vectors tell, where somebody asks


def _from_jax(A: Any) -> Operator:
    """A BCOO or BCSR matrix; where its pattern is being traced, as coordinates."""
    if A.n_batch or A.n_dense or A.ndim != 2:
        raise ValueError(f"A must be one sparse matrix, without batch or dense dimensions; its shape is {A.shape}")
    if type(A).__name__ == "BCSR":
        A = A.to_bcoo()
    if isinstance(A.data, jax.core.Tracer) or isinstance(A.indices, jax.core.Tracer):
        # Padding of a BCOO has indices beyond the shape; segment_sum drops those rows, and 0 is taken from those columns.
        rows, columns = A.indices[:, 0], A.indices[:, 1]
        outside = (rows >= A.shape[0]) | (columns >= A.shape[1])
        return Coordinates(jnp.where(outside, 0, A.data), rows, jnp.where(outside, 0, columns), tuple(A.shape))
    sparse = scipy_sparse()
    rows, columns = np.asarray(A.indices).T
    inside = (rows < A.shape[0]) & (columns < A.shape[1])
    return from_scipy(sparse.coo_array((np.asarray(A.data)[inside], (rows[inside], columns[inside])), A.shape))


def _from_lineax(A: Any) -> Operator:
    """A lineax operator on vectors; its structure is kept where it has an equal here."""
    import lineax

    x, y = A.in_structure(), A.out_structure()
    if not all(hasattr(v, "shape") and len(v.shape) == 1 for v in (x, y)):
        raise TypeError(
            "the lineax operator acts on a tree or on an array that is no vector: pass its .mv, a function of b's tree, as A"
        )
    if isinstance(A, lineax.MatrixLinearOperator):
        return _dense(A.as_matrix())
    if isinstance(A, lineax.DiagonalLinearOperator):
        return diagonal(lineax.diagonal(A))
    if isinstance(A, lineax.TridiagonalLinearOperator):
        main, lower, upper = lineax.tridiagonal(A)
        return tridiagonal(lower, main, upper)
    return matrix_free(A.mv, x, True if lineax.is_symmetric(A) else None)
