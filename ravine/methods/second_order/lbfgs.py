"""L-BFGS: BFGS that remembers the last m steps instead of a matrix, O(m n) a step.

    p = −H g,   H = the BFGS updates by (sₖ₋ₘ, yₖ₋ₘ) … (sₖ₋₁, yₖ₋₁) of γ I,   γ = sᵀy / yᵀy of the last step

by the two loops [1, algorithm 7.4]:

    q = g
    for the pairs from the last to the first:   α = ρ sᵀq,   q = q − α y
    r = γ q
    for the pairs from the first to the last:   β = ρ yᵀr,   r = r + (α − β) s
    p = −r

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006); D. C. Liu, J. Nocedal, Math. Prog. 45 (1989) 503-528.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from ravine.core.pytree import part, select, static
from ravine.math.rows import rows
from ravine.math.secant import curvature_is_positive, first_scale
from ravine.methods.second_order.descent import LineSearchDescent
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe


class Pairs(NamedTuple):
    """The last m steps and gradient differences, oldest first, each m rows; ρ = 1 / yᵀs, 0 in empty rows; and γ."""

    S: Any
    Y: Any
    rho: Any
    gamma: Any


class LBFGS(LineSearchDescent):
    """L-BFGS: BFGS from the last `memory` steps; for any number of parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: jnp.sum((x**2 - 1)**2), jnp.full(1000, 2.0), method=rv.LBFGS(memory=5))
        >>> r.status.name, float(r.x.min().round(4)), float(r.x.max().round(4))
        ('CONVERGED', 1.0, 1.0)
    """

    memory: int = static(10, least=1, doc="steps m that are remembered")
    search: LineSearch = part(of=LineSearch, factory=StrongWolfe, doc="line search")

    def blank(self, x: Any) -> Pairs:
        empty = rows(jnp.zeros((self.memory, x.size), x.dtype))
        return Pairs(empty, empty, jnp.zeros(self.memory, x.dtype), jnp.ones((), x.dtype))

    def learn(self, memory: Pairs, fresh: Any, s: Any, y: Any, g: Any) -> Pairs:
        good = curvature_is_positive(s, y)
        rho = jnp.append(memory.rho[1:], 1 / (y @ s))
        return select(good, Pairs(memory.S.pushed(s), memory.Y.pushed(y), rho, first_scale(s, y)), memory)

    def direction(self, memory: Pairs, g: Any) -> Any:
        S, Y, rho, gamma = memory

        def backward(q: Any, pair: Any) -> Any:
            s, y, rho = pair
            alpha = rho * (s @ q)
            return q - alpha * y, alpha

        def forward(r: Any, pair: Any) -> Any:
            s, y, rho, alpha = pair
            beta = rho * (y @ r)
            return r + (alpha - beta) * s, None

        blocks, q, alphas = list(zip(S.blocks, Y.blocks, jnp.split(rho, S.cuts()), strict=True)), g, []
        for block in reversed(blocks):
            q, alpha = lax.scan(backward, q, block, reverse=True)
            alphas.append(alpha)
        r = gamma * q
        for block, alpha in zip(blocks, reversed(alphas), strict=True):
            r, _ = lax.scan(forward, r, (*block, alpha))
        return -r
