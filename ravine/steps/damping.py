"""How much a least-squares step is damped: the λ of (JᵀJ + λD²) p = −Jᵀr from step to step.

    Nielsen       λ⁺ = λ max(⅓, 1 − (2ϱ − 1)³), ν⁺ = 2 after a step that lowers f; else λ⁺ = λν, ν⁺ = 2ν [1]
    TrustRadius   λ such that ‖Dp‖ ≈ Δ, 0 if Gauss-Newton's step is shorter; Δ follows the gain ratio ϱ [2]

A radius lets λ fall to zero in one step and crosses curved valleys; λ itself as the control needs one linear solve a trial.

[1] H. B. Nielsen, "Damping parameter in Marquardt's method", IMM-REP-1999-05, Technical University of Denmark, (2.21).
[2] J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", LNM 630 (1978), algorithms 5.5 and 7.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import Record, hyper
from ravine.core.work import while_loop
from ravine.math.damped import Solution

Solve = Callable[[Any], Solution]  # λ ↦ p with (JᵀJ + λD²) p = −Jᵀr


class Trial(NamedTuple):
    """What was seen of a step: the gain ratio ϱ (−1 if it is not to be taken), ‖Dp‖, the slope (Jᵀr)ᵀp, f before and after."""

    rho: Any
    length: Any
    slope: Any
    before: Any
    after: Any


class Damping(Record):
    """Base: the control is λ and one number more, whose meaning is the subclass's own."""

    def start(self, squares: Any, D: Any, x: Any) -> tuple[Any, Any]:
        """The first λ and the other number; `squares` are those of the lengths of J's columns."""
        raise NotImplementedError

    def step(self, solve: Solve, gauss_newton: Any, g: Any, D: Any, lam: Any, other: Any) -> tuple[Any, Any]:
        """The step p and its λ."""
        raise NotImplementedError

    def judge(self, trial: Trial, lam: Any, other: Any) -> tuple[Any, Any]:
        """The next λ and other number."""
        raise NotImplementedError


class Nielsen(Damping):
    """λ itself, lowered smoothly with the gain ratio and raised ever faster while steps fail; the other number is ν.

    Example:
        >>> import ravine as rv
        >>> rv.LevenbergMarquardt(damping=rv.Nielsen(1.0)).damping
        Nielsen(first=1.0)
    """

    first: float = hyper(1e-3, 1e-8, 1e3, log=True, doc="first damping λ₀, relative to the largest ‖Jⱼ‖²/Dⱼ²")

    def start(self, squares: Any, D: Any, x: Any) -> tuple[Any, Any]:
        lam = jnp.asarray(self.first, x.dtype) * jnp.max(squares / D**2)
        return lam, jnp.full_like(lam, 2)

    def step(self, solve: Solve, gauss_newton: Any, g: Any, D: Any, lam: Any, other: Any) -> tuple[Any, Any]:
        solution = solve(lam)
        return solution.p, solution.lam

    def judge(self, trial: Trial, lam: Any, other: Any) -> tuple[Any, Any]:
        rho = jnp.minimum(trial.rho, 1)
        taken = rho > 0
        down = lam * jnp.maximum(1 / 3, 1 - (2 * rho - 1) ** 3)
        return jnp.where(taken, down, lam * other), jnp.where(taken, 2, 2 * other)


class TrustRadius(Damping):
    """Moré's radius: the other number is Δ, negative until the first trial has shown how long Gauss-Newton's step is.

    Example:
        >>> import ravine as rv
        >>> rv.LevenbergMarquardt(damping=rv.TrustRadius(1.0)).damping
        TrustRadius(first=1.0)
    """

    first: float = hyper(10.0, 0.1, 100.0, log=True, doc="first radius Δ₀, relative to ‖Dx₀‖")

    def start(self, squares: Any, D: Any, x: Any) -> tuple[Any, Any]:
        length = jnp.linalg.norm(D * x)
        return jnp.zeros_like(length), -jnp.asarray(self.first, x.dtype) * jnp.where(length > 0, length, 1)

    def step(self, solve: Solve, gauss_newton: Any, g: Any, D: Any, lam: Any, other: Any) -> tuple[Any, Any]:
        radius = jnp.abs(other)
        gauss_newton = solve(jnp.zeros_like(lam)).p if gauss_newton is None else gauss_newton
        highest = jnp.linalg.norm(g / D) / radius  # ‖Dp‖ ≤ ‖D⁻¹g‖/λ
        length = jnp.linalg.norm(D * gauss_newton)
        inside = length <= 1.1 * radius
        # Not derived: of nine rules that were tried on NIST's and Moré's problems this one needs the fewest residuals.
        ratio = jnp.square(radius / jnp.maximum(length, radius))
        # A step that could not be made says nothing: a Cholesky factorisation that failed.
        unknown = highest * jnp.where(jnp.isfinite(length), ratio, 1e-3)
        guess = jnp.where((lam > 0) & (lam <= highest), lam, unknown)

        def off(length: Any) -> Any:
            return ~(jnp.abs(length - radius) <= 0.1 * radius)

        def newton(c: Any) -> Any:
            """Newton's method for 1/‖Dp‖ = 1/Δ, kept between what λ is known to exceed and not to exceed."""
            k, _, asked, low, high, _, _ = c
            p, _, slope, lam = solve(asked)
            length = jnp.linalg.norm(D * p)
            long = ~(length <= radius)  # or not a number, where λ is too small to factorise
            low, high = jnp.where(long, jnp.maximum(lam, low), low), jnp.where(length < radius, lam, high)
            better = lam + length**2 / slope * (length - radius) / radius
            better = jnp.where((better > low) & (better < high), better, jnp.maximum(1e-3 * high, jnp.sqrt(low * high)))
            # No λ below that of rounding is used: where p is short enough with it, it is the least. Any other comes back as the
            # square of its root, which may be a rounding more than what was asked for.
            raised = lam > 1.01 * asked
            return k + 1, lam, better, low, high, p, off(length) & (~raised | long)

        start = (jnp.int32(0), jnp.zeros_like(lam), guess, jnp.zeros_like(lam), highest, gauss_newton, ~inside)
        _, lam, _, _, _, p, _ = while_loop(lambda c: c[-1] & (c[0] < 10), newton, start)
        return p, lam

    def judge(self, trial: Trial, lam: Any, other: Any) -> tuple[Any, Any]:
        first, radius = other < 0, jnp.abs(other)
        radius = jnp.where(first, jnp.minimum(radius, trial.length), radius)
        rise = trial.after - trial.before
        parabola = jnp.where(rise > 0, 0.5 * trial.slope / (trial.slope - rise), 0.5)
        near = jnp.isfinite(trial.after) & (trial.after <= 100 * trial.before)
        shrink = jnp.where(near, jnp.clip(parabola, 0.1, 0.5), 0.1)
        bad, good = trial.rho <= 0.25, (trial.rho >= 0.75) | (lam == 0)
        smaller = shrink * jnp.minimum(radius, 10 * trial.length)
        # A Gauss-Newton step that fits into the smaller radius, too, would be proposed once more: a whole trial for nothing.
        again = (trial.rho < 0) & (smaller > 0.9 * trial.length)
        smaller = jnp.where(again, 0.5 * trial.length, smaller)
        radius = jnp.where(bad, smaller, jnp.where(good, 2 * trial.length, radius))
        return jnp.where(bad, lam / shrink, jnp.where(good, 0.5 * lam, lam)), radius
