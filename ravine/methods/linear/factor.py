"""Factor once, solve many: `factor(A).solve(b)`. The structure of A decides what is factored.

    diagonal            division
    tridiagonal         Gaussian elimination with pivoting (LAPACK gtsv)
    blocks, A ⊗ B       the factors of the blocks, of A and of B
    sparse, banded      SuperLU on the host, through a callback (needs SciPy; as entries are read there, not under jit)
    dense               LU, Cholesky or Householder QR (LAPACK; LU and Cholesky from the host where the array lies there)

LDLᵀ: JAX has none; symmetric indefinite systems go to LU, or to MINRES.
"""

from __future__ import annotations

import itertools
import weakref
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import lu_solve, solve_triangular

from ravine.core.pytree import part, static
from ravine.math.operators import BlockDiagonal, Diagonals, Kronecker, Operator
from ravine.math.sparse import Ell, scipy_sparse, to_scipy
from ravine.math.triangular import Swept
from ravine.methods.linear.as_operator import as_operator


class Factor(Operator):
    """A⁻¹ (or the pseudo-inverse of a full-rank A) as an operator; `solve` takes a vector (m,) or columns (m, k)."""

    def solve(self, b: Any) -> Any:
        """The x of A x = b.

        Raises:
            ValueError: b does not fit A.
        """
        b = jnp.asarray(b)
        n, m = self.shape
        if b.ndim not in (1, 2) or b.shape[0] != m:
            raise ValueError(f"A is {m}×{n}, so b must have shape ({m},) or ({m}, k); it has {b.shape}")
        b = b if jnp.issubdtype(b.dtype, jnp.inexact) else b.astype(self.dtype)
        return _solved(self, b, np.promote_types(b.dtype, self.dtype))

    @property
    def T(self) -> Any:
        return self if self.symmetric else Transposed(self)

    def solve_transposed(self, b: Any) -> Any:
        """A⁻ᵀ b."""
        like = jax.ShapeDtypeStruct((self.shape[1],), b.dtype)
        return jax.linear_transpose(self.mv, like)(b)[0]

    def rcond(self) -> Any:
        """The least pivot over the largest: far below the machine precision where A is singular."""
        return jnp.ones((), self.dtype)

    def rounding(self) -> float:
        """An rcond that rounding alone leaves of a singular A."""
        return max(10, *self.shape) * float(jnp.finfo(self.dtype).eps)

    def nudged(self) -> Any:
        """The factors of a matrix as near to A as rounding, where those of A itself divide by zero."""
        return self

    def null_direction(self) -> Any:
        """The v of least ‖A v‖ / ‖v‖ for m ≥ n, by inverse iteration with (AᵀA)⁻¹; on the host."""
        F = self.nudged()
        v = jnp.asarray(np.random.default_rng(0).standard_normal(self.shape[0]), self.dtype)
        for _ in range(2):
            w = F.T.mv(v)
            v = F.mv(w / jnp.linalg.norm(w))
            v = v / jnp.linalg.norm(v)
        return v


@partial(jax.jit, static_argnums=2)
def _solved(F: Factor, b: Any, kind: Any) -> Any:
    F, b = jax.tree.map(lambda v: v.astype(kind) if jnp.issubdtype(v.dtype, jnp.inexact) else v, (F, b))
    return F.mv(b) if b.ndim == 1 else jax.vmap(F.mv, 1, 1)(b)


def _ratio(pivots: Any) -> Any:
    size = jnp.abs(pivots)
    return jnp.where(jnp.max(size) == _nothing(pivots.dtype), 0, jnp.min(size) / jnp.max(size))


def _nothing(dtype: Any) -> Any:
    """The pivots of a zero matrix: so small that its solutions are huge, and their squares finite."""
    return jnp.finfo(dtype).tiny ** 0.25


