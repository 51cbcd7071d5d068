"""The derivative of a solution in A and b, by the equation that it satisfies and not through the iterations.

    square:        A ẋ = ḃ − Ȧ x
    least squares: AᵀA ẋ = d/dt Aᵀ(b − A x)|ₓ = Aᵀ(ḃ − Ȧ x) + Ȧᵀ r
    least norm:    x = Aᵀw,  A Aᵀ w = b,  so  ẋ = Ȧᵀ w + Aᵀ ẇ  with  A Aᵀ ẇ = ḃ − (Ȧ Aᵀ + A Ȧᵀ) w

Each right-hand side is solved by the method that solved the system (least squares and least norm by CG with the factors, if there
are any, as preconditioner); reverse mode solves with the transpose. A derivative carries no status: where its own equation has no
solution, because A is singular, it is NaN.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ravine.core import driver
from ravine.core.problem import LinearSystem
from ravine.core.status import Status
from ravine.core.stop import MaxSteps, Optimality, Stop
from ravine.math.operators import Operator, Product
from ravine.methods.linear.certified import Certified
from ravine.methods.linear.cg import CG
from ravine.methods.linear.factor import Factor


@jax.custom_jvp
def attached(A: Operator, b: Any, x: Any, how: tuple[Any, Any, Stop]) -> Any:
    """x as a function of A and b; `how` is the method, the tolerance and the stop that solved the system."""
    return x


@attached.defjvp
def _derivative(primals: Any, tangents: Any) -> Any:
    A, b, x, (method, tol, stop) = primals
    dA, db, _, _ = tangents
    m, n = A.shape
    x = attached(A, b, x, (method, tol, stop))  # it moves with A and b, which second derivatives must see

    def along(f: Any) -> Any:
        return jax.jvp(f, (A, b), (dA, db))[1]

    if m == n:
        rhs = along(lambda A, b: b - A.mv(x))
        return x, _linear(A, rhs, method, tol, stop)
    F = getattr(method, "factors", None)
    cg = CG(Product(F, F.T) if m > n else Product(F.T, F)) if isinstance(F, Factor) else CG()
    tight, patient = 1e-2 * tol, Optimality(1e-2 * tol) | MaxSteps(20 * min(m, n) + 100)
    if m > n:
        rhs = along(lambda A, b: A.T.mv(b - A.mv(x)))
        return x, _linear(Product(A.T, A), rhs, cg, tight, patient)
    w = _linear(Product(A, A.T), A.mv(x), cg, tight, patient)
    dw = _linear(Product(A, A.T), along(lambda A, b: b - A.mv(A.T.mv(w))), cg, tight, patient)
    return x, along(lambda A, b: A.T.mv(w)) + A.T.mv(dw)


def _linear(A: Operator, rhs: Any, method: Any, tol: Any, stop: Stop) -> Any:
    """A⁻¹ rhs, so that JAX can transpose it."""
    return lax.custom_linear_solve(
        A.mv,
        rhs,
        solve=lambda _, c: _solve(A, c, method, tol, stop),
        transpose_solve=lambda _, c: _solve(A.T, c, method.transposed(), tol, stop),
    )


def _solve(A: Operator, b: Any, method: Any, tol: Any, stop: Stop) -> Any:
    problem = LinearSystem(A, b)
    carry = driver.solve(Certified(method, tol), problem, jnp.zeros(A.shape[1], b.dtype), stop)
    none = (carry.status == Status.BREAKDOWN) | (carry.status == Status.NONFINITE)
    return jnp.where(none, jnp.nan, method.point(carry.state.inner))
