"""Newton's method whose system is solved by conjugate gradients, only as exactly as is of use; no matrix is formed.

    H p = −g   until |H p + g| ≤ min(½, √|g|) |g|,   H = ∇²f(x)
    x⁺ = x + t p

by the same driver that runs this method, with Hessian-vector products [1, algorithm 7.1]. Where conjugate gradients meet negative
curvature, they stop with what they have; if that is nothing, p is −g, the direction along which the curvature was negative.

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core import driver
from ravine.core.problem import LinearSystem, Objective
from ravine.core.pytree import Record, part
from ravine.core.stop import MaxSteps, Optimality
from ravine.methods.linear.cg import CG
from ravine.methods.second_order.descent import LineSearchDescent
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe


class Product(Record):
    """A linear map that is only known by what it does to a vector."""

    mv: Any = part()


class NewtonCG(LineSearchDescent):
    """Newton's method by Hessian-vector products; for any number of parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: jnp.sum(jnp.cosh(x - jnp.arange(500.0) / 500)), jnp.ones(500), method="newton_cg")
        >>> r.status.name, float(r.x[250].round(3))
        ('CONVERGED', 0.5)
    """

    learns = False

    search: LineSearch = part(of=LineSearch, factory=StrongWolfe, doc="line search")
    linear: CG = part(of=CG, factory=CG, doc="conjugate gradients, perhaps with a preconditioner")

    def blank(self, x: Any) -> Any:
        return ()

    def learn(self, memory: Any, fresh: Any, s: Any, y: Any, g: Any) -> Any:
        return ()

    def look(self, problem: Objective, memory: Any, fresh: Any, x: Any, g: Any) -> tuple[Any, Any]:
        _, hvp = problem.linearize_gradient(x)
        size = jnp.sqrt(g @ g)
        stop = Optimality(jnp.minimum(0.5, jnp.sqrt(size))) | MaxSteps(2 * x.size)
        inner = driver.solve(self.linear, LinearSystem(Product(hvp), -g), jnp.zeros_like(x), stop, best=False)
        p, bend = inner.state.x, jnp.abs(inner.state.curvature)
        downhill = -jnp.where(bend > 0, size * size / bend, 1) * g
        return (), jnp.where(fresh | (p @ g >= 0), jnp.where(fresh, -g, downhill), p)
