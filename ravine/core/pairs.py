"""Residuals of pairs: every residual depends on one block of the first kind and one of the second (cameras and points, say).

    rₖ(x) = fun(left[iₖ], right[jₖ], dataₖ),   x = (left, right)

JᵀJ is an arrowhead then: blocks of one kind do not meet each other, and can be eliminated one by one.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.function import Function
from ravine.core.pytree import Record, part


class PairResidual(Record):
    """A residual for `least_squares` that is made of the residuals of pairs; x0 is (left, right), one row a block.

    Called, it gives all residuals, (k, d) for k pairs of d residuals each, so that any method can take it.

    Args:
        fun: fun(a, b, *data) of one pair, with a row of `left`, a row of `right` and a row of each further argument: (d,).
        left, right: which rows, (k,) integers each.

    Raises:
        ValueError: indices that are not k integers each from 0 on.

    Example:
        >>> import jax.numpy as jnp, numpy as np, ravine as rv
        >>> seen, at = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2])
        >>> apart = rv.PairResidual(lambda a, b, y: b - a - y, seen, at)
        >>> y = jnp.array([[1.0], [2.0], [1.0], [2.0]])
        >>> r = rv.least_squares(apart, (jnp.zeros((2, 1)), jnp.zeros((3, 1))), (y,))
        >>> bool(r.fun < 1e-12)
        True
    """

    fun: Any = part()
    left: Any = part()
    right: Any = part()

    def __post_init__(self) -> None:
        left, right = np.asarray(self.left), np.asarray(self.right)
        for name, index in (("left", left), ("right", right)):
            if index.ndim != 1 or len(index) != len(left) or not np.issubdtype(index.dtype, np.integer) or (index < 0).any():
                raise ValueError(f"{name} must be integers from 0 on, one for each pair, got shape {index.shape} of {index.dtype}")
        self.__dict__.update(fun=Function(self.fun, "fun"), left=left.astype(np.int32), right=right.astype(np.int32))

    def __call__(self, x: Any, *data: Any) -> Any:
        leaves = jax.tree.leaves(x)
        if len(leaves) != 2 or any(np.ndim(v) != 2 for v in leaves):
            shapes = ", ".join(str(np.shape(v)) for v in leaves)
            raise ValueError(f"x0 of a PairResidual is two arrays of one row a block, (left, right), got shapes {shapes}")
        a, b = (jnp.asarray(v) for v in leaves)
        return jax.vmap(self.fun)(a[self.left], b[self.right], *data)
