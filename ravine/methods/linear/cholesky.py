"""Cholesky: A = L Lᵀ for symmetric positive definite A, half the work of LU, and refinement.

    x⁺ = x + L⁻ᵀ L⁻¹ (b − A x)

Only the lower triangle is read. Where A is not positive definite there is no such L: the run ends with BREAKDOWN, and `aux` holds
the direction that proves it, of zero or of negative curvature.

[1] G. H. Golub, C. F. Van Loan, "Matrix Computations", Johns Hopkins (2013), section 4.2.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ravine.core.problem import LinearSystem
from ravine.core.pytree import part, static
from ravine.methods.linear.direct import Direct, DirectState
from ravine.methods.linear.factor import flat_direction
from ravine.methods.linear.krylov import singular


class Cholesky(Direct):
    """Cholesky for symmetric positive definite A, and refinement by the true residual.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[4.0, 2.0], [2.0, 5.0]]), jnp.array([6.0, 7.0]), method="cholesky")
        >>> r.status.name, r.x.tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    kind: ClassVar[str] = "cholesky"
    symmetric: ClassVar[bool] = True
    definite: ClassVar[bool] = True

    precision: str = static("same", choices=("same", "float32"), doc="of the factors: that of A, or float32 with refinement")
    factors: Any = part(None, doc="factors of A made before; None to make them")

    def diagnosis(self, problem: LinearSystem, s: DirectState, k: int) -> tuple[str, dict[str, Any]]:
        if float(s.rcond) > 0:
            return super().diagnosis(problem, s, k)
        row, v = flat_direction(problem.A.dense())
        bend = float(jnp.vdot(v, problem.A.mv(v)))
        found = singular(problem, v, 10 * v.size * float(jnp.finfo(v.dtype).eps))
        if found:
            return f"A is not positive definite. {found[0]}", found[1]
        if not bend < 0:
            return f"A is not positive definite: its pivot in row {row} is 0 to rounding.", {}
        return f"A is not positive definite: vᵀA v = {bend:.2g} for a unit vector v, found in row {row}.", {"negative_curvature": v}
