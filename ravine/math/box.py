"""Bounds lower ≤ x ≤ upper; None where there are none."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


def project(x: Any, lower: Any, upper: Any) -> Any:
    """P(x): the nearest point within the bounds."""
    return x if lower is None else jnp.clip(x, lower, upper)


def projected_gradient(x: Any, g: Any, lower: Any, upper: Any) -> Any:
    """x − P(x − g): the gradient where there are no bounds, and zero exactly at a stationary point."""
    return g if lower is None else x - jnp.clip(x - g, lower, upper)


def relative_gradient(x: Any, f: Any, g: Any, lower: Any, upper: Any) -> Any:
    """The largest relative change of f per relative change of an element of x, max |gᵢ| max(1, |xᵢ|) / max(1, |f|) [1, (7.2.5)].

    [1] J. E. Dennis, R. B. Schnabel, "Numerical Methods for Unconstrained Optimization and Nonlinear Equations" (1983).
    """
    change = jnp.abs(projected_gradient(x, g, lower, upper)) * jnp.maximum(1, jnp.abs(x))
    return jnp.max(change, initial=0.0) / jnp.maximum(1, jnp.abs(f))


def binding(x: Any, g: Any, lower: Any, upper: Any) -> Any:
    """Which elements are at a bound that −g leads out of."""
    return ((x <= lower) & (g > 0)) | ((x >= upper) & (g < 0))
