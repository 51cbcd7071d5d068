"""The smooth half of a step of ADMM: x ← argmin f(x) + ρ/2 ‖K x − w‖², from where the last one ended.

    f quadratic     x ← x − (∇²f + ρ KᵀK)⁻¹ L′(x),   L′(x) = ∇f(x) + ρ Kᵀ(K x − w)
                    by factors that are made once for each ρ, or by conjugate gradients until the residual is η |L′(x)|
    any other f     by Newton's method with the whole Hessian, or by Newton-CG, until |L′| has fallen by η

The correction starts from 0, so that conjugate gradients are warm started: L′(x) falls as ADMM converges.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.driver import solve
from ravine.core.problem import Composite, LinearSystem, Penalised
from ravine.core.pytree import Record, part
from ravine.core.status import Status
from ravine.core.stop import MaxSteps, Optimality, Stop, View
from ravine.core.work import count, while_loop
from ravine.math.operators import Dense
from ravine.methods.linear.cg import CG
from ravine.methods.linear.direct import Direct
from ravine.methods.second_order.newton import Newton
from ravine.methods.second_order.newton_cg import NewtonCG, Product

NEWTON_STEPS = 50
PREPARED_UP_TO = 4000


class Factors(NamedTuple):
    """The factors of ∇²f + ρ KᵀK, the ρ that they are for, and the two matrices."""

    inverse: Any
    rho: Any
    H: Any
    KtK: Any


class Within(Stop):
    """Ends where the optimality is no larger than a bound, whatever the scale."""

    bound: Any = part()

    def code(self, view: View) -> Any:
        return jnp.where(view.optimality <= self.bound, jnp.int32(Status.CONVERGED), jnp.int32(Status.RUNNING))


class Argmin(Record):
    """How the smooth half is solved: `linear` is a direct method or conjugate gradients, `tol` is η."""

    linear: Any = part()
    tol: Any = part()

    def start(self, problem: Composite, x: Any, rho: Any) -> Any:
        """What is kept between steps."""
        if not (problem.quadratic and isinstance(self.linear, Direct)):
            return ()
        H, KtK = problem.f.hessian(x), problem.gram()
        return Factors(self._inverse(H, KtK, rho), rho, H, KtK)

    def _inverse(self, H: Any, KtK: Any, rho: Any) -> Any:
        count("factor")
        return self.linear.prepared(Dense(H + rho * KtK, True)).factors

    def __call__(self, problem: Composite, x: Any, slope: Any, w: Any, rho: Any, kept: Any) -> tuple[Any, Any]:
        """The x of least f(x) + ρ/2 ‖K x − w‖², from one where the gradient of this is `slope`, and what is kept."""
        smooth, zero = Penalised(problem, rho, w), jnp.zeros_like(x)
        if not problem.quadratic:
            newton = NewtonCG(linear=self.linear) if isinstance(self.linear, CG) else Newton()
            stop = Within(self.tol * jnp.max(jnp.abs(slope))) | MaxSteps(NEWTON_STEPS)
            return solve(newton, smooth, x, stop).state.x, kept
        if isinstance(kept, Factors):
            # A loop of no or one round, not `cond`: it leaves the factors where they are, and under `vmap` they are made anew only
            # where a lane asks for it. ρ goes round with them, or XLA would factor before the loop, in every step.
            inverse, *_ = while_loop(
                lambda F: (F[1] != rho) & (rho == rho),
                lambda F: (self._inverse(kept.H, kept.KtK, F[2]), F[2], F[1]),
                (kept.inverse, kept.rho, rho),
            )
            return x - inverse.mv(slope), kept._replace(inverse=inverse, rho=rho)
        system = LinearSystem(Product(lambda v: smooth.hvp(zero, v)), -slope)
        return x + solve(self.linear, system, zero, Optimality(self.tol) | MaxSteps(2 * x.size)).state.x, kept


def require(linear: Any) -> None:
    """Refuses a linear method that the x-step cannot use."""
    if not isinstance(linear, Direct | CG):
        raise TypeError(f"linear must be Cholesky(), LU(), QR() or CG(preconditioner=M), got {type(linear).__name__}")


def ready(linear: Any, problem: Composite, x: Any, rho: Any) -> Any:
    """The linear method with a preconditioner made of ∇²f(x) + ρ KᵀK, where it has one that wants to see the matrix.

    Raises:
        ValueError: there are too many parameters for the matrix to be made.
    """
    if not hasattr(getattr(linear, "preconditioner", None), "of"):
        return linear
    if x.size > PREPARED_UP_TO:
        name = type(linear.preconditioner).__name__
        raise ValueError(
            f"{name} wants ∇²f + ρ KᵀK, {x.size}×{x.size}, which is made here up to {PREPARED_UP_TO} parameters: "
            f"make it yourself and give preconditioner=rv.precond.{name}(…).of(A)"
        )
    A = Penalised(problem, jnp.asarray(rho, x.dtype), None).hessian(jnp.asarray(x))
    return linear.prepared(Dense(A, True))
