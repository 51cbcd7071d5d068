"""What methods for A x = b share: the value is ‖b − A x‖, the scale ‖b‖, and a preconditioner M ≈ A⁻¹ may be any callable."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.function import Function
from ravine.core.method import Method
from ravine.core.problem import LinearSystem, Oracles
from ravine.core.pytree import substitute
from ravine.core.status import Status
from ravine.math.operators import Operator
from ravine.methods.linear.preconditioners import named


class LinearMethod(Method):
    """Base of the methods for linear systems; the state has f = ‖b − A x‖.

    Class attributes:
        least_squares: whether A may be rectangular.
        symmetric: whether A must be symmetric.
        definite: whether A must be positive definite.
        carries_residual: whether r comes from a recurrence that drifts from b − A x, so that it must be checked.
    """

    solves: ClassVar[type[Oracles]] = LinearSystem
    # The last point of a Krylov method is its best one in the norm that it minimises; no copy of another need be kept.
    monotone: ClassVar[bool] = True
    least_squares: ClassVar[bool] = False
    symmetric: ClassVar[bool] = False
    definite: ClassVar[bool] = False
    carries_residual: ClassVar[bool] = True

    def prepared(self, A: Any) -> Any:
        """The method with what it makes of A once, outside its loop."""
        return self

    def optimality(self, problem: LinearSystem, s: Any) -> Any:
        return s.f

    def scale(self, problem: LinearSystem, s: Any) -> Any:
        return norm(problem.b)

    def transposed(self) -> Any:
        """The method for Aᵀ."""
        return self

    def findings(self, s: Any) -> dict[str, Any]:
        """Numbers that the run has learned of A (a spectral radius), by name."""
        return {}

    def diagnosis(self, problem: LinearSystem, s: Any, k: int) -> tuple[str, dict[str, Any]]:
        """A sentence for the message of a run that ended with step k, and vectors that prove it, by name; on the host."""
        return "", {}


class Preconditioned(LinearMethod):
    """A method with a preconditioner: a function r ↦ M r, an operator M, an object of `rv.precond` or its name, or None."""

    if TYPE_CHECKING:
        preconditioner: Any  # each method declares the field itself, behind its own

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.preconditioner
        if isinstance(given, str):
            object.__setattr__(self, "preconditioner", named(given))
        if isinstance(given, numbers.Number | np.ndarray | jax.Array) and not callable(given):
            raise TypeError(
                "preconditioner must be a function r ↦ M r, an operator (rv.operators.Dense(M) of an array M), or a name"
            )
        if callable(given) and not isinstance(given, Operator | Function) and not hasattr(given, "of"):
            object.__setattr__(self, "preconditioner", Function(given, "preconditioner"))

    def prepared(self, A: Any) -> Any:
        given: Any = self.preconditioner
        ready = self.replace(preconditioner=given.of(A)) if hasattr(given, "of") else self
        n, M = A.shape[0], ready.preconditioner
        if isinstance(M, Operator) and M.shape != A.shape:
            raise ValueError(f"the preconditioner is {M.shape[0]}×{M.shape[1]}, and A is {n}×{n}")
        if isinstance(M, Function):
            image = jax.eval_shape(lambda r: M(r), jax.ShapeDtypeStruct((n,), A.dtype))
            if getattr(image, "shape", None) != (n,):
                raise ValueError(f"the preconditioner must make a vector of length {n} of one of length {n}; it makes {image}")
        return ready

    def transposed(self) -> Any:
        given = self.preconditioner
        if given is None or self.symmetric:
            return self
        return substitute(self, preconditioner=given.T if isinstance(given, Operator) else None)

    def size_at_least(self, problem: LinearSystem, r: Any) -> Any:
        """A lower bound of the largest |eigenvalue| of M A: ‖A‖_F / √n without a preconditioner, else 0."""
        known = self.preconditioner is None and problem.norm is not None
        return (problem.norm / r.size**0.5).astype(r.dtype) if known else jnp.zeros((), r.dtype)

    def M(self, r: Any) -> Any:
        """M r ≈ A⁻¹ r."""
        if self.preconditioner is None:
            return r
        if hasattr(self.preconditioner, "of"):
            name = type(self.preconditioner).__name__
            raise TypeError(f"{name} has not seen the matrix yet: give {type(self).__name__} preconditioner={name}(…).of(A)")
        return self.preconditioner.mv(r) if isinstance(self.preconditioner, Operator) else self.preconditioner(r)


def broken(finite: Any) -> Any:
    """BREAKDOWN, or NONFINITE where a number was none."""
    return jnp.where(finite, jnp.int32(Status.BREAKDOWN), jnp.int32(Status.NONFINITE))


def norm(v: Any) -> Any:
    """‖v‖ by a dot product, which a method that needs vᵀv too then shares."""
    return jnp.sqrt(jnp.vdot(v, v))


def singular(problem: LinearSystem, v: Any, limit: float | None = None) -> Any:
    """The sentence and the finding that v / ‖v‖ is a null direction of A; None where ‖A v‖ > limit ‖A‖ ‖v‖ (√ε by default)."""
    limit = float(jnp.finfo(v.dtype).eps) ** 0.5 if limit is None else limit
    v, image = _image(problem.A, v)
    image, size = float(image), float(problem.norm)
    if not image <= limit * size:  # nor where v is 0
        return None
    shown = f"‖A v‖ = {image / (size or 1):.2g} ‖A‖ for the unit vector v of aux['null_direction']"
    return f"A is singular to working precision: {shown}.", {"null_direction": v}


@jax.jit
def _image(A: Any, v: Any) -> tuple[Any, Any]:
    """The unit vector along v, and the length of what A makes of it."""
    v = v / norm(v)
    return v, norm(A.mv(v))


def least_squares_optimality(problem: LinearSystem, residual: Any, normal: Any) -> Any:
    """min(‖r‖ / ‖b‖, ‖Aᵀr‖ / (‖A‖_F ‖r‖)): zero at a solution, and at the least residual where b does not fit A."""
    tiny = jnp.finfo(residual.dtype).tiny
    norm_of_A = norm(problem.A.mv(jnp.ones(problem.A.shape[1], residual.dtype))) if problem.norm is None else problem.norm
    return jnp.minimum(residual / jnp.maximum(norm(problem.b), tiny), normal / jnp.maximum(norm_of_A * residual, tiny))
