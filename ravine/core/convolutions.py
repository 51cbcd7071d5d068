"""Convolutions in the axis order that XLA's fast kernel on processors takes.

XLA puts a convolution into that order by itself only outside of loops, and a method runs in one: there a gradient by the filters,
which JAX writes with other axes, made a small ConvNet's gradient take 867 ms instead of 27 (`python
benchmarks/convolutions.py`, 2 cores). So the axes are moved before XLA sees them. Values stay what they were.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal, primitives

from ravine.core.program import bind, equations, inner_programs, is_program


def in_fast_order(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; on a processor, with the axes of its convolutions moved. Arguments are trees of arrays."""

    def moved(*args: Any) -> Any:
        if jax.default_backend() != "cpu":
            return fun(*args)
        closed, shape = jax.make_jaxpr(fun, return_shape=True)(*args)
        out = _evaluate(closed.jaxpr, closed.consts, *jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), out)

    return moved


def over_lanes(convolving: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`jax.vmap`; one lane after another where they convolve.

    Filters of many lanes make a convolution in groups, for which a processor has no fast kernel: a sweep of 8 lanes took 1,800 ms a
    gradient under `vmap` and 229 one after another (`python benchmarks/convolutions.py`).
    """
    return _one_by_one if convolving else jax.vmap


def convolves(fun: Callable[..., Any], *args: Any) -> bool:
    """Whether fun(*args) convolves on a processor."""
    return jax.default_backend() == "cpu" and _convolves(jax.make_jaxpr(fun)(*args))


def _one_by_one(fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: jax.lax.map(lambda lane: fun(*lane), args)


def _evaluate(jaxpr: Any, constants: Any, *args: Any) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

    def read(v: Any) -> Any:
        return v.val if isinstance(v, Literal) else values[v]

    for eqn in jaxpr.eqns:
        inputs = [read(v) for v in eqn.invars]
        if eqn.primitive.name == "conv_general_dilated":
            out = [_convolve(inputs[0], inputs[1], eqn.params)]
        else:
            out = bind(_with_inner_moved(eqn), inputs)
        values.update(zip(eqn.outvars, out, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _convolve(x: Any, W: Any, params: dict[str, Any]) -> Any:
    """The convolution with x as (examples, *space, channels), W as (*space, channels, outputs) and the result as x."""
    x_axes, W_axes, out_axes = params["dimension_numbers"]
    first, last = 0, x.ndim - 1
    space = tuple(range(1, last))
    order = jax.lax.ConvDimensionNumbers((first, last, *space), (last, last - 1, *(i - 1 for i in space)), (first, last, *space))
    params = {**params, "dimension_numbers": order}
    x = x.transpose(x_axes[0], *x_axes[2:], x_axes[1])
    W = W.transpose(*W_axes[2:], W_axes[1], W_axes[0])
    groups = params["batch_group_count"]
    if groups > 1:  # groups of examples, the gradient by filters that were in groups: the same as groups of channels
        x = jnp.moveaxis(x.reshape(groups, -1, *x.shape[1:]), 0, -2)
        x = x.reshape(*x.shape[:-2], -1)
        params.update(batch_group_count=1, feature_group_count=groups)
    y = primitives.conv_general_dilated_p.bind(x, W, **params)
    return y.transpose(*np.argsort((out_axes[0], *out_axes[2:], out_axes[1])))


def _with_inner_moved(eqn: Any) -> Any:
    """The equation with the programs inside of it (of a jit, a checkpoint, a loop, a branch) changed likewise."""
    if not any(map(_convolves, inner_programs(eqn))):
        return eqn
    return eqn.replace(params={name: _moved(v) for name, v in eqn.params.items()})


def _moved(v: Any) -> Any:
    if isinstance(v, tuple) and any(map(is_program, v)):
        return tuple(map(_moved, v))
    if not is_program(v):
        return v
    jaxpr, constants = (v.jaxpr, v.consts) if hasattr(v, "jaxpr") else (v, ())
    ins = [jax.ShapeDtypeStruct(u.aval.shape, u.aval.dtype, weak_type=u.aval.weak_type) for u in jaxpr.invars]
    moved = jax.make_jaxpr(partial(_evaluate, jaxpr, constants))(*ins)
    return moved if hasattr(v, "jaxpr") else moved.jaxpr


def _convolves(program: Any) -> bool:
    return any(eqn.primitive.name == "conv_general_dilated" for eqn in equations(program))
