"""The derivative of a fit with respect to its data, from the condition that holds at a solution.

    F(x, θ) = 0    ⟹    dx/dθ = −(∂F/∂x)⁻¹ ∂F/∂θ

F is the gradient; for an element that a bound holds it is the distance to the bound, so that a solution moves with it.

Where J has no full rank and f no curvature along what J does not see, the solution is one of many, of which the data say nothing
more: it moves only in directions that f tells, to the nearest of the new ones, as a step of minimum norm does.

No step of the solver is differentiated: the cost is one Hessian and one linear solve, however many steps there were.

[1] A. Griewank, A. Walther, "Evaluating Derivatives", SIAM (2008), section 15.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ravine.math.rank import unseen
from ravine.methods.least_squares.linear_step import free


@jax.custom_jvp
def differentiable(x: Any, problem: Any) -> Any:
    """x, a minimiser of the problem's value, with the derivative that it has as a function of the problem's leaves."""
    return x


@differentiable.defjvp
def _derivative(primals: Any, tangents: Any) -> Any:
    (x, problem), (_, change) = primals, tangents
    x = differentiable(x, problem)  # it moves with θ, which second derivatives must see
    return x, _moved(problem, x, change)


@jax.jit
def _moved(problem: Any, x: Any, change: Any) -> Any:
    """−(∂F/∂x)⁻¹ ∂F/∂θ times a change of θ."""
    slope = jax.jacfwd(lambda x: _condition(problem, x))(x)
    _, shift = jax.jvp(lambda p: _condition(p, x), (problem,), (change,))
    J, mask = problem.jacobian(x)[2], free(problem, x, jax.grad(problem._value)(x))
    if mask is None:
        return -_solve(slope, J, shift)
    held = (1 - mask) * shift
    return -held - _solve(mask[:, None] * slope * mask[None], J * mask[None], mask * (shift - slope @ held))


def _solve(H: Any, J: Any, b: Any) -> Any:
    """p with H p = b, from the directions that H or J tell; H is the Hessian of ½‖r‖², J the Jacobian of r."""
    V, blind = unseen(J, H)
    V = jnp.where(blind[None], 0, V)
    return V @ jnp.linalg.solve(V.T @ H @ V + jnp.diag(blind.astype(b.dtype)), V.T @ b)


def _condition(problem: Any, x: Any) -> Any:
    """F."""
    g = jax.grad(problem._value)(x)
    F = g
    for bound, outwards in ((problem.lower, 1), (problem.upper, -1)):
        if bound is not None:
            F = jnp.where((outwards * (x - bound) <= 0) & (outwards * g > 0), x - bound, F)
    return F
