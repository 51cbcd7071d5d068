"""Damped Gauss-Newton: what Levenberg's and Marquardt's methods have in common.

    (JᵀJ + λD²) p = −Jᵀr
    ϱ = (f(x) − f(x + p)) / (½ pᵀ(λD²p − Jᵀr))        gain over what the linear model promised

The step is taken where ϱ > 0, and λ follows ϱ (`ravine.steps.damping`). One step of the driver is one trial. Within bounds, x + p
is moved to the nearest point of the box before anything is evaluated there.

How far apart two values can be and say nothing is told from J: a rounding error in x alone changes r by about ε ‖(‖Jⱼ‖xⱼ)ⱼ‖. Where
f is that flat, a step is judged by whether what Gauss-Newton still promises becomes less.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.method import Method
from ravine.core.problem import LeastSquares
from ravine.core.pytree import select
from ravine.core.section import section
from ravine.core.status import Status
from ravine.math.damped import Solution
from ravine.math.rank import lengths
from ravine.methods.least_squares.linear_step import LinearStep, Local
from ravine.steps.damping import Damping, Trial

# A step that changes every parameter by fewer rounding errors than these is none.
TINY = 64


class State(NamedTuple):
    """Where the run is.

    Attributes:
        x, f, g: the last accepted point.
        local: what the linear step knows about it.
        D: the lengths by which parameters are measured.
        lam, control: the damping, and the other number that its rule keeps: a radius, or a factor of growth.
        accepted: whether the last trial moved x.
        stuck: whether trials have become too small to change x; flat: whether they are too small to be seen in f.
    """

    x: Any
    f: Any
    g: Any
    local: Local
    D: Any
    lam: Any
    control: Any
    accepted: Any
    stuck: Any
    flat: Any


class Damped(Method):
    """Base of the damped methods: `linear` is how the system is solved, `damping` how λ is chosen."""

    solves = LeastSquares
    takes_bounds = True
    monotone = True

    linear: LinearStep
    damping: Damping

    def metric(self, squares: Any, before: Any) -> Any:
        """D, from the squares of the lengths of J's columns and the D before (None at the start)."""
        raise NotImplementedError

    def init(self, problem: LeastSquares, x: Any) -> State:
        local = self.linear.look(problem, x)
        D, no = self.metric(local.squares, None), jnp.bool_(False)
        return State(x, local.f, local.g, local, D, *self.damping.start(local.squares, D, x), ~no, no, no)

    def propose(self, problem: LeastSquares, s: State) -> tuple[Any, Any, Any]:
        """The step p, its λ, and what it promises (None where that must be told from ‖Jp‖)."""

        def solve(lam: Any) -> Solution:
            return self.linear.step(problem, s.x, s.local, s.D, lam)

        p, lam = self.damping.step(solve, s.local.gauss_newton, s.g, s.D, s.lam, s.control)
        p = jnp.where(jnp.all(jnp.isfinite(p)), p, 0)
        return p, lam, 0.5 * (lam * jnp.sum((s.D * p) ** 2) - s.g @ p)

    def trial(self, problem: LeastSquares, s: State) -> tuple[Any, Any, Any, Any]:
        """The point to try, the step to it, its λ and what it promises."""
        p, lam, promised = self.propose(problem, s)
        x = within(problem, s.x + p)
        if promised is None or not (problem.lower is None and problem.upper is None):
            p = x - s.x
            promised = -(s.g @ p) - 0.5 * self.linear.curvature(problem, s.x, s.local, p)
        return x, p, lam, promised

    def look(self, problem: LeastSquares, x: Any, before: Local) -> Local:
        """The problem about x, given what was known at the point before."""
        return self.linear.follow(problem, x, before, self.linear.look(problem, x))

    def judge(self, s: State, x: Any, p: Any, lam: Any, promised: Any, local: Local) -> State:
        """The state after x was looked at: there, or where it was."""
        accepted, flat, rho = judged(s.local, local, s.x, promised)
        trial = Trial(rho, jnp.linalg.norm(s.D * p), s.g @ p, s.f, local.f)
        lam, control = self.damping.judge(trial, lam, s.control)
        D = self.metric(local.squares, s.D)
        x, local, D = select(accepted, (x, local, D), (s.x, s.local, s.D))
        return State(x, local.f, local.g, local, D, lam, control, accepted, ~accepted & tiny(p, s.x), ~accepted & flat)

    def step(self, problem: LeastSquares, s: State) -> State:
        stacked = 2 * s.x.size * (s.x.size + 1) * s.x.dtype.itemsize  # [R; √λ D] with its right side
        x, p, lam, promised = section(self.trial, stacked)(problem, s)
        local = section(self.look, stacked)(problem, x, s.local)
        return section(self.judge, stacked)(s, x, p, lam, promised, local)

    def optimality(self, problem: LeastSquares, s: State) -> Any:
        return s.local.offset

    def scale(self, problem: LeastSquares, s: State) -> Any:
        return jnp.sqrt(2 * s.f)

    def accepted(self, s: State) -> Any:
        return s.accepted

    def verdict(self, problem: LeastSquares, s: State) -> Any:
        return verdict(s.local, s.x, s.stuck, s.flat)


