"""L-BFGS: BFGS that remembers the last m steps instead of a matrix, O(m n) a step.

    p = −H g,   H = the BFGS updates by (sₖ₋ₘ, yₖ₋ₘ) … (sₖ₋₁, yₖ₋₁) of D,   D = γ I,   γ = sᵀy / yᵀy of the last step

by the two loops [1, algorithm 7.4], with each pair divided by √(yᵀs), so that yᵀs = 1 and the book's ρ is 1:

    q = −g
    for the pairs from the last to the first:   α = sᵀq,   q = q − α y
    r = D q
    for the pairs from the first to the last:   β = yᵀr,   r = r + (α − β) s

and p is the last r. The search goes on to c₂ = ½, as that of BFGS does and for the same reason.

With `diagonal`, D holds a number for each parameter: the diagonal of the BFGS update of the last D, scaled to yᵀD y = sᵀy [2]:

    1 / D⁺ᵢ = (yᵀD y / sᵀy) (1 / Dᵢ − (sᵢ / Dᵢ)² / sᵀD⁻¹s) + yᵢ² / sᵀy

It remembers the units of the parameters for longer than m steps.

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006); D. C. Liu, J. Nocedal, Math. Prog. 45 (1989) 503-528.
[2] J. C. Gilbert, C. Lemaréchal, "Some numerical experiments with variable-storage quasi-Newton algorithms", Math. Prog. 45 (1989)
    407-435: the scaling of their program M1QN3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import part, select, static
from ravine.math.rows import rows, scanned
from ravine.math.secant import bfgs_diagonal, curvature_is_positive, first_scale
from ravine.methods.second_order.descent import LineSearchDescent
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe


class Pairs(NamedTuple):
    """The last m steps and gradient differences, oldest first, each m rows, so long that yᵀs = 1, 0 where there is none; and D."""

    S: Any
    Y: Any
    D: Any


class LBFGS(LineSearchDescent):
    """L-BFGS: BFGS from the last `memory` steps; for any number of parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: jnp.sum((x**2 - 1)**2), jnp.full(1000, 2.0), method=rv.LBFGS(memory=5))
        >>> r.status.name, float(r.x.min().round(4)), float(r.x.max().round(4))
        ('CONVERGED', 1.0, 1.0)
    """

    memory: int = static(10, least=1, doc="steps m that are remembered")
    diagonal: bool = static(False, choices=(False, True), doc="whether D has a number for each parameter, for badly scaled ones")
    search: LineSearch = part(of=LineSearch, factory=lambda: StrongWolfe(c2=0.5), doc="line search")

    def blank(self, x: Any) -> Pairs:
        empty = rows(jnp.zeros((self.memory, x.size), x.dtype))
        return Pairs(empty, empty, jnp.ones(x.shape if self.diagonal else (), x.dtype))

    def learn(self, memory: Pairs, fresh: Any, s: Any, y: Any, g: Any) -> Pairs:
        good = curvature_is_positive(s, y)
        unit = 1 / jnp.sqrt(y @ s)
        D = bfgs_diagonal(memory.D, s, y) if self.diagonal else first_scale(s, y)
        return select(good, Pairs(memory.S.pushed(unit * s), memory.Y.pushed(unit * y), D), memory)

    def direction(self, memory: Pairs, g: Any) -> Any:
        S, Y, D = memory

        def backward(q: Any, pair: Any) -> Any:
            s, y = pair
            alpha = s @ q
            return q - alpha * y, alpha

        def forward(r: Any, pair: Any) -> Any:
            s, y, alpha = pair
            beta = y @ r
            return r + (alpha - beta) * s, None

        q, alpha = scanned(backward, -g, S, Y, reverse=True)
        p, _ = scanned(forward, D * q, S, Y, along=alpha)
        return p
