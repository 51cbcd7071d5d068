"""`proxprop`: a loss or network whose linear maps and convolutions get proximal directions, found in the traced computation.

1. The function is traced to a list of primitive operations (`ravine.core.program`).
2. A product or convolution of data with a parameter, which may have been transposed, reshaped or cast before, is a *layer*; a
   parameter added along its outputs is the bias. A layer that no other layer follows is a *last* one and stays explicit.
3. The list is run again, each layer by `linear` or `conv` of `layers`, everything else as it was.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.function import Function
from ravine.core.layers import Layer, find_layers
from ravine.core.program import Program, Step, run, trace
from ravine.core.pytree import Record, computing, hyper, part, static
from ravine.methods.proximal.layers import Convolution, check, conv, linear


class Report(NamedTuple):
    """What `proxprop` does to each parameter.

    Attributes:
        proximal: paths of the weights and biases that get a proximal direction.
        explicit: paths of the others, which keep their gradient, each with the reason.
    """

    proximal: tuple[str, ...]
    explicit: dict[str, str]

    def __str__(self) -> str:
        lines = [f"proximal  {path}" for path in self.proximal]
        return "\n".join(lines + [f"explicit  {path}  ({why})" for path, why in self.explicit.items()])


class Proximal(Record):
    """A function whose derivative by its first argument is the proximal direction, as `proxprop` makes it."""

    tau: float = hyper(0.05, 1e-3, 10.0, log=True, doc="proximal step τ of each layer")
    fun: Function = part(None)
    solver: str = static("exact")

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        program = trace(self.fun, params, args, kwargs)
        plan = _plan(program)
        if not plan.layers:
            raise ValueError(f"proxprop found no layer to replace in {self.fun.name}: {plan.nothing()}")
        return program.rebuild(_run(program, plan, self.tau, self.solver))

    def report(self, params: Any, *args: Any, **kwargs: Any) -> Report:
        """What becomes of each parameter for arguments like these; nothing is computed."""
        return _plan(trace(self.fun, params, args, kwargs)).report()


def proxprop(loss_or_apply: Callable[..., Any], tau: Any = 0.05, solver: str = "exact") -> Proximal:
    """The same function, with proximal directions in the place of its layers' weight gradients.

    `jax.grad(proxprop(loss))`, or the gradient of a loss of `proxprop(apply)`, gives each dense or convolution layer
    d = τ (I + τ ÃᵀÃ)⁻¹ g, and all other parameters (last layers, normalisations, embeddings) their gradient g; feed it to any
    optimiser. `report(params, *args)` lists which is which. The values of the function do not change.

    Args:
        loss_or_apply: a function whose first argument is the parameters, as any pytree: nested dicts, a Flax NNX module or
            state, an Equinox module. The loss must be a mean over the batch.
        tau: τ > 0; it may be traced.
        solver: "exact", "cgK" for K conjugate-gradient iterations, or "reference-cgK", see `prox_linear`.

    Returns:
        A callable with the same arguments.

    Raises:
        ValueError: τ ≤ 0 or an unknown solver; when called: no layer to replace, a weight shared between layers; when
            differentiated: one example, under `vmap` over examples, or inside `shard_map` or `pmap`. With `jax.jit` and sharded
            arrays the direction is that of the whole batch.
        TypeError: when called: the function changes the state of a module that it was given.

    Source:
        T. Frerix et al., "Proximal Backpropagation", ICLR (2018), Algorithm 1 with eq. (11).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def loss(params, x):
        ...     return jnp.mean((jnp.tanh(x @ params["W"] + params["b"]) @ params["out"]) ** 2)
        >>> params = {"W": jnp.ones((3, 4)), "b": jnp.zeros(4), "out": jnp.ones((4, 1))}
        >>> print(proxprop(loss).report(params, jnp.ones((8, 3))))
        proximal  ['W']
        proximal  ['b']
        explicit  ['out']  (last layer)
        >>> direction = jax.grad(proxprop(loss, tau=0.5))(params, jnp.ones((8, 3)))
    """
    check(tau, solver)
    return Proximal(tau, Function(loss_or_apply), solver)


@dataclasses.dataclass
class Plan:
    """The layers to replace, and why other parameters are not."""

    layers: list[Layer]
    params: list[str]
    reasons: dict[int, str]

    def report(self) -> Report:
        taken = {i for layer in self.layers for i in (layer.weight, layer.bias) if i is not None}
        names = [name or "the parameter" for name in self.params]
        proximal = tuple(name for i, name in enumerate(names) if i in taken)
        rest = {name: self.reasons.get(i, "no weight of a layer") for i, name in enumerate(names) if i not in taken}
        return Report(proximal, rest)

    def nothing(self) -> str:
        """Why there is no layer."""
        last = any("last layer" in why for why in self.reasons.values())
        why = "its only linear layer is the last one, which stays explicit" if last else "no product of data with a parameter"
        found = "; ".join(f"{self.params[i] or 'the parameter'}: {r}" for i, r in self.reasons.items() if "last layer" not in r)
        return why + (f" ({found})" if found else "")


def _plan(program: Program) -> Plan:
    layers, reasons = find_layers(program)
    followed = set().union(*(layer.before for layer in layers))
    _refuse_shared(layers, followed, program)
    for i, layer in enumerate(layers):
        if i not in followed:
            reasons[layer.weight] = "last layer"
            if layer.bias is not None:
                reasons[layer.bias] = "bias of a last layer"
    return Plan([layer for i, layer in enumerate(layers) if i in followed], program.params, reasons)


def _refuse_shared(layers: list[Layer], followed: set[int], program: Program) -> None:
    for part_of in ("weight", "bias"):
        users: dict[int, list[int]] = {}
        for i, layer in enumerate(layers):
            users.setdefault(getattr(layer, part_of), []).append(i)
        for leaf, places in users.items():
            if leaf is not None and len(places) > 1 and followed.intersection(places):
                raise ValueError(
                    f"proxprop needs each {part_of} in one place, but {program.params[leaf] or 'the parameter'} is shared between "
                    "layers or applied repeatedly: its proximal step does not decouple; give each place its own"
                )


def _run(program: Program, plan: Plan, tau: Any, solver: str) -> list[Any]:
    """The results, with the plan's layers in the place of their steps."""
    replace: dict[int, Any] = {}
    for layer in plan.layers:
        replace[layer.step] = partial(_apply, layer, tau, solver)
        if layer.add is not None:  # the bias is in the layer already
            replace[layer.add[0]] = lambda step, inputs, values, at=layer.add[1]: [inputs[at]]
    return run(program, replace)


