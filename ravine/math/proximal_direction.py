"""The proximal direction of a linear layer Z = A W + 1 bᵀ, for W and b jointly.

With the layer's input Ã = [A, 1] (N × (n+1)), the signal E = ∂L/∂Z that backpropagation brings to it (N × m), and g = ÃᵀE:

    d = τ (I + τ ÃᵀÃ)⁻¹ g           so that θ − d minimises ½‖Ãθ' − (Z − E)‖² + ‖θ' − θ‖²/(2τ)   [1, eq. (11), Prop. 2]

    primal   (I/τ + ÃᵀÃ) d = g                                      an (n+1) × (n+1) system
    dual     d = ÃᵀU,   (I/τ + ÃÃᵀ) U = E                           an N × N system: cheaper when N < n

Conjugate gradients are started at d = 0, with the residual g, so that every iterate is a descent direction [1, Prop. 5]. Each
output unit (column) has its own. In the dual form r = Ãᵀs, p = Ãᵀw, d = Ãᵀu are never formed: the iterates are the same, but an
iteration costs one N × N product (inner products ⟨r, r'⟩ = sᵀG s' with G = ÃÃᵀ).

[1] T. Frerix, T. Möllenhoff, M. Möller, D. Cremers, "Proximal Backpropagation", ICLR (2018), arXiv 1706.04638.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ravine.math.inverse_factor import inverse_factor, product

UNROLL = 3


class Solver(NamedTuple):
    """How the system is solved: exactly (`iterations` None), or by so many conjugate gradients, as the published code has them."""

    iterations: int | None
    reference: bool = False


def parse_solver(name: str) -> Solver:
    """ "exact", "cg3" (any number of iterations) or "reference-cg3".

    Raises:
        ValueError: none of these.
    """
    if name == "exact":
        return Solver(None)
    match = re.fullmatch(r"(reference-)?cg([1-9]\d*)", name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(f'solver must be "exact", "cg3" (or another number of iterations) or "reference-cg3", got {name!r}')
    return Solver(int(match[2]), match[1] is not None)


def proximal_direction(
    A: Any, E: Any, tau: Any, solver: str = "exact", *, bias: bool = True, form: str | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """The proximal direction (d_W, d_b) of a linear layer; it takes the place of the gradient (AᵀE, 1ᵀE).

    Args:
        A: the layer's input, (N, n).
        E: the derivative of the loss by the layer's output, (N, m).
        tau: τ > 0. For τ → 0, d/τ is the gradient; for τ → ∞, d is the minimum-norm least-squares step.
        solver: "exact", "cgK" for K conjugate-gradient iterations from 0, or "reference-cgK" for the published code's (see `cg`).
        bias: whether the layer has one; d_b is None otherwise.
        form: "dual" or "primal"; the smaller system if None.

    Returns:
        d_W (n, m) and d_b (m,).

    Example:
        >>> import jax.numpy as jnp
        >>> dW, db = proximal_direction(jnp.ones((4, 2)), jnp.ones((4, 1)), tau=0.5)
        >>> dW.shape, round(float(db[0]), 4)  # τ·4 / (1 + τ·12)
        ((2, 1), 0.2857)
    """
    N, n = A.shape
    if (form or ("primal" if n + bias <= N else "dual")) == "primal":
        return from_normal_equations(*normal_equations(A, E, bias), tau, solver, bias=bias)
    G = product(A, A.T) + (1 if bias else 0)
    if parse_solver(solver).iterations is None:
        X = _inverse(G, tau)
        if n < E.shape[1]:  # ÃᵀXE, the smaller product first
            return (X @ A).T @ E, X.sum(0) @ E if bias else None
        U = X @ E
    else:
        U = cg(G, E, tau, parse_solver(solver), dual=True)
    return A.T @ U, U.sum(0) if bias else None


def normal_equations(A: Any, E: Any, bias: bool) -> tuple[jax.Array, jax.Array]:
    """ÃᵀÃ and ÃᵀE."""
    A = jnp.concatenate([A, jnp.ones((len(A), 1), A.dtype)], 1) if bias else A
    return product(A.T, A), A.T @ E


def from_normal_equations(C: Any, g: Any, tau: Any, solver: str, *, bias: bool) -> tuple[jax.Array, jax.Array | None]:
    """The direction (d_W, d_b) from C = ÃᵀÃ and g = ÃᵀE."""
    how = parse_solver(solver)
    d = _inverse(C, tau) @ g if how.iterations is None else cg(C, g, tau, how, dual=False)
    return (d[:-1], d[-1]) if bias else (d, None)


def cg(G: Any, s: Any, tau: Any, solver: Solver, dual: bool) -> jax.Array:
    """Conjugate gradients for (I/τ + G) u = s from u = 0, one for each column of s.

        q = w/τ + G w,   α = ⟨s, s⟩ / ⟨w, q⟩,   u⁺ = u + α w,   s⁺ = s − α q,   β = ⟨s⁺, s⁺⟩ / ⟨s, s⟩,   w⁺ = s⁺ + β w

    In the dual form ⟨a, b⟩ = aᵀG b, which makes the iterates those of the primal system, and not of (I/τ + G) u = s itself.

    The published code differs in three ways, which `solver.reference` reproduces: 10⁻⁶ is added to both denominators (it damps,
    ever more as gradients shrink); its first w⁺ is (1 + β) s⁺, because w and s are one tensor changed in place; it ends when
    max ⟨s, s⟩ over the columns is below 10⁻⁴ of its mean at the start.

    Iterations are written out three at a time: in a loop XLA joins no elementwise operations of different iterations, and would
    copy what is carried.
    """
    assert solver.iterations is not None
    eps = jnp.asarray(1e-6, s.dtype)

    def step_length(w: Any, z: Any, ss: Any) -> tuple[Any, Any]:
        q = w / tau + z
        wq = _columns(z if dual else w, q)
        return q, ss / (wq + eps) if solver.reference else _ratio(ss, wq)

    def iteration(k: Any, carry: Any) -> Any:
        u, s, w, z, ss, going = carry
        q, alpha = step_length(w, z, ss)
        u, s = u + alpha * w, s - alpha * q
        t = product(G, s)
        ss, before = _columns(s, t if dual else s), ss
        beta = ss / (before + eps) if solver.reference else _ratio(ss, before)
        if solver.reference:
            w, z = jnp.where(k == 0, s, w), jnp.where(k == 0, t, z)
            going = going & (ss.max() >= small)
            beta, ss = jnp.where(going, beta, 0), jnp.where(going, ss, 0)
        return u, s, s + beta * w, t + beta * z, ss, going

    z = product(G, s)  # always G w
    ss = _columns(s, z if dual else s)
    small = 1e-4 * ss.mean()
    start = jnp.zeros_like(s), s, s, z, ss, jnp.bool_(True)
    u, _, w, z, ss, _ = lax.fori_loop(0, solver.iterations - 1, iteration, start, unroll=UNROLL)
    return u + step_length(w, z, ss)[1] * w  # the last iteration needs no new residual


def _columns(a: Any, b: Any) -> jax.Array:
    return jnp.sum(a * b, 0, keepdims=True)


def _ratio(a: Any, b: Any) -> jax.Array:
    """a / b of what is positive in exact arithmetic; 0 for columns that have converged, or never had a signal."""
    ok = (a > 0) & (b > 0)
    return jnp.where(ok, a / jnp.where(ok, b, 1), 0)


def _inverse(G: Any, tau: Any) -> jax.Array:
    """(I/τ + G)⁻¹. Inverting the small matrix once and multiplying is faster than triangular solves with wide right-hand sides.

    A τ beyond what the dtype resolves beside G acts as the largest that it does: a proximal step all the same.
    """
    shift = jnp.maximum(1 / tau, jnp.finfo(G.dtype).eps * jnp.trace(G))
    M = inverse_factor(G + shift * jnp.eye(len(G), dtype=G.dtype))
    return product(M.T, M)