def _guarded(pivots: Any) -> Any:
    """Zero pivots made as small as rounding would have left them: so a singular system has a solution, and it is huge."""
    least = jnp.finfo(pivots.dtype).eps * jnp.max(jnp.abs(pivots), initial=0)
    return jnp.where(pivots == 0, jnp.where(least > 0, least, _nothing(pivots.dtype)).astype(pivots.dtype), pivots)


class LUFactor(Factor):
    """P Aᵀ = L U. The factors are those of Aᵀ and held transposed, as LAPACK counts by columns and arrays here lie row by row: so
    nothing is copied into another order, neither to factor nor to solve."""

    lu: Any = part(doc="(L U)ᵀ in one array")
    order: Any = part(doc="P: which row of Aᵀ stands at each place")

    @property
    def shape(self) -> tuple[int, int]:
        return self.lu.shape

    def mv(self, b: Any) -> Any:
        w = _triangular(self.lu, b, lower=False, transpose_a=True)
        y = _triangular(self.lu, w, lower=True, transpose_a=True, unit_diagonal=True)
        return jnp.zeros_like(y).at[self.order].set(y, unique_indices=True)

    def solve_transposed(self, b: Any) -> Any:
        w = _triangular(self.lu, b[self.order], lower=True, unit_diagonal=True)
        return _triangular(self.lu, w, lower=False)

    def rcond(self) -> Any:
        return _ratio(jnp.diagonal(self.lu))


def _triangular(transposed: Any, b: Any, **how: Any) -> Any:
    """The triangular solve with the transpose of an array, for a vector."""
    return lax.linalg.triangular_solve(transposed.T, b[:, None], left_side=True, **how)[:, 0]


class Transposed(Factor):
    """(Aᵀ)⁻¹ from the factors of A."""

    inner: Any = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape[::-1]

    @property
    def T(self) -> Any:
        return self.inner

    def mv(self, b: Any) -> Any:
        return self.inner.solve_transposed(b)

    def rcond(self) -> Any:
        return self.inner.rcond()


class CholeskyFactor(Factor):
    """A = L Lᵀ; NaN where A is not positive definite."""

    L: Any = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.L.shape

    @property
    def symmetric(self) -> bool | None:
        return True

    def mv(self, b: Any) -> Any:
        return _triangular(self.L.conj(), _triangular(self.L, b, lower=False, transpose_a=True), lower=False)

    def rcond(self) -> Any:
        return _ratio(jnp.diagonal(self.L)) ** 2


class QRFactor(Factor):
    """A = Q R (m ≥ n: least squares), or Aᵀ = Q R (m < n: least norm), with Q as its reflections, in blocks: of the vectors V of a
    block, as rows, and S = striu(V Vᵀ) + diag(1 / τ), the product of the reflections is I − Vᵀ S⁻¹ V.

    [1] C. Puglisi, "Modification of the Householder method based on the compact WY representation", SIAM J. Sci. Stat. Comput. 13
    (1992) 723.
    """

    V: Any = part(doc="(blocks, width, m)")
    S: Any = part(doc="(blocks, width, width)")
    R: Any = part(doc="Rᵀ")
    wide: bool = static(False)

    @property
    def shape(self) -> tuple[int, int]:
        m, n = self.V.shape[2], self.R.shape[0]
        return (m, n) if self.wide else (n, m)

    @property
    def T(self) -> Any:
        return self.replace(wide=not self.wide)

    def mv(self, b: Any) -> Any:
        m, n = self.V.shape[2], self.R.shape[0]
        if self.wide:
            return self._Q(jnp.pad(_triangular(self.R, b, lower=False, transpose_a=True), (0, m - n)), transpose=False)
        return _triangular(self.R, self._Q(b, transpose=True)[:n], lower=False)

    def _Q(self, c: Any, transpose: bool) -> Any:
        """Q c or Qᵀc, block by block."""

        def block(c: Any, VS: Any) -> Any:
            V, S = VS
            return c - solve_triangular(S, V @ c, trans=1 if transpose else 0) @ V, None

        return lax.scan(block, c, (self.V, self.S), reverse=not transpose)[0]

    def rcond(self) -> Any:
        return _ratio(jnp.diagonal(self.R))


