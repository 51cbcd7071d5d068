"""Which method suits what is known of A; the choice and its reasons are words in `result.why`."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ravine.core.result import Result
from ravine.core.stop import Stop
from ravine.core.tracing import is_traced
from ravine.math.operators import BlockDiagonal, Dense, Diagonals, Kronecker, Operator, Realified, Stencil
from ravine.math.sparse import Coordinates, Ell, diagonals_of
from ravine.methods.linear.norms import is_symmetric
from ravine.methods.linear.preconditioners import Jacobi
from ravine.methods.linear.solve import fitted, solved
from ravine.methods.linear.system import System

DIRECT_UP_TO = 50_000  # unknowns of a sparse system that is factored
DENSE_UP_TO = 2_000  # unknowns for which the entries of a function are written out
ENTRIES_UP_TO = 2**28  # entries of a rectangular array that QR is given


@dataclasses.dataclass(frozen=True)
class Choice:
    """A method's name, a preconditioner, why, what is taken if it ends without success, and whether A is made an array first."""

    name: str
    why: str
    preconditioner: Any = None
    otherwise: str | None = None
    written_out: bool = False


def automatic(
    system: System,
    preconditioner: Any,
    tol: Any,
    stop: Stop,
    x0: Any,
    history: tuple[str, ...] | str,
    callback: Callable[[Any], Any] | None,
) -> Result:
    """Solves by the method that suits A, and by a more patient one where that breaks down."""
    operator = system.A
    choice = choose(operator, preconditioner is not None)
    M = choice.preconditioner if preconditioner is None else preconditioner
    if isinstance(operator, Stencil) and choice.name == "lu":
        operator = diagonals_of(operator)
    if choice.written_out:
        operator = Dense(operator.dense())
    r = solved(system, fitted(choice.name, operator, M), tol, stop, x0, history, callback, "auto", choice.why)
    if choice.otherwise is None or is_traced(r.code) or bool(jnp.all(r.success)):
        return r
    why = f"{choice.why}; it ended with {r.message.split(':')[0]}, so {choice.otherwise} was taken"
    second = solved(system, fitted(choice.otherwise, operator, None), tol, stop, x0, history, callback, "auto", why)
    # A least squares solution of a square system that has none is no success: then the first report, which says why, stands.
    # After Cholesky it is LU's, which tells a singular A from an indefinite one.
    fits = second.fun <= 10 * tol * jnp.linalg.norm(system.b, axis=0)
    better = choice.otherwise == "lu" or operator.shape[0] != operator.shape[1] or bool(jnp.all(fits))
    return second if better else r


def choose(A: Operator, preconditioned: bool = False) -> Choice:
    """The choice for A; nothing but its structure, its size and two products are looked at."""
    m, n = A.shape
    what = f"A is {m}×{n}, {kind(A)}"
    entries = A.inner if isinstance(A, Realified) else A
    if m != n:
        if isinstance(entries, Dense) and m * n <= ENTRIES_UP_TO:
            return Choice("qr", f"{what}: least squares by qr", otherwise="lsmr")
        return Choice("lsmr", f"{what}: least squares by products, lsmr")
    if isinstance(A, Diagonals) and set(A.offsets) <= {-1, 0, 1}:
        return Choice("lu", f"{what}: solved directly in O(n), lu", otherwise="lsmr")
    if isinstance(A, BlockDiagonal | Kronecker):
        return Choice("lu", f"{what}: its blocks are factored, lu", otherwise="lsmr")
    symmetric = is_symmetric(A)
    known = {True: "symmetric", False: "not symmetric", None: "of unknown symmetry"}[symmetric]
    if isinstance(entries, Dense):
        memory = f"{entries.array.nbytes / 2**20:.3g} MiB"
        if preconditioned:
            return Choice("gmres", f"{what}, with a preconditioner: gmres")
        if symmetric and not is_traced(A) and bool(jnp.all(A.diagonal() > 0)):
            return Choice("cholesky", f"{what}, {memory}, symmetric, diagonal positive: cholesky", otherwise="lu")
        return Choice("lu", f"{what}, {memory}, {known}: lu")
    if isinstance(A, Diagonals | Ell | Stencil) and not is_traced(A) and not preconditioned:
        if n <= DIRECT_UP_TO and importlib.util.find_spec("scipy") is not None:
            return Choice("lu", f"{what}, {known}, of moderate size: factored on the host, lu", otherwise="lsmr")
        if symmetric and bool(jnp.all(A.diagonal() > 0)):
            return Choice("cg", f"{what}, symmetric, diagonal positive, large: cg with Jacobi", Jacobi(), "minres")
        return Choice("minres" if symmetric else "gmres", f"{what}, {known}, large: {'minres' if symmetric else 'gmres'}")
    products = not isinstance(A, Dense | Diagonals | Ell | Stencil | Coordinates)
    if products and n <= DENSE_UP_TO and not preconditioned and not symmetric:
        return Choice("lu", f"{what}, {known}, small: its entries written out, lu", otherwise="gmres", written_out=True)
    if symmetric:
        return Choice("cg", f"{what}, symmetric: cg", otherwise="minres")
    return Choice("gmres", f"{what}, {known}: gmres", otherwise="lsmr")


def kind(A: Operator) -> str:
    """The structure in words."""
    if isinstance(A, Diagonals):
        low, up = A.bandwidths
        if A.offsets == (0,):
            return "diagonal"
        return "tridiagonal" if set(A.offsets) <= {-1, 0, 1} else f"{len(A.offsets)} diagonals, bandwidths {low} and {up}"
    if isinstance(A, Realified):
        return f"the real form of a complex system, {kind(A.inner)}"
    words = {
        Dense: "dense",
        Ell: "sparse",
        Coordinates: "sparse",
        BlockDiagonal: "block diagonal",
        Kronecker: "a Kronecker product",
        Stencil: "a stencil",
    }
    return words.get(type(A), "known by its products")
