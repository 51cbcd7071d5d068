"""Whether all numbers of a system are finite, and where the first one is that is not."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.math.operators import Diagonals, Operator
from ravine.math.sparse import Ell, to_scipy
from ravine.methods.linear.factor import scipy_linalg


def check_finite(tree: Any, name: str) -> float | None:
    """Refuses NaN and infinity with their place; gives the root of the sum of all squares, or None where a leaf is being traced."""
    length, traced = 0.0, False
    for path, v in jax.tree_util.tree_flatten_with_path(tree)[0]:
        traced = traced or isinstance(v, jax.core.Tracer)
        if isinstance(v, jax.core.Tracer) or not jnp.issubdtype(v.dtype, jnp.inexact) or not v.size:
            continue
        here = np.ravel(np.asarray(v, None if v.dtype.itemsize > 2 else np.float32))
        square = _sum_of_squares(here)  # a NaN or an infinity does not leave it finite: one pass for two purposes
        if not jnp.finfo(here.dtype).tiny < square < np.inf:
            bad = ~np.isfinite(here)
            if bad.any():
                first = int(np.argmax(bad))
                where = _place(tree, np.unravel_index(first, v.shape))
                inside = "" if isinstance(tree, Operator) else jax.tree_util.keystr(path)
                more = f" and {int(bad.sum()) - 1} more" if bad.sum() > 1 else ""
                raise ValueError(f"{name}{inside} has {here[first]} at {where}{more}: nothing can be solved with it")
            largest = float(np.max(np.abs(here))) or 1.0  # its square may leave the range
            length = math.hypot(length, largest * float(np.linalg.norm(here / largest)))
        else:
            length = math.hypot(length, math.sqrt(square))
    return None if traced else length


def _sum_of_squares(v: Any) -> float:
    """vᴴv: large ones by the threads of SciPy's BLAS. Those of NumPy's own go on spinning for a while, and the LU factors of a
    2,000² array after it took 1.6 times as long (`python benchmarks/linear.py dense`); for small ones a busy machine kept both
    waiting for their threads."""
    if v.size < 2**20:
        return float(np.einsum("i,i->", v.conj(), v).real)
    (dot,) = scipy_linalg().get_blas_funcs(("dotc" if np.iscomplexobj(v) else "dot",), (v,))
    return float(dot(v, v).real)


def _place(tree: Any, index: Any) -> list[int]:
    """Row and column of an entry that lies at an index of an operator's array; otherwise the index."""
    if isinstance(tree, Diagonals):
        return [int(index[1]), int(index[1]) + tree.offsets[index[0]]]
    if isinstance(tree, Ell):
        M = to_scipy(tree).tocoo()
        i = int(np.argmax(~np.isfinite(M.data)))
        return [int(M.row[i]), int(M.col[i])]
    return [int(i) for i in index]
