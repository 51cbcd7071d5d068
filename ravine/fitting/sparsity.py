"""The pattern of a Jacobian: given or found, and seen to miss nothing.

Found by derivatives: every column of J at x0 and at two random points beside it; an entry that is zero at all three is taken for a
zero of the pattern. Missing entries are seen in a random product: J v from the function against J v from the pattern.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.method import Method
from ravine.core.problem import LeastSquares
from ravine.core.tracing import is_traced
from ravine.fitting.statistics import parameter_names
from ravine.math.colouring import as_pattern
from ravine.math.sparse import scipy_sparse
from ravine.methods.least_squares.auto_step import AutoStep
from ravine.methods.least_squares.damping import within
from ravine.methods.least_squares.sparse_step import SparseStep

BLOCK = 64  # columns of J that are made at once
BESIDE = 1e-2  # how far the random points are from x0, relative to 1 + |x0|


def with_sparsity(method: Method, problem: LeastSquares, x: Any, sparsity: Any) -> Method:
    """The method with sparse linear steps of that pattern.

    Raises:
        ValueError: the method asks for another linear step, the pattern has another shape or misses an entry, or values are being
            traced where numbers are needed. TypeError: not a pattern.
    """
    linear = getattr(method, "linear", None)
    if not isinstance(linear, AutoStep | SparseStep):
        raise ValueError(f"sparsity is for sparse linear steps, but the method has {linear}: leave linear= out")
    if is_traced(problem, x):
        raise ValueError("sparsity is found and checked with numbers, and jit, vmap or grad is tracing: call least_squares outside")
    m, n = problem.sizes(x)
    probing = isinstance(sparsity, str)
    if probing and sparsity != "probe":
        raise ValueError(f"sparsity must be 'probe' or a pattern, got {sparsity!r}")
    pattern = probe(problem, x) if probing else as_pattern(sparsity, m, n)
    note = f"pattern found by probing: {n} Jacobian-vector products at each of 3 points" if probing else "pattern as given"
    step = SparseStep.of(pattern, note)
    for point in points(problem, x)[:2]:
        missing = missed(problem, step, point)
        if missing:
            raise ValueError(f"sparsity misses an entry: {missing}; add it, or take sparsity='probe'")
    return method.replace(linear=step)


def points(problem: LeastSquares, x: Any) -> list[Any]:
    """x, and two random points beside it, within the bounds."""
    beside = np.random.default_rng(0).standard_normal((2, x.size))
    out = [jnp.asarray(x)]
    for away in beside:
        y = x + (BESIDE * (1 + np.abs(np.asarray(x))) * away).astype(x.dtype)
        out.append(within(problem, y))
    return out


_residual = jax.jit(LeastSquares._residual)


@jax.jit
def _block(problem: LeastSquares, x: Any, first: Any) -> Any:
    """Whether J is other than zero in `BLOCK` columns from `first` on: (BLOCK, m)."""
    seeds = (first + jnp.arange(BLOCK)[:, None] == jnp.arange(x.size)[None]).astype(x.dtype)
    return jax.vmap(jax.linearize(problem._residual, x)[1])(seeds) != 0  # a NaN is an entry


def probe(problem: LeastSquares, x: Any) -> Any:
    """Where J is other than zero at x or at one of two points beside it, as a SciPy CSR matrix of booleans."""
    sparse = scipy_sparse()
    m, n = problem.sizes(x)
    found = sparse.csr_array((m, n), dtype=bool)
    for k, point in enumerate(points(problem, x)):
        if k and not np.isfinite(np.asarray(_residual(problem, point))).all():
            continue  # outside of what the function is defined for, where derivatives say nothing
        blocks = [sparse.csr_array(np.asarray(_block(problem, point, j))) for j in range(0, n, BLOCK)]
        found = found + sparse.vstack(blocks).tocsr()[:n].T.tocsr()
    return found.astype(bool)


@jax.jit
def _difference(problem: LeastSquares, step: SparseStep, x: Any, v: Any) -> tuple[Any, Any]:
    """J v less J v by the pattern, and the size of what rounding is measured by."""
    B, _ = step.compressed(problem, x)
    exact = problem.linearize(x)[1](v)
    return exact - step.product(B, v), jnp.sum(jnp.abs(B * step.spread(v)), axis=0) + jnp.abs(exact)


def missed(problem: LeastSquares, step: SparseStep, x: Any) -> str:
    """An entry of J at x that the pattern has not, in words; "" if there is none."""
    v = jnp.asarray(np.random.default_rng(1).standard_normal(x.size), x.dtype)
    off, size = (np.asarray(u) for u in _difference(problem, step, x, v))
    wrong = np.abs(off) > 1e3 * np.finfo(size.dtype).eps * size
    if not (wrong & np.isfinite(off)).any():
        return ""
    i = int(np.argmax(wrong & np.isfinite(off)))
    row = np.array(jax.grad(lambda y: problem._residual(y)[i])(x))
    known = np.asarray(step.columns)[:, i]
    row[known[known < x.size]] = 0
    j = int(np.argmax(np.abs(row)))
    name = parameter_names(problem.layout.unpack(x) if problem.layout is not None else x)[j]
    return f"residual {i} has the derivative {row[j]:.3g} with respect to {name} (row {i}, column {j})"
