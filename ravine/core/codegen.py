"""How the code of a program is made: quickly, where all of its arrays are small.

On a processor XLA has two ways to make kernels. The usual one makes better code for large arrays: BFGS of 300 variables takes 1.6
times as long without it. But it takes two to three times as long to compile, and where arrays are small its code is no faster:
`python benchmarks/codegen.py` has both ways side by side. In between stands the usual way with less optimisation of each kernel,
for programs that run a few times and spend their time in products of matrices: `python benchmarks/sweep.py` takes a tenth less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

from ravine.core.program import equations
from ravine.core.tracing import tracing

QUICK = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1, "xla_backend_optimization_level": 1}
LIGHT = {"xla_backend_optimization_level": 1}
SMALL = 4096
"""Elements up to which an array is small."""

_small: dict[Any, bool] = {}
_refused: list[str] = []


class Compiled:
    """`jax.jit` of a function, to be called in the usual way or, as `quick`, with kernels that are made quickly.

    Args:
        options: what quickly means, QUICK or LIGHT.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any] = QUICK, **how: Any):
        self.usual = jax.jit(function, **how)
        self.quick = jax.jit(function, compiler_options=dict(options), **how)

    def __call__(self, *args: Any, quick: bool = False, **named: Any) -> Any:
        return self._in_one_way(quick, lambda jitted: jitted(*args, **named))

    def lowered(self, *args: Any, quick: bool = False, **named: Any) -> Any:
        """The program of such a call, compiled already."""

        def compiled(jitted: Any) -> Any:
            lowered = jitted.lower(*args, **named)
            lowered.compile()
            return lowered

        return self._in_one_way(quick, compiled)

    def _in_one_way(self, quick: bool, act: Callable[[Any], Any]) -> Any:
        if quick and not _refused:
            try:
                return act(self.quick)
            except jax.errors.JaxRuntimeError as error:  # the options are this XLA's own, and may go
                if "compile option" not in str(error):
                    raise
                _refused.append(str(error))
        return act(self.usual)

    def makes_small_arrays(self, name: Any, *args: Any) -> bool:
        """Whether a call may be quick and makes no large array.

        Args:
            name: equal for equal programs; a program is looked through once.
        """
        if not may_be_quick():
            return False
        if name not in _small:
            made = (v.aval for eqn in equations(self.usual.trace(*args).jaxpr) for v in eqn.outvars)
            _small[name] = all(np.prod(getattr(a, "shape", ())) <= SMALL for a in made)
        return _small[name]


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """function(*args) as a program of its own inside of another: XLA does not inline it, and fuses nothing of it with the rest."""
    return set_xla_metadata(jax.jit(function)(*args), inlineable="false")


def once(flag: Any) -> Any:
    """The flag, computed once.

    On a processor, XLA computes a cheap value again in every kernel that reads it, and each kernel then reads all that the value
    is made of, at some nanoseconds an array (`python benchmarks/codegen.py arrays`). What comes out of a square root it computes
    once.
    """
    return jnp.sqrt(jnp.where(flag, np.float32(4), np.float32(1))) > np.float32(1.5)


def may_be_quick() -> bool:
    """Whether a call made now is on a processor and outside of other programs: XLA takes options for whole programs only."""
    return not tracing() and jax.default_backend() == "cpu"
