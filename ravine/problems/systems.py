"""Linear systems as `Problem`s: a membrane on a grid, and matrices from files."""

from __future__ import annotations

import pathlib

import numpy as np

from ravine.problems import matrix_market as files
from ravine.problems.problem import Problem


def poisson(n: int = 32, wind: float = 0.0) -> Problem:
    """−Δu = 1 on a square of n×n points, zero around it; with `wind`, −Δu + wind ∂u/∂x, upwind: then A is not symmetric.

    Args:
        n: points along a side; the system has n² unknowns.
        wind: strength of the transport along the second axis, in units of one over the spacing.

    Raises:
        ValueError: no points, or a negative wind.
    """
    from ravine.math.operators import Stencil, laplacian
    from ravine.math.sparse import diagonals_of

    if n < 1 or wind < 0:
        raise ValueError(f"n must be at least 1 and wind at least 0, got n={n}, wind={wind}")
    A = laplacian(n, n)
    change = np.array([wind if o == (0, 0) else -wind if o == (0, -1) else 0.0 for o in A.offsets])
    return Problem(
        name="poisson",
        A=diagonals_of(Stencil(A.coefficients + change.astype(A.dtype), A.offsets, A.grid)),
        b=np.ones(n * n),
        target=1e-4,
        doc=f"five-point Laplacian on {n}×{n} points{f' with wind {wind:g}' if wind else ''}, {n * n} unknowns, b = 1",
    )


def matrix_market(path: str = "") -> Problem:
    """A x = b of a MatrixMarket file (.mtx or .mtx.gz, as SuiteSparse has them), b = A·1.

    Args:
        path: the file; `--x64` is wise for matrices of engineering.

    Raises:
        ValueError: no path.
        OSError: the file cannot be read.
    """
    if not path:
        raise ValueError("name a file: matrix_market[path='bcsstk01.mtx']")
    A = files.read(path)
    name = pathlib.Path(path).name.split(".mtx")[0]
    m, n = A.shape
    return Problem(name=name, A=A, b=A @ np.ones(n), target=1e-4, doc=f"{name}: {m}×{n}, from a MatrixMarket file; b = A·1")
