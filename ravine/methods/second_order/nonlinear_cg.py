"""Nonlinear conjugate gradients in the form of Hager and Zhang.

    p = −g + β p₋
    β = max(β_HZ, η),   β_HZ = (y − 2 p₋ |y|² / p₋ᵀy)ᵀg / p₋ᵀy,   η = −1 / (|p₋| min(0.01, |g₋|)),   y = g − g₋

[1, (1.3), (1.6)]. Whatever the line search does, p is a descent direction: pᵀg ≤ −⅞ |g|². On a quadratic with exact line search it
is the method of conjugate gradients. The last step s = t p₋ stands for p₋ here, which leaves β p₋ as it is.

[1] W. W. Hager, H. Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search", SIAM J. Optim. 16
    (2005) 170-192.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import part
from ravine.methods.second_order.descent import LineSearchDescent, State
from ravine.methods.second_order.steepest_descent import as_before
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe


class Last(NamedTuple):
    """The last step, and how the gradient changed along it; zeros where there was none."""

    s: Any
    y: Any


class NonlinearCG(LineSearchDescent):
    """Nonlinear conjugate gradients: two vectors of memory, for very many parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: jnp.sum(jnp.cosh(x) + x), jnp.ones(100), method="nonlinear_cg")
        >>> r.status.name, float(r.x[0].round(3))
        ('CONVERGED', -0.881)
    """

    search: LineSearch = part(of=LineSearch, factory=lambda: StrongWolfe(c2=0.1), doc="line search")

    def blank(self, x: Any) -> Last:
        return Last(jnp.zeros_like(x), jnp.zeros_like(x))

    def learn(self, memory: Last, fresh: Any, s: Any, y: Any, g: Any) -> Last:
        return Last(s, y)

    def direction(self, memory: Last, g: Any) -> Any:
        s, y = memory
        sy, size, before = s @ y, jnp.sqrt(s @ s), g - y
        beta = (y - 2 * s * (y @ y) / sy) @ g / sy
        eta = -1 / (size * jnp.minimum(0.01, jnp.sqrt(before @ before)))
        return -g + jnp.where(sy > 0, jnp.maximum(beta, eta), 0) * s

    def first_trial(self, s: State, f: Any, slope: Any) -> Any:
        return as_before(s, f, slope)
