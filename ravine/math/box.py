"""Bounds lower ≤ x ≤ upper; None where there are none."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import largest


def project(x: Any, lower: Any, upper: Any) -> Any:
    """P(x): the nearest point within the bounds."""
    return x if lower is None else jnp.clip(x, lower, upper)


def projected_gradient(x: Any, g: Any, lower: Any, upper: Any) -> Any:
    """x − P(x − g): the gradient where there are no bounds, and zero exactly at a stationary point.

    As g, cut to what x lacks to its bounds: x − g would round a gradient away that is small beside x.
    """
    return g if lower is None else jnp.clip(g, x - upper, x - lower)


def nearly_stationary(x: Any, f: Any, g: Any, lower: Any, upper: Any, blur: Any = 0.0) -> Any:
    """Whether g is as small as rounding may leave it: the relative change of f per relative change of an element of x,
    max |gᵢ| max(1, |xᵢ|) / max(1, |f|) [1, (7.2.5)], is at most ε^(1/3).

    Where elements of x differ by orders of magnitude that says little of the small ones: |g|∞ max(1, |x|∞) / max(1, |f|) must be at
    most ε^0.22 and a hundredth, too, which tells solutions from plateaus: CUTEst's BROWNBS has 2·10⁻⁴ at its solution, HAHN1LS and
    DMN15102LS have 6·10⁻⁴ far from theirs; in float32 DMN15102LS has 2·10⁻² far from it. There g itself may be off by more than it
    is long (VANDANMSLS: 2·10⁻³ for 2·10⁻²), so `blur` is added, what a rounding error of x does to g.
    Where |x|∞ is above 1/ε, a change by 1 is lost in it, and f is flat because x is far: there a thousandth is asked for (in
    float32 NewtonCG comes to |x| = 4·10¹¹ on DMN15103LS, with 3·10⁻³; taken in float64 it is 10⁻²).

    [1] J. E. Dennis, R. B. Schnabel, "Numerical Methods for Unconstrained Optimization and Nonlinear Equations" (1983).
    """
    eps = jnp.finfo(x.dtype).eps
    g, longest = projected_gradient(x, g, lower, upper), jnp.maximum(1, largest(x))
    each, any_pair = largest(g * jnp.maximum(1, jnp.abs(x))), largest(g) * longest
    size = jnp.maximum(1, jnp.abs(f))
    plateau = min(float(eps) ** 0.22, 0.01)
    known = any_pair + blur * longest <= jnp.where(longest * eps > 1, 0.001, 0.01) * size
    return (each <= eps ** (1 / 3) * size) & (any_pair <= plateau * size) & known


def binding(x: Any, g: Any, lower: Any, upper: Any) -> Any:
    """Which elements are at a bound that −g leads out of."""
    return ((x <= lower) & (g > 0)) | ((x >= upper) & (g < 0))
