"""What is to be said of a problem before anything is minimised: one line each, as it is found.

A finding is a warning where a run would go on and be slow or mean little, and wrong where it could not be believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.cli import _users_frames
from ravine.compare import text
from ravine.compare.check import NO_SCALAR, check_problem
from ravine.compare.race_functions import oracles
from ravine.compare.race_systems import suitable
from ravine.core.bounds import as_bounds
from ravine.core.clock import Clock
from ravine.core.derivatives import check_derivatives
from ravine.core.flat import Layout, as_arrays
from ravine.core.function import Function
from ravine.core.problem import LeastSquares, Objective
from ravine.math.operators import MatrixFree
from ravine.methods.linear.norms import is_symmetric
from ravine.methods.linear.system import posed
from ravine.problems.problem import Problem
from ravine.training.batches import examples
from ravine.training.evaluate import mean_over, together

OK, WARNING, WRONG = "ok", "warning", "wrong"
ONE_BY_ONE = 100
"""Up to so many parameters each derivative is checked alone; above, along DIRECTIONS directions."""
DIRECTIONS = 20
DENSE = 200
"""Up to so many parameters a matrix of second derivatives, or a Jacobian, is made."""
PRODUCTS = 20
CLOSE = 0.05
"""A wrong rule is wrong by more than this part of the gradient; kinks within the width of a difference are not."""
ILL = 1e6
"""A condition number from which on a method that sees gradients alone takes very many steps."""
SECONDS, CALLS = 0.2, 50
SLOW_TO_COMPILE = 20.0


class Finding(NamedTuple):
    """One line: OK, WARNING or WRONG, what it is about, and a sentence."""

    mark: str
    about: str
    words: str


class Subject(NamedTuple):
    """What is looked at: the problem at its first start, for training on its first batch.

    Attributes:
        start: the tree; x: the same, packed by `layout`.
        objective: the value as a function of x.
    """

    problem: Problem
    start: Any
    layout: Layout
    x: Any
    objective: Objective


def findings(problem: Problem) -> Iterator[Finding]:
    """Looks at the problem from all sides; after something wrong there is no more to be seen.

    Errors of the user's own code go through, so that their lines are shown.
    """
    if problem.kind == "system":
        looks: list[tuple[str, Callable[[Any], list[Finding]]]] = [("system", _system)]
        subject: Any = problem
    else:
        looks = [("value", _value), ("bounds", _bounds), ("gradient", _gradient), ("scaling", _scaling), ("speed", _speed)]
        looks += [("data", _data), ("validation", _validation)] if problem.kind == "loss" else []
        try:
            subject = _subject(problem)
        except (ValueError, TypeError) as error:
            yield _wrong("start", error)
            return
    for about, look in looks:
        try:
            found = look(subject)
        except (ValueError, TypeError) as error:
            yield _wrong(about, error)
            return
        yield from found
        if any(f.mark == WRONG for f in found):
            return


def _wrong(about: str, error: Exception) -> Finding:
    """What this library refused; what the user's code raised goes on."""
    if _users_frames(error):
        raise error
    where = _users_frames(error.__cause__)[-1:] if error.__cause__ else []
    return Finding(WRONG, about, str(error) + "".join(f" ({f.filename}:{f.lineno})" for f in where))


def _subject(problem: Problem) -> Subject:
    start = as_arrays(problem.start(jax.random.key(0)))
    layout = Layout.vector(start, "x0" if problem.init is None else "init(key)")
    box = as_bounds(problem.bounds, start)
    if box is not None:  # nothing is evaluated outside
        start = jax.tree.map(np.clip, start, *box)
    check_problem(problem, start)
    if problem.loss is None:
        objective: Any = oracles(problem, Objective, layout)
    else:
        n = problem.batch_size or examples(problem.data)
        batch = jax.tree.map(lambda v: jnp.asarray(v[:n]), problem.data)
        objective = Objective(Function(problem.loss, "loss"), (batch,), layout)
    return Subject(problem, start, layout, layout.pack(start), objective)


@jax.jit
def _of(objective: Objective, x: Any) -> Any:
    return objective.value(x)


@jax.jit
def _with_gradient(objective: Objective, x: Any) -> Any:
    return objective.value_and_grad(x)


