"""Derivatives of a function of any tree, the Taylor model, a check of derivatives, and the search for a chord below the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import columns
from ravine.core.choice import args_as_tuple
from ravine.core.flat import Layout, as_arrays, end_to_end
from ravine.core.function import Function
from ravine.core.problem import Objective
from ravine.core.run import as_key


def gradient(fun: Callable[..., Any], x: Any, args: tuple[Any, ...] = ()) -> Any:
    """∇f(x), in the structure of x.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.gradient(lambda x: x[0] ** 2 + 3 * x[1], jnp.array([2.0, 1.0])).tolist()
        [4.0, 3.0]
    """
    return jax.grad(_scalar(fun, args))(_arrays(x))


def jacobian(fun: Callable[..., Any], x: Any, args: tuple[Any, ...] = ()) -> jax.Array:
    """J(x), m×n, of a function that returns an array or a tree: both are taken as vectors, leaf after leaf.

    Forward derivatives are used where n ≤ m, reverse ones otherwise.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.jacobian(lambda x: jnp.array([x[0] * x[1], x[1]]), jnp.array([2.0, 3.0])).tolist()
        [[3.0, 2.0], [0.0, 1.0]]
    """
    (flat, layout), args, vector_of = _flat(x), args_as_tuple(args), _vector(fun)

    def vector(v: Any) -> Any:
        return vector_of(layout.unpack(v), *args)

    m = jax.eval_shape(vector, flat).size
    return (jax.jacfwd if flat.size <= m else jax.jacrev)(vector)(flat)


def hessian(fun: Callable[..., Any], x: Any, args: tuple[Any, ...] = ()) -> jax.Array:
    """∇²f(x), n×n; a tree is taken as a vector, leaf after leaf.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.hessian(lambda x: x[0] ** 2 * x[1], jnp.array([1.0, 3.0])).tolist()
        [[6.0, 2.0], [2.0, 0.0]]
    """
    (flat, layout), f = _flat(x), _scalar(fun, args)
    return columns.hessian(lambda v: f(layout.unpack(v)), flat)


def hvp(fun: Callable[..., Any], x: Any, v: Any, args: tuple[Any, ...] = ()) -> Any:
    """∇²f(x) v in the structure of x, for about two gradients; no matrix is formed.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rv.hvp(lambda x: x[0] ** 2 * x[1], jnp.array([1.0, 3.0]), jnp.array([1.0, 0.0])).tolist()
        [6.0, 2.0]
    """
    x, v = _arrays(x), _arrays(v, "v")
    form, other = ((jax.tree.structure(t), [(a.shape, a.dtype) for a in jax.tree.leaves(t)]) for t in (x, v))
    if form != other:
        told = [jax.tree.map(lambda a: f"{a.dtype}{list(a.shape)}", t) for t in (x, v)]
        raise ValueError(f"v must be like x, which is {told[0]}; got {told[1]}")
    return jax.jvp(jax.grad(_scalar(fun, args)), (x,), (v,))[1]


def _scalar(fun: Any, args: Any) -> Callable[[Any], Any]:
    """f(x, *args) as a function of x, which must be a number; one further argument may stand alone, as in `minimize`."""
    return Objective(Function(fun), args_as_tuple(args))._value_of_tree


def _vector(fun: Any) -> Callable[..., Any]:
    """What a function returns, leaf after leaf; it must return at least one array."""
    called = Function(fun)

    def vector(*args: Any) -> Any:
        leaves = jax.tree.leaves(called(*args))
        if not leaves:
            raise ValueError(f"{called.name} must return an array or a tree of them; it returns nothing")
        return end_to_end(leaves)

    return vector


def _arrays(x: Any, name: str = "x") -> Any:
    x = as_arrays(x)
    Layout.leafwise(x, name)  # refuses what has no derivatives
    return jax.tree.map(jnp.asarray, x)


def _flat(x: Any) -> tuple[jax.Array, Layout]:
    x = as_arrays(x)
    layout = Layout.vector(x, "x")
    return layout.pack(x), layout


class Taylor(NamedTuple):
    """f(a + p) ≈ f + gᵀp + ½ pᵀHp; call it with x = a + p. Everything is a vector, a tree leaf after leaf.

    Attributes:
        a: the point of expansion; f, g, H: value, gradient and Hessian there (H is None for a model of first order).
        layout: how a tree becomes a vector.
    """

    a: Any
    f: Any
    g: Any
    H: Any
    layout: Any

    def __call__(self, x: Any) -> Any:
        p = self.layout.pack(as_arrays(x)) - self.a
        model = self.f + self.g @ p
        return model if self.H is None else model + 0.5 * p @ self.H @ p

    def minimum(self) -> Any:
        """The point of Newton's step a − H⁻¹ g, in the structure of x: where the slope of the model is zero.

        The model is least there if H is positive definite; else it is a saddle or a maximum, and not finite where H is singular.

        Raises:
            ValueError: a model of first order has none.
        """
        if self.H is None:
            raise ValueError("a Taylor model of first order has no minimum; use taylor(f, a, order=2)")
        return self.layout.unpack(self.a - jnp.linalg.solve(self.H, self.g))


def taylor(fun: Callable[..., Any], a: Any, args: tuple[Any, ...] = (), order: int = 2) -> Taylor:
    """The Taylor model of f around a, of order 1 or 2: the model that Newton's method minimises.

    Raises:
        ValueError: another order.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> model = rv.taylor(lambda x: jnp.exp(x[0]), jnp.zeros(1))
        >>> float(model(jnp.array([0.1])).round(4)), model.minimum().tolist()
        (1.105, [-1.0])
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order}")
    (flat, layout), value = _flat(a), _scalar(fun, args)
    f, g = jax.value_and_grad(lambda v: value(layout.unpack(v)))(flat)
    return Taylor(flat, f, g, hessian(fun, a, args) if order == 2 else None, layout)


