"""f(x) + g(K x) as the methods see it, made of what a user gave to `minimize`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.choice import as_method, label
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.method import Method
from ravine.core.problem import Composite, Objective
from ravine.core.pytree import cast
from ravine.core.quadratic import is_quadratic
from ravine.core.registry import HOMES, method_class
from ravine.math.operators import Operator
from ravine.methods.linear.as_operator import as_operator
from ravine.methods.linear.system import of_function, refuse_nonlinear
from ravine.methods.proximal.operators import Prox

FACTORS_UP_TO = 2000  # parameters: a Cholesky factor of so many takes 0.1 s


def composite(fun: Function, args: tuple[Any, ...], layout: Layout, g: Any, K: Any) -> Composite:
    """The problem.

    Raises:
        TypeError: g has no prox, K is nothing linear.
        ValueError: K does not fit x, g does not fit what K makes, or K is a function that is not linear.
    """
    f = Objective(fun, args, layout)
    operator, image = _operator(K, layout)
    _refuse(g, image)
    x = jax.ShapeDtypeStruct((layout.size,), layout.dtype)
    return Composite(f, cast(g, layout.dtype), image, operator, is_quadratic(f, x))


def _operator(K: Any, layout: Layout) -> tuple[Operator | None, Layout]:
    """K as an operator, and how its outcome is packed."""
    if K is None:
        return None, layout
    if callable(K) and not isinstance(K, Operator) and not hasattr(K, "mv"):
        x = jax.tree.unflatten(layout.treedef, [jax.ShapeDtypeStruct(*v) for v in zip(layout.shapes, layout.dtypes, strict=True)])
        image = Layout.vector(jax.eval_shape(K, x), "K x")
        free = of_function(K, layout, image)
        refuse_nonlinear(free, "K")
        return free, image
    operator = as_operator(K)
    p, n = operator.shape
    if n != layout.size:
        raise ValueError(f"K is {p}×{n}, so x must have {n} numbers; x0 has {layout.size}")
    operator = jax.tree.map(lambda v: jnp.asarray(v, layout.dtype) if jnp.issubdtype(v.dtype, jnp.inexact) else v, operator)
    return operator, Layout.vector(jax.ShapeDtypeStruct((p,), layout.dtype))


class _Misfit(ValueError):
    """One prox and its array do not go together; other errors are of the trees."""


def _refuse(g: Any, image: Layout) -> None:
    tree = jax.tree.unflatten(image.treedef, [jax.ShapeDtypeStruct(*v) for v in zip(image.shapes, image.dtypes, strict=True)])
    for one in jax.tree.leaves(g, is_leaf=lambda v: isinstance(v, Prox)):
        if not isinstance(one, Prox):
            raise TypeError(
                f"g must be a function with a prox, such as rv.prox.L1(0.1), or a tree of them; got {one!r}. A smooth one belongs "
                "into f; another one is a subclass of rv.prox.Prox with value(z) and prox(z, t)"
            )

    def fits(one: Prox, part: Any) -> Any:
        for leaf in jax.tree.leaves(part):
            try:
                out = jax.eval_shape(one.prox, leaf, jax.ShapeDtypeStruct((), leaf.dtype))
            except (TypeError, ValueError) as error:
                raise _Misfit(f"{type(one).__name__} does not fit an array of shape {leaf.shape}: {error}") from None
            if out.shape != leaf.shape:
                raise _Misfit(f"{type(one).__name__} makes an array of shape {out.shape} of one of shape {leaf.shape}")
        return 0

    try:
        jax.tree.map(fits, cast(g, image.dtype), tree, is_leaf=lambda v: isinstance(v, Prox))
    except _Misfit:
        raise
    except ValueError as error:
        raise ValueError(f"g must be one for all of {image.describe()}, or a tree of them like it: {error}") from None


def composite_method(given: Any, problem: Composite, x: Any) -> tuple[Method, str]:
    """The method, made ready for the problem, and why it was chosen.

    Raises:
        ValueError: it cannot take g; the message names those that can.
    """
    why = ""
    if isinstance(given, str) and given == "auto":
        from ravine.methods.linear.cg import CG
        from ravine.methods.proximal.admm import ADMM

        few = x.size <= FACTORS_UP_TO
        given = ADMM() if few else ADMM(linear=CG())
        how = "factors of its Hessian" if few else f"conjugate gradients, as {x.size} parameters are too many for factors"
        why = f"ADMM: g is given by its prox; f is {'quadratic' if problem.quadratic else 'smooth'}, solved by {how}"
    named = method_class(given) if isinstance(given, str) else type(given)
    if getattr(named, "solves", None) is not Composite:
        able = [n for n in HOMES if getattr(method_class(n), "solves", None) is Composite]
        name = given if isinstance(given, str) else label(given)
        raise ValueError(f"{name} cannot take g; methods that can: {', '.join(able)}")
    method = as_method(given, Composite)
    return method.prepared(problem, x) if hasattr(method, "prepared") else method, why
