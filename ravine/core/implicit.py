"""Derivatives of a solution by the implicit function theorem: the loop that found it is not differentiated.

    F(x, θ) = 0   ⇒   ∂x/∂θ = −(∂F/∂x)⁻¹ ∂F/∂θ

F is the gradient; for an element at a bound it is its distance to the bound, so that a solution moves with the bound that holds it.
θ is all that the problem depends on: `args`, bounds, and arrays that the user's function closes over. Forward and reverse mode.

Where ∂F/∂x is singular to rounding, in a straight valley, the solution is one of many: it moves to the nearest of the new ones.

[1] M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 35 (2022).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from ravine.core.problem import Objective, Oracles

DENSE_UP_TO = 500


def differentiable(problem: Oracles) -> bool:
    """Whether a solution of this problem is where its gradient vanishes; fits see to their own."""
    return isinstance(problem, Objective)


def root(problem: Any, x0: Any, search: Callable[[Any], tuple[Any, Any]]) -> tuple[Any, Any]:
    """The solution that `search` finds, with its derivatives by the theorem, and what else it returns, without.

    Args:
        search: x0 → (x, anything).
    """

    def F(x: Any) -> Any:
        g = problem.value_and_grad(x)[1]
        if problem.lower is None:
            return g
        # The comparison is with numbers that are not differentiated; each branch is.
        return jax.tree.map(_held, x, g, problem.lower, problem.upper)

    kinds: list[Any] = []

    def solve(_: Any, x: Any) -> tuple[Any, Any]:
        x, more = search(x)
        leaves, treedef = jax.tree.flatten(more)
        leaves = [jnp.asarray(v) for v in leaves]
        kinds[:] = [treedef, [_kind(v) for v in leaves]]
        return x, [_to_float(v) for v in leaves]

    x, floats = lax.custom_root(F, x0, solve, _solve_tangents, has_aux=True)
    treedef, types = kinds
    return x, jax.tree.unflatten(treedef, [_from_float(v, t) for v, t in zip(floats, types, strict=True)])


# `custom_root` gives what comes beside x tangents of its own dtype, which integers must not have: they pass through as the
# floating-point numbers that have the same bits.


def _kind(v: Any) -> Any:
    return jax.random.key_impl(v) if jnp.issubdtype(v.dtype, jax.dtypes.prng_key) else jnp.dtype(v.dtype)


def _to_float(v: Any) -> Any:
    v = jax.random.key_data(v) if jnp.issubdtype(v.dtype, jax.dtypes.prng_key) else v
    if jnp.issubdtype(v.dtype, jnp.floating):
        return lax.stop_gradient(v)
    v = v.astype(jnp.int32) if v.dtype.itemsize < 4 else v
    return lax.bitcast_convert_type(v, jnp.float32 if v.dtype.itemsize == 4 else jnp.float64)


def _from_float(v: Any, kind: Any) -> Any:
    v = lax.stop_gradient(v)
    if not isinstance(kind, np.dtype):
        return jax.random.wrap_key_data(lax.bitcast_convert_type(v, jnp.uint32), impl=kind)
    if jnp.issubdtype(kind, jnp.floating):
        return v
    if kind.itemsize < 4:
        return lax.bitcast_convert_type(v, jnp.int32).astype(kind)
    return lax.bitcast_convert_type(v, kind)


def _held(x: Any, g: Any, low: Any, high: Any) -> Any:
    """The gradient where x is free, the distance to the bound where −g pushes against it."""
    down = lax.stop_gradient(g)
    return jnp.where(down > lax.stop_gradient(x - low), x - low, jnp.where(down < lax.stop_gradient(x - high), x - high, g))


def _solve_tangents(product: Callable[[Any], Any], y: Any) -> Any:
    """v with (∂F/∂x) v = y: dense for few parameters, and the shortest where there are many v; by BiCGStab for many parameters."""
    flat, unravel = ravel_pytree(y)

    def mv(v: Any) -> Any:
        return ravel_pytree(product(unravel(v)))[0]

    if flat.size <= DENSE_UP_TO:
        A = jax.vmap(mv, out_axes=1)(jnp.eye(flat.size, dtype=flat.dtype))
        return unravel(_shortest(A, flat))

    def iterate(mv: Any, b: Any) -> Any:
        return jax.scipy.sparse.linalg.bicgstab(mv, b, tol=10 * float(jnp.finfo(b.dtype).eps))[0]

    return unravel(lax.custom_linear_solve(mv, flat, iterate, iterate))


def _shortest(A: Any, b: Any) -> Any:
    """v with A v = b, in the units of A's diagonal the shortest, leaving out what A does not see."""
    D = jnp.sqrt(jnp.abs(jnp.diagonal(A)))
    D = lax.stop_gradient(jnp.where(D > 0, D, 1))
    scaled = A / D[:, None] / D[None]
    U, s, Vt = jnp.linalg.svd(lax.stop_gradient(scaled))
    blind = s <= len(s) * jnp.finfo(s.dtype).eps * s[0]

    def seen(b: Any) -> Any:
        L, R = jnp.where(blind, 0, U), jnp.where(blind, 0, Vt.T)
        return R @ jnp.linalg.solve(L.T @ scaled @ R + jnp.diag(blind.astype(b.dtype)), L.T @ b)

    return lax.cond(jnp.any(blind), seen, lambda b: jnp.linalg.solve(scaled, b), b / D) / D
