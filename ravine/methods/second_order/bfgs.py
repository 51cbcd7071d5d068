"""BFGS: Newton's method with an inverse Hessian learned from the gradients, O(n²) a step.

    p = −H g
    x⁺ = x + t p                                    t from a line search
    s = x⁺ − x,   y = g⁺ − g
    H⁺ = (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ,      ρ = 1 / yᵀs

H starts as the identity, and is scaled by sᵀy / yᵀy before its first update [1, (6.17), (6.20)]. Where sᵀy is not positive, H
is kept. The search goes on until the slope has fallen to c₂ = ½ of what it was, as in HANSO, the program of [2]; [1] has 0.9.
Closer to the minimum along the line y says more of the curvature: more of CUTEst's problems are solved so, in fewer steps, each of
which takes more evaluations. The number was chosen on that set (`python benchmarks/cutest.py run --set small --solvers bfgs`).

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006), algorithm 6.1.
[2] A. S. Lewis, M. L. Overton, "Nonsmooth optimization via quasi-Newton methods", Math. Prog. 141 (2013) 135-163.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import part, select
from ravine.math.rows import rows
from ravine.math.secant import bfgs_inverse, curvature_is_positive, first_scale
from ravine.methods.second_order.descent import LineSearchDescent
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe


class BFGS(LineSearchDescent):
    """BFGS: p = −H g with an n×n inverse Hessian that gradients have taught; for up to some thousand parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: 100 * (x[1] - x[0]**2)**2 + (1 - x[0])**2
        >>> r = rv.minimize(rosenbrock, jnp.array([-1.2, 1.0]), method="bfgs")
        >>> r.status.name, r.x.round(4).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    practical_up_to = 2000

    search: LineSearch = part(of=LineSearch, factory=lambda: StrongWolfe(c2=0.5), doc="line search")

    def blank(self, x: Any) -> Any:
        return rows(jnp.eye(x.size, dtype=x.dtype))

    def learn(self, H: Any, fresh: Any, s: Any, y: Any, g: Any) -> Any:
        updated = bfgs_inverse(H, s, y, jnp.where(fresh, first_scale(s, y), 1))
        return select(curvature_is_positive(s, y), updated, H)

    def direction(self, H: Any, g: Any) -> Any:
        return -(H @ g)
