"""The work behind `linear_solve`: look at A and b, choose a method, run it, and say truthfully how it ended."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.linalg import get_blas_funcs

from ravine.core import driver, registry
from ravine.core.choice import as_method
from ravine.core.flat import as_arrays
from ravine.core.function import Function
from ravine.core.problem import LinearSystem
from ravine.core.result import Result
from ravine.core.run import default_tolerance, is_traced, outcome, run
from ravine.core.status import Status
from ravine.core.stop import Both, Either, MaxSteps, Optimality, Stop
from ravine.math.operators import Dense, Diagonals, MatrixFree, Operator, Realified
from ravine.math.sparse import Ell, swept, to_scipy
from ravine.methods.linear.as_operator import as_operator
from ravine.methods.linear.certified import Certified
from ravine.methods.linear.derivative import attached
from ravine.methods.linear.factor import CholeskyFactor, Factor, factored
from ravine.methods.linear.krylov import singular


@dataclasses.dataclass(frozen=True)
class System:
    """A x = b as the methods see it, and how to give x back.

    Attributes:
        A: a real operator.
        b: a real vector, or (m, k) for k right-hand sides.
        unpack: from a vector x (or a row of the transposed solution) to what the user expects.
        norm: ‖A‖_F, where the pass over the entries that looks for NaN has given it.
    """

    A: Operator
    b: Any
    unpack: Callable[[Any], Any]
    pack: Callable[[Any], Any]
    norm: Any = None

    @property
    def many(self) -> bool:
        return self.b.ndim == 2


def posed(A: Any, b: Any, x0: Any) -> System:
    """Checks shapes and numbers, brings both to one dtype, makes a complex system a real one of twice the size.

    Raises:
        ValueError: shapes that do not fit; NaN or infinity in A or b, with the place of the first.
        TypeError: A or b are nothing linear.
    """
    free = callable(A) and not isinstance(A, Operator) and not hasattr(A, "mv")
    norm = None
    b = _floating(as_arrays(b))
    leaves = jax.tree.leaves(b)
    if not leaves:
        raise ValueError("b is an empty tree")
    columns = not free and len(leaves) == 1 and not isinstance(b, dict | list | tuple) and np.ndim(leaves[0]) == 2
    if not free and len(leaves) == 1 and np.ndim(leaves[0]) not in (1, 2):
        raise ValueError(
            f"b must be a vector of length m or an array (m, k) of k right-hand sides, got shape {np.shape(leaves[0])}"
        )
    size_of_b = _check_finite(b, "b")
    if x0 is not None:
        _check_finite(_floating(as_arrays(x0)), "x0")
    layout_b = None if columns else _Packing.of(b)
    vector = jnp.asarray(leaves[0]) if columns else layout_b.pack(b)  # type: ignore[union-attr]
    if free:
        like = b if x0 is None else _floating(as_arrays(x0))
        packing = _Packing.of(like)
        operator: Any = _function(A, packing, layout_b)  # type: ignore[arg-type]
        _refuse_nonlinear(operator)
    else:
        operator = as_operator(A)
        norm = _check_finite(operator, "A")
        square = operator.shape[0] == operator.shape[1]
        packing = _Packing.of(x0) if x0 is not None and not columns else (layout_b if square and not columns else None)  # type: ignore[assignment]
    m, n = operator.shape
    if m == 0 or n == 0:
        raise ValueError(f"A is {m}×{n}: there is nothing to solve")
    if vector.shape[0] != m:
        raise ValueError(f"A is {m}×{n}, so b must have length {m}; it has {vector.shape[0]}")
    if packing is not None and packing.size != n:
        raise ValueError(f"A is {m}×{n}, so x0 must have length {n}; it has {packing.size}")
    if columns and x0 is not None and np.shape(x0) != (n, vector.shape[1]):
        raise ValueError(
            f"A is {m}×{n} and b has {vector.shape[1]} columns, so x0 must have shape {(n, vector.shape[1])}, not {np.shape(x0)}"
        )
    kind = common_dtype(operator.dtype, vector.dtype)
    info = jnp.finfo(kind)
    if size_of_b and not (float(info.tiny) / float(info.eps)) ** 0.5 < size_of_b < float(info.max) ** 0.5:
        raise ValueError(f"‖b‖ is {size_of_b:.2g}, and its square leaves the range of {info.dtype}: scale b, and x scales with it")
    is_complex = jnp.issubdtype(kind, jnp.complexfloating)
    operator = jax.tree.map(lambda v: jnp.asarray(v, kind) if jnp.issubdtype(v.dtype, jnp.inexact) else v, operator)
    vector = vector.astype(kind)
    if isinstance(operator, MatrixFree):
        operator = operator.replace(number=str(kind))
    if is_complex:
        operator, vector = Realified(operator), _halves(vector)

    def unpack(x: Any) -> Any:
        z = jax.lax.complex(*jnp.split(x, 2)) if is_complex else x
        return z if packing is None else packing.unpack(z)

    def pack(x: Any) -> Any:
        z = jnp.asarray(x) if packing is None else packing.pack(x)
        return _halves(z.astype(kind)) if is_complex else z.astype(vector.dtype)

    dense = isinstance(operator.inner if is_complex else operator, Dense)
    known = jnp.asarray(norm * np.sqrt(1 + is_complex), vector.dtype) if dense and norm is not None else None
    return System(operator, vector, unpack, pack, known)


def _halves(z: Any) -> Any:
    return jnp.concatenate([z.real, z.imag])


@dataclasses.dataclass(frozen=True)
class _Packing:
    """A tree of real or complex arrays as one vector (`Layout` is for parameters, which are real)."""

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtype: Any

    @classmethod
    def of(cls, tree: Any) -> _Packing:
        leaves, treedef = jax.tree.flatten(tree)
        return cls(treedef, tuple(np.shape(v) for v in leaves), common_dtype(*(v.dtype for v in leaves)))

    @property
    def size(self) -> int:
        return sum(int(np.prod(s)) for s in self.shapes)

    def pack(self, tree: Any) -> Any:
        leaves, treedef = jax.tree.flatten(tree)
        if treedef != self.treedef or tuple(np.shape(v) for v in leaves) != self.shapes:
            raise ValueError(
                f"x0 and b, or A's outcome and b, differ in structure: expected {self.treedef} with shapes {self.shapes}"
            )
        flat = [jnp.ravel(jnp.asarray(v, self.dtype)) for v in leaves]
        return flat[0] if len(flat) == 1 else jnp.concatenate(flat)

    def unpack(self, x: Any) -> Any:
        if len(self.shapes) == 1:
            return jax.tree.unflatten(self.treedef, [x.reshape(self.shapes[0])])
        ends = np.cumsum([int(np.prod(s)) for s in self.shapes])[:-1].tolist()
        return jax.tree.unflatten(self.treedef, [v.reshape(s) for v, s in zip(jnp.split(x, ends), self.shapes, strict=True)])


def common_dtype(*dtypes: Any) -> Any:
    """The real or complex dtype, of single precision or more, that holds them all."""
    double = any(jnp.finfo(d).dtype == jnp.float64 for d in dtypes)
    if any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes):
        return jnp.dtype(jnp.complex128 if double else jnp.complex64)
    return jnp.dtype(jnp.float64 if double else jnp.float32)


def _floating(tree: Any) -> Any:
    def one(v: Any) -> Any:
        v = v if hasattr(v, "dtype") else np.asarray(v)
        return v if jnp.issubdtype(v.dtype, jnp.inexact) else v.astype(jax.dtypes.canonicalize_dtype(float))

    return jax.tree.map(one, tree)


class _OfTrees:
    """A user's function of trees as one of vectors; compared by value, so that it compiles once."""

    def __init__(self, fun: Function, domain: _Packing, image: _Packing):
        self.fun, self.domain, self.image = fun, domain, image

    def __call__(self, v: Any) -> Any:
        return self.image.pack(self.fun(self.domain.unpack(v)))


