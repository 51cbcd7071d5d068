"""Levenberg-Marquardt on thousands of small problems at once: the loop behind `least_squares_batch`.

Each problem is a lane, and lanes are the last axis of all but residuals and data, so that every operation is a long vector.
`width` lanes are worked on, as many as fit the cache; when an eighth of them has ended, results are written and the next problems
take their place. So no lane waits for the slowest, which under `vmap` all do.

    (JᵀJ + λD²) p = −Jᵀr            Cholesky of D⁻¹JᵀJD⁻¹ + λI, written out for n ≤ 8
    λ⁺ = λ max(⅓, 1 − (2ϱ − 1)³)    Nielsen's rule, each lane its own

Whether a step is taken, how λ follows and why a lane ends are the decisions of `LevenbergMarquardt`, made by the same functions.
Within bounds, x + p is moved to the nearest point of the box before anything is evaluated there, and what a bound holds has no part
in p.

A lane that was just loaded takes a step of length zero: the residual is evaluated at one place in the program.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ravine.core.batch import handed_on
from ravine.core.codegen import Compiled
from ravine.core.problem import LeastSquares
from ravine.core.pytree import select, substitute
from ravine.core.status import Status
from ravine.math.damped import least
from ravine.math.rank import lengths
from ravine.math.small_dense import solve_spd
from ravine.methods.least_squares.damping import judged, tiny, verdict, within
from ravine.methods.least_squares.linear_step import Local, free
from ravine.steps.damping import Nielsen, Trial


class Lanes(NamedTuple):
    """What each lane knows; shapes (…, width).

    Attributes:
        row: which problem it is, or the number of problems where there is none.
        args: the problem's data, lanes first.
        lower, upper: its bounds, or None.
        x, local: the point, and what is known of it: f, Jᵀr, the squares of the columns' lengths, the optimality; J is JᵀJ.
        D, lam, nu: scaling and damping.
        nit: accepted steps; fresh: whether x has not been looked at yet; status: a `Status`.
    """

    row: Any
    args: Any
    lower: Any
    upper: Any
    x: Any
    local: Local
    D: Any
    lam: Any
    nu: Any
    nit: Any
    fresh: Any
    status: Any


class Outcome(NamedTuple):
    """Results by problem: x (B, n), f, optimality relative to ‖r‖, iterations and status, (B,)."""

    x: Any
    f: Any
    optimality: Any
    nit: Any
    status: Any


def _look(problem: LeastSquares, x: Any, args: Any, axes: Any) -> Local:
    """What is known of every lane's point."""

    def one(x: Any, args: Any) -> tuple[Any, Any, Any]:
        def residual(x: Any) -> Any:
            return LeastSquares(problem.fun, args, problem.layout)._residual(x)

        r, forward = jax.linearize(residual, x)
        unit = jnp.eye(x.size, dtype=x.dtype)
        columns = [forward(unit[j]) for j in range(x.size)]
        if problem.loss is None:
            return 0.5 * r @ r, r, columns
        cost = problem.loss.cost(r)
        r, weigh = problem.loss.correct(r)
        return cost, r, [weigh(c) for c in columns]

    # `vmap` puts lanes first, and there the residuals of a lane lie side by side: the sums over them are fast as they are, and
    # lanes last took two to four times as long (`python benchmarks/least_squares.py batch`). Without the barrier every product
    # would work out its columns anew.
    f, r, J = lax.optimization_barrier(jax.vmap(one, in_axes=(-1, axes))(x, args))
    n = len(J)
    pairs = [(i, j) for i in range(n) for j in range(i, n)]
    sums = _sums([c * r for c in J] + [J[i] * J[j] for i, j in pairs])
    g, upper = jnp.stack(sums[:n]), dict(zip(pairs, sums[n:], strict=True))
    A = jnp.stack([jnp.stack([upper[min(i, j), max(i, j)] for j in range(n)]) for i in range(n)])
    mask = free(problem, x, g)
    if mask is not None:  # the diagonal stays: it has the columns' lengths, and what is held has g = 0
        g = g * mask
        A = jnp.stack([jnp.stack([A[i, j] * (1 if i == j else mask[i] * mask[j]) for j in range(n)]) for i in range(n)])
    squares = _diagonal(A)
    offset = jnp.sqrt(_damped(A, g, lengths(squares), jnp.zeros_like(f))[1])
    return Local(f, g, squares, offset, None, A, None)


