"""Linear steps: how (JᵀJ + λD²) p = −Jᵀr is solved. A field of the methods, `LevenbergMarquardt(linear=CholeskyStep())`.

A linear step looks at a point once (`look`) and keeps what it needs of J; from that it makes a step for every λ (`step`), so a
rejected damping costs no Jacobian.

Variables that sit on a bound with the gradient pushing outwards are fixed: their columns of J are zero for the step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ravine.core.problem import LeastSquares
from ravine.core.pytree import Record
from ravine.core.work import count
from ravine.math import damped
from ravine.math.damped import Solution
from ravine.math.rank import lengths, root


class Local(NamedTuple):
    """The problem about a point.

    Attributes:
        f: ½‖r‖², or the robust cost.
        g: Jᵀr, zero where a variable is fixed at a bound.
        squares: ‖Jⱼ‖² of each column of J.
        offset: how long the part of r is that lies in the range of J: √2 times the root of what a Gauss-Newton step promises.
        gauss_newton: the step for λ = 0, of minimum norm; None where it costs too much to make at every point.
        J, r: what the linear step keeps of the Jacobian and the residual, as it likes.
    """

    f: Any
    g: Any
    squares: Any
    offset: Any
    gauss_newton: Any
    J: Any
    r: Any


class LinearStep(Record):
    """Base of the linear steps."""

    def look(self, problem: LeastSquares, x: Any) -> Local:
        """The problem about x."""
        raise NotImplementedError

    def follow(self, problem: LeastSquares, x: Any, before: Local, local: Local) -> Local:
        """What is known at x, given what was known at the point before."""
        return local

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        """p with (JᵀJ + λD²) p = −Jᵀr, and what is known of it."""
        raise NotImplementedError

    def gauss_newton(self, problem: LeastSquares, x: Any, local: Local) -> Any:
        """The step for λ = 0; λ at rounding, so that directions which J does not see get no step."""
        if local.gauss_newton is not None:
            return local.gauss_newton
        return self.step(problem, x, local, lengths(local.squares), jnp.full_like(local.f, damped.least(x.size, x.dtype))).p

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        """‖J p‖²."""
        raise NotImplementedError

    def seen(self, local: Local, free: np.ndarray) -> np.ndarray | None:
        """A matrix that has the null space of J on the free columns; None where only J itself tells it."""
        return None

    def chosen(self, problem: LeastSquares, x: Any) -> tuple[LinearStep, str]:
        """The step that is used for a problem of this size, and why."""
        return self, ""


def free(problem: LeastSquares, x: Any, g: Any) -> Any:
    """1 where a variable may move, 0 where a bound and the gradient hold it; None without bounds."""
    held = None
    for bound, outwards in ((problem.lower, 1), (problem.upper, -1)):
        if bound is not None:
            here = (outwards * (x - bound) <= 0) & (outwards * g > 0)
            held = here if held is None else held | here
    return None if held is None else jnp.where(held, 0, 1).astype(x.dtype)


def _dense(problem: LeastSquares, x: Any) -> tuple[Any, ...]:
    f, r, J = problem.jacobian(x)
    squares, g = jnp.sum(J * J, axis=0), r @ J
    mask = free(problem, x, g)
    return (f, r, J, g, squares) if mask is None else (f, r, J * mask[None], g * mask, squares)


class QRStep(LinearStep):
    """QR of [J; √λD]: the most accurate, 2mn² operations; J is m×n.

    Example:
        >>> import ravine as rv
        >>> rv.LevenbergMarquardt(linear=rv.QRStep()).linear
        QRStep()
    """

    def look(self, problem: LeastSquares, x: Any) -> Local:
        f, r, J = problem.jacobian(x)
        count("factor")
        R, b = damped.triangle(J, r)
        # As J = QR, the triangle has the lengths of J's columns, and columns may be made zero in it as well. But Rᵀb is a poorer
        # Jᵀr where rows are of very different size, which a reflection mixes.
        squares, g = jnp.sum(R * R, axis=0), r @ J
        mask = free(problem, x, g)
        R, g = (R, g) if mask is None else (R * mask[None], g * mask)
        p, gain = damped.qr_undamped(R, b, lengths(squares))
        return Local(f, g, squares, jnp.sqrt(gain), p, R, b)

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        count("factor")
        return damped.qr_solve(local.J, local.r, D, lam)

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        return jnp.sum((local.J @ p) ** 2)

    def seen(self, local: Local, free: np.ndarray) -> np.ndarray | None:
        return np.asarray(local.J)[:, free]


class CholeskyStep(LinearStep):
    """Cholesky of JᵀJ + λD²: half the work of QR, and half the digits where J is ill-conditioned.

    Example:
        >>> import ravine as rv
        >>> rv.LevenbergMarquardt(linear=rv.CholeskyStep()).linear
        CholeskyStep()
    """

    def look(self, problem: LeastSquares, x: Any) -> Local:
        f, _, J, g, squares = _dense(problem, x)
        A = J.T @ J
        count("factor")
        undamped = damped.cholesky_solve(A, g, lengths(squares), jnp.zeros_like(f))
        return Local(f, g, squares, jnp.sqrt(undamped.gain), undamped.p, A, None)

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        count("factor")
        return damped.cholesky_solve(local.J, local.g, D, lam)

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        return p @ (local.J @ p)

    def seen(self, local: Local, free: np.ndarray) -> np.ndarray | None:
        return root(np.asarray(local.J)[np.ix_(free, free)])


class DualStep(LinearStep):
    """Cholesky of the m×m matrix J D⁻²Jᵀ + λI: for fewer residuals than parameters; no n×n matrix is made.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> on_a_plane = lambda x: jnp.stack([x[0] + x[1] + x[2] - 3])
        >>> r = rv.least_squares(on_a_plane, jnp.zeros(3), method=rv.Levenberg(linear=rv.DualStep()))
        >>> r.x.round(4).tolist()  # of all solutions the one nearest to the start
        [1.0, 1.0, 1.0]
    """

    def look(self, problem: LeastSquares, x: Any) -> Local:
        f, r, J, g, squares = _dense(problem, x)
        count("factor")
        undamped = damped.dual_solve(J, r, lengths(squares), jnp.zeros_like(f))
        return Local(f, g, squares, jnp.sqrt(jnp.maximum(undamped.gain, 0)), undamped.p, J, r)

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        count("factor")
        return damped.dual_solve(local.J, local.r, D, lam)

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        return jnp.sum((local.J @ p) ** 2)

    def seen(self, local: Local, free: np.ndarray) -> np.ndarray | None:
        return np.asarray(local.J)[:, free]
