"""Which method `minimize` takes when it is not told: by the number of parameters, bounds, and whether f is smooth."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.problem import Objective
from ravine.core.program import equations

DENSE_UP_TO = 200
KINKS = {
    "abs": "|·|",
    "sign": "sign",
    "max": "max",
    "min": "min",
    "clamp": "clip",
    "floor": "floor",
    "ceil": "ceil",
    "round": "round",
}


def choose(problem: Objective, x: Any) -> tuple[str, str]:
    """The registered name of a method and the reason, in words.

    Args:
        problem: the objective, with its bounds; x: the packed start, one vector.
    """
    known = (jax.tree.structure(problem), tuple((v.shape, str(v.dtype)) for v in map(jnp.asarray, jax.tree.leaves(problem))))
    if known not in _choices:
        _choices[known] = _choose(problem, x)
    return _choices[known]


_choices: dict[Any, tuple[str, str]] = {}


def _choose(problem: Objective, x: Any) -> tuple[str, str]:
    n = x.size
    bounded = problem.lower is not None
    where = f"{n} parameter{'' if n == 1 else 's'}, {'bounds' if bounded else 'no bounds'}"
    large = "lbfgsb" if bounded else "lbfgs"
    if n > DENSE_UP_TO:
        return large, f"{where}: more than {DENSE_UP_TO}, so no matrix is formed"
    kinks = _kinks(problem, x)
    if kinks:
        return (large if bounded else "bfgs"), f"{where}; f uses {', '.join(kinks)}, so second derivatives are not relied on"
    if not _twice_differentiable(problem, x):
        return (large if bounded else "bfgs"), f"{where}; f has no second derivative (a custom rule?), so gradients alone are used"
    return "trust_region", f"{where}; f is smooth, so its exact Hessian is used"


def _kinks(problem: Objective, x: Any) -> list[str]:
    """The operations in f that are not differentiable everywhere. Those inside a gradient rule of JAX's own are not seen."""
    found: set[str] = set()
    for equation in equations(jax.make_jaxpr(problem.value)(x)):
        name = equation.primitive.name
        if name in KINKS and any(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.invars):
            found.add(KINKS[name])
    return sorted(found)


def _twice_differentiable(problem: Objective, x: Any) -> bool:
    # f itself has been traced by now: what fails here is the derivative of its gradient, whatever the reason.
    try:
        jax.eval_shape(problem.hessian, x)
    except (TypeError, ValueError, NotImplementedError):
        return False
    return True
