"""Newton's method whose system is solved by conjugate gradients, only as exactly as is of use; no matrix is formed.

    H p = −g   until |H p + g| ≤ min(½, √|g|) |g| or |p| ≥ 1000 |x − x⁻|,   H = ∇²f(x)
    x⁺ = x + t p

by the same driver that runs this method, with Hessian-vector products [1, algorithm 7.1]. Where H is nearly singular p gets long,
and so far away the model says nothing: the search would turn down what many products were spent on. Where conjugate gradients meet
negative curvature, they stop with what they have; if that is nothing, p is −g, the direction along which the curvature was
negative. Then the model has no minimum, and the search looks far ahead (`ravine.steps.far`).

With `diagonal`, each parameter has a unit: x = D^(−½) q, with the lengths of H's rows in D, so that what differs by orders of
magnitude in x does not in q. They are estimated (`ravine.math.row_lengths`) after each system that took more than 50 steps:

    Dᵢ ← ½ Dᵢ + ½ ‖Hᵢ‖

the first time Dᵢ = ‖Hᵢ‖, and until then 1.

[1] J. Nocedal, S. J. Wright, "Numerical Optimization", Springer (2006).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import driver, work
from ravine.core.problem import LinearSystem, Objective
from ravine.core.pytree import Record, part, static
from ravine.core.stop import MaxSteps, Optimality
from ravine.math.row_lengths import row_lengths
from ravine.methods.linear.cg import CG
from ravine.methods.linear.within import Within
from ravine.methods.second_order.descent import LineSearchDescent
from ravine.steps.line_search import LineSearch
from ravine.steps.wolfe import StrongWolfe

FAR = 1000  # times the last step
OFTEN = 50  # steps of a system from which on eight more products are little beside them


class Product(Record):
    """A linear map that is only known by what it does to a vector."""

    mv: Any = part()


class Memory(NamedTuple):
    """Whether the last system met negative curvature; how long the next p may get; D, how often it was looked for, and the steps
    that the last system took."""

    endless: Any
    most: Any
    D: Any
    looks: Any
    steps: Any


class NewtonCG(LineSearchDescent):
    """Newton's method by Hessian-vector products; for any number of parameters.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: jnp.sum(jnp.cosh(x - jnp.arange(500.0) / 500)), jnp.ones(500), method="newton_cg")
        >>> r.status.name, float(r.x[250].round(3))
        ('CONVERGED', 0.5)
    """

    learns = False

    search: LineSearch = part(of=LineSearch, factory=StrongWolfe, doc="line search")
    linear: CG = part(of=CG, factory=CG, doc="conjugate gradients, perhaps with a preconditioner")
    diagonal: bool = static(False, choices=(False, True), doc="whether each parameter has a unit, for badly scaled ones")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diagonal and self.linear.preconditioner is not None:
            raise ValueError("NewtonCG: diagonal changes the units that the preconditioner is for; take one of the two")

    def blank(self, x: Any) -> Any:
        D, most = jnp.ones(x.shape if self.diagonal else (), x.dtype), jnp.full((), jnp.inf, x.dtype)
        return Memory(jnp.bool_(False), most, D, jnp.int32(0), jnp.int32(0))

    def endless(self, memory: Memory) -> Any:
        return memory.endless

    def learn(self, memory: Any, fresh: Any, s: Any, y: Any, g: Any) -> Any:
        return memory._replace(most=FAR * jnp.sqrt(s @ (memory.D * s)))

    def look(self, problem: Objective, memory: Any, fresh: Any, x: Any, g: Any) -> tuple[Any, Any]:
        _, hvp = problem.linearize_gradient(x)
        if self.diagonal:
            memory = work.cond(memory.steps > OFTEN, lambda: measured(hvp, memory), lambda: memory)
        root = jnp.sqrt(memory.D)
        stop = Optimality(jnp.minimum(0.5, jnp.sqrt(jnp.sqrt(g @ g)))) | MaxSteps(2 * x.size)
        system = LinearSystem(Product((lambda q: hvp(q / root) / root) if self.diagonal else hvp), -g / root)
        inner = driver.solve(Within(self.linear, memory.most), system, jnp.zeros_like(x), stop, best=False)
        p, bend, steepest = inner.state.x / root, jnp.abs(inner.state.curvature), g / root**2
        downhill = -jnp.where(bend > 0, (g @ steepest) / bend, 1) * steepest
        after = memory._replace(endless=~inner.state.good, steps=inner.k)
        return after, jnp.where(fresh | (p @ g >= 0), jnp.where(fresh, -g, downhill), p)


def measured(hvp: Any, memory: Memory) -> Memory:
    """D after one more look at the rows of H."""
    D, looks = memory.D, memory.looks
    lengths = row_lengths(hvp, D, jax.random.fold_in(jax.random.key(0), looks))
    D = jnp.where(looks == 0, lengths, 0.5 * (D + lengths))
    return memory._replace(D=D, most=jnp.full_like(memory.most, jnp.inf), looks=looks + 1)
