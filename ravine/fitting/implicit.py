"""The derivative of a fit with respect to its data, from the condition that holds at a solution.

    F(x, θ) = 0    ⟹    dx/dθ = −(∂F/∂x)⁻¹ ∂F/∂θ

F is the gradient; for an element that a bound holds it is the distance to the bound, so that a solution moves with it.

No step of the solver is differentiated: the cost is one Hessian and one linear solve, however many steps there were.

[1] A. Griewank, A. Walther, "Evaluating Derivatives", SIAM (2008), section 15.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_jvp
def differentiable(x: Any, problem: Any) -> Any:
    """x, a minimiser of the problem's value, with the derivative that it has as a function of the problem's leaves."""
    return x


@differentiable.defjvp
def _derivative(primals: Any, tangents: Any) -> Any:
    (x, problem), (_, change) = primals, tangents
    slope = jax.jacfwd(lambda x: _condition(problem, x))(x)
    _, shift = jax.jvp(lambda p: _condition(p, x), (problem,), (change,))
    return x, -jnp.linalg.solve(slope, shift)


def _condition(problem: Any, x: Any) -> Any:
    """F."""
    g = jax.grad(problem._value)(x)
    F = g
    for bound, outwards in ((problem.lower, 1), (problem.upper, -1)):
        if bound is not None:
            F = jnp.where((outwards * (x - bound) <= 0) & (outwards * g > 0), x - bound, F)
    return F
