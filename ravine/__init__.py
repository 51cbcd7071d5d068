"""ravine: optimisation on JAX. Minimise a function, a residual or a training loss, and race the methods on your own problem.

Names are imported when they are first used, so that `import ravine` costs little more than `import jax`.
"""

from __future__ import annotations

import importlib
from typing import Any

from ravine.core.registry import HOMES

__version__ = "0.1.0"

_NAMES: dict[str, str] = {
    "Armijo": "ravine.steps.armijo",
    "AutoStep": "ravine.methods.least_squares.auto_step",
    "CholeskyStep": "ravine.methods.least_squares.linear_step",
    "DualStep": "ravine.methods.least_squares.linear_step",
    "Either": "ravine.core.stop",
    "Exact": "ravine.steps.exact",
    "KernelStep": "ravine.methods.least_squares.kernel_step",
    "Loss": "ravine.math.loss",
    "MaxEvaluations": "ravine.core.stop",
    "MaxSeconds": "ravine.core.stop",
    "MaxSteps": "ravine.core.stop",
    "Nielsen": "ravine.steps.damping",
    "NonFinite": "ravine.core.stop",
    "Optimality": "ravine.core.stop",
    "PCGStep": "ravine.methods.least_squares.pcg_step",
    "PairResidual": "ravine.core.pairs",
    "Problem": "ravine.problems.problem",
    "QRStep": "ravine.methods.least_squares.linear_step",
    "Result": "ravine.core.result",
    "SchurStep": "ravine.methods.least_squares.schur_step",
    "SmallDecrease": "ravine.core.stop",
    "SmallStep": "ravine.core.stop",
    "SoftmaxCrossEntropy": "ravine.math.loss",
    "SparseStep": "ravine.methods.least_squares.sparse_step",
    "Status": "ravine.core.status",
    "StrongWolfe": "ravine.steps.wolfe",
    "Target": "ravine.core.stop",
    "TrustRadius": "ravine.steps.damping",
    "check_derivatives": "ravine.core.derivatives",
    "compare_suite": "ravine.compare.several",
    "curve_fit": "ravine.fitting.curve",
    "curve_fit_batch": "ravine.fitting.batch",
    "factor": "ravine.methods.linear.front",
    "fit_report": "ravine.fitting.statistics",
    "gradient": "ravine.core.derivatives",
    "gradient_noise": "ravine.training.noise",
    "hessian": "ravine.core.derivatives",
    "hvp": "ravine.core.derivatives",
    "is_convex": "ravine.core.derivatives",
    "jacobian": "ravine.core.derivatives",
    "least_squares": "ravine.fitting.front",
    "least_squares_batch": "ravine.fitting.batch",
    "linear_solve": "ravine.methods.linear.front",
    "lr_find": "ravine.compare.range_test",
    "minimize": "ravine.api",
    "minimize_batch": "ravine.api",
    "plot_fit": "ravine.fitting.plot",
    "prox_conv": "ravine.methods.proximal.layers",
    "prox_linear": "ravine.methods.proximal.layers",
    "proxprop": "ravine.methods.proximal.transformation",
    "statistics": "ravine.fitting.statistics",
    "taylor": "ravine.core.derivatives",
    "train": "ravine.training.front",
    "tune": "ravine.compare.tune",
}
_MODULES: dict[str, str] = {
    "compare": "ravine.compare",
    "operators": "ravine.math.operators",
    "precond": "ravine.methods.linear.preconditioners",
    "problems": "ravine.problems",
    "prox": "ravine.methods.proximal.operators",
    "schedules": "ravine.steps.schedules",
    "stop": "ravine.core.stop",
}
_METHODS: dict[str, str] = {home.split(":")[1]: home.split(":")[0] for home in HOMES.values()}

__all__ = sorted({*_NAMES, *_MODULES, *_METHODS})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    home = _NAMES.get(name) or _METHODS.get(name)
    if home is None:
        raise AttributeError(f"module 'ravine' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