def _apply(layer: Layer, tau: Any, solver: str, step: Step, inputs: list[Any], values: dict[int, Any]) -> list[Any]:
    eqn = step.eqn
    A, W = inputs[layer.data], inputs[1 - layer.data]
    tau = jnp.asarray(tau, computing(W).dtype)
    b, out = None, eqn.outvars[0].aval
    if layer.bias is not None:
        b = jnp.asarray(values[layer.bias])
        b = b.transpose(*layer.bias_axes, *(i for i in range(b.ndim) if i not in layer.bias_axes)).reshape(-1).astype(out.dtype)
    if eqn.primitive.name == "conv_general_dilated":
        return [conv(A, W, b, tau, solver, Convolution(**{name: eqn.params[name] for name in Convolution._fields}))]
    contracted = eqn.params["dimension_numbers"][0]
    summed, over = contracted[layer.data], contracted[1 - layer.data]
    rows = [i for i in range(A.ndim) if i not in summed]
    units = [i for i in range(W.ndim) if i not in over]
    n = math.prod(A.shape[i] for i in summed)
    A2, W2 = A.transpose(*rows, *summed).reshape(-1, n), W.transpose(*over, *units).reshape(n, -1)
    Z = linear(A2, W2, b, tau, solver, eqn.params["precision"], eqn.params["preferred_element_type"])
    Z = Z.reshape(*(A.shape[i] for i in rows), *(W.shape[i] for i in units))
    return [Z if layer.data == 0 else Z.transpose(*range(len(rows), Z.ndim), *range(len(rows)))]