class DerivativeCheck(NamedTuple):
    """Derivatives of autodiff against central differences.

    Attributes:
        ok: whether all agree as well as the precision allows.
        error: the largest difference of a derivative beyond what the rounding of f and the width of the difference explain,
            relative to |∇f|∞; `tolerance`: what is allowed.
        worst: the parameter whose derivative differs most, as "x['w'][2]", and there `autodiff` and `difference`.
    """

    ok: bool
    error: float
    tolerance: float
    worst: str
    autodiff: float
    difference: float

    def __bool__(self) -> bool:
        return self.ok


def check_derivatives(fun: Callable[..., Any], x: Any, args: tuple[Any, ...] = (), tol: float | None = None) -> DerivativeCheck:
    """Central differences against autodiff in every parameter, for functions with derivative rules of their own.

    Each difference is taken with two widths, h and 2h. What they differ by, three times the error of the first, is allowed for.

    Args:
        fun: a scalar function; a vector-valued one is checked through the sum of its elements with fixed random weights.
        x: where, any tree.
        tol: relative difference allowed; by default 100 ε^(2/3), a hundred times what central differences are good for.

    Example:
        >>> import jax, jax.numpy as jnp, ravine as rv
        >>> bool(rv.check_derivatives(lambda x: jnp.sum(jnp.sin(x)), jnp.array([0.3, 1.0])))
        True
    """
    (flat, layout), args = _flat(x), args_as_tuple(args)
    eps = float(jnp.finfo(flat.dtype).eps)
    tol, vector = 100 * eps ** (2 / 3) if tol is None else tol, _vector(fun)
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, got {tol!r}")

    def scalar(v: Any) -> Any:
        out = vector(layout.unpack(v), *args)
        return out[0] if out.size == 1 else out @ jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, out.size), out.dtype)

    g = np.asarray(jax.grad(scalar)(flat), np.float64)
    f = jax.jit(scalar)
    rounding = 4 * eps * abs(float(f(flat)))
    point = np.asarray(flat)

    def central(i: int, h: float) -> tuple[float, float]:
        up, down = point.copy(), point.copy()
        up[i], down[i] = point[i] + h, point[i] - h
        width = float(up[i]) - float(down[i])
        return (float(f(up)) - float(f(down))) / width, rounding / width

    widths = eps ** (1 / 3) * np.maximum(1.0, np.abs(point.astype(np.float64)))
    differences, noise = np.array([central(i, h) for i, h in enumerate(widths)]).reshape(-1, 2).T
    coarse = np.array([central(i, 2 * h)[0] for i, h in enumerate(widths)])
    bent = np.abs(coarse - differences)
    off = np.maximum(np.abs(differences - g) - noise - np.where(np.isfinite(bent), bent, 0), 0)
    scale = np.max(np.abs([g, differences]), initial=np.finfo(np.float64).tiny, where=np.isfinite([g, differences]))
    off = np.where(np.isfinite(off), off / scale, np.inf)
    i = int(np.argmax(off))
    return DerivativeCheck(bool(off[i] <= tol), float(off[i]), tol, _name(layout, i), float(g[i]), float(differences[i]))


