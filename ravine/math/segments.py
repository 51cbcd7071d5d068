"""Sums of products over irregular groups: Σ XₖᵀYₗ over the members (k, l) of each group, as matrix products of equal size.

The members of a group are cut into chunks, the last one filled up; a chunk is one matrix product, and the few chunks of each group
are added up. `python benchmarks/least_squares.py bundle` is where this counts.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ravine.core.pytree import Record, part, static


class Chunks(Record):
    """Pairs of rows (first, second) in chunks that belong to groups.

    Attributes:
        first, second: (chunks, width) rows of X and Y; `first` is a row of zeros where a chunk is not full.
        owner: (chunks,) the group of each chunk, ascending.
        groups: how many there are.
    """

    first: Any = part()
    second: Any = part()
    owner: Any = part()
    groups: int = static(0)

    @staticmethod
    def of(group: np.ndarray, first: np.ndarray, second: np.ndarray, groups: int, nothing: int) -> Chunks:
        """For row pairs k = (first, second) that belong to group[k], with a row of zeros at `nothing`; on the host."""
        order = np.argsort(group, kind="stable")
        count = np.bincount(group, minlength=groups)
        # A quarter of what a group has: wide products are quick (256: twice as quick as 64), filling is not.
        width = int(np.clip(2 ** int(np.log2(max(len(group) / max(groups, 1), 4) / 4)), 8, 512))
        chunks = -(-count // width)
        owner = np.repeat(np.arange(groups), chunks)
        number = np.arange(len(owner)) - (np.cumsum(chunks) - chunks)[owner]  # of a chunk within its group
        member = number[:, None] * width + np.arange(width)
        there = member < count[owner][:, None]
        rows = np.append(order, 0)[np.where(there, (np.cumsum(count) - count)[owner][:, None] + member, 0)]
        first = np.where(there, first[rows], nothing)
        return Chunks(first.astype(np.int32), second[rows].astype(np.int32), owner.astype(np.int32), groups)

    def gram(self, X: Any, Y: Any) -> Any:
        """Σ XₖᵀYₗ of each group: (groups, p, s) for X (k, d, p) and Y (k, d, s)."""
        x, y = X.reshape(len(X), -1), Y.reshape(len(Y), -1)  # rows are fetched as they lie in memory

        def product(rows: Any) -> Any:
            first, second = (v.at[i].get(mode="promise_in_bounds") for v, i in zip((x, y), rows, strict=True))
            return first.reshape(-1, X.shape[2]).T @ second.reshape(-1, Y.shape[2])

        # One chunk after the other, in the cache: one batch of products took twice as long.
        products = jax.lax.map(product, (self.first, self.second))
        return jax.ops.segment_sum(products, self.owner, self.groups, indices_are_sorted=True)
