"""What is being solved. A problem answers oracles and knows no method; every call of an oracle is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ravine.core.columns import hessian
from ravine.core.convolutions import in_fast_order
from ravine.core.flat import Layout, end_to_end
from ravine.core.function import Function, traced_shape
from ravine.core.pytree import Record, part, static, widest
from ravine.core.work import count


class Oracles(Record):
    """Base of all problems."""

    asks: ClassVar[str] = "a problem"
    cure: ClassVar[str] = ""
    noisy: ClassVar[bool] = False

    def at(self, k: Any) -> Any:
        """The problem as step k sees it; a training problem answers with its k-th minibatch."""
        return self


class Objective(Oracles):
    """A scalar function of the parameters, f(x, *args), perhaps within bounds.

    Attributes:
        fun: the user's function of a tree.
        args: its further arguments; leaves, so that other values do not recompile.
        layout: how the tree is packed into what the method sees; None where the method sees the tree itself.
        lower, upper: bounds, packed as the parameters are, or None.
    """

    asks: ClassVar[str] = "a scalar function"
    cure: ClassVar[str] = "call minimize(f, x0) with a function that returns a scalar"

    fun: Function = part()
    args: tuple[Any, ...] = part(())
    layout: Layout | None = static(None)
    lower: Any = part(None)
    upper: Any = part(None)

    def _tree(self, x: Any) -> Any:
        return x if self.layout is None else self.layout.unpack(x)

    def _value(self, x: Any) -> jax.Array:
        return self._value_of_tree(self._tree(x))

    def _value_of_tree(self, tree: Any) -> jax.Array:
        f = number(self.fun.name, self.fun(tree, *self.args))
        if f.shape != ():
            raise ValueError(
                f"{self.fun.name} must return a scalar, got an array of shape {f.shape}: sum or average it, "
                "or call least_squares(residual, x0) if these are residuals"
            )
        if not jnp.issubdtype(f.dtype, jnp.floating):
            raise TypeError(f"{self.fun.name} must return a real floating-point number, got dtype {f.dtype}")
        return as_precise(f, tree)

    def value(self, x: Any) -> jax.Array:
        """f(x)."""
        count("f")
        return self._value(x)

    def value_and_grad(self, x: Any) -> tuple[jax.Array, Any]:
        """f(x) and ∇f(x), packed as x is."""
        count("f")
        count("g")
        return in_fast_order(self._value_and_grad)(x)

    def _value_and_grad(self, x: Any) -> tuple[jax.Array, Any]:
        # The gradient is taken of the tree and packed once: differentiating through the slices of a packed array would
        # pad and add one whole array for every leaf.
        f, g = jax.value_and_grad(self._value_of_tree)(self._tree(x))
        return f, g if self.layout is None else self.layout.pack(g)

    def _gradient(self, x: Any) -> Any:
        return self._value_and_grad(x)[1]

    def gradient(self, x: Any) -> Any:
        """∇f(x); costs what `value_and_grad` costs."""
        count("g")
        return in_fast_order(self._gradient)(x)

    def hvp(self, x: Any, v: Any) -> Any:
        """∇²f(x) v, by a forward derivative of the gradient."""
        count("hv")
        return jax.jvp(self._gradient, (x,), (v,))[1]

    def linearize_gradient(self, x: Any) -> tuple[Any, Callable[[Any], Any]]:
        """∇f(x) and the map v ↦ ∇²f(x) v, for many products at one point."""
        count("g")
        g, product = jax.linearize(self._gradient, x)

        def hvp(v: Any) -> Any:
            count("hv")
            return product(v)

        return g, hvp

    def hessian(self, x: Any) -> jax.Array:
        """∇²f(x), n×n; x is a vector."""
        count("h")
        return hessian(self._value, x)


def as_precise(value: jax.Array, x: Any) -> jax.Array:
    """`value` in the precision of x, where NumPy's data in float64 meet a start in float32, or a model computes in less."""
    dtypes = [d for d in map(jnp.result_type, jax.tree.leaves(x)) if jnp.issubdtype(d, jnp.floating)]
    highest = widest(*dtypes)
    bits, own = jnp.finfo(value.dtype).bits, max(jnp.finfo(d).bits for d in dtypes)
    return value if own <= bits <= jnp.finfo(highest).bits else value.astype(highest)


def number(name: str, value: Any) -> jax.Array:
    """What a user's function returned, as an array; None, a pair or a word is told apart from a number."""
    if value is None:
        raise TypeError(f"{name} returned None in place of a number: is its `return` missing?")
    if isinstance(value, tuple | dict | str | bytes):
        raise TypeError(f"{name} must return one number, got a {type(value).__name__}: return the value alone")
    return jnp.asarray(value)