def _sums(products: list[Any]) -> list[Any]:
    """The sums along the second axis, in one pass: a sum of its own for each read every column again and again."""

    def add(a: Any, b: Any) -> Any:
        return [x + y for x, y in zip(a, b, strict=True)]

    return lax.reduce(products, [jnp.zeros((), v.dtype) for v in products], add, (1,))


def _diagonal(A: Any) -> Any:
    return jnp.stack([A[j, j] for j in range(A.shape[0])])


def _damped(A: Any, g: Any, D: Any, lam: Any) -> tuple[Any, Any]:
    """p with (A + λD²) p = −g, and gᵀ(A + λD²)⁻¹g."""
    n = A.shape[0]
    lam = jnp.maximum(lam, least(n, A.dtype)).astype(A.dtype)
    eye = jnp.eye(n, dtype=A.dtype)[:, :, None]
    q = solve_spd(A / (D[:, None] * D[None]) + lam[None, None] * eye, g / D)
    return -q / D, jnp.sum(q * (g / D), axis=0)


def _step(problem: LeastSquares, s: Lanes, axes: Any, tol: Any, most: Any) -> Lanes:
    problem = substitute(problem, lower=s.lower, upper=s.upper)
    p, _ = _damped(s.local.J, s.local.g, s.D, s.lam)
    p = jnp.where(jnp.all(jnp.isfinite(p), axis=0)[None], p, 0)
    x = within(problem, s.x + p)
    slope = jnp.sum(s.local.g * p, axis=0)
    promised = 0.5 * (s.lam * jnp.sum((s.D * p) ** 2, axis=0) - slope)
    if s.lower is not None or s.upper is not None:
        p = x - s.x
        slope = jnp.sum(s.local.g * p, axis=0)
        promised = -slope - 0.5 * jnp.sum(p * jnp.sum(s.local.J * p[None], axis=1), axis=0)

    local = _look(problem, x, s.args, axes)
    finite = jnp.isfinite(local.f) & jnp.all(jnp.isfinite(local.g), axis=0)
    accepted, flat, rho = judged(s.local, local, s.x, promised)
    taken = jnp.where(s.fresh, finite, finite & accepted)
    length = jnp.sqrt(jnp.sum((s.D * p) ** 2, axis=0))
    lam, nu = Nielsen().judge(Trial(jnp.where(taken, rho, -1), length, slope, s.local.f, local.f), s.lam, s.nu)
    lam, nu = select(s.fresh, (s.lam, s.nu), (lam, nu))

    running = s.status == int(Status.RUNNING)
    moved = taken & running
    f = jnp.where(moved | s.fresh, local.f, s.local.f)
    x, local = select(moved, (x, local), (s.x, s.local))
    local = local._replace(f=f)
    D = jnp.where(s.fresh[None], lengths(local.squares), jnp.maximum(s.D, lengths(local.squares)))
    nit = s.nit + (moved & ~s.fresh).astype(jnp.int32)

    refused = ~taken & ~s.fresh
    status = verdict(local, x, refused & tiny(p, s.x), refused & flat)
    status = jnp.where((status == int(Status.RUNNING)) & (nit >= most), int(Status.MAX_STEPS), status)
    status = jnp.where(local.offset <= tol * jnp.sqrt(2 * f), int(Status.CONVERGED), status)
    status = jnp.where(s.fresh & ~finite, int(Status.NONFINITE), status)
    status = jnp.where(running, status, s.status).astype(jnp.int32)
    fresh = jnp.zeros_like(s.fresh)
    return s._replace(x=x, local=local, D=D, lam=lam, nu=nu.astype(s.nu.dtype), nit=nit, fresh=fresh, status=status)