def _value(s: Subject) -> list[Finding]:
    kinds = {"fun": "a function", "residual": "a sum of squares", "loss": "a training loss"}
    arrays = len(s.layout.shapes)
    of = f"{s.layout.size:,} parameter{'s' * (s.layout.size != 1)} in {arrays} array{'s' * (arrays != 1)}"
    if s.problem.residual is not None:
        squares: Any = oracles(s.problem, LeastSquares, s.layout)
        of = f"{squares.shape(s.x).size:,} residuals of {of}"
    dtype = jnp.dtype(s.layout.dtype).name
    more = "; --x64 for float64" if dtype == "float32" and jax.dtypes.canonicalize_dtype(np.float64) == np.float32 else ""
    value = float(_of(s.objective, s.x))
    out = [
        Finding(OK, "problem", f"{kinds[s.problem.kind]}: {of}, {dtype}{more}"),
        Finding(OK, "start", f"the value is {value:.6g}" + (" on the first batch" if s.problem.batch_size else "")),
    ]
    target = s.problem.target
    if target is None:
        out.append(Finding(WARNING, "target", "none, so a race is ranked by the final value alone: give target=…, or -t 1%"))
    elif value <= target:
        out.append(Finding(WARNING, "target", f"{target:g}, where the start is already: give a smaller one, or another start"))
    else:
        out.append(Finding(OK, "target", f"{target:g}"))
    return out


def _bounds(s: Subject) -> list[Finding]:
    given = as_arrays(s.problem.start(jax.random.key(0)))
    if as_bounds(s.problem.bounds, given) is None:
        return []
    if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*map(jax.tree.leaves, (s.start, given)), strict=True)):
        return [Finding(OK, "bounds", "the start is within them")]
    if s.problem.residual is not None:
        return [Finding(WRONG, "bounds", "the start is outside, and a fit evaluates nothing there: give x0 within the bounds")]
    return [Finding(WARNING, "bounds", "the start is outside, so runs begin at the nearest point within: give x0 there")]


def _gradient(s: Subject) -> list[Finding]:
    g = s.layout.unpack(_with_gradient(s.objective, s.x)[1])
    at = {"x" + jax.tree_util.keystr(path): np.asarray(v) for path, v in jax.tree_util.tree_leaves_with_path(g)}
    bad = [name for name, v in at.items() if not np.isfinite(v).all()]
    if bad:
        cure = "√, log or a norm at 0? give another start, or put jnp.where inside and outside of it"
        return [Finding(WRONG, "gradient", f"not finite in {bad[0]}, though the value is: {cure}")]
    none = [name for name, v in at.items() if v.size and not v.any()]
    if len(none) == len(at):
        return [Finding(WARNING, "gradient", "zero at the start, so no method knows where to go: give another start")]
    out = [_compared(s)]
    if none:
        out.append(Finding(WARNING, "gradient", f"zero in {', '.join(none)}: is it not used, or without effect at the start?"))
    return out


def _compared(s: Subject) -> Finding:
    checked, how = _differences(s)
    if checked.error == 0:
        return Finding(OK, "gradient", f"as central differences say, {how}, as far as {s.x.dtype} tells")
    if checked.ok:
        return Finding(OK, "gradient", f"as central differences say, {how}, within {checked.error:.1e}")
    place = checked.worst if s.layout.size <= ONE_BY_ONE else "one direction"
    numbers = f"in {place} it is {checked.autodiff:.6g} by autodiff and {checked.difference:.6g} by differences"
    if checked.error < CLOSE:
        return Finding(WARNING, "gradient", f"{numbers}: are there kinks near the start (relu, |·|)? if not, compare with --x64")
    cure = "a derivative rule of your own (jax.custom_jvp), stop_gradient, or a kink at the start?"
    return Finding(WRONG, "gradient", f"{numbers}: {cure}")


def _differences(s: Subject) -> tuple[Any, str]:
    """The check of derivatives: of each parameter, or along directions where these are many."""
    x = jnp.asarray(_off_the_bounds(s))
    whole = s.objective.replace(layout=None, lower=None, upper=None)
    if s.layout.size <= ONE_BY_ONE:
        return check_derivatives(whole.value, s.layout.unpack(x)), "parameter by parameter"
    d = np.random.default_rng(0).standard_normal((s.layout.size, DIRECTIONS))
    d[:, 0] = np.asarray(_with_gradient(s.objective, x)[1])  # along which f changes most: what differences are compared with
    directions = jnp.asarray(d / np.linalg.norm(d, axis=0), x.dtype)
    steps = jnp.zeros(DIRECTIONS, x.dtype)
    how = f"along the gradient and {DIRECTIONS - 1} random directions"
    return check_derivatives(lambda t: whole.value(s.layout.unpack(x + directions @ t)), steps), how


def _off_the_bounds(s: Subject) -> Any:
    """The start moved within the bounds by more than a difference is wide, where there is room: outside, f may be anything."""
    box = as_bounds(s.problem.bounds, s.start)
    if box is None:
        return s.x
    lower, upper = (s.layout.pack(side) for side in box)
    wide = 4 * float(jnp.finfo(s.x.dtype).eps) ** (1 / 3) * np.maximum(1, np.abs(s.x))
    room = upper - lower > 2 * wide
    return np.where(room, np.clip(s.x, np.where(room, lower + wide, lower), np.where(room, upper - wide, upper)), s.x)


