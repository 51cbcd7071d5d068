"""JJᵀ of a network's residuals, layer by layer, without J.

Residual i belongs to example e(i). If a dense layer Z = A W + 1 bᵀ sees every example in one row, then row i of J in its
parameters is (aₑ, 1) ⊗ dᵢ with dᵢ = ∂rᵢ/∂zₑ, and

    JJᵀ = Σ over layers of (A Aᵀ + 1) ∘ (D Dᵀ)         A: inputs, D: sensitivities, both with a row for each residual

D takes one backward pass for each residual that an example has, because examples do not see each other. Layers with more rows for
an example (convolutions, sequences) and parameters that are in no layer have their part of J made and multiplied out.

[1] A. Jacot, F. Gabriel, C. Hongler, "Neural Tangent Kernel", NeurIPS (2018): JJᵀ is the empirical tangent kernel.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from ravine.core.examples import MIXED, axis_of, follow
from ravine.core.layers import Layer, find_layers
from ravine.core.problem import LeastSquares
from ravine.core.program import Program, Step, bind, run, trace
from ravine.core.work import count


class Cost(NamedTuple):
    """What the kernel costs.

    Attributes:
        layers: how many there are.
        groups: matrices of m×m that are kept.
        operations: of making them; explicit: those of a J made by backward passes and multiplied out.
        numbers: the largest part of J that is made.
    """

    layers: int
    groups: int
    operations: float
    explicit: float
    numbers: int

    def pays(self, m: int, itemsize: int, operations: float, bytes: float) -> bool:
        """Whether it is cheaper than a J that is made, and within these bounds, for m residuals."""
        small = m**3 / 3 + self.operations <= operations and ((self.groups + 2) * m * m + self.numbers) * itemsize <= bytes
        return small and self.operations <= self.explicit


@dataclasses.dataclass
class Network:
    """A residual function, taken apart.

    Attributes:
        program: the function.
        layers: those whose parameters act on r through the layer alone, and in one place.
        N: examples.
        before: how each array of residuals is laid out (see `ravine.core.examples`).
        axes: the examples' axis of each layer's output.
        rest: the other parameters, by number.
    """

    program: Program
    layers: list[Layer]
    N: int
    before: list[int]
    axes: list[int]
    rest: list[int]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the parameters."""
        return [np.shape(v) for v in self.program.arguments[: len(self.program.params)]]

    def groups(self) -> list[list[int]]:
        """Parameters with one scale: those of a layer, and each other one."""
        return [[i for i in (layer.weight, layer.bias) if i is not None] for layer in self.layers] + [[i] for i in self.rest]

    def dense(self, layer: Layer) -> bool:
        """Whether it sees each example in one row."""
        eqn = self.program.steps[layer.step].eqn
        return eqn.primitive.name == "dot_general" and len(_rows(eqn, layer)) == 1

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """For each residual: its example, and its number among the residuals of that example."""
        examples, slots, first = [], [], 0
        for shape, before in zip(self.residual_shapes(), self.before, strict=True):
            a, e, c = np.indices((before, self.N, math.prod(shape) // before // self.N))
            examples.append(e.ravel())
            slots.append((first + a * c.shape[2] + c).ravel())
            first += a.shape[0] * a.shape[2]
        return np.concatenate(examples), np.concatenate(slots)

    def residual_shapes(self) -> list[tuple[int, ...]]:
        """Of the arrays of residuals."""
        avals = {v: var.aval for step in self.program.steps for v, var in zip(step.outs, step.eqn.outvars, strict=True)}
        return [avals[v].shape for v in self.program.results]

    def cost(self) -> Cost:
        """In operations."""
        sizes, m = [math.prod(s) for s in self.shapes], len(self.rows()[0])
        forward, made, explicit = 0.0, 0.0, sum(sizes[i] for i in self.rest)
        numbers = m * explicit
        for layer in self.layers:
            step = self.program.steps[layer.step]
            n, out = sizes[layer.weight], math.prod(step.eqn.outvars[0].aval.shape)
            units = out // self.N if self.dense(layer) else 1
            forward += 2.0 * out * n / units if self.dense(layer) else 2.0 * out * n
            made += 2.0 * m * m * (n / units + units) if self.dense(layer) else 2.0 * m * m * n
            numbers = numbers if self.dense(layer) else max(numbers, m * n)
        backward = 2 * forward
        slots = m // self.N
        made += slots * backward + min(explicit, m) * backward + 2.0 * m * m * explicit
        return Cost(len(self.layers), len(self.groups()), made, m * backward + 2.0 * m * m * sum(sizes), numbers)


def network(problem: LeastSquares, x: Any) -> Network | None:
    """The residual function taken apart; None where it has no layers, or examples see each other."""
    tree = x if problem.layout is None else problem.layout.unpack(x)
    try:
        program = trace(problem.fun, tree, problem.args, {})
    except TypeError:  # it changes its arguments
        return None
    layers = find_layers(program)[0]
    layers = [layer for layer in layers if _alone(program, layer, layers)]
    for N, first in _candidates(program, layers[0]) if layers else ():
        begin = {}
        for layer in layers:
            same = [before for n, before in _candidates(program, layer) if n == N]
            begin[layer.step] = first if layer is layers[0] else (same or [MIXED])[0]
        found = follow(program, begin, N)
        before = [MIXED if isinstance(v, Literal) else found.get(v, MIXED) for v in program.results]
        outs = [program.steps[layer.step] for layer in layers]
        axes = [axis_of(s.eqn.outvars[0].aval.shape, found[s.outs[0]], N) for s in outs]
        if MIXED not in before and all(a in _rows_out(s.eqn, layer) for s, layer, a in zip(outs, layers, axes, strict=True)):
            taken = {i for layer in layers for i in (layer.weight, layer.bias)}
            rest = [i for i in range(len(program.params)) if i not in taken]
            return Network(program, layers, N, before, [a for a in axes if a is not None], rest)
    return None


def costs(problem: LeastSquares, x: Any) -> Cost | None:
    """What the kernel costs; None where there is none. The function is traced for it once."""
    leaves, structure = jax.tree.flatten((problem, x))
    return _costs(structure, tuple((jnp.shape(v), jnp.result_type(v)) for v in leaves))


@functools.lru_cache(maxsize=256)
def _costs(structure: Any, leaves: tuple[tuple[Any, Any], ...]) -> Cost | None:
    problem, x = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*v) for v in leaves])
    found: list[Cost | None] = []

    def look(problem: Any, x: Any) -> Any:
        net = network(problem, x)
        found.append(None if net is None else net.cost())
        return x

    jax.eval_shape(look, problem, x)
    return found[0]


