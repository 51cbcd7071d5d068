"""Functions g that have a prox: what ADMM and its kin take as g. In the public API this module is `rv.prox`.

    value(z)    g(z), perhaps infinite
    prox(z, t)  argmin_w g(w) + ‖w − z‖² / 2t

    L1(λ)               λ ‖z‖₁                     sign(z) max(|z| − tλ, 0)          lasso, total variation
    SquaredL2(λ)        λ/2 ‖z‖²                   z / (1 + tλ)                      ridge
    ElasticNet(λ, μ)    λ ‖z‖₁ + μ/2 ‖z‖²          the first of these, then the second
    L2(λ, axis)         λ Σ ‖z_group‖₂             max(1 − tλ / ‖z‖₂, 0) z           group lasso, isotropic total variation
    Box(l, h)           0 if l ≤ z ≤ h, else ∞     clip(z, l, h)                     box constraints
    NonNegative()       0 if z ≥ 0, else ∞         max(z, 0)                         non-negative least squares
    Zero()              0                          z                                 a part of the parameters without a penalty

Each acts on one array; for a tree of parameters g is one of these for all arrays, or a tree of them: `{"w": L1(0.1), "b": Zero()}`.
One of your own is a subclass of `Prox` with these two functions.

[1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in Optimization 1 (2014).
[2] J. J. Moreau, "Proximité et dualité dans un espace hilbertien", Bull. Soc. Math. France 93 (1965) 273.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.pytree import Record, hyper, part, static
from ravine.math.prox import block_soft_threshold, lengths, shrink, soft_threshold


class Prox(Record):
    """Base of the functions with a prox."""

    def value(self, z: Any) -> Any:
        """g(z) of an array."""
        raise NotImplementedError

    def prox(self, z: Any, t: Any) -> Any:
        """argmin_w g(w) + ‖w − z‖² / 2t; for t → ∞ the minimiser of g nearest to z."""
        raise NotImplementedError

    def conjugate_prox(self, z: Any, t: Any) -> Any:
        """The prox of the conjugate g*(y) = sup_z yᵀz − g(z), by Moreau's identity z = prox_{t g*}(z) + t prox_{g/t}(z/t) [2]."""
        return z - t * self.prox(z / t, 1 / t)


class Zero(Prox):
    """g = 0.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.prox.Zero().prox(jnp.array([3.0, -0.5]), 1.0).tolist()
        [3.0, -0.5]
    """

    def value(self, z: Any) -> Any:
        return jnp.zeros((), z.dtype)

    def prox(self, z: Any, t: Any) -> Any:
        return z


class L1(Prox):
    """λ ‖z‖₁; an array of weights gives every element its own λ.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.prox.L1(1.0).prox(jnp.array([3.0, -0.5]), 2.0).tolist()
        [1.0, 0.0]
    """

    weight: float = hyper(1.0, 1e-6, 1e3, log=True, valid=">=0", doc="weight λ")

    def value(self, z: Any) -> Any:
        return jnp.sum(self.weight * jnp.abs(z))

    def prox(self, z: Any, t: Any) -> Any:
        return soft_threshold(z, t * self.weight)


class SquaredL2(Prox):
    """λ/2 ‖z‖².

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.prox.SquaredL2(1.0).prox(jnp.array([3.0, -0.5]), 1.0).tolist()
        [1.5, -0.25]
    """

    weight: float = hyper(1.0, 1e-6, 1e3, log=True, valid=">=0", doc="weight λ")

    def value(self, z: Any) -> Any:
        return jnp.sum(0.5 * self.weight * z**2)

    def prox(self, z: Any, t: Any) -> Any:
        return shrink(z, t * self.weight)


class ElasticNet(Prox):
    """λ ‖z‖₁ + μ/2 ‖z‖².

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.prox.ElasticNet(1.0, 1.0).prox(jnp.array([3.0, -0.5]), 1.0).tolist()
        [1.0, 0.0]
    """

    l1: float = hyper(1.0, 1e-6, 1e3, log=True, valid=">=0", doc="weight λ of ‖z‖₁")
    l2: float = hyper(1.0, 1e-6, 1e3, log=True, valid=">=0", doc="weight μ of ½‖z‖²")

    def value(self, z: Any) -> Any:
        return jnp.sum(self.l1 * jnp.abs(z) + 0.5 * self.l2 * z**2)

    def prox(self, z: Any, t: Any) -> Any:
        return shrink(soft_threshold(z, t * self.l1), t * self.l2)


class L2(Prox):
    """λ Σ ‖z_group‖₂, not squared: the whole array is one group, or every vector along `axis` is.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.prox.L2(1.0, axis=1).prox(jnp.array([[3.0, 4.0], [0.3, 0.4]]), 2.5).tolist()
        [[1.5, 2.0], [0.0, 0.0]]
    """

    weight: float = hyper(1.0, 1e-6, 1e3, log=True, valid=">=0", doc="weight λ")
    axis: Any = static(None, doc="the axis, or axes, along which a group lies; None for all")

    def value(self, z: Any) -> Any:
        return jnp.sum(self.weight * lengths(z, self.axis))

    def prox(self, z: Any, t: Any) -> Any:
        return block_soft_threshold(z, t * self.weight, self.axis)


class Box(Prox):
    """0 within lower ≤ z ≤ upper, infinite outside; None where there is no bound.

    Raises:
        ValueError: bounds that cross or are NaN.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.prox.Box(0.0, 1.0).prox(jnp.array([3.0, -0.5]), 1.0).tolist()
        [1.0, 0.0]
    """

    lower: Any = part(None, doc="least value, a number or an array like z")
    upper: Any = part(None, doc="greatest value")

    def __post_init__(self) -> None:
        super().__post_init__()
        for side in ("lower", "upper"):
            if isinstance(getattr(self, side), list | tuple):
                object.__setattr__(self, side, np.asarray(getattr(self, side), np.float64))
        sides = (-np.inf if self.lower is None else self.lower, np.inf if self.upper is None else self.upper)
        if not any(isinstance(v, jax.core.Tracer) for v in sides) and not np.all(np.asarray(sides[0]) <= np.asarray(sides[1])):
            raise ValueError(f"Box: the bounds cross or are NaN: lower={self.lower}, upper={self.upper}")

    def value(self, z: Any) -> Any:
        return jnp.where(jnp.all(self.prox(z, 1) == z), 0, jnp.inf).astype(z.dtype)

    def prox(self, z: Any, t: Any) -> Any:
        return jnp.clip(z, self.lower, self.upper)


class NonNegative(Prox):
    """0 where all z ≥ 0, infinite elsewhere.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.prox.NonNegative().prox(jnp.array([3.0, -0.5]), 1.0).tolist()
        [3.0, 0.0]
    """

    def value(self, z: Any) -> Any:
        return jnp.where(jnp.all(z >= 0), 0, jnp.inf).astype(z.dtype)

    def prox(self, z: Any, t: Any) -> Any:
        return jnp.maximum(z, 0)
