"""Sparse normal equations: J from one product a colour of its columns, and a sparse factorisation on the host.

    (D⁻¹JᵀJD⁻¹ + λI) q = −D⁻¹Jᵀr,   p = D⁻¹q        SuperLU without pivoting, columns in minimum-degree order [2]

J is kept compressed, as the products show it: `B[c, i]` is the one entry that colour c has in row i, `columns[c, i]` its column.

[1] A. R. Curtis, M. J. D. Powell, J. K. Reid, "On the estimation of sparse Jacobian matrices", IMA J. Appl. Math. 13 (1974).
[2] X. S. Li, "An overview of SuperLU", ACM Trans. Math. Softw. 31 (2005).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.problem import LeastSquares
from ravine.core.pytree import part, static
from ravine.core.work import count
from ravine.math.colouring import colour, table
from ravine.math.damped import Solution, least
from ravine.math.rank import lengths
from ravine.math.sparse import scipy_sparse
from ravine.methods.least_squares.linear_step import LinearStep, Local, free


class SparseStep(LinearStep):
    """Sparse normal equations for a Jacobian of known pattern: `least_squares(…, sparsity=pattern)` makes it.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> chain = lambda x: jnp.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])
        >>> r = rv.least_squares(chain, jnp.full(100, 0.5), sparsity="probe")
        >>> r.success, r.why.split(";")[0]
        (True, 'sparse normal equations: 297 entries in the 198×100 Jacobian, seen by 2 products')
    """

    columns: Any = part(None, doc="(colours, m): the column each product shows in each row, n for none")
    colours: Any = part(None, doc="(n,): the colour of each column")
    note: str = static("", doc="where the pattern is from, in words")

    @staticmethod
    def of(pattern: Any, note: str) -> SparseStep:
        """For a pattern, m×n in SciPy's CSR."""
        colours = colour(pattern)
        return SparseStep(table(pattern, colours), colours, note)

    def chosen(self, problem: LeastSquares, x: Any) -> tuple[LinearStep, str]:
        if self.columns is None:
            raise ValueError("SparseStep needs the pattern of J: call least_squares(…, sparsity=pattern) or sparsity='probe'")
        entries = "" if isinstance(self.columns, jax.core.Tracer) else f"{np.sum(np.asarray(self.columns) < x.size)} entries in "
        m, n = problem.sizes(x)
        products = f"{len(self.columns)} product{'' if len(self.columns) == 1 else 's'}"
        return self, f"sparse normal equations: {entries}the {m}×{n} Jacobian, seen by {products}; {self.note}"

    def compressed(self, problem: LeastSquares, x: Any) -> tuple[Any, Any]:
        """The compressed J, and Jᵀr."""
        r, jv, vj = problem.linearize(x)
        colours = len(self.columns)
        count("jv", colours - 1)
        seeds = (jnp.arange(colours, dtype=jnp.int32)[:, None] == self.colours[None]).astype(x.dtype)
        return jnp.where(self.columns < x.size, jax.vmap(jv)(seeds), 0), vj(r)

    def look(self, problem: LeastSquares, x: Any) -> Local:
        f = problem.value(x)
        B, g = self.compressed(problem, x)
        squares = jnp.zeros_like(x).at[self.columns].add(B * B, mode="drop")
        mask = free(problem, x, g)
        if mask is not None:
            B, g = B * self.spread(mask), g * mask
        undamped = self._solve(B, g, lengths(squares), jnp.zeros_like(f))
        return Local(f, g, squares, jnp.sqrt(jnp.maximum(undamped.gain, 0)), undamped.p, B, None)

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        return self._solve(local.J, local.g, D, lam)

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        return jnp.sum(self.product(local.J, p) ** 2)

    def spread(self, v: Any, nothing: float = 0) -> Any:
        """v's element at each entry of the compressed J; `nothing` where it has none."""
        return v.at[self.columns].get(mode="fill", fill_value=nothing)

    def product(self, B: Any, v: Any) -> Any:
        """J v of the compressed J."""
        return jnp.sum(B * self.spread(v), axis=0)

    def _solve(self, B: Any, g: Any, D: Any, lam: Any) -> Solution:
        count("factor")
        lam = jnp.maximum(lam, least(g.size, g.dtype)).astype(g.dtype)
        out = jax.ShapeDtypeStruct(g.shape, g.dtype)
        b = -g / D
        scaled = B / self.spread(D, 1)
        q, w = jax.pure_callback(_on_host, (out, out), self.columns, scaled, b, lam, vmap_method="sequential")
        return Solution(q / D, b @ q, q @ w, lam)


def _on_host(columns: Any, B: Any, b: Any, lam: Any) -> tuple[np.ndarray, np.ndarray]:
    """q with (BᵀB + λI) q = b, and w with (BᵀB + λI) w = q; NaN where there is none."""
    from scipy.sparse.linalg import splu

    sparse = scipy_sparse()
    columns, B, b = np.asarray(columns).T, np.asarray(B, np.float64).T, np.asarray(b)
    there = columns < len(b)
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    J = sparse.csr_array((B[there], columns[there], starts), shape=(len(B), len(b)))
    A = (J.T @ J + float(lam) * sparse.eye_array(len(b), format="csr")).tocsc()
    nothing = np.full(len(b), np.nan, b.dtype)
    if not (np.isfinite(A.data).all() and np.isfinite(b).all()):
        return nothing, nothing
    try:
        factors = splu(A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError:  # exactly singular: λ is below the rounding of this dtype
        return nothing, nothing
    q = factors.solve(b.astype(np.float64))
    return q.astype(b.dtype), factors.solve(q).astype(b.dtype)