jax.tree_util.register_pytree_node(
    _OfTrees,
    lambda f: ((f.fun,), (f.domain, f.image)),
    lambda aux, leaves: _OfTrees(leaves[0], *aux),
)


def _closes_over_tracers(fun: Any, depth: int = 4) -> bool:
    inside = [c.cell_contents for c in getattr(fun, "__closure__", None) or ()]
    inside += [
        *getattr(fun, "args", ()),
        getattr(fun, "func", None),
        getattr(fun, "__self__", None),
        getattr(fun, "__wrapped__", None),
    ]
    return any(is_traced(v) or (depth > 0 and callable(v) and _closes_over_tracers(v, depth - 1)) for v in inside)


class _Hoisted:
    """f(constants, v) of a function whose constants were made explicit."""

    def __init__(self, fun: Callable[..., Any]):
        self.fun = fun

    def __call__(self, constants: tuple[Any, ...], v: Any) -> Any:
        return self.fun(v, *constants)


def _function(fun: Callable[[Any], Any], domain: _Packing, image: _Packing) -> MatrixFree:
    wrapped: Any = _OfTrees(Function(fun, "A"), domain, image)
    if _closes_over_tracers(fun):
        # What the function closes over may be what is being differentiated: made explicit, its derivative is not lost.
        converted, constants = jax.closure_convert(wrapped, jnp.zeros(domain.size, domain.dtype))
        wrapped = jax.tree_util.Partial(_Hoisted(converted), tuple(constants)) if constants else wrapped
    return MatrixFree(Function(wrapped, "A"), (image.size, domain.size), str(domain.dtype))


