"""Backtracking to Armijo's condition.

    φ(t) ≤ φ(0) + c t φ′(0)

t is cut until it holds [1]: to the minimum of the parabola through φ(0), φ′(0) and φ(t), kept between t/10 and t/2; by ten
where φ(t) is not finite.

[1] L. Armijo, "Minimization of functions having Lipschitz continuous first partial derivatives", Pacific J. Math. 16 (1966).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import hyper, static
from ravine.steps.line_search import End, Line, LineSearch, falls_enough, outcome


class Armijo(LineSearch):
    """Backtracking until f has fallen by a fraction c of what the slope promises.

    Example:
        >>> import ravine as rv
        >>> rv.BFGS(search=rv.Armijo(c=1e-3)).search.c
        0.001
    """

    c: float = hyper(1e-4, 1e-6, 0.5, log=True, valid="(0,1)", doc="fraction c of the promised decrease")
    trials: int = static(30, least=1, doc="trials before the search gives up")

    def judge(self, line: Line, f: Any, m: Any) -> Line:
        t, (origin, *_) = line.t, line.read()
        accepted = falls_enough(self.c, origin, End(t, f, m))
        _, f0, m0 = origin
        parabola = -m0 * t * t / (2 * (f - f0 - m0 * t))
        shorter = jnp.where(jnp.isfinite(f), jnp.clip(parabola, 0.1 * t, 0.5 * t), 0.1 * t)
        return line._replace(
            t=jnp.where(accepted, t, shorter),
            trials=line.trials + 1,
            outcome=outcome(accepted, line.trials + 1 >= self.trials),
        )
