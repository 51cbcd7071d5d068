"""Keywords that people bring along from SciPy, JAXopt and torch, and what takes their place here."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_DERIVATIVE = "JAX differentiates the function, which returns its value alone; give a derivative of your own by jax.custom_jvp"
_STEPS = "say stop=rv.MaxSteps(n)"
_TOLERANCE = "say tol=…, on the optimality"
_SHOW = "say callback=lambda result: print(result.nit, result.fun)"
_SCALES = "methods such as rv.LevenbergMarquardt scale parameters by themselves"
_STEP_SIZE = "the step size belongs to the method: method=rv.Adam(1e-3)"
_SEARCH = "line searches belong to the method: method=rv.BFGS(search=rv.StrongWolfe(trials=20))"
_IMPLICIT = "derivatives of a solution are implicit, whatever loop found it: call jax.grad around it"

CURES = {
    "jac": _DERIVATIVE,
    "hess": _DERIVATIVE,
    "hessp": _DERIVATIVE,
    "Dfun": _DERIVATIVE,
    "diff_step": _DERIVATIVE,
    "epsfcn": _DERIVATIVE,
    "jac_sparsity": "say sparsity=…",
    "kwargs": "say args=(…), or bind them with functools.partial",
    "value_and_grad": _DERIVATIVE,
    "has_aux": "the function returns its value alone",
    "options": "say when to stop, as in stop=rv.MaxSteps(500); settings belong to the method, as in method=rv.LBFGS(memory=20)",
    "constraints": "this version takes bounds only",
    "method": "say methods=[…], names or methods",
    "methods": "say method=…",
    "maxiter": _STEPS,
    "max_iter": _STEPS,
    "max_steps": _STEPS,
    "maxfev": "say stop=rv.MaxEvaluations(n)",
    "max_nfev": "say stop=rv.MaxEvaluations(n)",
    "gtol": _TOLERANCE,
    "rtol": _TOLERANCE,
    "atol": _TOLERANCE,
    "ftol": "say stop=rv.SmallDecrease(1e-9), alone or joined to others by |",
    "xtol": "say stop=rv.SmallStep(1e-9), alone or joined to others by |",
    "x_scale": _SCALES,
    "diag": _SCALES,
    "factor": "say method=rv.LevenbergMarquardt(damping=rv.TrustRadius(factor))",
    "tr_solver": "say method=rv.LevenbergMarquardt(linear=rv.PCGStep())",
    "full_output": "what is returned has all of it: .message, .nfev, .aux, and .result of a curve_fit",
    "nan_policy": "leave out the points that are not finite",
    "weights": "say sigma=1/weights in curve_fit, or multiply the residuals by them",
    "scale_covar": "say absolute_sigma=True for scale_covar=False, in curve_fit",
    "verbose": _SHOW,
    "disp": _SHOW,
    "M": "say preconditioner=…",
    "lr": _STEP_SIZE,
    "learning_rate": _STEP_SIZE,
    "optimizer": "say method=…",
    "solver": "say method=…",
    "stepsize": _STEP_SIZE,
    "history_size": "say method=rv.LBFGS(memory=20)",
    "line_search_fn": _SEARCH,
    "linesearch": _SEARCH,
    "maxls": _SEARCH,
    "max_iterations": _STEPS,
    "num_iters": _STEPS,
    "tolerance_grad": _TOLERANCE,
    "tolerance_change": "say stop=rv.SmallDecrease(1e-9), alone or joined to others by |",
    "implicit_diff": _IMPLICIT,
    "unroll": _IMPLICIT,
    "adjoint": _IMPLICIT,
    "jit": "loops are compiled as they are; inside jax.jit the call is part of your program",
    "throw": "a failure is a status of the result: ask result.success",
}

P = ParamSpec("P")
R = TypeVar("R")


def with_cures(door: Callable[P, R]) -> Callable[P, R]:
    """The same front door; a keyword that it lacks and `CURES` has is answered with the cure, or with
    what the door takes where the cure is not for it.

    Raises:
        TypeError: such a keyword.
    """
    known = inspect.signature(door).parameters
    passes_on = any(p.kind is p.VAR_KEYWORD for p in known.values())

    def cure(name: str) -> str:
        said = re.match(r"say (\w+)=", CURES[name])
        if said is None or said[1] in known or passes_on:
            return CURES[name]
        return f"it takes {', '.join(known)}"

    @functools.wraps(door)
    def cured(*args: P.args, **keywords: P.kwargs) -> R:
        for name in keywords:
            if name not in known and name in CURES:
                raise TypeError(f"{door.__name__} has no {name}: {cure(name)}")
        return door(*args, **keywords)

    return cured