def factor(A: Any, kind: str = "lu") -> Factor:
    """The factors of A, for many right-hand sides.

    Args:
        A: as in `linear_solve`, but not a function.
        kind: "lu", "cholesky" (symmetric positive definite) or "qr" (also rectangular).

    Raises:
        ValueError: another kind ("ldl" is none: JAX has no LDLᵀ), or a rectangular A for "lu" and "cholesky"; NaN or infinity
            in A, with the place of the first; an A that is not positive definite for "cholesky". Under `jit` such factors
            hold NaN.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.factor(jnp.array([[2.0, 0.0], [0.0, 4.0]])).solve(jnp.array([2.0, 4.0])).tolist()
        [1.0, 1.0]
    """
    operator = as_operator(A)
    _check_finite(operator, "A")
    factors = factored(operator, kind)
    if isinstance(factors, CholeskyFactor) and not is_traced(factors.L) and not np.isfinite(np.asarray(factors.L).diagonal()).all():
        raise ValueError(
            "A is not positive definite: take kind='lu', or linear_solve(A, b, 'cholesky'), which says in which direction"
        )
    return factors


def _check_finite(tree: Any, name: str) -> float | None:
    """Refuses NaN and infinity with their place; gives the root of the sum of all squares, or None where a leaf is being traced."""
    length, traced = 0.0, False
    for path, v in jax.tree_util.tree_flatten_with_path(tree)[0]:
        traced = traced or isinstance(v, jax.core.Tracer)
        if isinstance(v, jax.core.Tracer) or not jnp.issubdtype(v.dtype, jnp.inexact) or not v.size:
            continue
        here = np.ravel(np.asarray(v, None if v.dtype.itemsize > 2 else np.float32))
        square = _sum_of_squares(here)  # a NaN or an infinity does not leave it finite: one pass for two purposes
        if not jnp.finfo(here.dtype).tiny < square < np.inf:
            bad = ~np.isfinite(here)
            if bad.any():
                first = int(np.argmax(bad))
                where = _place(tree, np.unravel_index(first, v.shape))
                inside = "" if isinstance(tree, Operator) else jax.tree_util.keystr(path)
                more = f" and {int(bad.sum()) - 1} more" if bad.sum() > 1 else ""
                raise ValueError(f"{name}{inside} has {here[first]} at {where}{more}: nothing can be solved with it")
            largest = float(np.max(np.abs(here))) or 1.0  # its square may leave the range
            length = math.hypot(length, largest * float(np.linalg.norm(here / largest)))
        else:
            length = math.hypot(length, math.sqrt(square))
    return None if traced else length


def _sum_of_squares(v: Any) -> float:
    """vᴴv: large ones by the threads of SciPy's BLAS. Those of NumPy's own go on spinning for a while, and the LU factors of a
    2,000² array after it took 1.6 times as long (`python benchmarks/linear.py dense`); for small ones a busy machine kept both
    waiting for their threads."""
    if v.size < 2**20:
        return float(np.einsum("i,i->", v.conj(), v).real)
    (dot,) = get_blas_funcs(("dotc" if np.iscomplexobj(v) else "dot",), (v,))
    return float(dot(v, v).real)


