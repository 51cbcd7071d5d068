"""A linear method that ends where its point is long.

The points of conjugate gradients that start at zero grow longer step by step [1, theorem 2.1]: once one is too long, so would be
all that follow. It comes back as it is.

[1] T. Steihaug, "The conjugate gradient method and trust regions in large scale optimization", SIAM J. Numer. Anal. 20 (1983)
    626-637.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from ravine.core.method import Method
from ravine.core.problem import LinearSystem, Oracles
from ravine.core.pytree import part
from ravine.core.status import Status
from ravine.core.stop import first
from ravine.methods.linear.krylov import norm


class Within(Method):
    """`inner`, until ‖x‖ ≥ `length`."""

    solves: ClassVar[type[Oracles]] = LinearSystem

    inner: Any = part(doc="the method")
    length: Any = part(jnp.inf, doc="of x, from which on nothing more is asked for")

    def init(self, problem: LinearSystem, x: Any) -> Any:
        return self.inner.init(problem, x)

    def step(self, problem: LinearSystem, s: Any) -> Any:
        return self.inner.step(problem, s)

    def optimality(self, problem: LinearSystem, s: Any) -> Any:
        return self.inner.optimality(problem, s)

    def scale(self, problem: LinearSystem, s: Any) -> Any:
        return self.inner.scale(problem, s)

    def accepted(self, s: Any) -> Any:
        return self.inner.accepted(s)

    def verdict(self, problem: LinearSystem, s: Any) -> Any:
        long = norm(self.point(s)) >= self.length
        return first(self.inner.verdict(problem, s), jnp.where(long, jnp.int32(Status.TARGET), jnp.int32(Status.RUNNING)))