def _scaling(s: Subject) -> list[Finding]:
    try:
        if s.layout.size > DENSE:
            return [_sharpness(s)]
        return [_jacobian(s) if s.problem.residual is not None else _curvature(s)]
    except (TypeError, ValueError, NotImplementedError):  # f and its gradient were evaluated before: it is the second derivative
        cure = "methods that need one cannot run; take bfgs or lbfgs, or jax.custom_jvp for jax.custom_vjp"
        return [Finding(WARNING, "scaling", f"not measured: the problem has no second derivative, so {cure}")]


def _curvature(s: Subject) -> Finding:
    H = np.asarray(jax.jit(lambda o, x: o.hessian(x))(s.objective, s.x), np.float64)
    if not np.isfinite(H).all():
        return Finding(WARNING, "scaling", "the Hessian is not finite at the start: give another start, or take bfgs or lbfgs")
    w = np.linalg.eigvalsh(H)
    largest, least = np.abs(w).max(), np.abs(w).min()
    seen = f"eigenvalues of the Hessian at the start from {w[0]:.3g} to {w[-1]:.3g}"
    if not largest:
        return Finding(WARNING, "scaling", "the Hessian is zero at the start: f is flat or straight there; give another start")
    below = f"; there gradient descent needs a step below {2 / w[-1]:.2g}" if w[-1] > 0 else ""
    if least > largest / ILL:
        form = f"condition {largest / least:.3g}" if w[0] > 0 else "so f is not convex there"
        return Finding(OK, "scaling", f"{seen}, {form}{below}")
    if least > len(w) * float(jnp.finfo(s.x.dtype).eps) * largest:
        cure = "give parameters units in which they count alike, or take trust_region or bfgs"
        return Finding(WARNING, "scaling", f"{seen}, so ill-conditioned: {cure}{below}")
    # The few examples of a batch say nothing about most parameters, and that is no fault.
    mark, cure = (
        (OK, "") if s.problem.kind == "loss" else (WARNING, ": leave out what has no effect, or take trust_region, or --x64")
    )
    return Finding(mark, "scaling", f"{seen}, so singular to rounding{cure}{below}")


def _jacobian(s: Subject) -> Finding:
    squares: Any = oracles(s.problem, LeastSquares, s.layout)
    J = np.asarray(jax.jit(lambda o, x: o.jacobian(x)[2])(squares, s.x), np.float64)
    if not np.isfinite(J).all():
        return Finding(WRONG, "scaling", "the Jacobian is not finite at the start: give another start")
    lengths = np.linalg.norm(J, axis=0)
    if not lengths.all():
        n = int(np.sum(lengths == 0))
        what = "is one parameter" if n == 1 else f"are {n} parameters"
        return Finding(
            WARNING, "scaling", f"there {what} without effect on any residual at the start: leave out, or start elsewhere"
        )
    singular = np.linalg.svd(J / lengths, compute_uv=False)
    rank = int(np.sum(singular > max(J.shape) * float(jnp.finfo(s.x.dtype).eps) * singular[0]))
    seen = f"columns of the Jacobian from {lengths.min():.3g} to {lengths.max():.3g} long"
    if rank < J.shape[1]:
        cure = "hold some parameters fixed, give more data, or --x64"
        return Finding(
            WARNING, "scaling", f"{seen}, rank {rank} of {J.shape[1]} at the start, so data do not tell parameters apart: {cure}"
        )
    condition = singular[0] / singular[-1]
    if condition < ILL:
        return Finding(OK, "scaling", f"{seen}, condition {condition:.3g} once these are of length 1")
    return Finding(WARNING, "scaling", f"{seen}, condition {condition:.3g} even of length 1: take --x64, or other parameters")


def _sharpness(s: Subject) -> Finding:
    """Of many parameters: the largest curvature by products, and how gradients differ from array to array."""
    largest = float(_power(s.objective, s.x))
    g = s.layout.unpack(_with_gradient(s.objective, s.x)[1])
    sizes = [float(np.sqrt(np.mean(np.square(np.asarray(v, np.float64))))) for v in jax.tree.leaves(g) if v.size]
    sizes = [v for v in sizes if v]
    seen = f"largest curvature about {largest:.3g} ({PRODUCTS} Hessian-vector products)"
    seen += f", so there gradient descent needs a step below {2 / largest:.2g}" if largest > 0 else ""
    if len(sizes) > 1:
        seen += f"; gradients of arrays from {min(sizes):.2g} to {max(sizes):.2g} (root mean square)"
    if max(sizes) < 1e4 * min(sizes):
        return Finding(OK, "scaling", seen)
    return Finding(WARNING, "scaling", f"{seen}: scale them alike, or take a method that does, such as adam")


