"""The damped step by preconditioned conjugate gradients, matrix-free: only products Jv and Jᵀu are taken.

    (JᵀJ + λD²) p = −Jᵀr        until ‖residual‖ ≤ η ‖Jᵀr‖
    η⁺ = γ (‖g⁺‖/‖g‖)^α         but at least γη^α where that is more than 0.1, and at most η₀        [1], choice 2

with g = Jᵀr in units of J's columns: rough steps far off, exact ones where the gradient falls fast. J is linearised once a step.
Blocks of JᵀJ for the preconditioner, and the lengths of J's columns, are estimated from K random sign vectors u:
E[(Jᵀu)(Jᵀu)ᵀ] = JᵀJ.

[1] S. C. Eisenstat, H. F. Walker, "Choosing the forcing terms in an inexact Newton method", SIAM J. Sci. Comput. 17 (1996),
    (2.6) with the safeguard of section 2.1.
[2] C. Bekas, E. Kokiopoulou, Y. Saad, "An estimator for the diagonal of a matrix", Appl. Numer. Math. 57 (2007).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.driver import solve
from ravine.core.problem import LeastSquares, LinearSystem
from ravine.core.pytree import hyper, part, static
from ravine.core.stop import MaxSteps, Optimality
from ravine.math.damped import Solution, least
from ravine.math.rank import lengths
from ravine.methods.least_squares.linear_step import LinearStep, Local, free
from ravine.methods.linear.cg import CG

GAMMA, ALPHA = 0.9, 2.0  # γ and α
SAFEGUARD = 0.1


class Product(NamedTuple):
    """A map that is known by what it does, as `LinearSystem` wants it."""

    mv: Any
    shape: tuple[int, int]


class PCGStep(LinearStep):
    """Conjugate gradients on the normal equations, for problems whose Jacobian is too large to be made.

    A preconditioner of your own, M ≈ (JᵀJ)⁻¹ in the parameters' units, goes in with `linear`, as into Newton-CG:
    `PCGStep(linear=rv.CG(preconditioner=rv.precond.BlockJacobi(3).of(A)))` with A ≈ JᵀJ, or a function r ↦ M r.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> method = rv.LevenbergMarquardt(linear=rv.PCGStep(), damping=rv.Nielsen())
        >>> r = rv.least_squares(lambda x: x + 0.5 * jnp.sin(x) - 0.5, jnp.ones(50), method=method, tol=1e-4)
        >>> r.success, round(float(r.x[7]), 3)
        (True, 0.335)
    """

    tol: float = hyper(
        0.5, 1e-12, 0.9, log=True, valid="(0,1)", doc="η₀: the first and largest relative residual of the linear system"
    )
    block: int = static(1, least=1, doc="parameters in a block of the preconditioner: 1 is Jacobi")
    probes: int = static(8, least=1, doc="K: random vectors for the preconditioner, at least `block`")
    steps: int = static(200, least=1, doc="iterations of conjugate gradients at most")
    linear: CG = part(of=CG, factory=CG, doc="conjugate gradients; a preconditioner of theirs takes the place of the blocks")

    def look(self, problem: LeastSquares, x: Any) -> Local:
        f = problem.value(x)
        r, _, vj = problem.linearize(x)
        g = vj(r)
        signs = jax.random.rademacher(jax.random.key(0), (max(self.probes, self.block), r.size), r.dtype)
        G = jax.vmap(vj)(signs) / len(signs) ** 0.5
        squares = jnp.sum(G * G, axis=0)
        mask = free(problem, x, g)
        g, G = (g, G) if mask is None else (g * mask, G * mask[None])
        return Local(f, g, squares, jnp.max(jnp.abs(g) / lengths(squares)), None, G, jnp.asarray(self.tol, x.dtype))

    def follow(self, problem: LeastSquares, x: Any, before: Local, local: Local) -> Local:
        new, old = (jnp.linalg.norm(at.g / lengths(at.squares)) for at in (local, before))
        eta = GAMMA * (new / old) ** ALPHA
        least_of_it = GAMMA * before.r**ALPHA
        eta = jnp.where(least_of_it > SAFEGUARD, jnp.maximum(eta, least_of_it), eta)
        return local._replace(r=jnp.minimum(eta, local.r))

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        _, jv, vj = problem.linearize(x)
        mask = free(problem, x, local.g)
        hold = D * 0 + 1 if mask is None else mask
        lam = jnp.maximum(lam, least(x.size, x.dtype)).astype(x.dtype)

        def damped(q: Any) -> Any:
            return hold * vj(jv(hold * q / D)) / D + lam * q

        given = self.linear.preconditioner
        blocks = self._preconditioner(local.J / D[None], lam) if given is None else None
        cg = self.linear.replace(preconditioner=blocks or (lambda r: D * self.linear.M(D * r)))
        system = LinearSystem(Product(damped, (x.size, x.size)), -local.g / D)
        stop = Optimality(jnp.maximum(local.r, jnp.finfo(x.dtype).eps ** 0.75)) | MaxSteps(self.steps)
        q = solve(cg, system, jnp.zeros_like(x), stop).state.x
        # The slope of a system that is nothing but damping: the search for λ then needs no second solve.
        return Solution(q / D, -(local.g / D) @ q, q @ q / lam, lam)

    def _preconditioner(self, G: Any, lam: Any) -> Any:
        """M r with the inverted blocks of GᵀG + λI."""
        k, n = G.shape
        p = self.block
        blocks = jnp.pad(G, ((0, 0), (0, -n % p))).reshape(k, -1, p)
        A = jnp.einsum("kbi,kbj->bij", blocks, blocks) + lam * jnp.eye(p, dtype=G.dtype)[None]
        inverse = jnp.linalg.inv(A) if p > 1 else 1 / A
        return lambda r: jnp.einsum("bij,bj->bi", inverse, jnp.pad(r, (0, -n % p)).reshape(-1, p)).reshape(-1)[:n]

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        return jnp.sum(problem.linearize(x)[1](p) ** 2)