def _place(tree: Any, index: Any) -> list[int]:
    """Row and column of an entry that lies at an index of an operator's array; otherwise the index."""
    if isinstance(tree, Diagonals):
        return [int(index[1]), int(index[1]) + tree.offsets[index[0]]]
    if isinstance(tree, Ell):
        M = to_scipy(tree).tocoo()
        i = int(np.argmax(~np.isfinite(M.data)))
        return [int(M.row[i]), int(M.col[i])]
    return [int(i) for i in index]


def tolerance_of(stop: Stop | None) -> float | None:
    """The tolerance that an expression of stop criteria asks for, or None."""
    if isinstance(stop, Optimality):
        return stop.tol
    if isinstance(stop, Either | Both):
        sides = [t for t in (tolerance_of(stop.left), tolerance_of(stop.right)) if t is not None]
        return sides[0] if sides else None
    return None


def frobenius(A: Operator, careful: bool = False) -> Any:
    """‖A‖_F: exact where entries are stored, otherwise from four random ±1 vectors z: E ‖A z‖² = ‖A‖_F².

    Args:
        careful: whether squares may leave the range.
    """
    if isinstance(A, MatrixFree) or not hasattr(A, "array"):
        signs = jnp.asarray(np.where(np.random.default_rng(0).random((4, A.shape[1])) < 0.5, -1, 1), A.dtype)
        if careful:
            images = jnp.stack([A.mv(z) for z in signs])
            largest = jnp.max(jnp.abs(images))
            return jnp.where(largest > 0, largest * jnp.sqrt(jnp.sum(jnp.square(images / largest)) / 4), 0)
        return jnp.sqrt(sum(jnp.sum(jnp.square(A.mv(z))) for z in signs) / 4)
    return jnp.sqrt(jnp.vdot(A.array, A.array))


_frobenius = jax.jit(frobenius, static_argnames="careful")


@jax.jit
def _asymmetry(A: Operator) -> Any:
    """|uᵀA v − vᵀA u| relative to what it would be of, for two random vectors: rounding where A = Aᵀ."""
    u, v = jnp.asarray(np.random.default_rng(1).standard_normal((2, A.shape[0])), A.dtype)
    Au, Av = A.mv(u), A.mv(v)
    largest = jnp.maximum(jnp.max(jnp.abs(Au)), jnp.max(jnp.abs(Av)))
    Au, Av = (jnp.where(largest > 0, w / largest, 0) for w in (Au, Av))
    return (
        jnp.abs(jnp.vdot(u, Av) - jnp.vdot(v, Au))
        / jnp.maximum(1, jnp.maximum(jnp.linalg.norm(Au), jnp.linalg.norm(Av)))
        / jnp.linalg.norm(u)
    )


@jax.jit
def _additivity(A: Operator) -> Any:
    """‖A(u + v) − A u − A v‖ relative to ‖A u‖ + ‖A v‖, for two random vectors."""
    u, v = jnp.asarray(np.random.default_rng(2).standard_normal((2, A.shape[1])), A.dtype)
    Au, Av = A.mv(u), A.mv(v)
    size = jnp.linalg.norm(Au) + jnp.linalg.norm(Av)
    return jnp.linalg.norm(A.mv(u + v) - Au - Av) / jnp.where(size > 0, size, 1)


def _refuse_nonlinear(A: MatrixFree) -> None:
    if is_traced(A):
        return
    error = _additivity(A)
    if not isinstance(error, jax.core.Tracer) and error > float(jnp.finfo(A.dtype).eps) ** 0.25:
        part = f"by {float(error):.2g} of their size"
        raise ValueError(
            f"A is no linear function: A(u + v) differs from A(u) + A(v) {part} for random u and v; leave constants out of it"
        )


def is_symmetric(A: Operator) -> bool | None:
    """Whether A = Aᵀ: by structure, or by a probe with two random products; None while JAX is tracing."""
    if A.shape[0] != A.shape[1] or A.symmetric is not None:
        return A.symmetric if A.shape[0] == A.shape[1] else False
    if is_traced(A):
        return None
    value = _asymmetry(A)
    return None if isinstance(value, jax.core.Tracer) else bool(value <= 1e3 * float(jnp.finfo(A.dtype).eps))


ASYMMETRIC = "{} is for symmetric A, and this A is not: take GMRES() or LSMR()"