REFLECTIONS = 32  # in a block


@jax.jit
def _qr(a: Any) -> tuple[Any, Any, Any]:
    """V, S and Rᵀ of the Householder QR of an m×n array, m ≥ n."""
    h, tau = jnp.linalg.qr(a, mode="raw")
    n, m = h.shape
    i, j = jnp.arange(n)[:, None], jnp.arange(m)[None]
    nothing = tau == 0  # a reflection that is the identity: v = 0 and τ = 1 stand for it
    V = jnp.where(nothing[:, None], 0, jnp.where(j > i, h, (j == i).astype(h.dtype)))
    blocks = -(-n // REFLECTIONS)
    V = jnp.pad(V, ((0, blocks * REFLECTIONS - n), (0, 0))).reshape(blocks, REFLECTIONS, m)
    d = jnp.pad(1 / jnp.where(nothing, 1, tau), (0, blocks * REFLECTIONS - n), constant_values=1).reshape(blocks, REFLECTIONS)
    S = jnp.triu(V @ V.swapaxes(1, 2), 1) + jax.vmap(jnp.diag)(d)
    return V, S, _with_guard(jnp.tril(h[:, :n]))


class DiagonalFactor(Factor):
    """Division by the diagonal."""

    d: Any = part()

    @property
    def shape(self) -> tuple[int, int]:
        return self.d.size, self.d.size

    @property
    def symmetric(self) -> bool | None:
        return True

    def mv(self, b: Any) -> Any:
        return b / _guarded(self.d)

    def rcond(self) -> Any:
        return _ratio(self.d)


class TridiagonalFactor(Factor):
    """Gaussian elimination with pivoting in O(n), done anew for every right-hand side."""

    bands: Any = part(doc="(3, n): below, on and above the diagonal; zeros where they end")

    @property
    def shape(self) -> tuple[int, int]:
        return self.bands.shape[1], self.bands.shape[1]

    def mv(self, b: Any) -> Any:
        below, main, above = self.bands
        return lax.linalg.tridiagonal_solve(below, main, above, b[:, None])[:, 0]

    def nudged(self) -> Any:
        shift = jnp.maximum(jnp.finfo(self.dtype).eps * jnp.max(jnp.abs(self.bands)), _nothing(self.dtype))
        return self.replace(bands=self.bands.at[1].add(shift))


class BlockFactor(Factor):
    """The blocks, each by LU."""

    lu: Any = part()
    pivots: Any = part()

    @property
    def shape(self) -> tuple[int, int]:
        k, p, _ = self.lu.shape
        return k * p, k * p

    def mv(self, b: Any) -> Any:
        k, p, _ = self.lu.shape
        return jax.vmap(lambda lu, piv, c: lu_solve((lu, piv), c))(self.lu, self.pivots, b.reshape(k, p)).reshape(-1)

    def rcond(self) -> Any:
        return _ratio(jnp.diagonal(self.lu, axis1=1, axis2=2))


class KroneckerFactor(Factor):
    """(A ⊗ B)⁻¹ = A⁻¹ ⊗ B⁻¹."""

    left: Factor = part()
    right: Factor = part()

    @property
    def shape(self) -> tuple[int, int]:
        return Kronecker(self.left, self.right).shape

    def mv(self, b: Any) -> Any:
        return Kronecker(self.left, self.right).mv(b)

    def rcond(self) -> Any:
        return self.left.rcond() * self.right.rcond()

    def nudged(self) -> Any:
        return self.replace(left=self.left.nudged(), right=self.right.nudged())


class _Handle:
    """Keeps one host factorisation alive. All handles are equal, so that another factorisation recompiles nothing."""

    def __init__(self, number: int):
        weakref.finalize(self, _factors.pop, number, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handle)

    def __hash__(self) -> int:
        return 0


_factors: dict[int, Any] = {}
_numbers = itertools.count()


class SuperLUFactor(Factor):
    """A sparse LU on the host; a solve is a callback."""

    number: Any = part()
    pivots: Any = part()
    n: int = static(0)
    handle: Any = static(None)

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.n

    def _solve(self, b: Any, trans: str) -> Any:
        def on_host(number: Any, b: Any) -> Any:
            factors, c = _factors[int(np.ravel(number)[0])], np.asarray(b, np.float64)
            x = factors.solve(c, trans) if c.ndim == 1 else factors.solve(c.reshape(-1, self.n).T, trans).T.reshape(c.shape)
            return x.astype(b.dtype, copy=False)

        return jax.pure_callback(on_host, jax.ShapeDtypeStruct(b.shape, b.dtype), self.number, b, vmap_method="broadcast_all")

    def mv(self, b: Any) -> Any:
        return self._solve(b, "N")

    def solve_transposed(self, b: Any) -> Any:
        return self._solve(b, "T")

    def rcond(self) -> Any:
        return _ratio(self.pivots)


def _superlu(A: Operator) -> SuperLUFactor:
    scipy_sparse()
    from scipy.sparse.linalg import splu

    M = to_scipy(A)
    options = {"permc_spec": "MMD_AT_PLUS_A", "options": {"SymmetricMode": True}, "diag_pivot_thresh": 0.01} if A.symmetric else {}
    try:
        factors = splu(M.astype(np.float64).tocsc(), **options)
        pivots = factors.U.diagonal()
    except RuntimeError:  # exactly singular
        shift = np.finfo(np.float64).eps * abs(M).max() or float(_nothing(np.float64))
        sparse = scipy_sparse()
        factors, pivots = splu((M.astype(np.float64) + shift * sparse.eye_array(M.shape[0])).tocsc()), np.array([0.0, 1.0])
    number = next(_numbers)
    _factors[number] = factors
    dtype = A.dtype
    return SuperLUFactor(jnp.int32(number), jnp.asarray(pivots, dtype), A.shape[0], _Handle(number))


def _with_guard(a: Any) -> Any:
    guard = _guarded if a.ndim == 2 else jax.vmap(_guarded)
    pivots = guard(jnp.diagonal(a, axis1=-2, axis2=-1))
    # Chosen and not scattered: XLA makes one pass of this and the transpose that follows.
    return jnp.where(jnp.eye(a.shape[-1], dtype=bool), pivots[..., None], a)


def _at_hand(a: Any) -> bool:
    """Whether the host's LAPACK can read the array where it lies."""
    return not isinstance(a, jax.core.Tracer) and all(d.platform == "cpu" for d in a.devices())


ALIGNED = 64  # bytes; NumPy's arrays begin anywhere, and JAX copies one that does not begin at a multiple of it


def scipy_linalg() -> Any:
    """`scipy.linalg`, whose import takes long (`python -X importtime`): not before something is solved on the host."""
    from scipy import linalg

    return linalg


def _lapack(name: str, dtype: Any) -> Any:
    (function,) = scipy_linalg().get_lapack_funcs((name,), dtype=dtype)
    return function


def _to_overwrite(a: Any) -> Any:
    """A copy for LAPACK to work in, which `jax.device_put` then takes as it stands, where `jnp.asarray` copies."""
    memory = np.empty(a.nbytes + ALIGNED, np.uint8)
    begin = -memory.ctypes.data % ALIGNED
    out = memory[begin : begin + a.nbytes].view(a.dtype).reshape(a.shape)
    np.copyto(out, a)
    return out


@jax.jit
def _lu_traced(a: Any) -> tuple[Any, Any]:
    lu, _, order = lax.linalg.lu(a.T)
    return _with_guard(lu).T, order


def _lu(a: Any) -> tuple[Any, Any]:
    """(L U)ᵀ and the order of P Aᵀ = L U. XLA copies the array three times around the same LAPACK call, a third of the time."""
    if not _at_hand(a):
        return _lu_traced(a)
    getrf = _lapack("getrf", a.dtype)
    lu, pivots, _ = getrf(_to_overwrite(a).T, overwrite_a=True)
    order = np.arange(len(a), dtype=np.int32)
    for i, p in enumerate(pivots):
        order[i], order[p] = order[p], order[i]
    np.einsum("ii->i", lu)[:] = _guarded(np.diagonal(lu))
    return jax.device_put(lu.T), jnp.asarray(order)


_block_lu = jax.jit(jax.vmap(lambda a: lax.linalg.lu(a)[:2]))
_cholesky_traced = jax.jit(lambda a: jnp.linalg.cholesky(a, symmetrize_input=False))


def _cholesky(a: Any) -> Any:
    """L of A = L Lᵀ, from the lower triangle; NaN where there is none."""
    if not _at_hand(a):
        return _cholesky_traced(a)
    potrf = _lapack("potrf", a.dtype)
    upper, info = potrf(_to_overwrite(a).T, lower=False, overwrite_a=True)
    return jnp.full_like(a, jnp.nan) if info else jax.device_put(upper.T)


def flat_direction(a: Any) -> tuple[int, Any]:
    """Of a symmetric array that is not positive definite: the first row k whose pivot is not positive, and the unit vector along
    v = (−A₁₁⁻¹a, 1, 0), A₁₁ the rows and columns before k and a what A has beside them, for which vᵀA v is that pivot."""
    a = np.asarray(a)
    potrf = _lapack("potrf", a.dtype)
    upper, info = potrf(a.T, lower=False)
    k = max(info - 1, 0)
    v = np.zeros(len(a), a.dtype)
    v[k] = 1
    U = upper[:k, :k]
    v[:k] = -scipy_linalg().solve_triangular(U, scipy_linalg().solve_triangular(U, a[:k, k], trans=1)) if k else 0
    return k, jnp.asarray(v / np.linalg.norm(v))


def factored(A: Any, kind: str) -> Factor:
    """The factors of A as they come; where there are none, they hold NaN."""
    operator = as_operator(A)
    m, n = operator.shape
    if kind not in ("lu", "cholesky", "qr"):
        cure = ": JAX has no LDLᵀ; take lu, or minres for symmetric indefinite A" if kind == "ldl" else ""
        raise ValueError(f"kind must be 'lu', 'cholesky' or 'qr', got {kind!r}{cure}")
    if kind != "qr" and m != n:
        raise ValueError(f"{kind} needs a square A, got {m}×{n}; take kind='qr', which solves least squares")
    if kind == "lu":
        return _structured(operator)
    dense = jnp.asarray(operator.dense())
    if kind == "cholesky":
        return CholeskyFactor(_cholesky(dense))
    return QRFactor(*_qr(dense.T if m < n else dense), wide=m < n)


def _structured(A: Operator) -> Factor:
    A = A.inner if isinstance(A, Swept) else A
    if isinstance(A, Diagonals) and A.offsets == (0,):
        return DiagonalFactor(A.bands[0])
    if isinstance(A, Diagonals) and set(A.offsets) <= {-1, 0, 1}:
        at = dict(zip(A.offsets, A.bands, strict=True))
        zero, n = jnp.zeros_like(A.bands[0]), A.shape[0]
        below, above = at.get(-1, zero).at[0].set(0), at.get(1, zero).at[n - 1].set(0)
        return TridiagonalFactor(jnp.stack([below, at.get(0, zero), above]))
    if isinstance(A, BlockDiagonal) and A.blocks.shape[1] == A.blocks.shape[2]:
        lu, pivots = _block_lu(A.blocks)
        return BlockFactor(_with_guard(lu), pivots)
    if isinstance(A, Kronecker) and A.left.shape[0] == A.left.shape[1]:
        return KroneckerFactor(_structured(A.left), _structured(A.right))
    traced = any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(A))
    if isinstance(A, Diagonals | Ell) and not traced:
        return _superlu(A)
    return LUFactor(*_lu(jnp.asarray(A.dense())))
