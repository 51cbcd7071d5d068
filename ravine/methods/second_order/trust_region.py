"""The trust-region Newton method: the best step of the quadratic model that is no longer than Δ.

    p = arg min gᵀp + ½ pᵀB p   subject to |D p| ≤ Δ,   B = ∇²f(x)
    ρ = (f(x) − f(x + p)) / (decrease that the model predicts)
    x⁺ = x + p where ρ > η;   Δ⁺ = ¼|D p| where ρ < ¼,   2Δ where ρ > ¾ and |D p| = Δ

[1, algorithm 4.1]. The first Δ is |D⁻¹ g|, the length of the step −D⁻² g; with D = 1 it is that of [4]. Where the Hessian is
formed and there are no bounds, Dᵢ is the largest √|Bᵢᵢ| so far, as in [3] for least squares: the steps do not depend on the
units of the elements of x. Elsewhere D = 1.

Up to `dense_up_to` parameters the subproblem is solved exactly by the eigenvalues of B [2], so that a saddle is
seen, and left along a direction of negative curvature; above, by Steihaug's conjugate gradients. With bounds every trial is inside.

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006).
[2] J. J. Moré, D. C. Sorensen, "Computing a trust region step", SIAM J. Sci. Stat. Comput. 4 (1983) 553-572.
[3] J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", Lecture Notes in Mathematics 630 (1978).
[4] C.-J. Lin, J. J. Moré, "Newton's method for large bound-constrained optimization problems", SIAM J. Optim. 9 (1999) 1100-1127.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core import work
from ravine.core.method import Method
from ravine.core.problem import Objective
from ravine.core.pytree import hyper, select, static
from ravine.core.status import Status
from ravine.math.box import nearly_stationary, project, projected_gradient
from ravine.methods.second_order.subproblem import Dense, MatrixFree, noise_of
from ravine.steps.line_search import resolution, rounding

PATIENCE = 3


class State(NamedTuple):
    """Where the run is.

    Attributes:
        x, f, g: the last accepted point; model: its Hessian, () where only products with it are used.
        radius: Δ.
        promise: the decrease that the model without the radius predicts; ∞ where it has no minimum.
        idle: steps in succession that gained nothing, and promised nothing beyond rounding or were accepted for their slopes alone.
        lowest, least: the least f and the least |g|∞ seen.
        accepted: whether the last trial moved x.
    """

    x: Any
    f: Any
    g: Any
    model: Any
    radius: Any
    promise: Any
    idle: Any
    lowest: Any
    least: Any
    accepted: Any


class TrustRegion(Method):
    """Trust-region Newton: exact subproblem for few parameters, Steihaug's conjugate gradients for many; keeps to bounds.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: 100 * (x[1] - x[0]**2)**2 + (1 - x[0])**2
        >>> r = rv.minimize(rosenbrock, jnp.array([-1.2, 1.0]), method="trust_region")
        >>> r.status.name, r.x.round(4).tolist()
        ('CONVERGED', [1.0, 1.0])
    """

    takes_bounds = True

    radius: float = hyper(1.0, 1e-3, 1e3, log=True, doc="first radius Δ, as a multiple of |D⁻¹ g|")
    eta: float = hyper(1e-4, 1e-6, 0.2, log=True, valid="(0,1)", doc="least ratio η of an accepted step")
    dense_up_to: int = static(200, least=0, doc="parameters up to which the Hessian is formed")

    def init(self, problem: Objective, x: Any) -> State:
        f, g = problem.value_and_grad(x)
        model = self._subproblem(x).model(problem, x, g)
        # A start on a saddle has no gradient: 10⁻³ is little beside D, and many doublings away from nothing.
        radius = self.radius * jnp.maximum(_length(g / _scale(model, x)), 1e-3)
        inf, idle = jnp.full_like(f, jnp.inf), jnp.int32(0)
        return State(x, f, g, model, radius, inf, idle, f, jnp.max(jnp.abs(g), initial=0.0), jnp.bool_(True))

    def step(self, problem: Objective, s: State) -> State:
        p, predicted, promise, _ = self._subproblem(s.x).propose(problem, s)
        x = project(s.x + p, problem.lower, problem.upper)
        f, g = problem.value_and_grad(x)

        # Where rounding hides the decrease, the mean slope along the step says it. A trial that is not finite is no decrease.
        by_slopes = -0.5 * (s.g + g) @ p
        hidden = jnp.abs(s.f - f) <= resolution(s.f)
        actual = jnp.where(hidden, by_slopes, s.f - f)
        finite = (jnp.isfinite(f) & jnp.all(jnp.isfinite(g))) | (f == -jnp.inf)
        ratio = jnp.where(finite, actual / predicted, -jnp.inf)
        accepted = (ratio > self.eta) & (actual > 0)
        length = _length(_scale(s.model, s.x) * p)
        shorter = jnp.where(finite, 0.25, 0.1) * length
        longer = jnp.where((ratio > 0.75) & (length > 0.99 * s.radius), 2 * s.radius, s.radius)

        now = jnp.max(jnp.abs(g), initial=0.0)
        gained = accepted & ((s.lowest - f > rounding(f)) | (now < 0.5 * s.least))
        noise = rounding(s.f) + jnp.finfo(f.dtype).eps * (jnp.abs(s.g) @ jnp.abs(s.x))
        # Values and slopes of a long step disagree because f is not quadratic, which is no noise.
        doubt = jnp.minimum(jnp.abs(s.f - f - by_slopes), jnp.sqrt(jnp.finfo(f.dtype).eps) * jnp.abs(s.f))
        unresolved = promise <= jnp.maximum(noise, doubt)
        x_new, f_new, g_new = select(accepted, (x, f, g), (s.x, s.f, s.g))
        return State(
            x=x_new,
            f=f_new,
            g=g_new,
            model=work.cond(accepted, lambda: self._subproblem(x).model(problem, x, g, s.model), lambda: s.model),
            radius=jnp.where(ratio > 0.25, longer, shorter),
            promise=promise,
            # Slopes that promise what values never show are those of another function: a derivative may be wrong.
            idle=jnp.where(gained, 0, jnp.where(unresolved | (hidden & accepted), s.idle + 1, jnp.where(accepted, 0, s.idle))),
            lowest=jnp.where(accepted, jnp.minimum(s.lowest, f), s.lowest),
            least=jnp.where(accepted, jnp.minimum(s.least, now), s.least),
            accepted=accepted,
        )

    def _subproblem(self, x: Any) -> type[Dense] | type[MatrixFree]:
        return Dense if x.size <= self.dense_up_to else MatrixFree

    def optimality(self, problem: Any, s: State) -> Any:
        g = jnp.max(jnp.abs(projected_gradient(s.x, s.g, problem.lower, problem.upper)), initial=0.0)
        return jnp.maximum(g, self._fall(s) * jnp.maximum(1, jnp.max(jnp.abs(s.x))))

    def _fall(self, s: State) -> Any:
        """At a saddle f falls along the eigenvector of the least eigenvalue, by an amount that is not rounding."""
        if not s.model:
            return jnp.zeros_like(s.f)
        least, v = s.model.lam[0], s.model.Q[:, 0] / s.model.D
        return jnp.where(least < -10 * noise_of(s.model.lam), -least / (v @ v), 0)

    def accepted(self, s: State) -> Any:
        return s.accepted

    def verdict(self, problem: Any, s: State) -> Any:
        eps = jnp.finfo(s.f.dtype).eps
        lost = s.radius <= eps * jnp.maximum(_length(s.x), 1e-3) * jnp.min(_scale(s.model, s.x))
        near = nearly_stationary(s.x, s.f, s.g, problem.lower, problem.upper) & (self._fall(s) == 0)
        precise = (s.idle >= PATIENCE) | (s.promise <= 100 * rounding(s.f))
        end = jnp.where(near & precise, jnp.int32(Status.PRECISION), jnp.int32(Status.STALLED))
        ended = jnp.where(lost | (s.idle >= PATIENCE), end, jnp.int32(Status.RUNNING))
        return jnp.where(jnp.all(jnp.isfinite(s.g)), ended, jnp.int32(Status.NONFINITE))


def _scale(model: Any, x: Any) -> Any:
    """D."""
    return model.D if model else jnp.ones_like(x)


def _length(v: Any) -> Any:
    return jnp.sqrt(v @ v)
