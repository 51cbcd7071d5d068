"""Line searches: how far to go along a direction p from x.

A line search sees the function of one number φ(t) = f(x + t p) and its slope φ′(t) = ∇f(x + t p)ᵀp, and nothing else. It is a
state machine: `start` proposes the first t, and `judge` looks at φ and φ′ there and says accepted, failed, or which t is next. So a
method evaluates f at one place in its step, and a trial that is turned down costs a step of the driver, not a loop of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ravine.core.pytree import Record


class End(NamedTuple):
    """One end of an interval: t, φ(t), φ′(t)."""

    t: Any
    f: Any
    m: Any


SEARCHING, SETTLED, ACCEPTED, FAILED = map(np.float32, range(4))  # floats, for the root in `outcome`


def outcome(accepted: Any, failed: Any, settled: Any = False) -> Any:
    """The first of these that holds, as a code.

    On a processor, XLA computes a cheap value again in every kernel that reads it, here a whole line search, under `vmap` for each
    element of a matrix (`python benchmarks/second_order.py lanes` times a step). What comes out of a square root it computes once.
    """
    square = jnp.where(accepted, ACCEPTED**2, jnp.where(failed, FAILED**2, jnp.where(settled, SETTLED**2, SEARCHING**2)))
    return jnp.sqrt(square)


class Line(NamedTuple):
    """Where a search stands.

    Attributes:
        t: the next trial; after `accepted`, the one that was taken.
        ends: four rows (t, φ, φ′), one array because a processor starts a loop for each: `origin`, the end at t = 0; `low`, the
            largest t known to be left of a minimum; `high`, the smallest known to be right of one, ∞ if there is none yet; `best`,
            the trial with the least φ that has fallen enough, t = 0 if there is none.
        most: the largest t that is allowed.
        trials: how many were judged.
        outcome: SEARCHING, SETTLED (the next trial is the best one of a search that gives up, and is taken as it is), ACCEPTED or
            FAILED.
    """

    t: Any
    ends: Any
    most: Any
    trials: Any
    outcome: Any

    @property
    def settled(self) -> Any:
        return self.outcome == SETTLED

    @property
    def accepted(self) -> Any:
        return self.outcome == ACCEPTED

    @property
    def failed(self) -> Any:
        return self.outcome == FAILED

    def read(self) -> tuple[End, End, End, End]:
        """`origin`, `low`, `high` and `best`; once a trial, because each time adds 30 operations to the program."""
        return tuple(End(*jnp.unstack(end)) for end in jnp.unstack(self.ends))  # type: ignore[return-value]

    @property
    def value(self) -> Any:
        """φ(0)."""
        return self.ends[0, 1]

    @property
    def slope(self) -> Any:
        """φ′(0)."""
        return self.ends[0, 2]


class LineSearch(Record):
    """Base of the line searches."""

    def judge(self, line: Line, f: Any, m: Any) -> Line:
        """The search after φ(line.t) = f with slope m was seen."""
        raise NotImplementedError

    def start(self, f: Any, m: Any, t: Any, most: Any = jnp.inf) -> Line:
        """The search along a direction of slope m < 0 from the value f, with its first trial t; t never exceeds `most`."""
        origin = jnp.stack([jnp.zeros_like(f), f, m])
        ends = jnp.where(jnp.array([False, False, True, False])[:, None], jnp.asarray(jnp.inf, f.dtype), origin[None, :])
        most = jnp.asarray(most, f.dtype)
        return Line(jnp.minimum(jnp.asarray(t, f.dtype), most), ends, most, jnp.int32(0), jnp.asarray(SEARCHING))


def rounding(f: Any) -> Any:
    """How far apart two values near f can be and still say nothing about which is less."""
    return 4 * jnp.finfo(f.dtype).eps * jnp.abs(f)


def resolution(f: Any) -> Any:
    """How far apart two values near f can be while their slopes say better which is less: ε^(2/3) |f|.

    The rounding of a value can be far above that of its last operation: a sum of squares of residuals 10⁻³ of data near 10³ knows f
    to 10⁻¹⁰. Between points so near in value, the slopes at both ends are exact to many more digits [1].

    [1] W. W. Hager, H. Zhang, SIAM J. Optim. 16 (2005), (4.1), with ε = 10⁻⁶.
    """
    return jnp.finfo(f.dtype).eps ** (2 / 3) * jnp.abs(f)


def falls_enough(c: Any, origin: End, trial: End) -> Any:
    """Armijo's condition φ(t) ≤ φ(0) + c t φ′(0); where rounding hides a decrease, its form in slopes, φ′(t) ≤ (2c − 1) φ′(0) [1].

    [1] W. W. Hager, H. Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search", SIAM J.
    Optim. 16 (2005), (4.1).
    """
    (_, f0, m0), (t, f, m) = origin, trial
    by_value = (f < f0) & (f <= f0 + c * t * m0)
    by_slope = (jnp.abs(f - f0) <= resolution(f0)) & (m <= (2 * c - 1) * m0)
    return (jnp.isfinite(m) & jnp.isfinite(f) & (by_value | by_slope)) | (f == -jnp.inf)


def cubic(a: End, b: End) -> Any:
    """Where the cubic through two ends with their slopes has its minimum; NaN if it has none.

    [1] J. Nocedal, S. J. Wright, "Numerical Optimization" (2006), (3.59).
    """
    d1 = a.m + b.m - 3 * (a.f - b.f) / (a.t - b.t)
    d2 = jnp.sign(b.t - a.t) * jnp.sqrt(d1 * d1 - a.m * b.m)
    return b.t - (b.t - a.t) * (b.m + d2 - d1) / (b.m - a.m + 2 * d2)


def secant(a: End, b: End) -> Any:
    """Where the line through two slopes is zero."""
    return a.t - a.m * (b.t - a.t) / (b.m - a.m)
