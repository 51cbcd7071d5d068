"""When to stop, as an expression: `Optimality(1e-8) | MaxSteps(500) | (SmallStep(1e-9) & SmallDecrease(1e-12))`.

A criterion is a record whose tolerances are traced, so another tolerance never recompiles. It answers with the status that the run
gets, and says on the host, in words and with the numbers, why.

>>> import jax.numpy as jnp, ravine as rv
>>> rv.Target(0.1) | rv.MaxSeconds(60)
Either(left=Target(value=0.1), right=MaxSeconds(seconds=60))
>>> r = rv.minimize(lambda x: jnp.sum(x**2), jnp.ones(2), method="bfgs", stop=rv.SmallStep(1.0) & rv.MaxSteps(1))
>>> r.status.name, r.nit
('STALLED', 1)
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp

from ravine.core.pytree import Record, hyper, part
from ravine.core.status import Status


class View(NamedTuple):
    """What a criterion may look at, after a step.

    Attributes:
        k: steps of the driver, rejected ones included.
        nit: accepted steps, which are the iterations that a user counts.
        f: the value at the point.
        optimality: zero exactly at a solution; `scale` is what it is relative to.
        step: the largest change of a parameter in the last accepted step, relative to max(1, |x|∞).
        decrease: the fall of f in that step, relative to max(1, |f|).
        accepted: whether this step moved the point.
        seconds: wall-clock seconds since the start, as of the last boundary to the host.
        evaluations: values and gradients of f done so far, whichever is more.
    """

    k: Any
    nit: Any
    f: Any
    optimality: Any
    scale: Any
    step: Any
    decrease: Any
    accepted: Any
    seconds: Any
    evaluations: Any


class Stop(Record):
    """Base of the criteria."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def code(self, view: View) -> Any:
        """The status as an integer, `Status.RUNNING` (0) for: go on."""
        raise NotImplementedError

    def reason(self, view: View) -> str:
        """Why, in words with the numbers; the view holds host numbers."""
        raise NotImplementedError

    def requirements(self) -> frozenset[str]:
        """The costly fields of the view that are looked at."""
        return self.needs

    def __or__(self, other: Stop) -> Stop:
        return Either(criterion(self), criterion(other))

    def __and__(self, other: Stop) -> Stop:
        return Both(criterion(self), criterion(other))


