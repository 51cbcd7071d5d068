"""Damped linear least squares: the step p that solves (JᵀJ + λD²) p = −Jᵀr, three ways.

    qr         triangle of [J D⁻¹; √λ I], never squares the condition number
    cholesky   factor of D⁻¹JᵀJD⁻¹ + λI, half the work
    dual       p = −D⁻²Jᵀu with (J D⁻²Jᵀ + λI) u = r, an m×m system, when residuals are fewer than parameters

All work with columns scaled by D, so that a parameter in other units changes nothing but rounding. λ is kept above rounding
(`least`), where the step is that of minimum norm.

[1] Å. Björck, "Numerical Methods for Least Squares Problems", SIAM (1996), sections 2.7 and 9.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.lax import cond
from jax.lax.linalg import cholesky, triangular_solve

from ravine.math.small_dense import UNROLLED, backwards, forwards


def triangle(J: Any, r: Any) -> tuple[Any, Any]:
    """R and Qᵀr of J = QR; min(m, n) rows."""
    n = J.shape[1]
    top = jnp.linalg.qr(jnp.concatenate([J, r[:, None]], axis=1), mode="r")
    return top[:n, :n], top[:n, n]


def least(n: int, dtype: Any) -> float:
    """The least λ of normal equations, relative to columns of length 1, at which a singular value of ε makes no step longer than r.
    Where J has full rank it is the least √λ of QR, which resolves singular values down to ε."""
    return n * float(jnp.finfo(dtype).eps)


class Solution(NamedTuple):
    """A damped step.

    Attributes:
        p: the step.
        gain: gᵀD⁻¹(D⁻¹AD⁻¹ + λI)⁻¹D⁻¹g with A = JᵀJ: twice what the step lowers the damped model by.
        slope: qᵀ(D⁻¹AD⁻¹ + λI)⁻¹q for q = D p, which is −½ d‖q‖²/dλ.
        lam: the λ that was used, at least that of rounding.
    """

    p: Any
    gain: Any
    slope: Any
    lam: Any


def qr_solve(R: Any, b: Any, D: Any, lam: Any) -> Solution:
    """p that minimises ‖R p + b‖² + λ‖D p‖²."""
    n = R.shape[1]
    # Relative to the columns as they are, not to D, which remembers longer ones.
    floor = jnp.where(deficient(R) | (R.shape[0] < n), least(n, R.dtype) ** 0.5, least(n, R.dtype))
    mu = jnp.maximum(jnp.sqrt(lam), floor).astype(R.dtype)
    damping = jnp.concatenate([mu * jnp.eye(n, dtype=R.dtype), jnp.zeros((n, 1), R.dtype)], axis=1)
    T = jnp.linalg.qr(jnp.concatenate([jnp.concatenate([R / D[None], b[:, None]], axis=1), damping]), mode="r")
    T, c = T[:n, :n], T[:n, n]
    q = -upper_solve(T, c)
    w = upper_solve(T, q, transposed=True)
    return Solution(q / D, jnp.sum(c * c), jnp.sum(w * w), mu * mu)


def qr_undamped(R: Any, b: Any, D: Any) -> tuple[Any, Any]:
    """p that minimises ‖R p + b‖² and the gain of it, of minimum norm where R has no full rank: then alone a second QR is made."""
    n = R.shape[1]
    if R.shape[0] < n:
        return qr_solve(R, b, D, jnp.zeros_like(D[0]))[:2]

    def substitution() -> tuple[Any, Any]:
        return -upper_solve(R, b), jnp.sum(b * b)

    return cond(deficient(R), lambda: qr_solve(R, b, D, jnp.zeros_like(D[0]))[:2], substitution)


def upper_solve(R: Any, b: Any, transposed: bool = False) -> Any:
    """R⁻¹b, or R⁻ᵀb; small ones are written out, because a call of LAPACK costs more than they do."""
    if len(b) > UNROLLED:
        return triangular_solve(R, b[:, None], left_side=True, transpose_a=transposed)[:, 0]
    return (forwards if transposed else backwards)(list(R.T), b)


def deficient(R: Any) -> Any:
    """Whether a pivot of the triangle is rounding beside its column."""
    return jnp.any(jnp.abs(jnp.diagonal(R)) <= 100 * least(R.shape[1], R.dtype) * jnp.linalg.norm(R, axis=0)[: R.shape[0]])


def cholesky_solve(A: Any, g: Any, D: Any, lam: Any) -> Solution:
    """p with (A + λD²) p = −g, by LLᵀ = D⁻¹AD⁻¹ + λI."""
    n = len(g)
    lam = jnp.maximum(lam, least(n, g.dtype)).astype(g.dtype)
    L = cholesky(A / (D[:, None] * D[None]) + lam * jnp.eye(n, dtype=g.dtype), symmetrize_input=False)
    c = triangular_solve(L, (g / D)[:, None], left_side=True, lower=True)
    q = -triangular_solve(L, c, left_side=True, lower=True, transpose_a=True)
    w = triangular_solve(L, q, left_side=True, lower=True)
    return Solution(q[:, 0] / D, jnp.sum(c * c), jnp.sum(w * w), lam)


def kernel_solve(K: Any, r: Any, lam: Any) -> tuple[Any, Any, Any]:
    """u with (K + λI) u = r, ‖L⁻¹K u‖² with LLᵀ = K + λI, and the λ that was used."""
    # K's diagonal is not 1 as that of scaled columns is: what counts as rounding is relative to its largest element.
    size, identity = jnp.max(jnp.diagonal(K)), jnp.eye(len(r), dtype=r.dtype)
    lam = jnp.maximum(lam, least(len(r), r.dtype) * size).astype(r.dtype)
    L = cholesky(K + lam * identity, symmetrize_input=False)
    # Where rows of J depend on each other, u holds what J cannot reach of r, divided by λ, and Jᵀu must cancel it: a λ near
    # rounding would leave no digit of the step, and call any point a solution. The square root of it leaves half of them.
    safe = jnp.sqrt(jnp.finfo(r.dtype).eps).astype(r.dtype) * size
    dependent = (lam < safe) & ~(jnp.min(jnp.diagonal(L)) ** 2 > safe)
    lam = jnp.where(dependent, safe, lam)
    L = cond(dependent, lambda: cholesky(K + safe * identity, symmetrize_input=False), lambda: L)
    c = triangular_solve(L, r[:, None], left_side=True, lower=True)
    u = triangular_solve(L, c, left_side=True, lower=True, transpose_a=True)
    w = triangular_solve(L, K @ u, left_side=True, lower=True)
    return u[:, 0], jnp.sum(w * w), lam


def dual_solution(q: Any, g: Any, D: Any, w: Any, lam: Any) -> Solution:
    """The damped step of q = −D⁻¹Jᵀu, g = Jᵀr, and of what `kernel_solve` found."""
    # (BᵀB + λI)⁻¹ = (I − Bᵀ(K + λI)⁻¹B)/λ for B = JD⁻¹; where λ is at its least, rounding must not make the slope negative.
    return Solution(q / D, -(q @ (g / D)), jnp.maximum(q @ q - w, 0) / lam, lam)


def dual_solve(J: Any, r: Any, D: Any, lam: Any) -> Solution:
    """p = −D⁻²Jᵀu with (K + λI) u = r, K = J D⁻²Jᵀ."""
    B = J / D[None]
    u, w, lam = kernel_solve(B @ B.T, r, lam)
    return dual_solution(-(u @ B), r @ J, D, w, lam)