def _alone(program: Program, layer: Layer, layers: list[Layer]) -> bool:
    """Whether its parameters act on the results through this layer and nowhere else."""
    others = [i for other in layers if other is not layer for i in (other.weight, other.bias)]
    reached = {i for i in (layer.weight, layer.bias) if i is not None}
    if reached.intersection(others) or layer.weight == layer.bias:
        return False
    for place, step in enumerate(program.steps):
        ins = [v for i, v in enumerate(step.ins) if not isinstance(v, Literal) and (place, i) not in _doors(layer)]
        if reached.intersection(ins):
            reached.update(step.outs)
    return not reached.intersection(v for v in program.results if not isinstance(v, Literal))


def _doors(layer: Layer) -> set[tuple[int, int]]:
    """Where its weight and bias come in: places and inputs."""
    return {(layer.step, 1 - layer.data)} | ({(layer.add[0], 1 - layer.add[1])} if layer.add else set())


def _rows(eqn: Any, layer: Layer) -> list[int]:
    """The axes of a layer's data that are not summed over."""
    if eqn.primitive.name == "conv_general_dilated":
        return [eqn.params["dimension_numbers"].lhs_spec[0]]
    summed = eqn.params["dimension_numbers"][0][layer.data]
    return [i for i in range(len(eqn.invars[layer.data].aval.shape)) if i not in summed]


def _rows_out(eqn: Any, layer: Layer) -> list[int]:
    """The same axes in its output."""
    if eqn.primitive.name == "conv_general_dilated":
        return [eqn.params["dimension_numbers"].out_spec[0]]
    rows = len(_rows(eqn, layer))
    first = 0 if layer.data == 0 else len(eqn.outvars[0].aval.shape) - rows
    return list(range(first, first + rows))


def _candidates(program: Program, layer: Layer) -> list[tuple[int, int]]:
    """Which axis of a layer's output may number the examples: N, and `before` of it."""
    eqn = program.steps[layer.step].eqn
    shape = eqn.outvars[0].aval.shape
    return [(shape[a], math.prod(shape[:a])) for a in _rows_out(eqn, layer) if shape[a] > 1]


