"""Muon: momentum, made orthogonal, for matrices; Nadam for all else.

    M⁺ = β M + (1 − β) G
    B  = β M⁺ / (1 − βᵗ⁺¹) + (1 − β) G / (1 − βᵗ)
    X₀ = B / (‖B‖_F + ε)
    Xᵢ₊₁ = a Xᵢ + b (XᵢXᵢᵀ) Xᵢ + c (XᵢXᵢᵀ)² Xᵢ         five times, (a, b, c) = (3.4445, −4.7750, 2.0315)
    Θ⁺ = Θ − α (√max(1, n/m) X₅ + λ Θ)

for a matrix Θ of m×n, M = 0 at the start, t = 1, 2, … [1]: X₅ has the singular vectors of B and singular values near 1. Arrays that
are no matrices take Dozat's Nadam with the same α, without decay.

[1] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), https://kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import hyper, step_size
from ravine.core.rule import Rule
from ravine.methods.first_order import nadam

A, B, C = 3.4445, -4.7750, 2.0315


class State(NamedTuple):
    M: Any


class Muon(Rule):
    """Muon: steepest descent in the spectral norm, with momentum.

    Where libraries differ: this is `optax.contrib.muon` (a matrix maps rows to columns, n/m = columns over rows, and the look-ahead
    is bias-corrected). torch's Muon takes matrices only, does no bias correction, has √max(1, m/n) since it stores weights
    transposed, and computes X in bfloat16.

    Example:
        >>> import jax.numpy as jnp, optax, ravine as rv
        >>> target = jnp.arange(6.0).reshape(2, 3)
        >>> muon = rv.Muon(optax.linear_schedule(0.2, 0.0, 300))
        >>> def f(W): return jnp.sum((W - target) ** 2)
        >>> r = rv.minimize(f, jnp.zeros((2, 3)), method=muon, stop=rv.MaxSteps(300))
        >>> float(r.fun) < 1e-3
        True
    """

    scope: ClassVar[Any] = "array"
    needs_params: ClassVar[bool] = True
    lr: float = step_size(0.02, 1e-5, 1.0)
    beta: float = hyper(0.95, 0.0, 0.99, valid="[0,1)", doc="decay β of the momentum of matrices")
    eps: float = hyper(1e-8, 1e-12, 1e-3, log=True, valid=">=0", doc="ε that keeps the quotients finite")
    decay: float = hyper(0.0, 1e-5, 1.0, log=True, valid=">=0", doc="weight decay λ of matrices")
    b1: float = hyper(0.9, 0.0, 0.99, valid="[0,1)", doc="Nadam's β₁, for arrays that are no matrices")
    b2: float = hyper(0.999, 0.9, 0.9999, valid="[0,1)", doc="Nadam's β₂")

    def start(self, x: Any) -> Any:
        return State(jnp.zeros_like(x)) if x.ndim == 2 and x.size else self._elsewhere().start(x)

    def move(self, g: Any, s: Any, x: Any, t: Any) -> tuple[Any, Any]:
        if x.ndim != 2 or not x.size:
            return self._elsewhere().move(g, s, x, t)
        M = self.beta * s.M + (1 - self.beta) * g
        look = self.beta * M / (1 - self.beta ** (t + 1)) + (1 - self.beta) * g / (1 - self.beta**t)
        m, n = x.shape
        X = orthogonal(look, self.eps)
        return -self.lr * (max(1, n / m) ** 0.5 * X + self.decay * x), State(M)

    def _elsewhere(self) -> Rule:
        return nadam.Nadam(self.lr, self.b1, self.b2, self.eps)


def orthogonal(B_: Any, eps: Any) -> Any:
    """The Newton-Schulz iteration: the same singular vectors, all singular values between about 0.7 and 1.2."""
    wide = B_.shape[0] <= B_.shape[1]
    X = B_ if wide else B_.T
    X = X / (jnp.linalg.norm(X) + eps)
    for _ in range(5):
        XX = X @ X.T
        X = A * X + (B * XX + C * XX @ XX) @ X
    return X if wide else X.T
