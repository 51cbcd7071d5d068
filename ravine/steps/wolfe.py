"""A search for the strong Wolfe conditions.

    φ(t) ≤ φ(0) + c₁ t φ′(0)   and   |φ′(t)| ≤ c₂ |φ′(0)|

An interval with a minimum inside is found and made smaller [1, sections 3.5]: its left end falls, its right end rises or lies too
high. The next trial is the minimum of the cubic through both ends, or the zero of the line through their slopes where rounding
hides the difference of the values [2]; bisection takes over when the interval has not shrunk by a third. The first condition is
also met in its form in slopes [2, (4.1)], so that a search near the solution is not stopped by the rounding of f.

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006).
[2] W. W. Hager, H. Zhang, SIAM J. Optim. 16 (2005) 170-192.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.core.pytree import hyper, static
from ravine.steps.line_search import ACCEPTED, SEARCHING, End, Line, LineSearch, cubic, falls_enough, outcome, resolution, secant


class StrongWolfe(LineSearch):
    """A step that falls enough and where the slope has become small: what quasi-Newton updates need.

    Example:
        >>> import ravine as rv
        >>> rv.BFGS(search=rv.StrongWolfe(c2=0.5)).search.c2
        0.5
    """

    c1: float = hyper(1e-4, 1e-6, 0.5, log=True, valid="(0,1)", doc="fraction c₁ of the promised decrease")
    c2: float = hyper(0.9, 0.01, 0.99, valid="(0,1)", doc="fraction c₂ that the slope must fall to")
    trials: int = static(30, least=1, doc="trials before the search settles for its best one")

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.c1, float) and isinstance(self.c2, float) and self.c1 >= self.c2:
            raise ValueError(f"StrongWolfe: c1 must be less than c2, or no step may exist; got c1={self.c1}, c2={self.c2}")

    def judge(self, line: Line, f: Any, m: Any) -> Line:
        return narrow(line, f, m, self.c1, self.c2, self.trials)


def narrow(line: Line, f: Any, m: Any, c1: Any, c2: Any, trials: int) -> Line:
    """One trial of the search for c₁ and c₂; with c₂ = 0 it goes on until the interval cannot be made smaller."""
    trial, (origin, low, high, best) = End(line.t, f, m), line.read()
    enough = falls_enough(c1, origin, trial)
    flat = jnp.abs(m) <= c2 * jnp.abs(origin.m)
    at_the_end = (line.t >= line.most) & (m < 0)
    accepted = (enough & (flat | at_the_end)) | (line.settled & jnp.isfinite(f)) | (f == -jnp.inf)
    beyond = ~enough | (m >= 0) | (f > low.f + resolution(low.f))
    replaced = jnp.stack([jnp.bool_(False), ~beyond, beyond, enough & (f < best.f)])
    after = line._replace(ends=jnp.where(replaced[:, None], jnp.stack(trial)[None, :], line.ends))
    before, width = low, high.t - low.t
    _, low, high, best = after.read()
    further = jnp.minimum(_further(before, low, line.trials), line.most)
    t = jnp.where(jnp.isfinite(high.t), _inside(low, high, width), further)
    # An interval that can be made no smaller, or too many trials: take the best trial if there is one.
    over = (line.trials + 1 >= trials) | (t <= low.t) | (t >= high.t) | ~jnp.isfinite(t)
    none = best.t <= 0
    now = outcome(accepted, (over & none) | line.settled, over)
    t = jnp.where(now == ACCEPTED, line.t, jnp.where(now == SEARCHING, t, best.t))
    return after._replace(t=t, trials=line.trials + 1, outcome=now)


def _further(before: End, low: End, trials: Any) -> Any:
    """The next trial while everything falls: where the slope would be zero, at most ten times as far; after ten trials 10²⁰ times,
    so that the values of a function that falls without end overflow before the trials end."""
    most = jnp.where(trials < 10, 10, 1e20).astype(low.t.dtype)
    guess = secant(before, low)
    return jnp.where(guess > low.t, jnp.clip(guess, 1.2 * low.t, most * low.t), most * low.t)


def _inside(low: End, high: End, before: Any) -> Any:
    """The next trial between two ends; `before` is how far apart they were before the last one."""
    width = high.t - low.t
    flat = jnp.abs(high.f - low.f) <= resolution(low.f)
    guess = jnp.where(flat & (high.m > 0), secant(low, high), cubic(low, high))
    guess = jnp.where(jnp.isfinite(guess), jnp.clip(guess, low.t + 0.02 * width, high.t - 0.02 * width), low.t + 0.5 * width)
    slow = width > 0.67 * before
    return jnp.where(jnp.isfinite(high.f), jnp.where(slow, low.t + 0.5 * width, guess), low.t + 0.1 * width)
