"""The linear layers of a traced function: products and convolutions of data with a parameter, and the biases added to them.

A parameter may have been transposed, reshaped or cast before it meets the data, and the product may be rearranged before the
bias is added.
"""

from __future__ import annotations

import dataclasses
import math

from jax.extend.core import Literal

from ravine.core.program import Program, Step, inner_programs

REARRANGED = {"transpose", "reshape", "squeeze", "convert_element_type", "copy", "rev", "expand_dims", "sharding_constraint"}


@dataclasses.dataclass
class Layer:
    """A product or convolution of data with a parameter.

    Attributes:
        step: its place in the program.
        data: which of its two inputs is the data.
        weight, bias: numbers of parameters; `bias_axes` puts the bias's axes in the order of the outputs.
        add: the place of the step that adds the bias, and which of its inputs is the layer's output.
        before: layers that its data depend on.
    """

    step: int
    data: int
    weight: int
    before: set[int]
    bias: int | None = None
    bias_axes: tuple[int, ...] = ()
    add: tuple[int, int] | None = None


def find_layers(program: Program) -> tuple[list[Layer], dict[int, str]]:
    """The layers in order, and why other parameters, by number, are no weights of one."""
    n = len(program.params)
    weights: dict[int, int] = {i: i for i in range(n)}  # values that are one parameter, rearranged
    biases: dict[int, tuple[int, Labels]] = {}  # values that are one parameter, perhaps repeated along other axes
    for i, v in enumerate(program.arguments[:n]):
        biases[i] = i, tuple(axis if size > 1 else None for axis, size in enumerate(v.shape))
    of_params = set(range(n))  # values made of parameters and literals alone
    after: dict[int, set[int]] = {}  # layers that a value depends on
    layers: list[Layer] = []
    reasons: dict[int, str] = {}
    for place, step in enumerate(program.steps):
        numbers = [v for v in step.ins if not isinstance(v, Literal)]
        name = step.eqn.primitive.name
        dependence = set().union(*(after.get(v, set()) for v in numbers))
        pure = bool(numbers) and all(v in of_params for v in numbers)
        if pure:
            of_params.update(step.outs)
            if name in REARRANGED or (name == "broadcast_in_dim" and _same_size(step)):
                weights.update((out, weights[numbers[0]]) for out in step.outs if numbers[0] in weights)
            if len(numbers) == 1 and numbers[0] in biases:
                leaf, labels = biases[numbers[0]]
                moved = _relabel(step, labels)
                biases.update((out, (leaf, moved)) for out in step.outs if moved is not None)
        elif name in ("dot_general", "conv_general_dilated"):
            data, why = _roles(step, weights, of_params)
            if data is not None:
                weight = weights[step.ins[1 - data]]
                layers.append(Layer(place, data, weight, dependence))
                dependence = dependence | {len(layers) - 1}
            elif why:
                reasons.update((weights[v], why) for v in step.ins if v in weights)
        elif name == "gather" or inner_programs(step.eqn):
            reasons.update((weights[v], "looked up" if name == "gather" else f"inside {name}") for v in numbers if v in weights)
        after.update((out, dependence) for out in step.outs)
    uses: dict[int, list[int]] = {}
    for place, v in [*((i, v) for i, step in enumerate(program.steps) for v in step.ins), *((-1, v) for v in program.results)]:
        if not isinstance(v, Literal):
            uses.setdefault(v, []).append(place)
    for layer in layers:
        _find_bias(program, layer, biases, uses)
    return layers, reasons


def _same_size(step: Step) -> bool:
    return math.prod(step.eqn.outvars[0].aval.shape) == math.prod(step.eqn.invars[0].aval.shape)


def _roles(step: Step, weights: dict[int, int], of_params: set[int]) -> tuple[int | None, str]:
    """Which input is the data of a layer, or None and the reason."""
    for data in (0, 1):
        other = step.ins[1 - data]
        if isinstance(other, Literal) or other not in of_params or step.ins[data] in of_params:
            continue
        if other not in weights:
            return None, ""
        if step.eqn.primitive.name == "dot_general":
            if any(step.eqn.params["dimension_numbers"][1]):
                return None, "a batch of products"
        elif data == 1:
            return None, "a parameter convolved by data"
        elif step.eqn.params["feature_group_count"] != 1 or step.eqn.params["batch_group_count"] != 1:
            return None, "a convolution in groups"
        return data, ""
    return None, ""


Labels = tuple[int | None, ...]  # for each axis of an array which output axis of a layer, or axis of a bias, it is


def _find_bias(program: Program, layer: Layer, biases: dict[int, tuple[int, Labels]], uses: dict[int, list[int]]) -> None:
    """Follows a layer's output through rearrangements to the addition of a parameter along the layer's outputs, if there is one."""
    step = program.steps[layer.step]
    value, labels = step.outs[0], _output_labels(step, layer.data)
    while len(uses.get(value, ())) == 1:
        place = uses[value][0]
        step = program.steps[place]
        if step.eqn.primitive.name in ("add", "add_any"):
            at = step.ins.index(value)
            other = step.ins[1 - at]
            if (
                isinstance(other, Literal)
                or other not in biases
                or step.eqn.invars[at].aval.shape != step.eqn.outvars[0].aval.shape
            ):
                return
            leaf, along = biases[other]
            outs = [i for i, label in enumerate(labels) if label is not None]
            if outs == [i for i, label in enumerate(along) if label is not None]:
                layer.bias, layer.add = leaf, (place, at)
                layer.bias_axes = tuple(along[i] or 0 for i in sorted(outs, key=lambda i: labels[i] or 0))
            return
        moved = _relabel(step, labels)
        if moved is None:
            return
        value, labels = step.outs[0], moved


def _output_labels(step: Step, data: int) -> Labels:
    shape = step.eqn.outvars[0].aval.shape
    if step.eqn.primitive.name == "conv_general_dilated":
        channel = step.eqn.params["dimension_numbers"].out_spec[1]
        return tuple(0 if i == channel and n > 1 else None for i, n in enumerate(shape))
    outs = len(step.eqn.invars[1 - data].aval.shape) - len(step.eqn.params["dimension_numbers"][0][0])
    first = len(shape) - outs if data == 0 else 0
    return tuple(i - first if first <= i < first + outs and n > 1 else None for i, n in enumerate(shape))


def _relabel(step: Step, labels: Labels) -> Labels | None:
    """The labels of a rearrangement's result; None where they cannot be followed."""
    name, before, after = step.eqn.primitive.name, step.eqn.invars[0].aval.shape, step.eqn.outvars[0].aval.shape
    if name in ("convert_element_type", "copy", "sharding_constraint"):
        return labels
    if name == "transpose":
        return tuple(labels[i] for i in step.eqn.params["permutation"])
    if name == "broadcast_in_dim":
        at = dict(zip(step.eqn.params["broadcast_dimensions"], labels, strict=True))
        return tuple(at.get(i) for i in range(len(after)))
    if name in ("reshape", "squeeze", "expand_dims") and [n for n in before if n > 1] == [n for n in after if n > 1]:
        long = iter([label for label, n in zip(labels, before, strict=True) if n > 1])
        return tuple(next(long) if n > 1 else None for n in after)
    return None