# What follows is of one point, or of a point in each lane where lanes are the last axis (`ravine.fitting.lanes`).


def judged(before: Local, after: Local, x: Any, promised: Any) -> tuple[Any, Any, Any]:
    """Whether a trial step from x is taken, whether it is too small to be seen in f, and its gain ratio, −1 if it is not taken."""
    rho = (before.f - after.f) / promised
    unseen = noise(before, x)
    flat = (jnp.abs(before.f - after.f) <= unseen) & (promised <= unseen)
    usable = jnp.isfinite(after.f) & jnp.isfinite(after.offset) & (promised > 0)
    accepted = usable & ((rho > 0) | (flat & (after.offset < 0.5 * before.offset)))
    return accepted, flat, jnp.where(accepted, jnp.where(flat, 1, rho), -1)


def tiny(p: Any, x: Any) -> Any:
    """Whether a step changes no parameter by more than a few rounding errors."""
    return jnp.all(jnp.abs(p) <= TINY * jnp.finfo(p.dtype).eps * jnp.abs(x), axis=0)


def blur(local: Local, x: Any) -> Any:
    """How much r changes, in length, when every parameter is changed by a rounding error, independent of the others."""
    return jnp.finfo(x.dtype).eps * jnp.sqrt(jnp.sum(local.squares * x**2, axis=0))


def noise(local: Local, x: Any) -> Any:
    """How far apart two values of f near x can be and still say nothing about which is less."""
    error = blur(local, x)
    return (jnp.sqrt(2 * local.f) + error) * error + 4 * jnp.finfo(x.dtype).eps * local.f


def verdict(local: Local, x: Any, stuck: Any, flat: Any) -> Any:
    """PRECISION where what Gauss-Newton still promises cannot be seen in f, or what a step along any one parameter does (J may be
    singular at a solution, where Gauss-Newton's promises are empty); STALLED where f should fall and does not."""
    along_one = jnp.max(jnp.abs(local.g) / lengths(local.squares), axis=0)
    resolved = 0.5 * jnp.minimum(local.offset, along_one) ** 2 <= 10 * noise(local, x)
    end = jnp.where(resolved, jnp.int32(Status.PRECISION), jnp.int32(Status.STALLED))
    ended = stuck | (flat & resolved) | (local.offset <= blur(local, x))
    return jnp.where(ended, end, jnp.int32(Status.RUNNING))


def within(problem: LeastSquares, x: Any) -> Any:
    """The nearest point of the box."""
    x = x if problem.lower is None else jnp.maximum(x, problem.lower)
    return x if problem.upper is None else jnp.minimum(x, problem.upper)
