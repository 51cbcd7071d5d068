"""The Jacobi iteration, weighted by ω (ω = 1 is Jacobi's own).

    x⁺ = x + ω D⁻¹ (b − A x),   D = diag A

Converges if and only if ρ(I − ω D⁻¹A) < 1: for ω = 1 on strictly diagonally dominant A, and on symmetric positive definite A for
0 < ω < 2 / λ_max(D⁻¹A). On the Poisson problem with n points a side ρ = cos(π / (n + 1)).

[1] C. G. J. Jacobi, Astronomische Nachrichten 22 (1845) 297.
[2] Y. Saad, "Iterative Methods for Sparse Linear Systems", SIAM (2003), section 4.1.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import hyper
from ravine.math.operators import diagonal
from ravine.methods.linear.stationary import Stationary


class Jacobi(Stationary):
    """The Jacobi iteration x⁺ = x + ω D⁻¹ (b − A x): every component at once, from the values before.

    The spectral radius of the iteration is estimated in `aux`.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[4.0, 1.0], [1.0, 3.0]]), jnp.array([5.0, 4.0]), method=rv.Jacobi(), tol=1e-6)
        >>> r.status.name, r.x.round(3).tolist(), round(float(r.aux["spectral_radius"]), 1)
        ('CONVERGED', [1.0, 1.0], 0.3)
    """

    weight: float = hyper(1.0, 0.1, 2.0, valid=">0", doc="weight ω")

    def splitting(self, A: Any) -> Any:
        d = A.diagonal()
        return diagonal(self.weight / jnp.where(d == 0, jnp.nan, d))
