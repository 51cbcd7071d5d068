"""A traced function as a list of primitive operations, which can be looked through and run again with some of them replaced.

`jit` and `checkpoint` inside the function are opened (so that a checkpoint saves no memory when it is run again).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

from ravine.core.function import Function

OPENED = {"jit": "jaxpr", "pjit": "jaxpr", "remat2": "jaxpr", "checkpoint": "jaxpr", "closed_call": "call_jaxpr"}


class Step(NamedTuple):
    """One primitive operation; inputs are numbers of values, or literals."""

    eqn: Any
    ins: tuple[Any, ...]
    outs: tuple[int, ...]


@dataclasses.dataclass
class Program:
    """A function as a list of operations.

    Attributes:
        steps: in order.
        constants: values by number, of what the function closes over.
        arguments: the values of its arguments; their numbers are 0, 1, …
        params: the paths of the parameters, which come first among the arguments.
        results: numbers of the results, or literals.
        rebuild: the results as the function's own tree.
    """

    steps: list[Step]
    constants: dict[int, Any]
    arguments: list[Any]
    params: list[str]
    results: list[Any]
    rebuild: Callable[[list[Any]], Any]


def trace(fun: Function, params: Any, args: Any, kwargs: Any) -> Program:
    """The operations of fun(params, *args, **kwargs).

    Raises:
        TypeError: the function changes its arguments.
    """
    with_paths = jax.tree_util.tree_flatten_with_path(params)[0]
    leaves, treedef = jax.tree.flatten((params, args, kwargs))
    is_array = [isinstance(v, jax.Array | np.ndarray | np.generic) for v in leaves]

    def flat(*arrays: Any) -> Any:
        given = iter(arrays)
        everything = [next(given) if a else v for a, v in zip(is_array, leaves, strict=True)]
        params, args, kwargs = jax.tree.unflatten(treedef, everything)
        out = fun(params, *args, **kwargs)
        after = jax.tree.leaves((params, args, kwargs))
        if len(after) != len(everything) or any(a is not b for a, b in zip(after, everything, strict=True)):
            raise TypeError(
                f"{fun.name} cannot be followed: it changes the state of its arguments (BatchNorm statistics, random streams); "
                "return the new state as an output instead (nnx.split and nnx.merge inside the function)"
            )
        return out

    arrays = [v for v, a in zip(leaves, is_array, strict=True) if a]
    closed, shape = jax.make_jaxpr(flat, return_shape=True)(*arrays)
    names = [jax.tree_util.keystr(path) for (path, _), a in zip(with_paths, is_array, strict=False) if a]
    program = Program([], {}, arrays, names, [], partial(jax.tree.unflatten, jax.tree.structure(shape)))
    count = len(arrays)

    def open_up(jaxpr: Any, constants: Any, ins: list[Any]) -> list[Any]:
        nonlocal count
        number: dict[Any, Any] = dict(zip(jaxpr.invars, ins, strict=True))

        def new(variable: Any) -> int:
            nonlocal count
            number[variable], count = count, count + 1
            return count - 1

        def read(atom: Any) -> Any:
            return atom if isinstance(atom, Literal) else number[atom]

        for variable, value in zip(jaxpr.constvars, constants, strict=True):
            program.constants[new(variable)] = value
        for eqn in jaxpr.eqns:
            inputs = [read(v) for v in eqn.invars]
            if eqn.primitive.name in OPENED:
                inner = eqn.params[OPENED[eqn.primitive.name]]
                body, held = (inner.jaxpr, inner.consts) if hasattr(inner, "jaxpr") else (inner, ())
                number.update(zip(eqn.outvars, open_up(body, held, inputs), strict=True))
            else:
                program.steps.append(Step(eqn, tuple(inputs), tuple(new(v) for v in eqn.outvars)))
        return [read(v) for v in jaxpr.outvars]

    program.results = open_up(closed.jaxpr, closed.consts, list(range(count)))
    return program


def run(program: Program, replace: dict[int, Callable[[Step, list[Any], dict[int, Any]], list[Any]]]) -> list[Any]:
    """The results; steps whose places are in `replace` are done by the functions there, of the step, its inputs and all values."""
    values: dict[int, Any] = {**dict(enumerate(program.arguments)), **program.constants}

    def read(v: Any) -> Any:
        return v.val if isinstance(v, Literal) else values[v]

    for place, step in enumerate(program.steps):
        inputs = [read(v) for v in step.ins]
        outputs = replace[place](step, inputs, values) if place in replace else bind(step.eqn, inputs)
        values.update(zip(step.outs, outputs, strict=True))
    return [read(v) for v in program.results]


def inner_programs(eqn: Any) -> list[Any]:
    """The programs inside of an operation: of a jit, a loop, its branches, a function with a derivative of its own."""
    return [v for given in eqn.params.values() for v in (given if isinstance(given, tuple) else (given,)) if is_program(v)]


def is_program(v: Any) -> bool:
    """Whether a parameter of an operation is a program."""
    return hasattr(v, "eqns") or hasattr(v, "jaxpr")


def equations(program: Any) -> Iterator[Any]:
    """All operations of a traced program, those inside of others included."""
    for eqn in getattr(program, "jaxpr", program).eqns:
        yield eqn
        for inner in inner_programs(eqn):
            yield from equations(inner)


def bind(eqn: Any, inputs: list[Any]) -> list[Any]:
    """What the operation makes of inputs."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # a pair before jax 0.10
    with eqn.ctx.manager:
        out = eqn.primitive.bind(*functions, *inputs, **params)
    return list(out) if eqn.primitive.multiple_results else [out]
