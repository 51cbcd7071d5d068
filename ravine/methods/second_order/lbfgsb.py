"""L-BFGS-B: L-BFGS within bounds.

    B = θI − W M Wᵀ,   W = [Y  θS],   M⁻¹ = [−D  Lᵀ; L  θSᵀS],   SᵀY = L + D + (upper part)
    xᶜ = the first minimum of the model along the projected path P(x − t g)
    x̄ = the minimum of the model over the elements that are free at xᶜ, projected
    x⁺ = x + t (x̄ − x)                                                     t from a line search, within the bounds

[1, (3.4)-(3.6), algorithm CP, section 5.1], with the projection of x̄ in place of a truncation [2]. Where every element has two
bounds, the first t is 1, as in the authors' program: the box says how far is far. The breakpoints of the path are
looked at all at once, by cumulative sums, not one after another.

[1] R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited memory algorithm for bound constrained optimization", SIAM J. Sci. Comput. 16
    (1995) 1190-1208.
[2] J. L. Morales, J. Nocedal, ACM Trans. Math. Softw. 38 (2011), remark on algorithm 778.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import part, static
from ravine.math.secant import curvature_is_positive
from ravine.methods.second_order.descent import LineSearchDescent
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe


class Pairs(NamedTuple):
    """The last m steps and gradient differences, oldest first, each (m, n); which rows are in use; and θ = yᵀy / sᵀy.

    The pairs are scaled to sᵀy = 1, so D = I. B does not depend on the lengths of its pairs, but the rounding in M does, where
    steps differ by orders of magnitude.
    """

    S: Any
    Y: Any
    used: Any
    theta: Any


class LBFGSB(LineSearchDescent):
    """L-BFGS-B: L-BFGS within bounds, for any number of parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: 100 * (x[1] - x[0]**2)**2 + (1 - x[0])**2
        >>> r = rv.minimize(rosenbrock, jnp.array([-1.2, 0.5]), method="lbfgsb", bounds=(None, 0.5))
        >>> r.status.name, r.x.round(3).tolist()
        ('CONVERGED', [0.5, 0.25])
    """

    takes_bounds = True

    memory: int = static(10, least=1, doc="steps m that are remembered")
    search: LineSearch = part(of=LineSearch, factory=StrongWolfe, doc="line search")

    def blank(self, x: Any) -> Pairs:
        rows = jnp.zeros((self.memory, x.size), x.dtype)
        return Pairs(rows, rows, jnp.zeros(self.memory, bool), jnp.ones((), x.dtype))

    def learn(self, memory: Pairs, fresh: Any, s: Any, y: Any, g: Any) -> Pairs:
        good = curvature_is_positive(s, y)

        def push(rows: Any, last: Any) -> Any:
            return jnp.where(good, jnp.concatenate([rows[1:], last[None]]), rows)

        theta = jnp.where(good, (y @ y) / (s @ y), memory.theta)
        unit = 1 / jnp.sqrt(s @ y)
        return Pairs(push(memory.S, unit * s), push(memory.Y, unit * y), push(memory.used, jnp.bool_(True)), theta)

    def begin(self, problem: Any, x: Any, g: Any) -> tuple[Any, Any]:
        return self.look(problem, self.blank(x), jnp.bool_(True), x, g)  # −g may lead out of the box

    def look(self, problem: Any, memory: Pairs, fresh: Any, x: Any, g: Any) -> tuple[Any, Any]:
        S, Y, used, theta = memory
        # In steps, p_c = xᶜ − x and p_bar = x̄ − x: one that is small beside x is rounded away in the difference of two points.
        low = jnp.full_like(x, -jnp.inf) if problem.lower is None else problem.lower - x
        high = jnp.full_like(x, jnp.inf) if problem.upper is None else problem.upper - x
        m = S.shape[0]
        SY, SS, unused = S @ Y.T, S @ S.T, jnp.diag((~used).astype(x.dtype))
        L, D = jnp.tril(SY, -1), jnp.diag(jnp.diag(SY)) + unused
        M = jnp.linalg.inv(jnp.block([[-D, L.T], [L, theta * SS + unused]]))
        W = jnp.concatenate([Y, theta * S]).T

        # Cauchy: each element leaves the path −t g at its bound, at t_i. Sums over those that have not left yet, in the order of t.
        at = jnp.where(g < 0, -high / g, jnp.where(g > 0, -low / g, jnp.inf))
        d = jnp.where(at > 0, -g, 0)
        order = jnp.argsort(at)
        t = jnp.concatenate([jnp.zeros(1, x.dtype), at[order]])
        left = jnp.concatenate([jnp.zeros((1, 2 * m), x.dtype), jnp.cumsum((W * d[:, None])[order], axis=0)])
        p = jnp.sum(W * d[:, None], axis=0)[None] - left
        dd = jnp.sum(d * d) - jnp.concatenate([jnp.zeros(1, x.dtype), jnp.cumsum((d * d)[order])])
        finite = jnp.where(jnp.isfinite(t), t, 0)
        spans = jnp.diff(finite, append=finite[-1:])
        c = jnp.concatenate([jnp.zeros((1, 2 * m), x.dtype), jnp.cumsum(jnp.maximum(spans, 0)[:-1, None] * p[:-1], axis=0)])
        pM = p @ M
        slope = -dd + theta * finite * dd - jnp.sum(pM * c, axis=1)
        curvature = theta * dd - jnp.sum(pM * p, axis=1)
        inside = finite - slope / curvature
        ends = (slope >= 0) | (inside <= jnp.append(t[1:], jnp.inf)) | (dd <= 0) | ~jnp.isfinite(t)
        j = jnp.argmax(ends.at[-1].set(True))
        t_c = jnp.where((slope[j] < 0) & (dd[j] > 0) & (curvature[j] > 0), inside[j], finite[j])
        p_c = jnp.where(at <= t_c, jnp.where(g > 0, low, high), jnp.clip(t_c * d, low, high))

        # The minimum over the elements that are free at the Cauchy point, by the formula of Sherman, Morrison and Woodbury.
        free = (p_c > low) & (p_c < high)
        r = jnp.where(free, g + theta * p_c - W @ (M @ (W.T @ p_c)), 0)
        Z = jnp.where(free[:, None], W, 0)
        v = jnp.linalg.solve(jnp.eye(2 * m, dtype=x.dtype) - M @ (Z.T @ Z) / theta, M @ (Z.T @ r))
        p_bar = jnp.clip(p_c - jnp.where(free, r + Z @ v / theta, 0) / theta, low, high)
        return memory, jnp.where(g @ p_bar < 0, p_bar, p_c)

    def blind_trial(self, problem: Any, p: Any) -> Any:
        if problem.lower is None:
            return super().blind_trial(problem, p)
        boxed = jnp.all(jnp.isfinite(problem.lower) & jnp.isfinite(problem.upper))
        return jnp.where(boxed, 1, super().blind_trial(problem, p))

    def longest(self, problem: Any, x: Any, p: Any) -> Any:
        if problem.lower is None:
            return jnp.full((), jnp.inf, x.dtype)
        room = jnp.where(p < 0, (problem.lower - x) / p, jnp.where(p > 0, (problem.upper - x) / p, jnp.inf))
        return jnp.maximum(jnp.min(room), 1)
