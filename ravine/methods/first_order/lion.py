"""Lion: the sign of an interpolated momentum.

    c  = β₁ m + (1 − β₁) g
    θ⁺ = θ − α (sign(c) + λ θ)
    m⁺ = β₂ m + (1 − β₂) g

m = 0 at the start [1]. Every parameter moves by exactly α (where λ = 0): lower α in the course of a run.

[1] X. Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS (2023), arXiv:2302.06675, Algorithm 2.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import hyper, step_size
from ravine.core.rule import Rule


class State(NamedTuple):
    m: Any


class Lion(Rule):
    """Lion: steps of equal length in every parameter; one moment instead of Adam's two.

    Where libraries differ: λ is 0 here and in the authors' code, 1e-3 in `optax.lion`.

    Example:
        >>> import jax.numpy as jnp, optax, ravine as rv
        >>> lion = rv.Lion(optax.linear_schedule(0.1, 0.0, 200))
        >>> r = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(2), method=lion, stop=rv.MaxSteps(200))
        >>> r.x.round(1).tolist()
        [3.0, 3.0]
    """

    needs_params: ClassVar[bool] = True
    written_last: ClassVar[tuple[str, ...]] = ("m",)
    lr: float = step_size(1e-4, 1e-6, 0.1)
    b1: float = hyper(0.9, 0.0, 0.99, valid="[0,1)", doc="weight β₁ of the mean in the step")
    b2: float = hyper(0.99, 0.9, 0.9999, valid="[0,1)", doc="decay β₂ of the mean")
    decay: float = hyper(0.0, 1e-5, 1.0, log=True, valid=">=0", doc="weight decay λ")

    def start(self, x: Any) -> State:
        return State(jnp.zeros_like(x))

    def move(self, g: Any, s: State, x: Any, t: Any) -> tuple[Any, State]:
        c = self.b1 * s.m + (1 - self.b1) * g
        m = self.b2 * s.m + (1 - self.b2) * g
        return -self.lr * (jnp.sign(c) + self.decay * x), State(m)