class Fit(NamedTuple):
    """A method made ready for a matrix: A as given, A as the method sees it (no derivative passes through), the method."""

    origin: Operator
    A: Operator
    method: Any


def fitted(method: Any, A: Operator, preconditioner: Any) -> Fit:
    """A and the method made ready for each other: levels for sweeps, a transpose, factors, a preconditioner.

    Raises:
        ValueError: no such method, or it is for square A, or takes no preconditioner.
    """
    if isinstance(method, str) and method not in registry.names():
        raise ValueError(f"unknown method {method!r}{registry.nearest(method, registry.names('linear'))}")
    chosen: Any = as_method(method, LinearSystem)
    name = type(chosen).__name__
    if A.shape[0] != A.shape[1] and not getattr(chosen, "least_squares", False):
        raise ValueError(f"{name} needs a square A, got {A.shape[0]}×{A.shape[1]}: take QR() or LSMR(), which solve least squares")
    if preconditioner is not None:
        if not hasattr(chosen, "preconditioner"):
            raise ValueError(f"{name} takes no preconditioner")
        chosen = chosen.replace(preconditioner=preconditioner)
    if getattr(chosen, "symmetric", False) and chosen.carries_residual and is_symmetric(A) is False:
        warnings.warn(ASYMMETRIC.format(name), RuntimeWarning, stacklevel=4)
    origin, A = A, lax.stop_gradient(A)
    if getattr(chosen, "sweeps", False) and not isinstance(A, Dense):
        A = swept(A)
        origin = A.replace(inner=origin)
    return Fit(origin, A, chosen.prepared(A) if hasattr(chosen, "prepared") else chosen)


def stopping(stop: Stop | None, tol: Any, system: System) -> tuple[Stop, Any]:
    """The criterion in force and the tolerance on the residual."""
    if stop is None:
        tol = default_tolerance(system.b.dtype) if tol is None else tol
        return Optimality(tol) | MaxSteps(10 * system.A.shape[1] + 100), tol
    if tol is not None:
        return Optimality(tol) | stop, tol
    asked = tolerance_of(stop)
    return stop, 0.0 if asked is None else asked


def solved(
    system: System,
    fit: Fit,
    tol: Any,
    stop: Stop,
    x0: Any,
    history: tuple[str, ...] | str,
    callback: Any,
    given: Any,
    why: str,
) -> Result:
    """Runs one system, or k right-hand sides side by side, and reports with the true residual."""
    b, origin, A, method = system.b, fit.origin, fit.A, fit.method
    differentiable = is_traced(origin, b)
    norm = system.norm
    if norm is None:
        norm = frobenius(A) if is_traced(A) else _frobenius(A)
        if not is_traced(norm) and not 0 < float(norm) < np.inf:
            norm = _frobenius(A, careful=True)
    if system.many:
        start = jnp.zeros((b.shape[1], A.shape[1]), b.dtype) if x0 is None else jnp.asarray(x0, b.dtype).T

        def one(column: Any, x: Any) -> Result:
            whole = Certified(method, tol, "columns")
            problem = LinearSystem(A, column, norm)
            carry = driver.solve(whole, problem, x, stop)
            return finished(outcome(whole, problem, carry, None, stop, {}, given=given, why=why), problem)

        together = jax.jit(jax.vmap(one, axis_name="columns"))(lax.stop_gradient(b).T, lax.stop_gradient(start))
        x = together.x
        if differentiable:
            x = jax.vmap(lambda c, x: attached(origin, c, x, (method, tol, stop)))(b.T, x)
        told = _of_columns(dataclasses.replace(together, method=method), A, b, norm, tol)
        aux = {name: system.unpack(v) if name in DIRECTIONS else v for name, v in told.aux.items()}
        return dataclasses.replace(told, x=jax.vmap(system.unpack, 0, 1)(x), aux=aux, given=given, why=why)
    whole = Certified(method, tol)
    problem = LinearSystem(A, lax.stop_gradient(b), norm)
    start = jnp.zeros(A.shape[1], b.dtype) if x0 is None else system.pack(x0)
    result = finished(run(whole, problem, start, None, stop, history=history, callback=callback, given=given, why=why), problem)
    x = attached(origin, b, result.x, (method, tol, stop)) if differentiable else result.x
    solution = system.unpack(x)
    best = result.best._replace(x=solution if result.best.x is x else system.unpack(result.best.x))
    aux = {name: system.unpack(v) if name in DIRECTIONS else v for name, v in result.aux.items()}
    return dataclasses.replace(result, x=solution, best=best, aux=aux, method=method)


