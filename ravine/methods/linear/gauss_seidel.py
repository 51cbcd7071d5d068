"""The Gauss-Seidel iteration: every new component is used at once.

    (D + L) x⁺ = b − U x,   or   x⁺ = x + (D + L)⁻¹ (b − A x),   A = L + D + U

Converges on strictly diagonally dominant and on all symmetric positive definite A. For consistently ordered A (Poisson)
ρ = ρ_Jacobi²: half the steps. It is SOR with ω = 1.

[1] P. L. Seidel, Abh. Bayer. Akad. Wiss. 11 (1874) 81.
[2] Y. Saad, "Iterative Methods for Sparse Linear Systems", SIAM (2003), section 4.1.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ravine.math.triangular import lower_solver
from ravine.methods.linear.stationary import Stationary


class GaussSeidel(Stationary):
    """The Gauss-Seidel iteration x⁺ = x + (D + L)⁻¹ (b − A x): one component after the other, from the newest values.

    The spectral radius of the iteration is estimated in `aux`.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[4.0, 1.0], [1.0, 3.0]]), jnp.array([5.0, 4.0]), method="gauss_seidel", tol=1e-6)
        >>> r.status.name, r.x.round(3).tolist(), float(r.aux["spectral_radius"].round(3))
        ('CONVERGED', [1.0, 1.0], 0.083)
    """

    sweeps: ClassVar[bool] = True

    def splitting(self, A: Any) -> Any:
        return lower_solver(A, 1.0)
