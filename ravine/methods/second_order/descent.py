"""Descent with a line search: what BFGS, L-BFGS, nonlinear conjugate gradients, SSBroyden and steepest descent have in common.

    p = −H g,   x⁺ = x + t p

A method says how a direction comes out of what it has learned, and what it learns from a step; the line search says t. One step of
the driver is one trial. A direction along which nothing falls makes the method forget what it learned and start afresh from −g; if
nothing falls there either, the run ends: with PRECISION where the predicted decrease is below the rounding of f, else STALLED.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core import work
from ravine.core.method import Method
from ravine.core.problem import Objective
from ravine.core.pytree import largest, select
from ravine.core.status import Status
from ravine.math.box import nearly_stationary, project, projected_gradient
from ravine.steps.far import far
from ravine.steps.line_search import Line, rounding

PATIENCE = 8


class Seen(NamedTuple):
    """Numbers by which a run that comes no further is judged.

    Attributes:
        promise: the decrease predicted by what was learned, ½ gᵀHg.
        noise: how far the values and the slopes of the last step disagree about its decrease.
        blur: how much g changed, in its largest element, for a rounding error in x, in the last trial that was another point.
        lowest, flattest: the least f and the least |g|∞.
    """

    promise: Any
    noise: Any
    blur: Any
    lowest: Any
    flattest: Any


class State(NamedTuple):
    """Where the run is and what it tries.

    Attributes:
        x, f, g: the last accepted point.
        p: the direction that is being searched, and `line` where the search stands.
        memory: what was learned; `fresh` while that is nothing.
        seen: the numbers of `Seen`. One array, because XLA on a processor copies each array of the state at each trial, and takes
            longer to start a kernel that reads more than twelve (`python benchmarks/codegen.py arrays`).
        idle: accepted steps and failed searches in succession that found neither a lower f nor a flatter g; no fewer than
            `PATIENCE` where the search along −g failed, too.
        accepted: whether the last trial moved x.
    """

    x: Any
    f: Any
    g: Any
    p: Any
    line: Line
    memory: Any
    fresh: Any
    seen: Any
    idle: Any
    accepted: Any


class LineSearchDescent(Method):
    """Base of the methods that search along a line.

    Class attributes:
        learns: the length of the first direction means nothing, because nothing is known of the curvature yet.
    """

    learns: ClassVar[bool] = True
    monotone = True

    def blank(self, x: Any) -> Any:
        """What is known at the start."""
        raise NotImplementedError

    def learn(self, memory: Any, fresh: Any, s: Any, y: Any, g: Any) -> Any:
        """What is known after the step s changed the gradient by y, to g; `fresh` if nothing was known before."""
        raise NotImplementedError

    def direction(self, memory: Any, g: Any) -> Any:
        """The direction p out of what is known; −g where that is nothing."""
        raise NotImplementedError

    def look(self, problem: Objective, memory: Any, fresh: Any, x: Any, g: Any) -> tuple[Any, Any]:
        """What is known at x, and the direction; for methods that ask the problem for more than its gradient."""
        return memory, self.direction(memory, g)

    def begin(self, problem: Objective, x: Any, g: Any) -> tuple[Any, Any]:
        """What is known at the start, and the first direction: −g where that is nothing, and no product is compiled to say so."""
        blank = self.blank(x)
        return (blank, -g) if self.learns else self.look(problem, blank, jnp.bool_(False), x, g)

    def longest(self, problem: Objective, x: Any, p: Any) -> Any:
        """The largest t for which x + t p is allowed."""
        return jnp.full((), jnp.inf, x.dtype)

    def first_trial(self, s: State, f: Any, slope: Any) -> Any:
        """The first t along a direction that what was learned has given a length."""
        return jnp.ones_like(f)

    def blind_trial(self, problem: Objective, p: Any) -> Any:
        """The first t along a direction whose length means nothing: t p is no longer than 1."""
        return jnp.minimum(1, 1 / jnp.sqrt(p @ p))

    def endless(self, memory: Any) -> Any:
        """Whether the model has no minimum along the direction; None for methods whose model always has one."""
        return None

    def init(self, problem: Objective, x: Any) -> State:
        f, g = problem.value_and_grad(x)
        fresh = jnp.bool_(self.learns)
        memory, p = self.begin(problem, x, g)
        t = self.blind_trial(problem, p) if self.learns else jnp.ones_like(f)
        line = self.search.start(f, g @ p, t, self.longest(problem, x, p))  # type: ignore[attr-defined]
        zero = jnp.zeros_like(f)
        seen = Seen(promise=jnp.full_like(f, jnp.inf), noise=zero, blur=zero, lowest=f, flattest=largest(g))
        return State(x, f, g, p, line, memory, fresh, jnp.stack(seen), jnp.int32(0), jnp.bool_(True))

    def step(self, problem: Objective, s: State) -> State:
        x = project(s.x + s.line.t * s.p, problem.lower, problem.upper)
        f, g = problem.value_and_grad(x)
        m = g @ s.p
        line, endless = self.search.judge(s.line, f, m), self.endless(s.memory)  # type: ignore[attr-defined]
        line = line if endless is None else far(s.line, line, endless, f, m)
        over = line.accepted | line.failed | ~(s.line.slope <= 0)
        again = s._replace(line=line, accepted=jnp.bool_(False))
        return work.cond(over, lambda: self.turn(problem, s, line, x, f, g, m), lambda: again)

    def turn(self, problem: Objective, s: State, line: Line, x: Any, f: Any, g: Any, m: Any) -> State:
        """The next direction, from the trial point that was accepted or, where the search has failed, from where it began."""
        accepted = line.accepted & (s.line.slope <= 0)
        # What is learned from an accepted trial; everything is forgotten when the search has failed.
        step, change = x - s.x, g - s.g
        learned = self.learn(s.memory, s.fresh, step, change, g)
        before = Seen(*jnp.unstack(s.seen))
        noise = jnp.abs(f - s.line.value - 0.5 * s.line.t * (s.line.slope + m))
        # From the trial and the search, not from what is selected below: the kernel of `seen` would read more than twelve arrays.
        lowest = jnp.where(accepted, jnp.minimum(before.lowest, f), before.lowest)
        roundings = largest(step / jnp.where(step == 0, 1, x)) / jnp.finfo(x.dtype).eps
        memory = select(accepted, learned, self.blank(s.x))
        x, f, g = select(accepted, (x, f, g), (s.x, s.f, s.g))
        fresh = ~accepted

        memory, p = self.look(problem, memory, fresh, x, g)
        slope = g @ p
        t = jnp.where(fresh, self.blind_trial(problem, p), self.first_trial(s, f, slope))
        now = largest(g)
        gained = accepted & ((before.lowest - f > rounding(f)) | (now < 0.5 * before.flattest))
        seen = Seen(
            promise=jnp.where(fresh, before.promise, -0.5 * t * slope),
            noise=noise,
            blur=jnp.where(roundings > 0, largest(change) / roundings, before.blur).astype(f.dtype),
            lowest=lowest,
            flattest=jnp.minimum(before.flattest, now),
        )
        return State(
            x=x,
            f=f,
            g=g,
            p=p,
            line=self.search.start(f, slope, t, self.longest(problem, x, p)),  # type: ignore[attr-defined]
            memory=memory,
            fresh=fresh,
            seen=jnp.stack(seen),
            idle=jnp.where(gained, 0, jnp.where(accepted | ~s.fresh, s.idle + 1, PATIENCE)),
            accepted=accepted,
        )

    def optimality(self, problem: Any, s: State) -> Any:
        return self.slope_at(problem, s)

    def slope_at(self, problem: Any, s: State) -> Any:
        """The largest element of the projected gradient."""
        return largest(projected_gradient(s.x, s.g, problem.lower, problem.upper))

    def accepted(self, s: State) -> Any:
        return s.accepted

    def verdict(self, problem: Any, s: State) -> Any:
        eps, seen = jnp.finfo(s.f.dtype).eps, Seen(*jnp.unstack(s.seen))
        # What was learned may be wrong: its promise is believed only where the gradient is small, too.
        near = nearly_stationary(s.x, s.f, s.g, problem.lower, problem.upper, seen.blur)
        unresolved = seen.promise <= jnp.maximum(seen.noise, rounding(s.f) + eps * (jnp.abs(s.g) @ jnp.abs(s.x)))
        end = jnp.where(near & unresolved, jnp.int32(Status.PRECISION), jnp.int32(Status.STALLED))
        end = jnp.where(jnp.isfinite(s.line.slope), end, jnp.int32(Status.NONFINITE))
        return jnp.where(s.idle >= PATIENCE, end, jnp.int32(Status.RUNNING))
