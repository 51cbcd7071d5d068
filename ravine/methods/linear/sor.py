"""Successive over-relaxation: a Gauss-Seidel step that goes ω times as far in every component.

    (D / ω + L) (x⁺ − x) = b − A x,   A = L + D + U

For symmetric positive definite A it converges for all 0 < ω < 2 (Ostrowski), and for no A outside (Kahan: ρ ≥ |ω − 1|). For
consistently ordered A the best weight is ω = 2 / (1 + √(1 − ρ_J²)) with ρ_J the spectral radius of Jacobi, and then ρ = ω − 1.

[1] D. M. Young, "Iterative methods for solving partial differential equations of elliptic type", Trans. AMS 76 (1954) 92.
[2] Y. Saad, "Iterative Methods for Sparse Linear Systems", SIAM (2003), section 4.1.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ravine.core.pytree import hyper
from ravine.math.triangular import lower_solver
from ravine.methods.linear.stationary import Stationary


class SOR(Stationary):
    """Successive over-relaxation: Gauss-Seidel that goes ω times as far in every component.

    The spectral radius of the iteration is estimated in `aux`.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[4.0, 1.0], [1.0, 3.0]]), jnp.array([5.0, 4.0]), method=rv.SOR(1.02), tol=1e-6)
        >>> r.status.name, r.x.round(3).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    sweeps: ClassVar[bool] = True

    weight: float = hyper(1.5, 0.1, 1.99, valid="(0,2)", doc="weight ω")

    def splitting(self, A: Any) -> Any:
        return lower_solver(A, self.weight)
