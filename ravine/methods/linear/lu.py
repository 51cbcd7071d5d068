"""LU: Gaussian elimination with exchanges, P Aᵀ = L U, and refinement.

    x⁺ = x + Pᵀ L⁻ᵀ U⁻ᵀ (b − A x)

The factors are those of Aᵀ, because arrays lie row by row here and LAPACK counts by columns; as stable as P A = L U.

The structure of A is kept: a tridiagonal A is solved in O(n), a sparse one by SuperLU on the host.

[1] G. H. Golub, C. F. Van Loan, "Matrix Computations", Johns Hopkins (2013), sections 3.4 and 3.5.3.
"""

from __future__ import annotations

from typing import Any

from ravine.core.pytree import part, static
from ravine.methods.linear.direct import Direct


class LU(Direct):
    """Gaussian elimination with exchanges, and refinement by the true residual.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[0.0, 2.0], [1.0, 1.0]]), jnp.array([2.0, 2.0]), method="lu")
        >>> r.status.name, r.x.tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    precision: str = static("same", choices=("same", "float32"), doc="of the factors: that of A, or float32 with refinement")
    factors: Any = part(None, doc="factors of A made before; None to make them")