def _name(layout: Layout, i: int) -> str:
    paths = jax.tree_util.tree_flatten_with_path(jax.tree.unflatten(layout.treedef, list(range(len(layout.shapes)))))[0]
    for (path, _), shape in zip(paths, layout.shapes, strict=True):
        size = int(np.prod(shape))
        if i < size:
            index = np.unravel_index(i, shape)
            return "x" + jax.tree_util.keystr(path) + (f"[{', '.join(str(int(j)) for j in index)}]" if index else "")
        i -= size
    raise IndexError(i)


class Convexity(NamedTuple):
    """Whether a chord below the graph was found: f(m) > ½ (f(x) + f(y)) at the middle m of x and y, by `gap`.

    Attributes:
        convex: False with a counter-example `x`, `y`; True says no more than that none was found in `tried` chords, those on which
            f is finite.
    """

    convex: bool
    tried: int
    gap: float
    x: Any
    y: Any

    def __bool__(self) -> bool:
        return self.convex

    def __str__(self) -> str:
        if self.convex:
            if not self.tried:
                return "nothing is known: f is not finite on any chord that was tried"
            return f"no chord below the graph found in {self.tried} (this is no proof)"
        return f"not convex: the chord from x = {self.x} to y = {self.y} lies below the graph by {self.gap:.3g}"


def is_convex(fun: Callable[[Any], Any], box: Any, key: Any, chords: int = 1000) -> Convexity:
    """Looks for a chord that lies below the graph of f: a counter-example to convexity, or none in so many. Never a proof.

    Args:
        fun: f(x) → a scalar.
        box: (lower, upper), two trees of arrays between which points are drawn.
        key: a seed or a `jax.random.key`.
        chords: how many are tried, of all lengths.

    Raises:
        ValueError: a box that is not finite, is crossed or is no pair; a function that is not scalar.

    Example:
        >>> import jax, jax.numpy as jnp, ravine as rv
        >>> box = (-2 * jnp.ones(2), 2 * jnp.ones(2))
        >>> bool(rv.is_convex(lambda x: jnp.sum(x**2), box, jax.random.key(0)))
        True
        >>> bool(rv.is_convex(lambda x: jnp.sum(x**4 - x**2), box, jax.random.key(0)))
        False
    """
    if not isinstance(box, tuple | list) or len(box) != 2:
        raise ValueError("box must be (lower, upper), two trees like x between which points are drawn")
    if isinstance(chords, bool) or not isinstance(chords, int) or chords < 1:
        raise ValueError(f"chords must be a whole number of at least 1, got {chords!r}")
    low, layout = _flat(box[0])
    high = layout.pack(as_arrays(box[1]))
    if not bool(jnp.all((low <= high) & jnp.isfinite(low) & jnp.isfinite(high))):
        raise ValueError(f"box must be finite, lower ≤ upper, got {box[0]} and {box[1]}")
    value = _scalar(fun, ())
    where, other, length = jax.random.split(as_key(key), 3)
    x = low[None] + (high - low)[None] * jax.random.uniform(where, (chords, low.size), low.dtype)
    y = low[None] + (high - low)[None] * jax.random.uniform(other, (chords, low.size), low.dtype)
    # Lengths over three decades: a short chord sees a dent that a long one passes over.
    y = x + (y - x) * 10.0 ** jax.random.uniform(length, (chords, 1), low.dtype, -3.0, 0.0)
    f = jax.vmap(lambda v: value(layout.unpack(v)))
    fx, fy, fm = f(x), f(y), f(0.5 * (x + y))
    finite = jnp.isfinite(fx + fy + fm)
    rounding = 8 * jnp.finfo(fx.dtype).eps * jnp.max(jnp.where(finite, jnp.abs(fx) + jnp.abs(fy) + jnp.abs(fm), 0))
    gap = jnp.where(finite, fm - 0.5 * (fx + fy) - rounding, -jnp.inf)
    i = int(jnp.argmax(gap))
    return Convexity(bool(gap[i] <= 0), int(finite.sum()), float(gap[i]), layout.unpack(x[i]), layout.unpack(y[i]))
