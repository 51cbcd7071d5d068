"""Proximal operators: prox_{t g}(z) = argmin_w g(w) + ‖w − z‖² / 2t, in closed form.

[1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in Optimization 1 (2014), chapter 6.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


def soft_threshold(z: Any, t: Any) -> Any:
    """sign(z) max(|z| − t, 0) = z − clip(z, −t, t): the prox of t ‖·‖₁. The second form has no −0."""
    return z - jnp.clip(z, -t, t)


def block_soft_threshold(z: Any, t: Any, axis: Any = None) -> Any:
    """max(1 − t / ‖z‖₂, 0) z, for each vector along `axis`: the prox of t Σ ‖·‖₂."""
    norm = lengths(z, axis)
    return jnp.where(norm > t, 1 - t / jnp.where(norm > t, norm, 1), 0) * z


def lengths(z: Any, axis: Any = None) -> Any:
    """‖z‖₂ along `axis` (of the whole array for None), which stays as an axis of length 1; squares do not leave the range."""
    size = jnp.max(jnp.abs(z), axis=axis, keepdims=True, initial=0)
    size = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    return size * jnp.sqrt(jnp.sum((z / size) ** 2, axis=axis, keepdims=True))


def shrink(z: Any, t: Any) -> Any:
    """z / (1 + t): the prox of t/2 ‖·‖²."""
    return z / (1 + t)
