"""The linear step chosen by what it costs: operations and bytes for m residuals of n parameters."""

from __future__ import annotations

from typing import Any

from ravine.core.problem import LeastSquares
from ravine.math.damped import Solution
from ravine.methods.least_squares.gram import costs
from ravine.methods.least_squares.kernel_step import KernelStep
from ravine.methods.least_squares.linear_step import CholeskyStep, DualStep, LinearStep, Local, QRStep
from ravine.methods.least_squares.pcg_step import PCGStep
from ravine.methods.least_squares.schur_step import SchurStep, unfit

# Up to this many operations QR's accuracy costs less than a tenth of a second.
QR_BELOW = 1e9
# Beyond these, a factorisation takes minutes and a Jacobian fills the memory.
DENSE_BELOW, BYTES_BELOW = 1e12, 4e9


class AutoStep(LinearStep):
    """QR where it is cheap, Cholesky of the smaller of JᵀJ and JJᵀ where it is not (layer by layer for a network), conjugate
    gradients where J is too large; the Schur complement for a larger `PairResidual`.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.least_squares(lambda x: x - jnp.arange(3.0), jnp.zeros(3))
        >>> r.why
        'QR of the 3×3 Jacobian'
    """

    def chosen(self, problem: LeastSquares, x: Any) -> tuple[LinearStep, str]:
        m, n = problem.sizes(x)
        if m < n and problem.lower is None and problem.upper is None:
            cost = costs(problem, x)
            if cost is not None and cost.pays(m, x.dtype.itemsize, DENSE_BELOW, BYTES_BELOW):
                layers = f"{cost.layers} layers, each with one scale"
                return KernelStep(), f"{m} residuals of {n} parameters: minimum-norm steps from the {m}×{m} kernel of {layers}"
        if 2 * m * n * n > QR_BELOW and not unfit(problem):
            return SchurStep().chosen(problem, x)
        if m * n * min(m, n) > DENSE_BELOW or m * n * x.dtype.itemsize > BYTES_BELOW:
            return PCGStep(), f"conjugate gradients: the {m}×{n} Jacobian is too large to be made"
        if m < n:
            return DualStep(), f"{m} residuals of {n} parameters: minimum-norm steps from the {m}×{m} dual system"
        if 2 * m * n * n <= QR_BELOW:
            return QRStep(), f"QR of the {m}×{n} Jacobian"
        return CholeskyStep(), f"Cholesky of the {n}×{n} normal equations"

    def look(self, problem: LeastSquares, x: Any) -> Local:
        return self.chosen(problem, x)[0].look(problem, x)

    def follow(self, problem: LeastSquares, x: Any, before: Local, local: Local) -> Local:
        return self.chosen(problem, x)[0].follow(problem, x, before, local)

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        return self.chosen(problem, x)[0].step(problem, x, local, D, lam)

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        return self.chosen(problem, x)[0].curvature(problem, x, local, p)
