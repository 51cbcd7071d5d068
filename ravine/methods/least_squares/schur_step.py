"""The Schur complement: blocks of the second kind (points) are eliminated one by one, the first kind (cameras) is solved for.

    ⎡U  W⎤ ⎡a⎤     ⎡g⎤      V is block-diagonal: V = LLᵀ with tiny blocks, Y = W L⁻ᵀ
    ⎣Wᵀ V⎦ ⎣b⎦ = − ⎣h⎦      (U − YYᵀ) a = −(g − Y L⁻¹h),   b = −L⁻ᵀ(L⁻¹h + Yᵀa)

U, V, W are the blocks of D⁻¹JᵀJD⁻¹ + λI. W has one small block a pair; U − YYᵀ is dense, or known by its products in conjugate
gradients with the inverted blocks on its diagonal. Blocks lie with pairs (or points) along the last axis.

[1] B. Triggs, P. McLauchlan, R. Hartley, A. Fitzgibbon, "Bundle adjustment: a modern synthesis" (2000), section 6.
[2] S. Agarwal, N. Snavely, S. Seitz, R. Szeliski, "Bundle adjustment in the large", ECCV (2010).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.driver import solve
from ravine.core.flat import end_to_end
from ravine.core.pairs import PairResidual
from ravine.core.problem import LeastSquares, LinearSystem
from ravine.core.pytree import part, static
from ravine.core.stop import MaxSteps, Optimality
from ravine.core.tracing import is_traced
from ravine.core.work import count
from ravine.math.damped import Solution, least
from ravine.math.loss import Loss
from ravine.math.pairing import LANES, Pairing, by_segment, lane_sums, total
from ravine.math.rank import lengths
from ravine.math.small_dense import UNROLLED, backwards, cholesky, forwards
from ravine.methods.least_squares.linear_step import LinearStep, Local, free
from ravine.methods.least_squares.pcg_step import Product
from ravine.methods.linear.cg import CG

DENSE = 3000  # rows of the reduced system up to which it is made


class Blocks(NamedTuple):
    """JᵀJ by blocks: U (lefts, p, p), V (q, q, rights), W (rows of pairs, p, q, LANES)."""

    U: Any
    V: Any
    W: Any


class SchurStep(LinearStep):
    """Elimination of the right blocks of a `PairResidual`.

    Example:
        >>> import ravine as rv
        >>> scene = rv.problems.bundle_adjustment.synthetic(cameras=3, points=20)
        >>> method = rv.LevenbergMarquardt(linear=rv.SchurStep())
        >>> r = rv.least_squares(scene.pairs(), scene.x0, (scene.observed,), method=method, tol=1e-4)
        >>> r.success, r.why
        (True, 'Schur complement: 20 blocks of 3 eliminated, 3 blocks of 9 solved for, dense')
    """

    solver: str = static(
        "auto", choices=("auto", "dense", "cg"), doc="how the reduced system is solved; auto: dense up to 3000 rows"
    )
    pairing: Any = part(None, doc="which blocks meet; made from the residual")

    def chosen(self, problem: LeastSquares, x: Any) -> tuple[LinearStep, str]:
        reason = unfit(problem)
        if reason:
            raise ValueError(f"SchurStep eliminates the right blocks of a PairResidual: {reason}")
        (lefts, p), (rights, q) = problem.layout.shapes  # type: ignore[union-attr]
        solver = self.solver if self.solver != "auto" else "dense" if lefts * p <= DENSE else "cg"
        pairs = problem.fun.whole
        step = SchurStep(solver, Pairing.of(pairs.left, pairs.right, lefts, solver == "dense"))
        how = "dense" if solver == "dense" else "by conjugate gradients"
        return step, f"Schur complement: {rights} blocks of {q} eliminated, {lefts} blocks of {p} solved for, {how}"

    def look(self, problem: LeastSquares, x: Any) -> Local:
        count("r")
        count("jac")
        fun, s = problem.fun.whole.fun, self.pairing
        a, b = (jnp.asarray(v).T for v in jax.tree.leaves(problem.layout.unpack(x)))  # type: ignore[union-attr]

        def here(lanes: Any) -> Any:
            """What a row of pairs contributes: its cost, and the products of A = ∂r/∂left, B = ∂r/∂right and r, pair by pair."""
            i, j, there, data = lanes
            of_pairs = jax.vmap(lambda a, b, data: fun(a, b, *data), (-1, -1, 0), -1)
            r, transpose = jax.vjp(lambda a, b: of_pairs(a, b, data).reshape(-1, LANES), a[:, i], b[:, j])
            seeds = [jnp.where(there, jnp.zeros_like(r).at[k].set(1), 0) for k in range(len(r))]
            A, B = (jnp.stack(rows) for rows in zip(*map(transpose, seeds), strict=True))
            r = jnp.where(there[None], r, 0)
            f = problem._cost(r)
            if problem.loss is not None:
                r, weigh = problem.loss.correct(r)
                A, B = (jax.vmap(weigh, 1, 1)(v) for v in (A, B))
            A, B = (jnp.where(there[None, None], v, 0) for v in (A, B))  # no 0·∞ of a filling
            BB = total(v[:, None] * v[None] for v in B)
            AB = total(u[:, None] * v[None] for u, v in zip(A, B, strict=True))
            return f, jnp.moveaxis(A, -1, 0), AB, BB, total(A * r[:, None]), total(B * r[:, None])

        data = tuple(v[s.order] for v in problem.args)
        f, rows, W, BB, Ar, Br = jax.lax.map(here, (s.left, s.right, s.there, data))
        rows = rows.reshape(-1, *rows.shape[2:])
        V, U = by_segment(BB, s.right, b.shape[1]), s.own.gram(rows, rows)
        sides = by_segment(Ar, s.left, a.shape[1], False), by_segment(Br, s.right, b.shape[1])
        g = end_to_end([v.T for v in sides])
        squares = end_to_end([jnp.diagonal(U, axis1=1, axis2=2), jnp.diagonal(V)])
        blocks, mask = Blocks(U, V, W), free(problem, x, g)
        if mask is not None:
            U, V, scale = scaled(blocks, *self._apart(blocks, mask))
            blocks = Blocks(U, V, jax.lax.map(lambda lanes: scale(*lanes), (W, s.left, s.right)))
            g = g * mask
        return Local(jnp.sum(f), g, squares, jnp.max(jnp.abs(g) / lengths(squares)), None, blocks, None)

    def _apart(self, blocks: Blocks, v: Any) -> tuple[Any, Any]:
        """A vector like x as (p, lefts) and (q, rights)."""
        size = blocks.U.shape[0] * blocks.U.shape[1]
        return v[:size].reshape(blocks.U.shape[:2]).T, v[size:].reshape(-1, blocks.V.shape[0]).T

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        count("factor")
        lam = jnp.maximum(lam, least(x.size, x.dtype)).astype(x.dtype)
        s, U, V, scale = self.pairing, *scaled(local.J, *self._apart(local.J, 1 / D))
        (p, width), lefts = local.J.W.shape[1:3], len(U)
        L = cholesky(V + lam * jnp.eye(width, dtype=V.dtype)[:, :, None])

        def whitened(lanes: Any) -> Any:  # Y = W L⁻ᵀ, also with pairs first
            W, i, j = lanes
            here = [[v[j][None] for v in row if v is not None] for row in L]
            Y = jnp.moveaxis(forwards(here, jnp.moveaxis(scale(W, i, j), 1, 0)), 0, 1)
            return Y, jnp.transpose(Y, (2, 1, 0))

        Y, rows = jax.lax.map(whitened, (local.J.W, s.left, s.right))
        rows = rows.reshape(-1, width, p)
        U = U + lam * jnp.eye(p, dtype=U.dtype)[None]

        def left(z: Any) -> Any:  # Y z
            return by_segment(lane_sums(Y, 2, z, s.right), s.left, lefts, False)

        def right(a: Any) -> Any:  # Yᵀa
            return by_segment(lane_sums(Y, 1, a, s.left), s.right, V.shape[-1])

        if self.solver == "dense":
            S = jnp.zeros((lefts, lefts, p, p), U.dtype).at[s.rows, s.columns].set(-s.met.gram(rows, rows))
            k = jnp.arange(lefts)
            S = S.at[k, k].add(U).transpose(0, 2, 1, 3).reshape(lefts * p, lefts * p)
            factor = jax.lax.linalg.cholesky(S, symmetrize_input=False)

            def reduced(b: Any) -> Any:
                return jax.scipy.linalg.cho_solve((factor, True), b.T.ravel()).reshape(lefts, p).T

        else:
            inverse = jnp.linalg.inv(U - s.own.gram(rows, rows))
            tol = jnp.clip(local.offset / jnp.sqrt(2 * local.f), x.dtype.type(jnp.finfo(x.dtype).eps ** 0.75), 0.1)

            def product(v: Any) -> Any:
                a = v.reshape(lefts, p).T
                return (jnp.einsum("kij,jk->ik", U, a) - left(right(a))).T.ravel()

            def reduced(b: Any) -> Any:
                system = LinearSystem(Product(product, (lefts * p, lefts * p)), b.T.ravel())
                method = CG(preconditioner=lambda v: jnp.einsum("kij,kj->ki", inverse, v.reshape(lefts, p)).ravel())
                end = solve(method, system, jnp.zeros(lefts * p, x.dtype), Optimality(tol) | MaxSteps(500))
                return end.state.x.reshape(lefts, p).T

        def inverted(b: Any) -> Any:
            """(D⁻¹JᵀJD⁻¹ + λI)⁻¹ b."""
            b, c = self._apart(local.J, b)
            z = forwards(L, c)
            a = reduced(b - left(z))
            return end_to_end([a.T, backwards(L, z - right(a)).T])

        q = inverted(-local.g / D)
        # By conjugate gradients, the slope of a system that is nothing but damping: a second solve would cost as much again.
        slope = q @ inverted(q) if self.solver == "dense" else q @ q / lam
        return Solution(q / D, -(local.g / D) @ q, slope, lam)

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        (U, V, W), s, (a, b) = local.J, self.pairing, self._apart(local.J, p)
        own = jnp.einsum("kij,ik,jk->", U, a, a) + jnp.sum(total(total(V * b[:, None]) * b))
        return own + 2 * jnp.sum(by_segment(lane_sums(W, 1, a, s.left), s.right, b.shape[1]) * b)


def unfit(problem: LeastSquares) -> str:
    """Why the right blocks cannot be eliminated; "" if they can."""
    pairs = problem.fun.whole
    if not isinstance(pairs, PairResidual):
        return f"{problem.fun.name} is none; wrap the residual of one pair in PairResidual(fun, left, right)"
    if is_traced(pairs.left, pairs.right):
        return "its indices are being traced; make it outside of jit, vmap and grad"
    shapes = problem.layout.shapes  # type: ignore[union-attr]
    for name, index, shape in zip(("left", "right"), (pairs.left, pairs.right), shapes, strict=True):
        if len(index) and index.max() >= shape[0]:
            return f"{name} names the row {index.max()} of {shape[0]}"
    if shapes[1][1] > UNROLLED:
        return (
            f"the right blocks have {shapes[1][1]} numbers each and {UNROLLED} at most can be eliminated; exchange left and right"
        )
    if problem.loss is not None and not isinstance(problem.loss, Loss):
        return f"{type(problem.loss).__name__} joins residuals of several pairs"
    return ""


def scaled(blocks: Blocks, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """U and V with rows and columns multiplied by a (left) and b (right), and what does that to a row of pairs of W."""
    U, V, _ = blocks

    def scale(W: Any, i: Any, j: Any) -> Any:
        return W * a[:, i][:, None] * b[:, j][None]

    return U * a.T[:, :, None] * a.T[:, None], V * b[:, None] * b[None], scale