def grams(net: Network, problem: LeastSquares, x: Any) -> jax.Array:
    """JJᵀ of each group of parameters, (groups, m, m)."""
    inputs, D = _sensitivities(net)
    example, slot = net.rows()
    row = slot * net.N + example
    in_order = np.array_equal(row, np.arange(len(row)))

    def by_residual(v: Any) -> Any:
        v = v.reshape(len(row), -1)
        return v if in_order else v[row]

    found = []
    for layer, axis, A, d in zip(net.layers, net.axes, inputs, D, strict=True):
        step = net.program.steps[layer.step]
        d = jnp.moveaxis(d, axis + 1, 1)
        A = jnp.moveaxis(A, _rows(step.eqn, layer)[_rows_out(step.eqn, layer).index(axis)], 0)
        if net.dense(layer):
            A, d = A.reshape(net.N, -1), by_residual(d)
            K = A @ A.T + (0 if layer.bias is None else 1)
            K = K if len(row) == net.N and in_order else K[example[:, None], example[None]]
            found.append(K * (d @ d.T))
            continue
        J = by_residual(_weight_rows(step, layer, axis, A, d, net.program))
        K = J @ J.T
        if layer.bias is not None:
            b = by_residual(_bias_rows(step, layer, axis, d))
            K = K + b @ b.T
        found.append(K)
    return jnp.stack([K.astype(x.dtype) for K in found] + _explicit(net, problem, x))


def _sensitivities(net: Network) -> tuple[list[Any], list[Any]]:
    """The layers' inputs, and the derivatives of the residuals by the layers' outputs, (residuals of an example, *output)."""
    places = {layer.step: i for i, layer in enumerate(net.layers)}

    def tapped(taps: Any) -> Any:
        inputs: list[Any] = [None] * len(taps)

        def replace(step: Step, ins: list[Any], values: Any, i: int = 0) -> list[Any]:
            inputs[i] = ins[net.layers[i].data]
            return [bind(step.eqn, ins)[0] + taps[i]]

        out = run(net.program, {place: functools.partial(replace, i=i) for place, i in places.items()})
        return out, inputs

    shapes = [net.program.steps[layer.step].eqn.outvars[0].aval for layer in net.layers]
    r, pull, inputs = jax.vjp(tapped, [jnp.zeros(v.shape, v.dtype) for v in shapes], has_aux=True)
    slots = [v.size // net.N for v in r]
    count("vj", sum(slots))
    first, seeds = 0, []
    for v, before, n in zip(r, net.before, slots, strict=True):
        unit = jnp.eye(sum(slots), n, -first, v.dtype).reshape(-1, before, 1, n // before)
        seeds.append(jnp.broadcast_to(unit, (len(unit), before, net.N, n // before)).reshape(-1, *v.shape))
        first += n
    return inputs, jax.vmap(pull)(seeds)[0]


def _weight_rows(step: Step, layer: Layer, axis: int, A: Any, d: Any, program: Program) -> Any:
    """The rows of J in the weight of a layer that sees an example in several rows; A and d have the examples in front."""
    at = _rows(step.eqn, layer)[_rows_out(step.eqn, layer).index(axis)]
    W = step.eqn.invars[1 - layer.data].aval

    def row(A: Any, d: Any) -> Any:
        def product(W: Any) -> Any:
            ins = [jnp.expand_dims(A, at), W]
            return bind(step.eqn, ins if layer.data == 0 else ins[::-1])[0]

        return jax.linear_transpose(product, W)(jnp.expand_dims(d, axis))[0]

    return jax.vmap(jax.vmap(row), in_axes=(None, 0))(A, d)


def _bias_rows(step: Step, layer: Layer, axis: int, d: Any) -> Any:
    """The rows of J in its bias: d summed over all but the units."""
    eqn = step.eqn
    if eqn.primitive.name == "conv_general_dilated":
        units = [eqn.params["dimension_numbers"].out_spec[1]]
    else:
        units = [i for i in range(len(eqn.outvars[0].aval.shape)) if i not in _rows_out(eqn, layer)]
    moved = [u + 2 if u < axis else u + 1 for u in units]  # behind the residual's and the example's axes
    return jnp.sum(d, axis=[i for i in range(2, d.ndim) if i not in moved])


def _explicit(net: Network, problem: LeastSquares, x: Any) -> list[Any]:
    """JJᵀ of each parameter that is in no layer."""
    if not net.rest:
        return []
    ends = np.cumsum([math.prod(s) for s in net.shapes])
    places = [np.arange(ends[i] - math.prod(net.shapes[i]), ends[i]) for i in net.rest]
    every = np.concatenate(places)

    def of_rest(v: Any) -> Any:
        return problem._residual(x.at[every].set(v))

    count("jac")
    J = (jax.jacfwd if len(every) <= problem.shape(x).size else jax.jacrev)(of_rest)(x[every])
    pieces = jnp.split(J, np.cumsum([len(p) for p in places])[:-1], axis=1)
    return [piece @ piece.T for piece in pieces]