class LeastSquares(Oracles):
    """½‖r(x, *args)‖² of a residual, or a robust loss of it. Residuals are a vector here; the user's may be a tree.

    Attributes:
        fun: the user's residual of a tree.
        args, layout, lower, upper: as in `Objective`.
        loss: what is made of r (`cost`, `correct` of `ravine.math.loss`), or None. Then r and J stand for the corrected r̃ and J̃,
            except in `residual`.
    """

    asks: ClassVar[str] = "residuals"
    cure: ClassVar[str] = "call least_squares(residual, x0) instead of minimize(f, x0)"

    fun: Function = part()
    args: tuple[Any, ...] = part(())
    layout: Layout | None = static(None)
    lower: Any = part(None)
    upper: Any = part(None)
    loss: Any = part(None)

    def _residual(self, x: Any) -> jax.Array:
        tree = x if self.layout is None else self.layout.unpack(x)
        leaves = jax.tree.leaves(self.fun(tree, *self.args))
        if not leaves or any(isinstance(v, str) for v in leaves):
            what = repr(next(iter(leaves))) if leaves else "nothing (is its `return` missing?)"
            raise TypeError(f"{self.fun.name} must return the residuals, an array or a tree of arrays; got {what}")
        r = end_to_end([jnp.asarray(v) for v in leaves])
        return as_precise(r, tree) if jnp.issubdtype(r.dtype, jnp.floating) else r

    def _cost(self, r: Any) -> jax.Array:
        return 0.5 * jnp.vdot(r, r) if self.loss is None else self.loss.cost(r)

    def _value(self, x: Any) -> jax.Array:
        return self._cost(self._residual(x))

    def shape(self, x: Any) -> Any:
        """Shape and dtype of r(x); the function is traced for it once."""
        return traced_shape(_residual_of, self, x)

    def sizes(self, x: Any) -> tuple[int, int]:
        """m and n: the numbers of residuals and of parameters."""
        return self.shape(x).size, x.size

    def residual(self, x: Any) -> jax.Array:
        """r(x), length m."""
        count("r")
        return self._residual(x)

    def value(self, x: Any) -> jax.Array:
        """½‖r(x)‖², or the robust cost."""
        count("r")
        return self._value(x)

    def jacobian(self, x: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        """f(x), r(x) and J(x), m×n, by forward derivatives where n ≤ m and reverse ones otherwise."""
        count("r")
        count("jac")

        def twice(x: Any) -> Any:
            r = self._residual(x)
            return r, r

        m, n = self.sizes(x)
        J, r = (jax.jacfwd if n <= m else jax.jacrev)(twice, has_aux=True)(x)
        if self.loss is None:
            return self._cost(r), r, J
        corrected, weigh = self.loss.correct(r)
        return self._cost(r), corrected, jax.vmap(weigh, in_axes=1, out_axes=1)(J)

    def linearize(self, x: Any) -> tuple[jax.Array, Callable[[Any], Any], Callable[[Any], Any]]:
        """r(x), the map v ↦ J v and its transpose u ↦ Jᵀu; the residual is evaluated once."""
        count("r")
        r, forward = jax.linearize(self._residual, x)
        if self.loss is not None:
            r, weigh = self.loss.correct(r)

        def product(v: Any) -> Any:
            return forward(v) if self.loss is None else weigh(forward(v))

        transpose = jax.linear_transpose(product, x)

        def jv(v: Any) -> Any:
            count("jv")
            return product(v)

        def vj(u: Any) -> Any:
            count("vj")
            return transpose(u)[0]

        return r, jv, vj

    def value_and_grad(self, x: Any) -> tuple[jax.Array, jax.Array]:
        """½‖r‖² (or the robust cost) and its gradient Jᵀr."""
        count("r")
        count("vj")
        return in_fast_order(jax.value_and_grad(self._value))(x)


class Composite(Oracles):
    """f(x) + g(K x): f smooth, g with a prox, K linear.

    Attributes:
        f: the smooth part.
        g: a record with `value(z)` and `prox(z, t)` of an array (`rv.prox`), or a tree of them.
        K: a linear map (see `ravine.math.operators`), or None for the identity.
        image: how the tree that K makes, on which g acts, is packed into the vector z.
        quadratic: whether ∇²f is constant.
    """

    asks: ClassVar[str] = "f(x) + g(K x) with a prox of g"
    cure: ClassVar[str] = "call minimize(f, x0, g=rv.prox.L1(0.1))"

    f: Objective = part()
    g: Any = part()
    image: Layout = static()
    K: Any = part(None)
    quadratic: bool = static(False)

    def product(self, x: Any) -> Any:
        """K x."""
        if self.K is None:
            return x
        count("av")
        return self.K.mv(x)

    def transposed(self, u: Any) -> Any:
        """Kᵀu."""
        if self.K is None:
            return u
        count("atv")
        return self.K.T.mv(u)

    def gram(self) -> jax.Array:
        """KᵀK, n×n."""
        if self.K is None:
            return jnp.eye(self.image.size, dtype=self.image.dtype)
        K = self.K.dense()
        return K.T @ K

    def penalty(self, z: Any) -> jax.Array:
        """g(z)."""
        return sum((g.value(part) for g, part in self._pieces(z)), jnp.zeros((), z.dtype))

    def prox(self, z: Any, t: Any) -> jax.Array:
        """argmin_w g(w) + ‖w − z‖² / 2t."""
        count("prox")
        return self.image.pack(jax.tree.unflatten(self.image.treedef, [g.prox(part, t) for g, part in self._pieces(z)]))

    def _pieces(self, z: Any) -> list[tuple[Any, Any]]:
        """Each array of z with the g that is for it."""
        pieces: list[tuple[Any, Any]] = []

        def spread(g: Any, parts: Any) -> None:
            pieces.extend((g, part) for part in jax.tree.leaves(parts))

        jax.tree.map(spread, self.g, self.image.unpack(z), is_leaf=lambda v: hasattr(v, "prox"))
        return pieces


class Penalised(Oracles):
    """f(x) + ρ/2 ‖K x − w‖²: the smooth half of a step that splits f from g, as the objective of another method.

    Attributes:
        of: the composite problem that f and K belong to.
        rho, w: ρ and w.
    """

    lower: ClassVar[None] = None
    upper: ClassVar[None] = None

    of: Composite = part()
    rho: Any = part()
    w: Any = part()

    def value(self, x: Any) -> Any:
        return self.of.f.value(x) + self._distance(self.of.product(x) - self.w)

    def value_and_grad(self, x: Any) -> tuple[Any, Any]:
        f, g = self.of.f.value_and_grad(x)
        r = self.of.product(x) - self.w
        return f + self._distance(r), g + self.rho * self.of.transposed(r)

    def _distance(self, r: Any) -> Any:
        return 0.5 * self.rho * (r @ r)

    def hvp(self, x: Any, v: Any) -> Any:
        """∇²f(x) v + ρ Kᵀ K v."""
        return self.of.f.hvp(x, v) + self.rho * self.of.transposed(self.of.product(v))

    def linearize_gradient(self, x: Any) -> tuple[Any, Callable[[Any], Any]]:
        g, hvp = self.of.f.linearize_gradient(x)
        return g, lambda v: hvp(v) + self.rho * self.of.transposed(self.of.product(v))

    def hessian(self, x: Any) -> Any:
        """∇²f(x) + ρ KᵀK, n×n."""
        return self.of.f.hessian(x) + self.rho * self.of.gram()


class LinearSystem(Oracles):
    """A x = b; where A is not square or b not in its range, the x of least ‖b − A x‖.

    Attributes:
        A: a linear map with `mv(v)`, `T` and `shape` (see `ravine.math.operators`).
        b: a vector of length m.
        norm: ‖A‖_F, or an estimate of it; None where no method asks for it.
    """

    asks: ClassVar[str] = "a linear system"
    cure: ClassVar[str] = "call linear_solve(A, b)"

    A: Any = part()
    b: Any = part()
    norm: Any = part(None)

    def product(self, v: Any) -> jax.Array:
        """A v."""
        count("av")
        return self.A.mv(v)

    def transposed(self, u: Any) -> jax.Array:
        """Aᵀu."""
        count("atv")
        return self.A.T.mv(u)

    def residual(self, x: Any) -> jax.Array:
        """b − A x."""
        return self.b - self.product(x)


def _residual_of(problem: LeastSquares, x: Any) -> jax.Array:
    return problem._residual(x)


class Training(Oracles):
    """The mean loss over examples, seen through minibatches: `at(k)` is the objective of step k.

    The order in which examples are drawn is data, made from the key outside: so a run in chunks draws the same batches as the
    uninterrupted one, and nothing is sorted inside the loop.

    Attributes:
        loss: loss(params, batch), the mean over the batch.
        data: a tree of arrays with the examples along the first axis.
        order: int32 (steps, batch size): the examples of each step; None where `data` holds stacked batches already.
        first: the step that row 0 belongs to; None where every step sees all the data.
        layout: as in `Objective`.
    """

    asks: ClassVar[str] = "a training loss and data"
    cure: ClassVar[str] = "call train(loss, params, data, method, batch_size=…, epochs=…, key=…)"
    noisy: ClassVar[bool] = True

    loss: Function = part()
    data: Any = part()
    order: Any = part(None)
    first: Any = part(0)
    layout: Layout | None = static(None)

    def batch(self, k: Any) -> Any:
        """The examples of step k."""
        if self.first is None:
            return self.data
        row = k - self.first
        if self.order is None:
            return jax.tree.map(lambda v: jax.lax.dynamic_index_in_dim(v, row, keepdims=False), self.data)
        rows = jax.lax.dynamic_index_in_dim(self.order, row, keepdims=False)
        return jax.tree.map(lambda v: v.at[rows].get(mode="promise_in_bounds"), self.data)

    def at(self, k: Any) -> Objective:
        return Objective(self.loss, (self.batch(k),), self.layout)