BUDGETS = (Status.MAX_STEPS, Status.MAX_SECONDS, Status.INTERRUPTED)
DIRECTIONS = ("null_direction", "negative_curvature")  # findings that are vectors like x


def finished(r: Result, problem: LinearSystem) -> Result:
    """With the true residual as the value, what the method has found out, and its sentence."""
    inner = r.method.inner
    s = r.carry.state.inner
    residual = r.fun
    if inner.carries_residual:
        residual = true_residual(problem, r.x) if is_traced(r.carry) else _true_residual(problem, r.x)
    aux = inner.findings(s)
    if is_traced(r.carry):
        optimality = r.optimality if inner.least_squares else jnp.where(r.code == Status.CONVERGED, r.optimality, residual)
        return dataclasses.replace(r, fun=residual, optimality=optimality, aux=aux)
    optimality = r.optimality if inner.least_squares or r.status is Status.CONVERGED else residual
    remark, found = diagnosis(inner, problem, s, r.status, r.x, float(residual), float(r.method.tol), int(r.nit) + 1)
    remark = " ".join(filter(None, (r.remark, remark)))
    return dataclasses.replace(r, fun=residual, optimality=optimality, aux=aux | found, remark=remark)


def diagnosis(
    inner: Any, problem: LinearSystem, s: Any, status: Status, x: Any, residual: float, tol: float, k: int
) -> tuple[str, dict[str, Any]]:
    """What the method says of its end with step k; a failure on a square A is asked for a null direction that lies at hand."""
    remark, found = inner.diagnosis(problem, s, k)
    m, n = problem.A.shape
    if inner.symmetric and not inner.carries_residual and not status.success and is_symmetric(problem.A) is False:
        # Where it succeeds, the recomputed residual has shown that it does not matter: so the probe's products are spared.
        warnings.warn(ASYMMETRIC.format(type(inner).__name__), RuntimeWarning, stacklevel=6)
    if m != n:
        return remark, found
    if status is Status.CONVERGED and inner.least_squares and residual > tol * float(jnp.linalg.norm(problem.b)):
        remark = f"b is not in the range of A, which is singular: x is of least ‖b − A x‖ = {residual:.3g}. {remark}".strip()
    elif not status.success and "null_direction" not in found:
        tight = 100 * float(jnp.finfo(x.dtype).eps) / n**0.5  # ‖A‖_F ≤ √n ‖A‖₂
        # ‖A x‖ ≥ |‖b‖ − ‖r‖|: mostly that is too much already, and the product is spared.
        near = abs(float(jnp.linalg.norm(problem.b)) - residual) <= tight * float(problem.norm) * float(jnp.linalg.norm(x))
        shown = singular(problem, x, tight) if near else None
        if not shown and status not in BUDGETS:
            shown = singular(problem, _residual(problem, x), tight)
        if shown:
            return " ".join(filter(None, (remark, shown[0]))), found | shown[1]
    return remark, found


def _of_columns(r: Result, A: Operator, b: Any, norm: Any, tol: Any) -> Result:
    """The result of many right-hand sides with the diagnosis of the first that failed: A is one for all."""
    if is_traced(r) or bool(jnp.all(r.success)):
        return r
    j = int(jnp.argmin(r.success))
    one = jax.tree.map(lambda v: v[j], (r.carry.state.inner, r.x, r.fun, r.nit))
    s, x, residual, nit = one
    problem = LinearSystem(A, b[:, j], norm)
    remark, found = diagnosis(r.method, problem, s, Status(int(r.code[j])), x, float(residual), float(tol), int(nit) + 1)
    return dataclasses.replace(r, aux=r.aux | found, remark=f"Column {j}: {remark}" if remark else "")


def true_residual(problem: LinearSystem, x: Any) -> Any:
    """‖b − A x‖."""
    return jnp.linalg.norm(problem.b - problem.A.mv(x))


_true_residual = jax.jit(true_residual)
_residual = jax.jit(lambda problem, x: problem.b - problem.A.mv(x))