def criterion(value: Any) -> Stop:
    """The value, if it is a criterion.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, Stop):
        raise TypeError(f"a stop criterion was expected, got {value!r}; write for example Optimality(1e-6) | MaxSteps(100)")
    return value


def first(*codes: Any) -> Any:
    """The smallest status that is set: success comes before failure, failure before a budget."""
    none = jnp.int32(127)
    least = none
    for code in codes:
        code = jnp.asarray(code, jnp.int32)
        least = jnp.minimum(least, jnp.where(code == 0, none, code))
    return jnp.where(least == none, jnp.int32(0), least)


def _when(met: Any, status: Status) -> Any:
    return jnp.where(met, jnp.int32(status), jnp.int32(0))


class Either(Stop):
    """`a | b`: stops when either does."""

    left: Stop = part()
    right: Stop = part()

    def code(self, view: View) -> Any:
        return first(self.left.code(view), self.right.code(view))

    def reason(self, view: View) -> str:
        both = [s.reason(view) for s in (self.left, self.right) if int(s.code(view))]
        return " and ".join(both)

    def requirements(self) -> frozenset[str]:
        return self.left.requirements() | self.right.requirements()


class Both(Stop):
    """`a & b`: stops when both would."""

    left: Stop = part()
    right: Stop = part()

    def code(self, view: View) -> Any:
        a, b = self.left.code(view), self.right.code(view)
        return jnp.where((a > 0) & (b > 0), first(a, b), jnp.int32(0))

    def reason(self, view: View) -> str:
        return f"{self.left.reason(view)}, together with {self.right.reason(view)}"

    def requirements(self) -> frozenset[str]:
        return self.left.requirements() | self.right.requirements()


class Optimality(Stop):
    """CONVERGED when the method's optimality is at most `tol` times the problem's own scale."""

    tol: float = hyper(1e-6, 1e-12, 1e-1, log=True, valid=">=0", doc="tolerance on the optimality")
    needs: ClassVar[frozenset[str]] = frozenset({"optimality"})

    def code(self, view: View) -> Any:
        return _when(view.optimality <= self.tol * view.scale, Status.CONVERGED)

    def reason(self, view: View) -> str:
        return f"optimality {view.optimality:.3g} ≤ tol {float(self.tol):.3g} × scale {view.scale:.3g}"


class Target(Stop):
    """TARGET when the value is at most `value`."""

    value: float = hyper(0.0, -1e6, 1e6, valid="any", doc="value of f to reach")

    def code(self, view: View) -> Any:
        return _when(view.f <= self.value, Status.TARGET)

    def reason(self, view: View) -> str:
        return f"f = {view.f:.6g} reached the target {float(self.value):.6g}"


class SmallStep(Stop):
    """STALLED when an accepted step changes no parameter by more than `tol`, relative to max(1, |x|∞)."""

    tol: float = hyper(1e-9, 1e-16, 1e-2, log=True, valid=">=0", doc="tolerance on the step")
    needs: ClassVar[frozenset[str]] = frozenset({"step"})

    def code(self, view: View) -> Any:
        return _when(view.accepted & (view.nit > 0) & (view.step <= self.tol), Status.STALLED)

    def reason(self, view: View) -> str:
        return f"the last step changed x by {view.step:.3g} ≤ {float(self.tol):.3g}, relative to max(1, |x|)"


class SmallDecrease(Stop):
    """STALLED when an accepted step lowers f by at most `tol`, relative to max(1, |f|)."""

    tol: float = hyper(1e-12, 1e-16, 1e-2, log=True, valid=">=0", doc="tolerance on the decrease")
    needs: ClassVar[frozenset[str]] = frozenset({"decrease"})

    def code(self, view: View) -> Any:
        return _when(view.accepted & (view.nit > 0) & (jnp.abs(view.decrease) <= self.tol), Status.STALLED)

    def reason(self, view: View) -> str:
        return f"the last step lowered f by {view.decrease:.3g} ≤ {float(self.tol):.3g}, relative to max(1, |f|)"


class NonFinite(Stop):
    """NONFINITE when the value at the point is not finite. The driver has it always; it is here to be composed with `&`."""

    def code(self, view: View) -> Any:
        return _when(~jnp.isfinite(view.f), Status.NONFINITE)

    def reason(self, view: View) -> str:
        return f"f = {view.f}"


class MaxSteps(Stop):
    """MAX_STEPS after `n` iterations (accepted steps)."""

    n: int = hyper(1000, 1, 1e9, log=True, valid="whole", doc="number of iterations")

    def code(self, view: View) -> Any:
        return _when(view.nit >= self.n, Status.MAX_STEPS)

    def reason(self, view: View) -> str:
        return f"{int(view.nit)} of at most {int(self.n)} iterations done"


class MaxEvaluations(Stop):
    """MAX_STEPS after `n` evaluations of f or its gradient, line searches included."""

    n: int = hyper(1000, 1, 1e9, log=True, valid="whole", doc="number of evaluations")
    needs: ClassVar[frozenset[str]] = frozenset({"evaluations"})

    def code(self, view: View) -> Any:
        return _when(view.evaluations >= self.n, Status.MAX_STEPS)

    def reason(self, view: View) -> str:
        return f"{int(view.evaluations)} of at most {int(self.n)} evaluations done"


class MaxSeconds(Stop):
    """MAX_SECONDS after `seconds` of wall-clock time. Tested at the boundaries to the host, about every 0.2 s; a run that sits in
    the user's own `jit` has no boundary, cannot see the clock, and refuses this criterion."""

    seconds: float = hyper(60.0, 0.1, 1e6, log=True, valid=">=0", doc="seconds")
    needs: ClassVar[frozenset[str]] = frozenset({"seconds"})

    def code(self, view: View) -> Any:
        return _when(view.seconds >= self.seconds, Status.MAX_SECONDS)

    def reason(self, view: View) -> str:
        return f"{view.seconds:.3g} s of at most {float(self.seconds):.3g} s used"