def _fit(problem: LeastSquares, x0: Any, args: Any, tol: Any, most: Any, damping: Any, axes: Any, width: int) -> Outcome:
    """Fits all lanes.

    Args:
        problem: its `fun` and `loss` are used, and its bounds: (B, n) or None; `args` come by lane.
        x0: (B, n).
        args: their leaves have B rows, except those with None in `axes`.
        tol, most, damping: tolerance on the relative optimality, iterations, λ₀.
        axes: for each argument 0 (by lane) or None (shared).
        width: lanes worked on at a time.
    """
    B, n = x0.shape
    dtype = x0.dtype

    def load(rows: Any) -> tuple[Any, Any, Any]:
        def pick(v: Any) -> Any:
            return jnp.moveaxis(v.at[rows].get(mode="clip"), 0, -1)

        def data(a: Any) -> Any:
            return jax.tree.map(lambda v: v.at[rows].get(mode="clip"), a)

        box = jax.tree.map(pick, (problem.lower, problem.upper))
        return pick(x0), box, tuple(a if axis is None else data(a) for a, axis in zip(args, axes, strict=True))

    def blank(rows: Any) -> Lanes:
        x, box, data = load(rows)
        zeros = jnp.zeros(width, dtype)
        eye = jnp.broadcast_to(jnp.eye(n, dtype=dtype)[:, :, None], (n, n, width))
        status = jnp.where(rows < B, int(Status.RUNNING), int(Status.INTERRUPTED)).astype(jnp.int32)
        local = Local(zeros + jnp.inf, jnp.zeros_like(x), jnp.ones_like(x), zeros + jnp.inf, None, eye, None)
        none = jnp.zeros(width, jnp.int32)
        lower, upper = box
        return Lanes(
            rows, data, lower, upper, x, local, jnp.ones_like(x), zeros + damping.astype(dtype), zeros + 2, none, rows < B, status
        )

    def ended(s: Lanes) -> Any:
        return (s.status != int(Status.RUNNING)) & (s.row < B)

    def round_trip(c: Any) -> Any:
        s, following, out = c

        def go(s: Lanes) -> Any:
            enough = jnp.where(following < B, max(width // 8, 1), width)
            return (jnp.sum(ended(s), dtype=jnp.int32) < enough) & jnp.any(s.status == int(Status.RUNNING))

        s = lax.while_loop(go, lambda s: _step(problem, s, axes, tol, most), s)
        done = ended(s)
        rows = jnp.where(done, s.row, B)
        f, g = s.local.f, s.local.g
        out = jax.tree.map(
            lambda all_rows, lane: all_rows.at[rows].set(jnp.moveaxis(lane, -1, 0), mode="drop"),
            out,
            Outcome(s.x, f, jnp.where(jnp.all(g == 0, axis=0), 0, s.local.offset / jnp.sqrt(2 * f)), s.nit, s.status),
        )
        free = done | (s.row >= B)
        rows, following = handed_on(s.row, free, following, B)
        fresh = blank(rows)
        merged = jax.tree.map(lambda new, old: jnp.where(free, new, old), fresh._replace(args=()), s._replace(args=()))

        def by_lane(new: Any, old: Any) -> Any:
            return jnp.where(free.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

        # Shared arguments have no lanes; the others follow their rows.
        kept = [
            old if axis is None else jax.tree.map(by_lane, new, old)
            for new, old, axis in zip(fresh.args, s.args, axes, strict=True)
        ]
        return merged._replace(args=tuple(kept)), following, out

    empty = Outcome(jnp.zeros_like(x0), *(jnp.zeros(B, dtype),) * 2, *(jnp.zeros(B, jnp.int32),) * 2)
    start = (blank(jnp.arange(width, dtype=jnp.int32)), jnp.int32(width), empty)
    return lax.while_loop(lambda c: jnp.any(c[0].row < B), round_trip, start)[2]


# Here the quick way is the faster one, too, though arrays are large.
fit = Compiled(_fit, static_argnames=("axes", "width"))
