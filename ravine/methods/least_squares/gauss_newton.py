"""Gauss-Newton with a line search: the step of the linear model, as long as f really falls along it.

    p = −(JᵀJ)⁻¹Jᵀr                                 minimum-norm where J is rank-deficient
    x⁺ = x + t p                                    t from Armijo's condition, 1 first

H ≈ JᵀJ leaves out Σ rᵢ∇²rᵢ: fast where residuals are small at the solution, slow where they are large; the line search keeps
it from diverging in silence. Where a lecture has f = ‖r‖², ∇f = 2Jᵀr and H ≈ 2JᵀJ, the factors cancel in p.

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006), section 10.3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.method import Method
from ravine.core.problem import LeastSquares
from ravine.core.pytree import part, select
from ravine.methods.least_squares.auto_step import AutoStep
from ravine.methods.least_squares.damping import tiny, verdict
from ravine.methods.least_squares.linear_step import LinearStep, Local
from ravine.steps.armijo import Armijo
from ravine.steps.line_search import ACCEPTED, Line, LineSearch


class State(NamedTuple):
    """Where the run is: the last accepted point, what the linear step knows about it, the direction, where its search stands, and
    whether it ended without a step that can be seen."""

    x: Any
    f: Any
    g: Any
    local: Local
    p: Any
    line: Line
    stuck: Any


class GaussNewton(Method):
    """Gauss-Newton, with a line search so that it never diverges.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> rosenbrock = lambda x: jnp.stack([10 * (x[1] - x[0]**2), 1 - x[0]])
        >>> r = rv.least_squares(rosenbrock, jnp.array([-1.2, 1.0]), method="gauss_newton")
        >>> r.success, r.x.round(6).tolist()
        (True, [1.0, 1.0])
    """

    solves = LeastSquares
    monotone = True
    linear: LinearStep = part(of=LinearStep, factory=AutoStep, doc="how the linear system is solved")
    search: LineSearch = part(of=LineSearch, factory=Armijo, doc="line search")

    def init(self, problem: LeastSquares, x: Any) -> State:
        local = self.linear.look(problem, x)
        p, line = self._turn(problem, x, local)
        return State(x, local.f, local.g, local, p, line._replace(outcome=jnp.asarray(ACCEPTED)), jnp.bool_(False))

    def _turn(self, problem: LeastSquares, x: Any, local: Local) -> tuple[Any, Line]:
        """The direction and its search."""
        p = self.linear.gauss_newton(problem, x, local)
        return p, self.search.start(local.f, local.g @ p, jnp.ones_like(local.f))

    def step(self, problem: LeastSquares, s: State) -> State:
        x = s.x + s.line.t * s.p
        local = self.linear.follow(problem, x, s.local, self.linear.look(problem, x))
        line = self.search.judge(s.line, local.f, local.g @ s.p)
        stuck = tiny(x - s.x, x)
        x, local = select(line.accepted, (x, local), (s.x, s.local))
        p, next_line = self._turn(problem, x, local)
        p, line = select(line.accepted, (p, next_line._replace(outcome=line.outcome)), (s.p, line))
        return State(x, local.f, local.g, local, p, line, stuck | line.failed)

    def optimality(self, problem: LeastSquares, s: State) -> Any:
        return s.local.offset

    def scale(self, problem: LeastSquares, s: State) -> Any:
        return jnp.sqrt(2 * s.f)

    def accepted(self, s: State) -> Any:
        return s.line.accepted

    def verdict(self, problem: LeastSquares, s: State) -> Any:
        return verdict(s.local, s.x, s.stuck, s.stuck)
