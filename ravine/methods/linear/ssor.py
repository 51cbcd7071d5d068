"""Symmetric SOR: one sweep of SOR downwards and one upwards, so that N is symmetric where A is; as a preconditioner it is
`rv.precond.SSOR`.

    N⁻¹ = (ω / (2 − ω)) (D / ω + L) D⁻¹ (D / ω + U),   x⁺ = x + N (b − A x),   A = L + D + U

For symmetric positive definite A it converges for all 0 < ω < 2, with real eigenvalues in [0, 1).

[1] J. W. Sheldon, "On the numerical solution of elliptic difference equations", MTAC 9 (1955) 101.
[2] Y. Saad, "Iterative Methods for Sparse Linear Systems", SIAM (2003), sections 4.1 and 10.2.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ravine.core.pytree import hyper
from ravine.math.triangular import symmetric_sweeps
from ravine.methods.linear.stationary import Stationary


class SSOR(Stationary):
    """Symmetric successive over-relaxation: one sweep of SOR with weight ω forwards, one backwards.

    The spectral radius of the iteration is estimated in `aux`.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[4.0, 1.0], [1.0, 3.0]]), jnp.array([5.0, 4.0]), method=rv.SSOR(1.0), tol=1e-6)
        >>> r.status.name, r.x.round(3).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    sweeps: ClassVar[bool] = True

    weight: float = hyper(1.5, 0.1, 1.99, valid="(0,2)", doc="weight ω")

    def splitting(self, A: Any) -> Any:
        return symmetric_sweeps(A, self.weight)
