"""What tells how a run on f(x) + g(K x) stands: residuals in the problem's own units, rest, and separation."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.problem import Composite
from ravine.core.pytree import largest
from ravine.methods.linear.krylov import norm


def units(problem: Composite, x: Any) -> tuple[Any, Any, Any]:
    """The problem's own units: |K v|∞ for |v|∞ = 1, |∇f(0)|∞ of a quadratic f, and |∇²f v| / |KᵀK v|, v of alternating signs."""
    v = jnp.where(jnp.arange(x.size) % 2, -jnp.ones_like(x), 1)
    Kv = problem.product(v)
    of_rho = norm(problem.f.hvp(x, v)) / norm(problem.transposed(Kv))
    of_g = largest(problem.f.gradient(jnp.zeros_like(x))) if problem.quadratic else jnp.zeros((), x.dtype)
    return largest(Kv), of_g, jnp.where((of_rho > 0) & jnp.isfinite(of_rho), of_rho, 1)


def relative(residual: Any, *sizes: Any) -> Any:
    """|residual|∞ in units of the largest of these sizes; 0 where it is 0."""
    size = largest(sizes)
    return largest(residual) / jnp.where(size > 0, size, 1)


def unchanged(new: Any, old: Any) -> Any:
    """Whether a step changed x, z and y by no more than rounding."""
    eps = 4 * jnp.finfo(new.x.dtype).eps
    pairs = ((new.x, old.x), (new.z, old.z), (new.y, old.y))
    return jnp.all(jnp.stack([norm(a - b) <= eps * norm(a) for a, b in pairs]))


def separated(problem: Composite, s: Any, Ktr: Any) -> Any:
    """Whether r = K x − z separates the range of K from where g is finite: Kᵀr = 0, and u, a normal there at z, is along r."""
    if problem.K is None:
        return jnp.bool_(False)
    root, size = jnp.finfo(s.f.dtype).eps ** 0.5, norm(s.r)
    along = (s.y @ s.r) >= (1 - 1e-4) * norm(s.y) * size
    outside = ~jnp.isfinite(problem.penalty(s.r + s.z)) & (size > root * (norm(s.z) + s.of_x * norm(s.x)))
    return along & outside & (norm(Ktr) <= root * s.of_x * size)
