"""GMRES(m): the least residual over a Krylov space of up to m vectors, for any square A; then a fresh start from there.

Arnoldi:     w = A M vⱼ,   hᵢⱼ = vᵢᵀw,   w ← w − Σ hᵢⱼ vᵢ (twice),   vⱼ₊₁ = w / ‖w‖
Givens:      rotations make H upper triangular; |g_{j+1}| is the norm of the residual
             x = x₀ + M V y,   R y = g

The preconditioner stands on the right, so the residual is that of the system itself.

[1] Y. Saad, M. H. Schultz, "GMRES: a generalized minimal residual algorithm", SIAM J. Sci. Stat. Comput. 7 (1986) 856.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from ravine.core import work
from ravine.core.problem import LinearSystem
from ravine.core.pytree import part, static
from ravine.core.status import Status
from ravine.methods.linear.krylov import Preconditioned, broken, norm, singular


class GMRESState(NamedTuple):
    """The point of the last start, ‖r‖, the basis V (m+1, n), R (m, m), the right-hand side g, rotations, the column j."""

    x: Any
    f: Any
    V: Any
    R: Any
    g: Any
    c: Any
    s: Any
    j: Any
    good: Any


class GMRES(Preconditioned):
    """GMRES(m): the least residual for any square A; needs room for m + 1 vectors.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.linear_solve(jnp.array([[1.0, 2.0], [-3.0, 1.0]]), jnp.array([3.0, -2.0]), method=rv.GMRES(restart=20))
        >>> r.status.name, abs(r.x).round(4).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    restart: int = static(30, least=1, doc="m: vectors before a fresh start")
    preconditioner: Any = part(None, doc="M ≈ A⁻¹, on the right")

    def init(self, problem: LinearSystem, x: Any) -> GMRESState:
        r = problem.residual(x)
        m = min(self.restart, r.size)
        beta = norm(r)
        V = jnp.zeros((m + 1, r.size), r.dtype).at[0].set(r / jnp.where(beta > 0, beta, 1))
        g = jnp.zeros(m + 1, r.dtype).at[0].set(beta)
        zeros = jnp.zeros(m, r.dtype)
        return GMRESState(x, beta, V, jnp.eye(m, dtype=r.dtype), g, zeros, zeros, jnp.int32(0), jnp.bool_(True))

    def step(self, problem: LinearSystem, s: GMRESState) -> GMRESState:
        m, j = s.c.size, s.j
        w = problem.product(self.M(s.V[j]))
        scale = norm(w)
        h = s.V @ w  # rows of V beyond j are zero
        w = w - h @ s.V
        again = s.V @ w
        w, h = w - again @ s.V, h + again
        last = norm(w)
        for_rotation = jnp.where(jnp.arange(m + 1, dtype=jnp.int32) <= j, h, 0)
        column, below = self._rotate(s, for_rotation), jnp.where(last > 10 * jnp.finfo(w.dtype).eps * scale, last, 0)
        pivot = jnp.hypot(column[j], below)
        good = (pivot > jnp.finfo(w.dtype).eps * scale) & jnp.isfinite(pivot)
        c, sn = column[j] / pivot, below / pivot
        R = s.R.at[:, j].set(jnp.where(jnp.arange(m, dtype=jnp.int32) < j, column[:m], 0).at[j].set(jnp.where(good, pivot, 1)))
        V = s.V.at[j + 1].set(jnp.where(below > 0, w / last, 0))
        g = s.g.at[j + 1].set(-sn * s.g[j]).at[j].set(c * s.g[j])
        new = GMRESState(s.x, jnp.abs(g[j + 1]), V, R, g, s.c.at[j].set(c), s.s.at[j].set(sn), j + 1, good)
        kept = s._replace(R=R, good=good)
        full = good & (j + 1 == m)
        return work.cond(full, lambda n, o: self.init(problem, self.point(n)), lambda n, o: _where(good, n, o), new, kept)

    def _rotate(self, s: GMRESState, h: Any) -> Any:
        """The rotations so far, applied to a new column."""

        def one(i: Any, h: Any) -> Any:
            a, b = h[i], h[i + 1]
            return h.at[i].set(s.c[i] * a + s.s[i] * b).at[i + 1].set(-s.s[i] * a + s.c[i] * b)

        return jax.lax.fori_loop(0, s.j, one, h)

    def point(self, s: GMRESState) -> Any:
        m = s.c.size
        y = solve_triangular(s.R, jnp.where(jnp.arange(m, dtype=jnp.int32) < s.j, s.g[:m], 0))
        return s.x + self.M(y @ s.V[:m])

    def accepted(self, s: GMRESState) -> Any:
        return s.good

    def verdict(self, problem: LinearSystem, s: GMRESState) -> Any:
        return jnp.where(s.good, jnp.int32(Status.RUNNING), broken(jnp.all(jnp.isfinite(s.V[0]))))

    def diagnosis(self, problem: LinearSystem, s: GMRESState, k: int) -> tuple[str, dict[str, Any]]:
        if s.good:
            return "", {}
        # The last column of the triangle is a combination of those before it: R y = 0 with y_j = 1, so A M V y = 0.
        m, j = s.c.size, int(s.j)
        y = jnp.zeros(m, s.g.dtype).at[j].set(1).at[:j].set(-solve_triangular(s.R[:j, :j], s.R[:j, j]))
        found = singular(problem, self.M(y @ s.V[:m]))
        return found or ("A is singular on the Krylov space: no vector of it lowers the residual.", {})


def _where(flag: Any, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)
