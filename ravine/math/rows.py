"""A small matrix as blocks of rows that the runtime finds small, too.

XLA's runtime on a processor runs the kernels of a loop one after the other only where no array has more than 512 bytes; else it
looks for kernels to run side by side, which costs 30 ns a kernel where the kernel itself takes 10. So one 10×10 matrix of float64
in the state makes every iteration of a loop 2.7 times as long (BFGS on Rosenbrock's function in 10 variables: 285 µs as one matrix,
106 µs as two blocks), and a matrix of up to `MOST` times that size is kept in blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

BYTES, MOST = 512, 4
LOOPED = 1024
"""Bytes up to which XLA makes one kernel of a loop, if an iteration touches less."""


def bounds_of_blocks(shape: tuple[int, int], dtype: Any) -> list[int]:
    """Where blocks of rows begin and end: one block if the matrix is small enough or would need more than `MOST`."""
    rows, columns = shape
    in_a_block = BYTES // max(1, columns * np.dtype(dtype).itemsize)
    n = -(-rows // in_a_block) if in_a_block else MOST + 1
    return [rows * i // n for i in range(n + 1)] if 1 < n <= MOST else [0, rows]


class Rows(NamedTuple):
    """A matrix as a tuple of blocks of its rows."""

    blocks: tuple[Any, ...]

    def __matmul__(self, v: Any) -> Any:
        return joined([B @ v for B in self.blocks])

    def plus(self, scale: Any, u: Any, v: Any) -> Rows:
        """scale A + u vᵀ + v uᵀ."""
        pieces = zip(self.blocks, *(jnp.split(w, self.cuts()) for w in (u, v)), strict=True)
        return Rows(tuple(scale * B + (a[:, None] * v[None, :] + b[:, None] * u[None, :]) for B, a, b in pieces))

    def pushed(self, v: Any) -> Rows:
        """Without the first row, and with v as the last one."""
        nexts = [*(B[:1] for B in self.blocks[1:]), v[None]]
        return Rows(tuple(_shifted(B, row) for B, row in zip(self.blocks, nexts, strict=True)))

    def cuts(self) -> list[int]:
        """The rows at which a block ends and the next begins."""
        return list(np.cumsum([len(B) for B in self.blocks])[:-1])


def scanned(f: Any, carry: Any, *matrices: Rows, along: Any = None, reverse: bool = False) -> tuple[Any, Any]:
    """`lax.scan` over the rows of matrices of one shape, and of `along`, which an earlier scan returned, where it is given.

    A loop for each block, or, where there are two blocks of short rows, one for both that takes each row out of both: to start a
    loop costs as much as several of its iterations.
    """
    blocks, given = list(zip(*(A.blocks for A in matrices), strict=True)), () if along is None else (along,)
    row = blocks[0][0][0].nbytes
    if len(blocks) == 2 and 8 * row <= LOOPED:
        low, high = blocks
        n, m = len(low[0]), len(low[0]) + len(high[0])

        def at(carry: Any, one: Any) -> Any:
            i, *rest = one
            here = [jnp.where(i < n, _row(a, i), _row(b, i - n)) for a, b in zip(low, high, strict=True)]
            return f(carry, (*here, *rest))

        return lax.scan(at, carry, (jnp.arange(m), *given), reverse=reverse)
    found, order = [], -1 if reverse else 1
    for k in range(len(blocks))[::order]:
        carry, out = lax.scan(f, carry, (*blocks[k], *(v[k] for v in given)), reverse=reverse)
        found.append(out)
    return carry, found[::order]


def _row(B: Any, i: Any) -> Any:
    return lax.dynamic_index_in_dim(B, i, keepdims=False)


def _shifted(B: Any, row: Any) -> Any:
    """B without its first row and with another as the last one.

    Not by `jnp.concatenate`, whose kernel asks of each element where it is from: with it, L-BFGS took 3 to 9 % longer on
    Rosenbrock's function in 10 to 100,000 variables (a script of its own; `python benchmarks/second_order.py steady` has 10).
    """
    last = jnp.arange(len(B))[:, None] == len(B) - 1
    return jnp.where(last, row, lax.pad(B, jnp.zeros((), B.dtype), ((-1, 1, 0), (0, 0, 0))))


def joined(pieces: Any) -> Any:
    """The vectors one after the other."""
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces)


def rows(A: Any) -> Rows:
    """A in blocks of rows."""
    return Rows(tuple(jnp.split(A, bounds_of_blocks(A.shape, A.dtype)[1:-1])))
