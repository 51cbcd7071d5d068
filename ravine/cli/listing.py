"""`ravine list` and `ravine env`."""

from __future__ import annotations

import inspect
from typing import Annotated, Literal

from cyclopts import Parameter


def show(
    what: Literal["methods", "problems", "trackers"] = "methods",
    /,
    *,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative="")] = False,
) -> int:
    """List the methods, the built-in problems, or the trackers that a run can be logged to.

    Parameters
    ----------
    what
        "methods", "problems" or "trackers".
    verbose
        Methods with hyperparameters, their defaults and the ranges worth trying.
    """
    if what == "methods":
        _methods(verbose)
    elif what == "problems":
        _problems()
    else:
        _trackers()
    return 0


def _methods(verbose: bool) -> None:
    from ravine.core.registry import HOMES, family, method_class

    last = ""
    for name in HOMES:
        if family(name) != last:
            last = family(name)
            print(f"\n{last.replace('_', ' ')}")
        cls = method_class(name)
        print(f"  {name:<24}{(inspect.getdoc(cls) or '').splitlines()[0]}")
        if verbose:
            for h in cls.hypers():
                print(f"      {h.name:<20}{h.default:<10g} from {h.low:g} to {h.high:g}{' (log)' if h.log else ''}  {h.doc}")


def _problems() -> None:
    from ravine.problems import registry

    for name in registry.names():
        values = ", ".join(f"{k}={v}" for k, v in registry.parameters(name).items())
        print(f"  {name + (f'[{values}]' if values else ''):<56}  {registry.summary(name)}")


def _trackers() -> None:
    from ravine.trackers.front import KINDS, is_installed, others

    for name, kind in KINDS.items():
        if kind.package is None:
            needs = "needs no package"
        elif is_installed(kind.package):
            needs = f"{kind.package} is installed"
        else:
            needs = f"pip install {kind.package}"
        print(f"  {f'{name}:{kind.after}':<26}{kind.doc:<52}{needs}")
    for name, entry in others().items():
        origin = f"{entry.dist.name} is installed" if entry.dist is not None else ""
        print(f"  {f'{name}:…':<26}{entry.value:<52}{origin}")


def env() -> int:
    """Print versions and the device, for bug reports."""
    from ravine.compare.front import environment

    for name, value in environment().items():
        print(f"{name:>8}: {value}")
    return 0