@jax.jit
def _power(objective: Objective, x: Any) -> Any:
    """The eigenvalue of the Hessian that is largest in size, by the power iteration."""

    def turn(_: Any, state: Any) -> Any:
        v, _last = state
        w = objective.hvp(x, v)
        length = jnp.linalg.norm(w)
        return w / jnp.where(length > 0, length, 1), jnp.vdot(v, w)

    v = jax.random.normal(jax.random.key(1), x.shape, x.dtype)
    return jax.lax.fori_loop(0, PRODUCTS, turn, (v / jnp.linalg.norm(v), jnp.zeros((), x.dtype)))[1]


def _speed(s: Subject) -> list[Finding]:
    # Programs of their own: those above have been compiled.
    of, with_gradient = jax.jit(lambda o, x: o.value(x)), jax.jit(lambda o, x: o.value_and_grad(x))
    with Clock() as clock:
        jax.block_until_ready((of(s.objective, s.x), with_gradient(s.objective, s.x)))
    value, both = _seconds(of, s), _seconds(with_gradient, s)
    compiling = clock.seconds.compile
    which = " of a batch" if s.problem.batch_size else ""
    said = f"a value{which} takes {text.time(value)}, with its gradient {text.time(both)}; compiling them {text.time(compiling)}"
    if compiling < SLOW_TO_COMPILE:
        return [Finding(OK, "speed", said)]
    return [Finding(WARNING, "speed", f"{said}: write loops as jax.lax.scan or fori_loop, which are compiled once")]


def _seconds(call: Callable[..., Any], s: Subject) -> float:
    """The least of several calls: others disturb, nothing makes faster."""
    taken: list[float] = []
    while len(taken) < CALLS and sum(taken) < SECONDS:
        t = time.perf_counter()
        jax.block_until_ready(call(s.objective, s.x))
        taken.append(time.perf_counter() - t)
    return min(taken)


def _data(s: Subject) -> list[Finding]:
    n, size = examples(s.problem.data), s.problem.batch_size
    if size is None:
        return [Finding(OK, "data", f"{n:,} examples, all at once")]
    if size > n:
        return [Finding(WRONG, "data", f"batch_size is {size}, and there are {n} examples: give a smaller one, or None for all")]
    rest = f", {n % size} left out of each" if n % size else ""
    return [Finding(OK, "data", f"{n:,} examples: {n // size:,} batches of {size} an epoch{rest}")]


def _validation(s: Subject) -> list[Finding]:
    p = s.problem
    if p.validation is None:
        return [Finding(WARNING, "validation", "none, so nothing tells learning from learning by heart: give validation=(…)")]
    out = [Finding(OK, "validation", f"{examples(p.validation, 'validation'):,} examples of the same form")]
    means = mean_over(Function(together(p.loss, p.metrics)), s.start, jax.tree.map(jnp.asarray, p.validation))
    for name, v in means.items():
        if v.shape != ():
            out.append(Finding(WRONG, name, f"a metric {NO_SCALAR.format(v.shape)}"))
        elif not np.isfinite(v):
            out.append(Finding(WARNING, name, f"{float(v)} over the validation data at the start"))
        else:
            out.append(Finding(OK, name, f"{float(v):.4g} over the validation data at the start"))
    return out


def _system(p: Problem) -> list[Finding]:
    A = (system := posed(p.A, p.b, p.x0)).A
    m, n = A.shape
    symmetric = m == n and bool(is_symmetric(A))
    right = f", {system.b.shape[1]} right-hand sides" if system.many else ""
    kind = "symmetric" if symmetric else "not symmetric" if m == n else "not square, so least squares"
    out = [Finding(OK, "problem", f"a linear system: {m:,}×{n:,}, {kind}, {system.b.dtype}{right}")]
    if not isinstance(A, MatrixFree) and m == n:
        d = np.abs(np.asarray(A.diagonal()))
        seen = f"diagonal from {d.min():.3g} to {d.max():.3g} in size"
        if not d.all():
            out.append(Finding(WARNING, "scaling", f"{seen}, so Jacobi's method and its kin cannot run: take lu or gmres"))
        elif d.max() > ILL * d.min():
            out.append(Finding(WARNING, "scaling", f"{seen}: scale rows and columns, or take preconditioner=jacobi"))
        else:
            out.append(Finding(OK, "scaling", seen))
    product = jax.jit(lambda A, v: A.mv(v))
    v = jnp.ones(n, system.b.dtype)
    with Clock() as clock:
        jax.block_until_ready(product(A, v))
    t = time.perf_counter()
    jax.block_until_ready(product(A, v))
    took = time.perf_counter() - t
    out.append(Finding(OK, "speed", f"a product takes {text.time(took)}; compiling it {text.time(clock.seconds.compile)}"))
    return [*out, Finding(OK, "methods", f"that fit: {', '.join(suitable(p))}")]
