"""ADMM: the alternating direction method of multipliers, for f(x) + g(K x), f smooth and g with a prox.

    x ← argmin f(x) + ρ/2 ‖K x − z + u‖²
    z ← prox_{g/ρ}(α K x + (1 − α) z + u)
    u ← u + α K x + (1 − α) z₋ − z

[1, section 3.4.3], at α = 1 the plain method. y = ρ u is a subgradient of g at z after every step, so that x is a solution exactly
where K x = z and ∇f(x) + Kᵀy = 0. Without K, z is taken for x: the zeros and bounds of g hold to the bit.

ρ is changed where the relative residuals |K x − z| / max(|K x|, |z|) and |z − z₋| / |u| differ by more than μ [2], at the steps
1, 2, 3, 4, 6, 8, 12 …, ever more seldom.

[1] S. Boyd, N. Parikh, E. Chu, B. Peleato, J. Eckstein, "Distributed optimization and statistical learning via the alternating
    direction method of multipliers", Foundations and Trends in Machine Learning 3 (2011).
[2] B. Wohlberg, "ADMM penalty parameter selection by residual balancing", arXiv 1704.06209 (2017).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ravine.core.method import Method
from ravine.core.problem import Composite
from ravine.core.pytree import hyper, largest, part, select, static
from ravine.core.status import Status
from ravine.methods.linear.cholesky import Cholesky
from ravine.methods.linear.krylov import LinearMethod, norm
from ravine.methods.proximal.argmin import Argmin, ready, require
from ravine.methods.proximal.certificates import relative, separated, unchanged, units

SPAN = 1e4  # ρ stays within this factor of |∇²f v| / |KᵀK v|, v of alternating signs: beyond, rounding decides


class State(NamedTuple):
    """The point, f + g and ∇f there, z, y = ρ u, r = K x − z, d = ∇f + Kᵀy, ρ, and what the x-step keeps.

    Attributes:
        of_x, of_g, of_rho: the problem's own units: of K x for |x|∞ = 1, of the terms of ∇f, of ρ.
        k: steps taken; `accepted` where the last one was, `still` where it changed nothing but rounding.
        apart: whether z and the range of K are separated, so that K x = z cannot be.
    """

    x: Any
    f: Any
    g: Any
    z: Any
    y: Any
    r: Any
    d: Any
    rho: Any
    kept: Any
    of_x: Any
    of_g: Any
    of_rho: Any
    k: Any
    accepted: Any
    still: Any
    apart: Any


class ADMM(Method):
    """The alternating direction method of multipliers, for a function with a prox beside a smooth one.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> b = jnp.array([3.0, 0.2])
        >>> r = rv.minimize(lambda x: 0.5 * jnp.sum((x - b) ** 2), jnp.zeros(2), g=rv.prox.L1(1.0), method="admm")
        >>> r.status.name, r.x.round(3).tolist()
        ('CONVERGED', [2.0, 0.0])
    """

    solves = Composite
    monotone = True  # a point off K x = z has no value that could be compared: the last one is the best

    rho: float = hyper(1.0, 1e-3, 1e3, log=True, doc="weight ρ of K x = z at the start")
    alpha: float = hyper(1.6, 1.0, 1.9, valid="(0,2)", doc="over-relaxation α")
    balance: float = hyper(2.0, 1.0, 100.0, valid=">=1", doc="factor μ between the residuals from which on ρ is changed")
    inner: float = hyper(0.1, 1e-12, 0.9, log=True, valid="(0,1)", doc="η: what the x-step leaves of its residual")
    adapt: bool = static(True, choices=(True, False), doc="whether ρ is changed at all")
    linear: LinearMethod = part(of=LinearMethod, factory=Cholesky, doc="of the x-step: Cholesky, LU, QR, or CG(preconditioner=M)")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.linear)

    def init(self, problem: Composite, x: Any) -> State:
        rho, yes, no = jnp.asarray(self.rho, x.dtype), jnp.bool_(True), jnp.bool_(False)
        Kx = problem.product(x)
        z = problem.prox(Kx, 1 / rho)
        kept = self._argmin.start(problem, x, rho)
        s = State(x, x, x, z, z, z, x, rho, kept, *units(problem, x), jnp.int32(0), yes, no, no)
        return self._at(problem, s, x, Kx, z, rho * (Kx - z))

    def step(self, problem: Composite, s: State) -> State:
        rho, u, Ktr = s.rho, s.y / s.rho, problem.transposed(s.r)
        # argmin f(x) + ρ/2 ‖K x − z + u‖², whose gradient where the last step ended is d + ρ Kᵀr
        x, kept = self._argmin(problem, s.x, s.d + rho * Ktr, s.z - u, rho, s.kept)
        Kx = problem.product(x)
        relaxed = self.alpha * Kx + (1 - self.alpha) * s.z
        z = problem.prox(relaxed + u, 1 / rho)
        u = u + relaxed - z
        primal, dual = norm(Kx - z) * norm(u), norm(z - s.z) * jnp.maximum(norm(Kx), norm(z))
        x, Kx = (x, Kx) if problem.K is not None else (z, z)
        new = self._at(problem, s, x, Kx, z, rho * u)
        good = jnp.isfinite(new.f + norm(new.g) + norm(x))
        new = new._replace(
            k=s.k + 1, rho=self._balanced(s, primal, dual), still=unchanged(new, s), apart=separated(problem, s, Ktr)
        )
        return select(good, new, s._replace(rho=10 * rho))._replace(kept=kept, accepted=good)

    def _at(self, problem: Composite, s: State, x: Any, Kx: Any, z: Any, y: Any) -> State:
        f, g = problem.f.value_and_grad(x)
        penalty = problem.penalty(Kx)
        if problem.K is not None:  # off a set by a rounding, g(K x) would be infinite
            penalty = jnp.where(jnp.isfinite(penalty), penalty, problem.penalty(z))
        of_g = s.of_g if problem.quadratic else largest(problem.f.hvp(x, x))
        return s._replace(x=x, f=f + penalty, g=g, z=z, y=y, r=Kx - z, d=g + problem.transposed(y), of_g=of_g)

    def _balanced(self, s: State, primal: Any, dual: Any) -> Any:
        if not self.adapt:
            return s.rho
        k, ratio = s.k + 1, jnp.sqrt(primal / dual)
        due = (k <= 3 * (k & -k)) & ((ratio > self.balance) | (ratio * self.balance < 1))
        rho = jnp.clip(s.rho * jnp.clip(ratio, 0.1, 10), s.of_rho / SPAN, s.of_rho * SPAN)
        return jnp.where(due, rho, s.rho)

    @property
    def _argmin(self) -> Argmin:
        return Argmin(self.linear, self.inner)

    def prepared(self, problem: Composite, x: Any) -> ADMM:
        """The method with what its preconditioner makes of ∇²f + ρ KᵀK."""
        return self.replace(linear=ready(self.linear, problem, x, self.rho))

    def optimality(self, problem: Composite, s: State) -> Any:
        Kx, Kty = s.r + s.z, s.d - s.g
        primal = relative(s.r, largest(Kx), largest(s.z), s.of_x * largest(s.x))
        return jnp.maximum(primal, relative(s.d, largest(s.g), largest(Kty), s.of_g))

    def scale(self, problem: Composite, s: State) -> Any:
        return jnp.ones_like(s.f)

    def accepted(self, s: State) -> Any:
        return s.accepted

    def verdict(self, problem: Composite, s: State) -> Any:
        near = self.optimality(problem, s) <= jnp.finfo(s.f.dtype).eps ** 0.5
        end = jnp.where(s.still & near, Status.PRECISION, jnp.where(s.apart, Status.INFEASIBLE, Status.STALLED))
        # A quadratic f is finite everywhere: what failed at every ρ is the x-step, because there is no unique argmin.
        lost = Status.BREAKDOWN if problem.quadratic else Status.STALLED
        going = jnp.where(jnp.isfinite(s.rho), Status.RUNNING, lost)
        return jnp.where(s.still | s.apart, end, going).astype(jnp.int32)
