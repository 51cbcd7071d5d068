"""Whether a function is quadratic, read off its traced program: then ∇²f(x) v does not depend on x.

What cannot be followed (a loop, a norm that is squared afterwards) counts as not quadratic, so a yes is always true.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.function import Function
from ravine.core.program import trace


def is_quadratic(f: Any, x: Any) -> bool:
    """Whether the objective f is a quadratic function of the vector x.

    Example:
        >>> import jax.numpy as jnp
        >>> from ravine.core.function import Function
        >>> from ravine.core.problem import Objective
        >>> [is_quadratic(Objective(Function(f)), jnp.ones(3)) for f in (lambda x: jnp.sum(x**2), lambda x: jnp.sum(x**3))]
        [True, False]
    """
    leaves, structure = jax.tree.flatten((f, x))
    return _constant_curvature(structure, tuple((jnp.shape(v), jnp.result_type(v)) for v in leaves))


@functools.lru_cache(maxsize=256)
def _constant_curvature(structure: Any, leaves: tuple[tuple[Any, Any], ...]) -> bool:
    def curvature(x: Any, v: Any, given: Any) -> Any:
        return jax.jvp(jax.grad(given._value), (x,), (v,))[1]

    f, x = jax.tree.unflatten(structure, [np.broadcast_to(np.zeros((), dtype), shape) for shape, dtype in leaves])
    program = trace(Function(curvature), x, (x, f), {})
    moved = {0}  # the number of x among the values
    for step in program.steps:
        if any(isinstance(v, int) and v in moved for v in step.ins):
            moved.update(step.outs)
    return not any(isinstance(v, int) and v in moved for v in program.results)
