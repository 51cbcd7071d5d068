"""Adadelta.

    G⁺ = ρ G + (1 − ρ) g²
    Δ  = −√(D + ε) / √(G⁺ + ε) · g
    D⁺ = ρ D + (1 − ρ) Δ²,   Δ² = (D + ε) / (G⁺ + ε) · g²
    θ⁺ = θ + α Δ

G = D = 0 at the start; D takes in Δ after Δ was made with the old D [1]. The paper has no α, that is α = 1.

[1] M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701 (2012).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import hyper, step_size
from ravine.core.rule import Rule


class State(NamedTuple):
    G: Any
    D: Any


class Adadelta(Rule):
    """Adadelta: the step has the units of θ, made from a running mean of its own squares.

    Where libraries differ: torch is the same with the same defaults; optax needs `learning_rate=1.0`; Keras has α = 1e-3,
    ρ = 0.95 and ε = 1e-7.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(2), method=rv.Adadelta(), stop=rv.MaxSteps(2000))
        >>> r.x.round(1).tolist()
        [3.0, 3.0]
    """

    written_last: ClassVar[tuple[str, ...]] = ("D",)
    lr: float = step_size(1.0, 1e-2, 1e3)
    rho: float = hyper(0.9, 0.5, 0.999, valid="[0,1)", doc="decay ρ of both means")
    eps: float = hyper(1e-6, 1e-10, 1e-2, log=True, valid=">=0", doc="ε that starts the motion")

    def start(self, x: Any) -> State:
        return State(jnp.zeros_like(x), jnp.zeros_like(x))

    def move(self, g: Any, s: State, x: Any, t: Any) -> tuple[Any, State]:
        G = self.rho * s.G + (1 - self.rho) * g**2
        delta = -jnp.sqrt(s.D + self.eps) / jnp.sqrt(G + self.eps) * g
        # Without the roots of Δ: XLA computes a root once and keeps it for all who read it, two arrays more in memory.
        D = self.rho * s.D + (1 - self.rho) * (s.D + self.eps) / (G + self.eps) * g**2
        return self.lr * delta, State(G, D)
