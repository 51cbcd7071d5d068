"""The step of a trust region: by the eigenvalues of the Hessian, or by Hessian-vector products; in a box, on a face of it.

With bounds [1], the step first goes down the projected gradient to the Cauchy point, and from there to the best point on the face
of the box that it lies on; where that is outside, to the edge or its projection, whichever the model likes better, and so on from
face to face.

[1] C.-J. Lin, J. J. Moré, "Newton's method for large bound-constrained optimization problems", SIAM J. Optim. 9 (1999) 1100-1127.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core import work
from ravine.core.problem import Objective
from ravine.math.box import binding
from ravine.math.trust_region import Truncated, diagonal, steihaug

PASSES = 10


class Proposal(NamedTuple):
    """A step p, the decrease that the model predicts for it, the decrease that it would predict without a radius (∞ if it has no
    minimum), and the least curvature seen."""

    p: Any
    predicted: Any
    promise: Any
    curvature: Any


class Eigen(NamedTuple):
    """The Hessian B, the largest √|Bᵢᵢ| so far, and Q diag(λ) Qᵀ = D⁻¹ B D⁻¹, on the elements that are free at x."""

    B: Any
    seen: Any
    lam: Any
    Q: Any

    @property
    def D(self) -> Any:
        return _scale(self.seen)


class Dense:
    """The exact subproblem: B is formed, and Q diag(λ) Qᵀ solved for."""

    @staticmethod
    def model(problem: Objective, x: Any, g: Any, before: Eigen | None = None) -> Eigen:
        B = problem.hessian(x)
        B = jnp.where(jnp.isfinite(B), B, 0)
        if problem.lower is not None:
            return Eigen(B, jnp.ones_like(x), *_eigen(B, binding(x, g, problem.lower, problem.upper)))
        seen = jnp.sqrt(jnp.abs(jnp.diag(B)))
        seen = seen if before is None else jnp.maximum(seen, before.seen)
        D = _scale(seen)
        return Eigen(B, seen, *jnp.linalg.eigh(B / D[:, None] / D[None]))

    @staticmethod
    def propose(problem: Objective, s: Any) -> Proposal:
        B, _, lam, Q = s.model
        a = Q.T @ (s.g / s.model.D)
        rounding = noise_of(lam)
        newton = jnp.where(lam[0] > -rounding, 0.5 * jnp.sum(a * a / jnp.maximum(lam, rounding)), jnp.inf)
        if problem.lower is None:
            z = diagonal(lam, a, s.radius)
            return Proposal(Q @ z / s.model.D, -(a @ z + 0.5 * z @ (lam * z)), newton, lam[0])

        def solve(held: Any, r: Any, radius: Any) -> Any:
            lam, Q = _eigen(B, held)
            return Q @ diagonal(lam, Q.T @ r, radius)

        p, predicted = _in_box(problem, s, lambda v: B @ v, solve)
        length = jnp.sqrt(p @ p)
        promise = jnp.where((length < 0.99 * s.radius) & (lam[0] > -rounding), predicted, jnp.inf)
        return Proposal(p, predicted, promise, lam[0])


class MatrixFree:
    """Steihaug's conjugate gradients: B is seen through products with it."""

    @staticmethod
    def model(problem: Objective, x: Any, g: Any, before: Any = None) -> Any:
        return ()

    @staticmethod
    def propose(problem: Objective, s: Any) -> Proposal:
        _, hvp = problem.linearize_gradient(s.x)

        def solve(held: Any, r: Any, radius: Any) -> Truncated:
            size = jnp.sqrt(r @ r)
            tolerance = jnp.minimum(0.1, jnp.sqrt(size)) * size
            free = hvp if held is None else lambda v: jnp.where(held, 0, hvp(v))
            return steihaug(free, r, radius, tolerance, 2 * r.size)

        if problem.lower is None:
            p, curvature = solve(None, s.g, s.radius)
            predicted = -(s.g @ p + 0.5 * p @ hvp(p))
        else:
            p, predicted = _in_box(problem, s, hvp, lambda *a: solve(*a).p)
            curvature = p @ hvp(p) / (p @ p)
        inside = (jnp.sqrt(p @ p) < 0.99 * s.radius) & (curvature > 0)
        return Proposal(p, predicted, jnp.where(inside, predicted, jnp.inf), curvature)


def noise_of(lam: Any) -> Any:
    """Eigenvalues smaller than this are rounding."""
    return lam.size * jnp.finfo(lam.dtype).eps * jnp.max(jnp.abs(lam))


def _scale(seen: Any) -> Any:
    """D: an element in whose direction no curvature was seen is measured as the most curved one."""
    most = jnp.max(seen)
    return jnp.where(seen > jnp.finfo(seen.dtype).eps * most, seen, jnp.where(most > 0, most, 1))


def _eigen(B: Any, held: Any) -> Any:
    """The eigenvalues and eigenvectors of B on the elements that are not held; the others see a multiple of the identity."""
    B = jnp.where(held[:, None] | held[None, :], 0, B) + jnp.diag(jnp.where(held, jnp.max(jnp.abs(B)), 0))
    return jnp.linalg.eigh(B)


def _in_box(problem: Objective, s: Any, hvp: Callable[[Any], Any], solve: Callable[..., Any]) -> tuple[Any, Any]:
    """The step within the box, and what the model predicts of it."""
    x, g, low, high = s.x, s.g, problem.lower, problem.upper

    def model(p: Any) -> Any:
        return g @ p + 0.5 * p @ hvp(p)

    def on_bound(p: Any) -> Any:
        return (x + p <= low) | (x + p >= high)

    # The Cauchy point: down the projected gradient, by a quarter less until the model has fallen enough.
    def too_far(carry: Any) -> Any:
        k, _, p, q = carry
        return (k < 20) & ~(q <= 0.01 * (g @ p))

    def less(carry: Any) -> Any:
        k, t, _, _ = carry
        p = jnp.clip(x - 0.25 * t * g, low, high) - x
        return k + 1, 0.25 * t, p, model(p)

    downhill = jnp.where(binding(x, g, low, high), 0, g)
    t = 4 * s.radius / jnp.sqrt(downhill @ downhill)
    _, _, p, q = work.while_loop(too_far, less, (jnp.int32(0), t, jnp.zeros_like(x), jnp.full((), jnp.inf, x.dtype)))

    # From there, on the face that it lies on, to the best point of the model; where that is outside, to the edge or onto the box.
    def go(carry: Any) -> Any:
        k, new, *_ = carry
        return new & (k < PASSES)

    def further(carry: Any) -> Any:
        k, _, held, p, q = carry
        w = solve(held, jnp.where(held, 0, g + hvp(p)), s.radius)
        room = jnp.where(w < 0, (low - x - p) / w, jnp.where(w > 0, (high - x - p) / w, jnp.inf))
        edge = p + jnp.minimum(1, jnp.min(room)) * w
        onto = jnp.clip(x + p + w, low, high) - x
        q_edge, q_onto = model(edge), model(onto)
        better = jnp.where(q_onto <= q_edge, onto, edge)
        q_new = jnp.minimum(q_onto, q_edge)
        p = jnp.where(q_new < q, better, p)
        return k + 1, jnp.any(on_bound(p) & ~held) & (q_new < q), held | on_bound(p), p, jnp.minimum(q_new, q)

    *_, p, q = work.while_loop(go, further, (jnp.int32(0), jnp.bool_(True), on_bound(p), p, q))
    return p, -q
