"""Thousands of tiny dense systems at once, lanes last: A is (n, n, k) for k systems, n up to about 8.

Every entry of A is a vector of k numbers here and the elimination is written out, so that it is straight-line vector code, where
the batched `jnp.linalg` calls LAPACK for each system. Compile time grows as n³. `python benchmarks/linear.py small` compares them.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

UNROLLED = 8


def cholesky(A: Any) -> list[list[Any]]:
    """The lower factor, A = L Lᵀ, as rows of vectors of k; NaN in the lanes where A is not positive definite.

    Args:
        A: (n, n, k), of which the lower triangle is read.
    """
    n = A.shape[0]
    L: list[list[Any]] = [[None] * n for _ in range(n)]
    for j in range(n):
        pivot = jnp.sqrt(A[j, j] - sum((L[j][c] * L[j][c] for c in range(j)), jnp.zeros_like(A[j, j])))
        L[j][j] = pivot
        for i in range(j + 1, n):
            L[i][j] = (A[i, j] - sum((L[i][c] * L[j][c] for c in range(j)), jnp.zeros_like(pivot))) / pivot
    return L


def solve_cholesky(A: Any, b: Any) -> Any:
    """x of A x = b for symmetric positive definite A (n, n, k) and b (n, k); NaN where A is not.

    Example:
        >>> import jax.numpy as jnp
        >>> from ravine.math.small_dense import solve_cholesky
        >>> A = jnp.array([[4.0, 1.0], [1.0, 2.0]])[:, :, None] * jnp.ones(3)
        >>> solve_cholesky(A, jnp.array([5.0, 3.0])[:, None] * jnp.ones(3)).round(3)[:, 0].tolist()
        [1.0, 1.0]
    """
    L = cholesky(A)
    return backwards(L, forwards(L, b))


def forwards(L: list[list[Any]], b: Any) -> Any:
    """L⁻¹ b for a lower factor as `cholesky` gives it and b (n, k)."""
    z: list[Any] = []
    for i in range(len(L)):
        z.append((b[i] - sum((L[i][j] * z[j] for j in range(i)), jnp.zeros_like(b[i]))) / L[i][i])
    return jnp.stack(z)


def backwards(L: list[list[Any]], b: Any) -> Any:
    """L⁻ᵀ b, the same way."""
    n = len(L)
    z: list[Any] = [None] * n
    for i in reversed(range(n)):
        z[i] = (b[i] - sum((L[j][i] * z[j] for j in range(i + 1, n)), jnp.zeros_like(b[i]))) / L[i][i]
    return jnp.stack(z)


def solve_spd(A: Any, b: Any) -> Any:
    """`solve_cholesky` for n ≤ 8, LAPACK's for larger n, which would take long to compile."""
    if A.shape[0] <= UNROLLED:
        return solve_cholesky(A, b)
    L = lax.linalg.cholesky(jnp.moveaxis(A, -1, 0), symmetrize_input=False)
    y = lax.linalg.triangular_solve(L, jnp.moveaxis(b, -1, 0)[..., None], left_side=True, lower=True)
    x = lax.linalg.triangular_solve(L, y, left_side=True, lower=True, transpose_a=True)
    return jnp.moveaxis(x[..., 0], 0, -1)


def solve_lu(A: Any, b: Any) -> Any:
    """x of A x = b for any regular A (n, n, k) and b (n, k), by Gaussian elimination with partial pivoting in each lane.

    The row of the pivot is found by its number first and then taken by selection, once for all columns: exchanging rows
    whenever a larger candidate is met took 1.6 times as long (n = 6). XLA computes cheap operations anew in every place that
    needs them, but no division and no root: the number is held as the root of its square and the row divided by its pivot
    (Crout's form): 0.13 of the time of `jnp.linalg` for n = 8, before 0.23 (`python benchmarks/linear.py small`).
    """
    n = A.shape[0]
    rows = [[A[i, j] for j in range(n)] + [b[i]] for i in range(n)]
    for j in range(n):
        below = range(j + 1, n)
        largest, square = jnp.abs(rows[j][j]), jnp.full(b.shape[1:], float(j * j), b.dtype)
        for i in below:
            size = jnp.abs(rows[i][j])
            larger = size > largest
            largest, square = jnp.where(larger, size, largest), jnp.where(larger, float(i * i), square)
        p = jnp.sqrt(square)
        pivot = rows[j]
        for i in below:
            pivot = _chosen(p == i, rows[i], pivot)
        scaled = [u / pivot[j] for u in pivot]
        for i in below:
            row = _chosen(p == i, rows[j], rows[i])
            rows[i] = [r - row[j] * u if c > j else r for c, (r, u) in enumerate(zip(row, scaled, strict=True))]
        rows[j] = scaled
    x: list[Any] = [None] * n
    for i in reversed(range(n)):
        x[i] = rows[i][n] - sum((rows[i][c] * x[c] for c in range(i + 1, n)), jnp.zeros_like(b[i]))
    return jnp.stack(x)


def _chosen(flag: Any, row: list[Any], other: list[Any]) -> list[Any]:
    return [jnp.where(flag, a, b) for a, b in zip(row, other, strict=True)]
