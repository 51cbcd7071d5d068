"""Whether a program treats its examples one by one: from a value's row e to row e of everything that is made of it.

A value of N examples is seen as an array (before, N, after): row e of it is [:, e]. Reshaping does not change that, whatever it
does to the axes. What cannot be followed, or really mixes examples, is MIXED.
"""

from __future__ import annotations

import math
from typing import Any

from jax.extend.core import Literal

from ravine.core.program import OPENED, Program

MIXED = -1

ELEMENTWISE = {
    *("abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "clamp"),
    *("convert_element_type", "copy", "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1"),
    *("floor", "ge", "gt", "integer_pow", "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne"),
    *("neg", "nextafter", "not", "or", "pow", "reduce_precision", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh"),
    *("sqrt", "square", "stop_gradient", "sub", "tan", "tanh", "xor"),
}
INNER = OPENED | {"custom_jvp_call": "call_jaxpr"}


def axis_of(shape: tuple[int, ...], before: int, N: int) -> int | None:
    """The axis that numbers the examples, if it is one."""
    for i, n in enumerate(shape):
        if n == N and math.prod(shape[:i]) == before:
            return i
    return None


def follow(program: Program, begin: dict[int, int], N: int) -> dict[int, int]:
    """`before` of every value that depends on the beginnings, or MIXED.

    Args:
        begin: for the steps at which examples come in, by place, `before` of what the step makes; a step whose inputs are followed
            already does not begin anew.
        N: the number of examples, at least 2.
    """
    found: dict[int, int] = {}
    for place, step in enumerate(program.steps):
        ins = [None if isinstance(v, Literal) else found.get(v) for v in step.ins]
        outs = _outputs(step.eqn, ins, N)
        if place in begin and outs[0] is None:
            outs = [begin[place]]
        found.update((v, out) for v, out in zip(step.outs, outs, strict=True) if out is not None)
    return found


def _outputs(eqn: Any, ins: list[int | None], N: int) -> list[int | None]:
    """`before` of the results of one operation."""
    marked = {v for v in ins if v is not None}
    if not marked:
        return [None] * len(eqn.outvars)
    name = eqn.primitive.name
    shapes = [v.aval.shape for v in eqn.outvars]
    if MIXED in marked:
        return [MIXED] * len(shapes)
    if name in INNER:
        inner = eqn.params[INNER[name]]
        return _through(getattr(inner, "jaxpr", inner), ins, N)
    if len(marked) == 1:
        (before,) = marked
        if name in ("squeeze", "expand_dims") or (name == "reshape" and eqn.params["dimensions"] is None):
            return [before]
        same = all(v.aval.shape == shapes[0] for v, m in zip(eqn.invars, ins, strict=True) if m is not None)
        if name in ELEMENTWISE and same:
            return [before] * len(shapes)
    axes = [None if m is None else axis_of(v.aval.shape, m, N) for v, m in zip(eqn.invars, ins, strict=True)]
    if any(m is not None and a is None for m, a in zip(ins, axes, strict=True)):
        return [MIXED] * len(shapes)
    axis = _axis(name, eqn, axes, N)
    return [MIXED if axis is None else math.prod(shape[:axis]) for shape in shapes]


def _through(jaxpr: Any, ins: list[int | None], N: int) -> list[int | None]:
    """The same for a program inside."""
    found: dict[Any, int | None] = dict(zip(jaxpr.invars, ins, strict=True))
    for eqn in jaxpr.eqns:
        outs = _outputs(eqn, [None if isinstance(v, Literal) else found.get(v) for v in eqn.invars], N)
        found.update(zip(eqn.outvars, outs, strict=True))
    return [None if isinstance(v, Literal) else found.get(v) for v in jaxpr.outvars]


def _axis(name: str, eqn: Any, axes: list[int | None], N: int) -> int | None:
    """The examples' axis in the result of an operation that knows axes; None where it mixes them."""
    p = eqn.params
    if name == "dot_general":
        return _of_product(eqn, axes)
    if name == "conv_general_dilated":
        spec = p["dimension_numbers"]
        alone = axes[0] == spec.lhs_spec[0] and axes[1] is None and p["batch_group_count"] == 1
        return spec.out_spec[0] if alone else None
    joined = {a for a in axes if a is not None}
    if name in ELEMENTWISE:  # axes of length 1 are repeated
        return joined.pop() if len(joined) == 1 else None
    if name == "concatenate":
        return joined.pop() if len(joined) == 1 and p["dimension"] not in joined else None
    axis = axes[0]
    if axis is None or any(a is not None for a in axes[1:]):
        return None
    if name == "transpose":
        return p["permutation"].index(axis)
    if name == "broadcast_in_dim":
        return p["broadcast_dimensions"][axis]
    if name in ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"):
        return None if axis in p["axes"] else axis - sum(a < axis for a in p["axes"])
    if name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "split"):
        return None if axis == p["axis"] else axis
    if name == "rev":
        return None if axis in p["dimensions"] else axis
    if name == "slice":
        whole = (p["start_indices"][axis], p["limit_indices"][axis], (p["strides"] or (1,) * (axis + 1))[axis]) == (0, N, 1)
        return axis if whole else None
    if name == "dynamic_slice":
        return axis if p["slice_sizes"][axis] == N else None
    if name == "pad":
        return axis if p["padding_config"][axis] == (0, 0, 0) else None
    if name in ("reduce_window_sum", "reduce_window_max", "reduce_window_min"):
        still = p["window_dimensions"][axis] == 1 and p["window_strides"][axis] == 1 and tuple(p["padding"][axis]) == (0, 0)
        return axis if still and p["base_dilation"][axis] == 1 else None
    return None


def _of_product(eqn: Any, axes: list[int | None]) -> int | None:
    contracted, batch = eqn.params["dimension_numbers"]
    places: list[int | None] = [list(batch[i]).index(a) if a in batch[i] else None for i, a in enumerate(axes)]
    if None not in axes:
        return places[0] if places[0] == places[1] else None
    side = 0 if axes[1] is None else 1
    axis: Any = axes[side]
    if axis in contracted[side]:
        return None
    if places[side] is not None:
        return places[side]
    ranks = [len(v.aval.shape) for v in eqn.invars]
    free = [i for i in range(ranks[side]) if i not in contracted[side] and i not in batch[side]]
    first = ranks[0] - len(contracted[0]) if side == 1 else len(batch[0])
    return first + free.index(axis)
