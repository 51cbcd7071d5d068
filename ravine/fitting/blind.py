"""What a fit's residuals say nothing about, as a sentence of the result."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.problem import LeastSquares
from ravine.core.result import Result
from ravine.fitting.statistics import in_words, parameter_names
from ravine.math.rank import decomposed
from ravine.methods.least_squares.linear_step import LinearStep

PARAMETERS, ENTRIES = 200, 10**6  # a Jacobian up to which to look for its rank costs less than the fit
NAMED = 3


def blind(result: Result, problem: LeastSquares) -> str:
    """The directions that J does not see, among the parameters that are at no bound; "" if its rank is as large as it can be."""
    local, linear = getattr(result.carry.state, "local", None), getattr(result.method, "linear", None)
    layout: Any = problem.layout
    if local is None or not isinstance(linear, LinearStep) or layout.size > PARAMETERS or not result.success:
        return ""
    x = np.asarray(result.carry.state.x)
    free = np.ones(x.size, bool)
    for bound in (problem.lower, problem.upper):
        free &= True if bound is None else x != np.asarray(bound)
    m, n = problem.shape(x).size, int(free.sum())
    if n == 0:
        return ""
    J = linear.seen(local, free)
    if J is None and m * x.size > ENTRIES:
        return ""
    J = np.asarray(_jacobian(problem, x))[:, free] if J is None else J
    D, _, Vt, dark = decomposed(J, m, np)
    rank, most = int(np.sum(~dark)), min(m, n)
    if rank == most:  # with fewer residuals than parameters `why` has the number
        return ""
    names = tuple(np.asarray(parameter_names(result.x))[free])
    unseen = [in_words(v / D, names) for v in Vt[dark]]
    more = f"; and {len(unseen) - NAMED} more directions" if len(unseen) > NAMED else ""
    what = f"{n}" if m >= n else f"{m}, the number of residuals"
    return f"The Jacobian has rank {rank} of {what}: nothing is known about {'; '.join(unseen[:NAMED])}{more}."


@jax.jit
def _jacobian(problem: LeastSquares, x: Any) -> jax.Array:
    return jnp.asarray(problem.jacobian(x)[2])
