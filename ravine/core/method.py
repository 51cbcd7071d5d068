"""What a method is: hyperparameters and two pure functions, `init` and `step`; and the views of its state that the driver reads."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import jax.numpy as jnp

from ravine.core.problem import Objective, Oracles
from ravine.core.pytree import Record, largest
from ravine.core.status import Status


class Method(Record):
    """Base of all methods. The state is a small NamedTuple of the method's own.

    Class attributes:
        solves: the oracles that it needs; checked once, before tracing.
        layout: how it sees the parameters: one "vector", arrays in "groups", "leaves" one by one, or the "tree" as it is.
        randomised: `step` takes a key as its last argument.
        monotone: the value never rises at an accepted step beyond what rounding hides, so the last point is the best one.
        takes_bounds: whether it keeps to bounds.
        practical_up_to: parameters above which it is no longer practical (an n×n matrix, its eigenvalues), or None.
    """

    solves: ClassVar[type[Oracles]] = Objective
    layout: ClassVar[Literal["vector", "groups", "leaves", "tree"]] = "vector"
    randomised: ClassVar[bool] = False
    monotone: ClassVar[bool] = False
    takes_bounds: ClassVar[bool] = False
    practical_up_to: ClassVar[int | None] = None

    def init(self, problem: Any, x: Any) -> Any:
        """The state at the start point."""
        raise NotImplementedError

    def step(self, problem: Any, s: Any, *key: Any) -> Any:
        """The next state; randomised methods are given a key."""
        raise NotImplementedError

    def point(self, s: Any) -> Any:
        """Where the run is: the last accepted point."""
        return s.x

    def value(self, s: Any) -> Any:
        """The value at that point."""
        return s.f

    def optimality(self, problem: Any, s: Any) -> Any:
        """Zero exactly at a solution: |∇f|∞, a projected gradient, a KKT or fixed-point residual."""
        return largest(s.g)

    def scale(self, problem: Any, s: Any) -> Any:
        """What the optimality is relative to: max(1, |f|) / max(1, |x|∞).

        So the test is on the relative change of f per relative change of x (Dennis and Schnabel 1983, section 7.2); a gradient
        that is small beside a huge |f| alone would call a diverging run converged. Of an objective, the driver lets it be at most
        max(1, the optimality at the start).
        """
        return jnp.maximum(1, jnp.abs(self.value(s))) / jnp.maximum(1, largest(self.point(s)))

    def accepted(self, s: Any) -> Any:
        """Whether the last step moved the point; a line-search trial or a rejected damping did not."""
        return jnp.bool_(True)

    def verdict(self, problem: Any, s: Any) -> Any:
        """A status (an integer) when the method itself knows why it cannot go on."""
        return jnp.int32(Status.RUNNING)
