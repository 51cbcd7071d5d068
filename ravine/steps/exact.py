"""Exact line search: to the minimum of φ.

    t = arg min φ(t),   φ′(t) = 0

An interval with a minimum inside is made smaller until the slope is 10⁻¹⁰ of what it was at the start (10⁻⁵ in float32), or until
the interval holds no further number. On a quadratic that is two evaluations: the line through two slopes is the slope itself.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import static
from ravine.steps.line_search import Line, LineSearch
from ravine.steps.wolfe import narrow


class Exact(LineSearch):
    """The minimum along the direction; the identities of the textbooks hold for it.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: x[0]**2 + 5 * x[1]**2, jnp.ones(2), method=rv.SteepestDescent(search=rv.Exact()))
        >>> r.status.name
        'CONVERGED'
    """

    trials: int = static(60, least=1, doc="trials before the search settles for its best one")

    def judge(self, line: Line, f: Any, m: Any) -> Line:
        resolved = jnp.asarray(10 * jnp.finfo(f.dtype).eps ** (2 / 3), f.dtype)
        return narrow(line, f, m, jnp.asarray(1e-12, f.dtype), resolved, self.trials)
