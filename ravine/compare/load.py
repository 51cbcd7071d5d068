"""The user's own problem: a built-in name, `module:attr` or `file.py:attr`, with `[key=value]`."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import pathlib
import sys
from types import ModuleType
from typing import Any

import jax
import jax.flatten_util
import numpy as np

from ravine.core.flat import as_arrays
from ravine.core.registry import nearest
from ravine.core.target import Elements, parse
from ravine.problems import registry
from ravine.problems.problem import EXAMPLE, Problem


class UserError(Exception):
    """The user's own code raised; the cause is the chained exception."""


def load_problem(given: Any, x0: Any = None) -> Problem:
    """The problem that `given` stands for; with `x0`, it starts there.

    Args:
        given: a `Problem`; a built-in name such as "rosenbrock[n=10]"; "package.module:attr" or "path/file.py:attr", where attr is
            a `Problem`, a function f(x) with a start `x0` beside it, or a function that returns a `Problem` and gets the bracket's
            values. A file without attr is asked for `problem`.
        x0: a start in place of the problem's own, or of none; `Elements` are put into the arrays of the problem's own.

    Raises:
        ValueError: no such problem, file or attribute, or an attribute that is no problem; the message shows a right one.
        UserError: the user's code raised.
    """
    if isinstance(given, Problem):
        return _starting_at(given, x0)
    if not isinstance(given, str):
        raise TypeError(f"problem must be a name or a ravine.Problem, got {type(given).__name__}. A right one:\n{EXAMPLE}")
    return _starting_at(_load(given, x0), x0)


def _starting_at(problem: Problem, x0: Any) -> Problem:
    if x0 is None:
        return problem
    elements = isinstance(x0, Elements)
    x0 = as_arrays(list(x0) if elements else x0)
    if problem.kind != "system":  # of which A says what x is like
        own = as_arrays(problem.start(jax.random.key(0)))
        flat, unpack = jax.flatten_util.ravel_pytree(own)
        if elements and flat.size == len(x0):
            x0 = jax.tree.map(np.asarray, unpack(x0.astype(flat.dtype)))
        form, other = ((jax.tree.structure(v), [np.shape(a) for a in jax.tree.leaves(v)]) for v in (own, x0))
        if form != other:
            theirs, ours = (jax.tree.map(lambda v: f"{v.dtype}{list(v.shape)}", v) for v in (own, x0))
            raise ValueError(f"x0 must be like the start of {problem.name!r}, which is {theirs}; got {ours}")
    return dataclasses.replace(problem, x0=x0, init=None)


def _load(given: str, start: Any) -> Problem:
    target, values = parse(given)
    path, _, attribute = target.rpartition(":") if ":" in target else (target, "", "")
    if ":" not in target and not target.endswith(".py"):
        return registry.make(target, **values)
    attribute = attribute or "problem"
    module = _import(path)
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, ModuleType)]
        raise ValueError(f"{path} has no attribute {attribute!r}{nearest(attribute, own) if own else '; it defines nothing'}")
    return _as_problem(getattr(module, attribute), attribute, values, module, given, start)


def _import(path: str) -> ModuleType:
    here = str(pathlib.Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not path.endswith(".py"):
        try:
            return importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name and path.split(".")[0] == error.name.split(".")[0]:
                raise ValueError(f"there is no module {path!r}; write package.module:attr or path/file.py:attr") from None
            raise UserError(f"importing {path} failed") from error
        except Exception as error:
            raise UserError(f"importing {path} failed") from error
    file = pathlib.Path(path)
    if not file.is_file():
        files = [p.name for p in (file.parent if file.parent.is_dir() else pathlib.Path()).glob("*.py")]
        raise ValueError(f"there is no file {path}{nearest(file.name, files) if files else ''}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"running {path} failed") from error
    return module


def _as_problem(found: Any, attribute: str, values: dict[str, Any], module: ModuleType, given: str, start: Any) -> Problem:
    if isinstance(found, Problem):
        if values:
            raise ValueError(
                f"{given!r}: {attribute} is a problem already; brackets set the arguments of a function that makes one"
            )
        return found
    if not callable(found):
        raise ValueError(f"{given!r}: {attribute} is of type {type(found).__name__}, not a problem. A right one:\n{EXAMPLE}")
    parameters = inspect.signature(found).parameters
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    missing = [n for n in required if n not in values]
    if not missing:
        unknown = [k for k in values if k not in parameters]
        if unknown:
            raise ValueError(f"{given!r}: {attribute} has no argument {unknown[0]!r}; it has {', '.join(parameters) or 'none'}")
        try:
            made = found(**values)
        except Exception as error:
            raise UserError(f"calling {attribute} failed") from error
        if isinstance(made, Problem):
            return made
        raise ValueError(
            f"{given!r}: what {attribute}() returned is of type {type(made).__name__}, not a problem. A right one:\n{EXAMPLE}"
        )
    x0 = start if start is not None else getattr(found, "x0", getattr(module, "x0", None))
    if len(missing) == 1 and x0 is not None:
        return Problem(name=attribute, fun=found, x0=x0, doc=(inspect.getdoc(found) or "").split("\n")[0])
    cure = "define x0 beside it, give one as in --x0=1,2, or return a problem"
    raise ValueError(f"{given!r}: {attribute} is a function without a start: {cure}:\n{EXAMPLE}")
