"""Steepest descent: gradient descent whose step is found by a line search.

    x⁺ = x − t ∇f(x)

The first trial of a step promises the decrease that the last one had, t = 2 (f − f₋) / φ′(0) [1, (3.60)].

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006), section 3.5; A. Cauchy, C. R. Acad. Sci. Paris 25 (1847).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import part
from ravine.methods.second_order.descent import LineSearchDescent, State
from ravine.steps.armijo import Armijo
from ravine.steps.line_search import LineSearch


class SteepestDescent(LineSearchDescent):
    """Gradient descent with a line search in place of a step size.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: x[0]**2 + 5 * x[1]**2, jnp.ones(2), method=rv.SteepestDescent(search=rv.StrongWolfe()))
        >>> r.status.name
        'CONVERGED'
    """

    search: LineSearch = part(of=LineSearch, factory=Armijo, doc="line search")

    def blank(self, x: Any) -> Any:
        return ()

    def learn(self, memory: Any, fresh: Any, s: Any, y: Any, g: Any) -> Any:
        return ()

    def direction(self, memory: Any, g: Any) -> Any:
        return -g

    def first_trial(self, s: State, f: Any, slope: Any) -> Any:
        return as_before(s, f, slope)


def as_before(s: State, f: Any, slope: Any) -> Any:
    """The t that promises the decrease of the last step, at most ten times and at least a tenth of the t that was."""
    t = s.line.t
    return jnp.clip(2.02 * (f - s.f) / slope, 0.1 * t, 10 * t)
