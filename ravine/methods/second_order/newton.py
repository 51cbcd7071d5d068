"""Newton's method, damped by a line search: the step to the minimum of the Taylor expansion of second order.

    f(x + p) ≈ f + gᵀp + ½ pᵀH p,   H = ∇²f(x) = Q diag(λ) Qᵀ
    p = −Q diag(1/|λ|) Qᵀ g                                = −H⁻¹ g where H is positive definite
    x⁺ = x + t p,   t = 1 where it falls enough

[1, sections 3.3 and 3.4], with |λ| for λ so that p leads down along directions of negative curvature, too [2]. Near a saddle, where
that step is short, p goes a tenth of max(1, |x|) along the eigenvector of the least eigenvalue; a saddle is never optimal.
Where an eigenvalue is negative the model has no minimum, and the search looks far ahead (`ravine.steps.far`).

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006).
[2] Y. N. Dauphin et al., "Identifying and attacking the saddle point problem in high-dimensional non-convex optimization", NIPS 27
    (2014).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.problem import Objective
from ravine.core.pytree import part
from ravine.methods.second_order.descent import LineSearchDescent, State
from ravine.methods.second_order.subproblem import noise_of
from ravine.steps.armijo import Armijo
from ravine.steps.line_search import LineSearch


class Curvature(NamedTuple):
    """The least eigenvalue of the Hessian, and how far eigenvalues are uncertain."""

    least: Any
    noise: Any


class Newton(LineSearchDescent):
    """Newton's method with an exact Hessian; for up to some hundred parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> A, b = jnp.array([[3.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, 1.0])
        >>> r = rv.minimize(lambda x: 0.5 * x @ A @ x - b @ x, jnp.zeros(2), method="newton")
        >>> r.nit, r.x.round(3).tolist()
        (1, [0.2, 0.4])
    """

    learns = False
    practical_up_to = 500

    search: LineSearch = part(of=LineSearch, factory=Armijo, doc="line search")

    def blank(self, x: Any) -> Curvature:
        return Curvature(jnp.zeros((), x.dtype), jnp.zeros((), x.dtype))

    def learn(self, memory: Any, fresh: Any, s: Any, y: Any, g: Any) -> Any:
        return memory

    def look(self, problem: Objective, memory: Any, fresh: Any, x: Any, g: Any) -> tuple[Any, Any]:
        H = problem.hessian(x)
        lam, Q = jnp.linalg.eigh(jnp.where(jnp.isfinite(H), H, 0))
        noise = noise_of(lam) + jnp.finfo(x.dtype).tiny
        z = -(Q.T @ g) / jnp.maximum(jnp.abs(lam), noise)

        # Near a saddle the way out is the first eigenvector.
        reach = 0.1 * jnp.maximum(1, jnp.sqrt(x @ x))
        at_saddle = (lam[0] < -10 * noise) & (jnp.sqrt(z @ z) < 0.1 * reach)
        z = z.at[0].set(jnp.where(at_saddle, jnp.where(z[0] < 0, -reach, reach), z[0]))
        return Curvature(lam[0], noise), jnp.where(fresh, -g, Q @ z)

    def endless(self, memory: Curvature) -> Any:
        return memory.least < -10 * memory.noise

    def optimality(self, problem: Any, s: State) -> Any:
        falling = jnp.where(self.endless(s.memory), -s.memory.least, 0) * jnp.maximum(1, jnp.max(jnp.abs(s.x)))
        return jnp.maximum(self.slope_at(problem, s), falling)
