"""QR: A = Q R by Householder reflections; least squares for m ≥ n, least norm for m < n, and refinement.

    m ≥ n:  x⁺ = x + R⁻¹ Qᵀ (b − A x)
    m < n:  x⁺ = x + Q R⁻ᵀ (b − A x),   Aᵀ = Q R

A must have full rank: where it has not, R has a tiny diagonal entry, and the run ends with BREAKDOWN; `LSMR` takes it.

[1] G. H. Golub, C. F. Van Loan, "Matrix Computations", Johns Hopkins (2013), sections 5.2, 5.3 and 5.6.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.pytree import part, static
from ravine.methods.linear.direct import Direct, DirectState
from ravine.methods.linear.krylov import least_squares_optimality


class QR(Direct):
    """QR: least squares and least norm for A of full rank, and refinement by the true residual.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, 2.0, 3.0]), method="qr")
        >>> r.status.name, r.x.round(3).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    kind: ClassVar[str] = "qr"
    least_squares: ClassVar[bool] = True

    precision: str = static("same", choices=("same", "float32"), doc="of the factors: that of A, or float32 with refinement")
    factors: Any = part(None, doc="factors of A made before; None to make them")

    def optimality(self, problem: LinearSystem, s: DirectState) -> Any:
        # With a singular R, Aᵀr may be small of itself, and x as large as rounding makes it: then only ‖r‖ counts.
        regular = s.rcond > self._factors(s).rounding()
        return least_squares_optimality(problem, s.f, jnp.where(regular, s.normal, jnp.inf))

    def scale(self, problem: LinearSystem, s: DirectState) -> Any:
        return jnp.ones_like(s.f)
