"""Every method by its name. A new method is one file and one line here; the CLI, the lab, compare, the docs and the contract tests
read this table. Classes are imported when they are first asked for, so that `import ravine` stays quick.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any

HOMES: dict[str, str] = {
    # first order
    "gradient_descent": "ravine.methods.first_order.gradient_descent:GradientDescent",
    "sgd": "ravine.methods.first_order.sgd:SGD",
    "momentum": "ravine.methods.first_order.momentum:Momentum",
    "nesterov": "ravine.methods.first_order.nesterov:Nesterov",
    "rmsprop": "ravine.methods.first_order.rmsprop:RMSProp",
    "adagrad": "ravine.methods.first_order.adagrad:Adagrad",
    "adadelta": "ravine.methods.first_order.adadelta:Adadelta",
    "adam": "ravine.methods.first_order.adam:Adam",
    "adam_uncorrected": "ravine.methods.first_order.adam_uncorrected:AdamUncorrected",
    "adamax": "ravine.methods.first_order.adamax:AdaMax",
    "nadam": "ravine.methods.first_order.nadam:Nadam",
    "amsgrad": "ravine.methods.first_order.amsgrad:AMSGrad",
    "adamw": "ravine.methods.first_order.adamw:AdamW",
    "lion": "ravine.methods.first_order.lion:Lion",
    "muon": "ravine.methods.first_order.muon:Muon",
    "schedule_free": "ravine.methods.first_order.schedule_free:ScheduleFree",
    "prodigy": "ravine.methods.first_order.prodigy:Prodigy",
    # second order
    "steepest_descent": "ravine.methods.second_order.steepest_descent:SteepestDescent",
    "nonlinear_cg": "ravine.methods.second_order.nonlinear_cg:NonlinearCG",
    "ssbroyden": "ravine.methods.second_order.ssbroyden:SSBroyden",
    "newton": "ravine.methods.second_order.newton:Newton",
    "newton_cg": "ravine.methods.second_order.newton_cg:NewtonCG",
    "trust_region": "ravine.methods.second_order.trust_region:TrustRegion",
    "bfgs": "ravine.methods.second_order.bfgs:BFGS",
    "lbfgs": "ravine.methods.second_order.lbfgs:LBFGS",
    "lbfgsb": "ravine.methods.second_order.lbfgsb:LBFGSB",
    # least squares
    "gauss_newton": "ravine.methods.least_squares.gauss_newton:GaussNewton",
    "dogleg": "ravine.methods.least_squares.dogleg:Dogleg",
    "levenberg": "ravine.methods.least_squares.levenberg:Levenberg",
    "levenberg_marquardt": "ravine.methods.least_squares.levenberg_marquardt:LevenbergMarquardt",
    # linear systems
    "lu": "ravine.methods.linear.lu:LU",
    "qr": "ravine.methods.linear.qr:QR",
    "cholesky": "ravine.methods.linear.cholesky:Cholesky",
    "jacobi": "ravine.methods.linear.jacobi:Jacobi",
    "gauss_seidel": "ravine.methods.linear.gauss_seidel:GaussSeidel",
    "sor": "ravine.methods.linear.sor:SOR",
    "ssor": "ravine.methods.linear.ssor:SSOR",
    "cg": "ravine.methods.linear.cg:CG",
    "minres": "ravine.methods.linear.minres:MINRES",
    "gmres": "ravine.methods.linear.gmres:GMRES",
    "bicgstab": "ravine.methods.linear.bicgstab:BiCGStab",
    "lsmr": "ravine.methods.linear.lsmr:LSMR",
    "lsqr": "ravine.methods.linear.lsqr:LSQR",
    # proximal
    "admm": "ravine.methods.proximal.admm:ADMM",
    "proxprop": "ravine.methods.proximal.proxprop:ProxProp",
}


# What other libraries call them.
ELSEWHERE = {
    "lm": "levenberg_marquardt",
    "leastsq": "levenberg_marquardt",
    "trf": "levenberg_marquardt",
    "dogbox": "dogleg",
    "gn": "gauss_newton",
}


def nearest(name: str, names: Any) -> str:
    """'; did you mean …?' with the nearest right name, or the list of all when none is near."""
    near = difflib.get_close_matches(name.lower(), list(names), n=5, cutoff=0.5)
    near.sort(key=lambda n: sorted(n) != sorted(name.lower()))  # exchanged letters first: "adma" is "adam", not "adamax"
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(names))}"


def unknown(name: str, names: Any) -> ValueError:
    """The error that says which of the names was meant."""
    there = ELSEWHERE.get(name.lower())
    return ValueError(f"unknown method {name!r}{nearest(there or name, HOMES if there else names)}")


def family(name: str) -> str:
    """The folder a method lives in: "first_order", "least_squares" …"""
    return HOMES[name].split(".")[2]


def method_class(name: str, fits: Callable[[Any], bool] = lambda cls: True) -> Any:
    """The class registered under `name` (snake_case).

    Args:
        fits: whether a class is to be thought of where the name is wrong.

    Raises:
        ValueError: there is none; the message has the nearest right name.
    """
    if name not in HOMES:
        raise unknown(name, [n for n in HOMES if fits(method_class(n))])
    module, attribute = HOMES[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def name_of(cls: type) -> str:
    """The registered name of a class, or the class's own name for a user's method."""
    home = f"{cls.__module__}:{cls.__qualname__}"
    return next((name for name, h in HOMES.items() if h == home), cls.__name__)


def names(family_name: str | None = None) -> list[str]:
    """All registered names, or those of one family, in the order of the table."""
    return [n for n in HOMES if family_name is None or family(n) == family_name]
