"""Robust losses: what a large residual costs. The cost is ½ Σ C² ρ(rᵢ²/C²) with scale C, as in SciPy and Ceres.

    linear    ρ(z) = z                                  least squares
    huber     ρ(z) = z if z ≤ 1, else 2√z − 1           a line beyond C
    soft_l1   ρ(z) = 2 (√(1 + z) − 1)                   smooth huber; as 2z/(1 + √(1 + z)), which cancels nothing
    cauchy    ρ(z) = ln(1 + z)
    arctan    ρ(z) = arctan z                           bounded
    tukey     ρ(z) = (1 − (1 − z)³)/3 if z ≤ 1, else ⅓  bounded, nothing beyond C; as z − z² + z³/3

A Gauss-Newton step is taken of corrected residuals [1]: the gradient is exact, and the second derivative of ρ enters as

    w = ρ′ + 2 z ρ″ (at least ρ′/100),   J̃ = √w J,   r̃ = ρ′/√w r        J̃ᵀr̃ = ρ′ Jᵀr

Far off, ρ′ + 2 z ρ″ ≤ 0. With no more than a rounding error in its place, as in SciPy, a start where all residuals are far off
makes steps 1/ε times too long and needs a damping as large, with which the first point of some curvature is never left.

[1] B. Triggs, P. McLauchlan, R. Hartley, A. Fitzgibbon, "Bundle adjustment: a modern synthesis" (2000), section 4.3; for single
residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.pytree import Record, hyper, part, static


def _huber(z: Any) -> Any:
    return jnp.where(z <= 1, z, 2 * jnp.sqrt(jnp.maximum(z, 1)) - 1)


def _tukey(z: Any) -> Any:
    z = jnp.minimum(z, 1)
    return z - z * z + z * z * z / 3


RHO: dict[str, Callable[[Any], Any]] = {
    "huber": _huber,
    "soft_l1": lambda z: 2 * z / (1 + jnp.sqrt(1 + z)),
    "cauchy": jnp.log1p,
    "arctan": jnp.arctan,
    "tukey": _tukey,
}


class Loss(Record):
    """A robust loss: its name, and the size C of a residual from which on it counts as large.

    Example:
        >>> import jax.numpy as jnp
        >>> float(Loss("huber", 2.0).cost(jnp.array([1.0, 4.0])))  # ½ (1² + 2·2·4 − 2²)
        6.5
    """

    name: str = static("huber", choices=tuple(RHO), doc="one of the losses")
    scale: float = hyper(1.0, 1e-3, 1e3, log=True, doc="C, the size of a large residual")
    least: float = static(0.01, doc="the least w, relative to ρ′")

    @property
    def flat_beyond(self) -> bool:
        """Whether all residuals above C cost the same."""
        return self.name == "tukey"

    def cost(self, r: Any) -> Any:
        """½ Σ C² ρ(r²/C²)."""
        C = jnp.asarray(self.scale, r.dtype)
        return 0.5 * C * C * jnp.sum(RHO[self.name]((r / C) ** 2))

    def correct(self, r: Any) -> tuple[Any, Callable[[Any], Any]]:
        """r̃, and the linear map that makes columns of J̃ of columns of J: the factors √w."""
        z = (r / jnp.asarray(self.scale, r.dtype)) ** 2
        rho = RHO[self.name]

        def slope(z: Any) -> Any:
            return jax.jvp(rho, (z,), (jnp.ones_like(z),))[1]

        first, second = jax.jvp(slope, (z,), (jnp.ones_like(z),))
        # Where ρ′ is 0, any w will do: r̃ is 0.
        root = jnp.sqrt(jnp.maximum(first + 2 * z * second, jnp.maximum(self.least * first, jnp.finfo(r.dtype).eps)))
        return first / root * r, lambda v: root * v


class SoftmaxCrossEntropy(Record):
    """The mean of −log softmax(z)ᵧ over examples; the "residuals" are the logits z, (N, classes) laid flat.

    With p = softmax(z) and q = √p, the generalised Gauss-Newton matrix Jᵀ(diag p − ppᵀ)J/N [2] is J̃ᵀJ̃ for

        J̃ = (I − qqᵀ) diag(q) J/√N,   r̃ = (p − eᵧ)/(q √N)        J̃ᵀr̃ = Jᵀ(p − eᵧ)/N, the gradient

    [2] N. N. Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", Neural Comput. 14 (2002).

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> X, labels = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), jnp.array([0, 1, 1])
        >>> r = rv.least_squares(lambda W: X @ W, jnp.zeros((2, 2)), loss=rv.SoftmaxCrossEntropy(labels), stop=rv.MaxSteps(5))
        >>> bool(r.fun < 0.1)
        True
    """

    labels: Any = part(doc="(N,), the right class of each example")

    def check(self, name: str, shapes: list[tuple[int, ...]]) -> None:
        """Refuses labels that are not those of logits of these shapes.

        Raises:
            ValueError: other shapes than (N, classes), labels that are not N classes.
        """
        N = len(self.labels)
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != N:
            got = " and ".join(map(str, shapes))
            raise ValueError(f"{name} must return logits of shape ({N}, classes) for {N} labels, got {got}")
        if not jnp.issubdtype(jnp.result_type(self.labels), jnp.integer):
            raise ValueError(f"labels must be whole numbers, got {jnp.result_type(self.labels)}")
        if not isinstance(self.labels, jax.core.Tracer):
            wrong = np.flatnonzero((np.asarray(self.labels) < 0) | (np.asarray(self.labels) >= shapes[0][1]))
            if len(wrong):
                raise ValueError(
                    f"labels[{wrong[0]}] is {self.labels[wrong[0]]}, but {name} returns {shapes[0][1]} classes: 0, 1, …"
                )

    def deviances(self, r: Any) -> Any:
        """√(−2 ln pᵧ) of each example, (N,): their squares are twice the negative log-likelihood."""
        z = self._logits(r)
        return jnp.sqrt(-2 * jnp.take_along_axis(jax.nn.log_softmax(z, axis=1), self.labels[:, None], axis=1)[:, 0])

    def _logits(self, r: Any) -> Any:
        return r.reshape(len(self.labels), -1)

    def cost(self, r: Any) -> Any:
        """The mean cross-entropy."""
        z = self._logits(r)
        return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, self.labels[:, None], axis=1)[:, 0])

    def correct(self, r: Any) -> tuple[Any, Callable[[Any], Any]]:
        """r̃, and the linear map that makes columns of J̃ of columns of J."""
        z = self._logits(r)
        N, classes = z.shape
        p = jnp.maximum(jax.nn.softmax(z, axis=1), jnp.finfo(r.dtype).tiny)
        q = jnp.sqrt(p)

        def weigh(v: Any) -> Any:
            w = q * v.reshape(N, classes)
            return ((w - q * jnp.sum(q * w, axis=1, keepdims=True)) / N**0.5).reshape(-1)

        off = p - jax.nn.one_hot(self.labels, classes, dtype=r.dtype)
        return (off / q / N**0.5).reshape(-1), weigh
