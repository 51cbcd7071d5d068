"""Who races: names, settings and objects turned into contenders, each with or without a step size to tune."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ravine.core.choice import as_method, check_settings, label, registered_name
from ravine.core.hyperparameters import holder, step_size_of, with_values
from ravine.core.problem import LeastSquares, LinearSystem, Objective, Oracles, Training
from ravine.core.pytree import Record
from ravine.core.registry import HOMES, family, method_class, names, unknown
from ravine.core.rule import Rule
from ravine.core.target import expand, parse
from ravine.methods.linear.preconditioners import BY_NAME

DEFAULT_FAMILIES = {
    "loss": ("first_order",),
    "batch": ("first_order", "second_order"),
    "fun": ("first_order", "second_order"),
    "residual": ("least_squares", "second_order", "first_order"),
}
"""Which families race when none are named; "batch" is a training loss without minibatches."""


GRID = (1e-4, 10.0)
"""The least and the largest step size that is tried."""
OWN = "your optax transformation"
"""What the setting of an object that is not ours is called."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One method in the race.

    Attributes:
        tuned: whether hyperparameters are chosen: its step size, or those in `space` (ranges of `ravine.compare.space`); where it
            is `fixed`, its own step size is all that it has to choose from.
        first: the point of its space that it tries before the others.
        set: the hyperparameters that were given with its name, which keep their values; None for an object, which races as it is.
    """

    name: str
    given: Any
    tuned: bool
    fixed: bool = False
    space: tuple[Any, ...] = ()
    first: Mapping[str, float] = dataclasses.field(default_factory=dict)
    set: frozenset[str] | None = frozenset()

    def points(self, grid: np.ndarray) -> dict[str, np.ndarray]:
        """The values that it tries, by name: the step sizes of the grid, or as many points of its space."""
        if not self.tuned:
            return {"lr": np.ones(1)}
        if self.fixed:
            return self.own(("lr",))
        if not self.space:
            return {"lr": grid}
        from ravine.compare.space import trials

        return trials(self.space, len(grid), self.first)

    def lanes(self, grid: np.ndarray, shipped: bool) -> tuple[dict[str, np.ndarray], int]:
        """The points that it runs with, and how many of them are tried: behind these, if `shipped`, comes what it came with."""
        points = self.points(grid)
        tried = len(next(iter(points.values())))
        if shipped and self.tuned and not self.fixed:
            points = {name: np.append(points[name], own) for name, own in self.own(points).items()}
        return points, tried

    def own(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """The values that it came with."""
        return {name: np.array([getattr(holder(self.given, name), name)], np.float64) for name in names}

    def at(self, point: Mapping[str, Any]) -> Any:
        """The method with the values of a point (traced ones included)."""
        return with_values(self.given, point) if self.tuned else self.given

    def spec(self, point: Mapping[str, Any]) -> str:
        """What stands for it in a list of names: "adam[lr=0.0215]"; empty where no name does."""
        return spec(self.at(point)) if isinstance(self.given, Record) else ""

    def setting(self, point: Mapping[str, Any]) -> str:
        """The call that makes it: "Adam(0.0215)"."""
        return call(self.at(point))


def call(method: Any) -> str:
    """A method as the call that makes it, with what differs from its defaults."""
    if not isinstance(method, Record):
        return OWN
    fresh = type(method)()
    shown = []
    for i, f in enumerate(dataclasses.fields(method)):  # type: ignore[arg-type]
        value = getattr(method, f.name)
        if i == 0 and isinstance(value, float):
            shown.append(f"{value:.3g}")
        elif isinstance(value, Rule):
            shown.append(f"{f.name}={call(value)}")
        elif f.name == "preconditioner" and value is not None:
            shown.append(f"preconditioner={preconditioner_call(value)}")
        elif f.metadata.get("kind") in ("hyper", "static") and not callable(value) and value != getattr(fresh, f.name):
            shown.append(f"{f.name}={value!r}")
    return f"{label(method)}({', '.join(shown)})"


def spec(method: Record) -> str:
    """A registered method as a name with the values in which it differs from a fresh one; empty where a name cannot say it."""
    name, fresh = registered_name(method), type(method)()
    inside = []
    for f in dataclasses.fields(method):  # type: ignore[arg-type]
        value, usual = getattr(method, f.name), getattr(fresh, f.name)
        if f.name == "preconditioner" and value is not None:
            text = _word(value)
        elif value == usual:
            continue
        else:
            text = _written(value) if f.metadata.get("kind") in ("hyper", "static") and not callable(value) else ""
        if not text:
            return ""
        inside.append(f"{f.name}={text}")
    return f"{name}[{', '.join(inside)}]" if inside else name


def _written(value: Any) -> str:
    """A plain value with as many digits as its precision has."""
    if isinstance(value, bool | int | str):
        return str(value)
    number = float(value)
    return str(np.float32(number)) if float(np.float32(number)) == number else repr(number)


def _word(M: Any) -> str:
    """The word for a preconditioner whose defaults are in force; empty for others."""
    word = next((word for word, cls in BY_NAME.items() if type(M) is cls), "")
    return word if word and type(M)() == M else ""


def preconditioner_call(M: Any) -> str:
    """A preconditioner as a word where its defaults are in force, as a call otherwise, and its class where it is a function."""
    word = next((word for word, cls in BY_NAME.items() if type(M) is cls), None)
    if word is None:
        return "..."  # Python's own sign for what is left out, so that the call can be parsed
    fresh = type(M)()
    return repr(word) if fresh == M else f"rv.precond.{call(M)}"


def contenders(methods: Any, kind: str, size: int = 0, tune: bool = True) -> list[Contender]:
    """The contenders for a list of names (`"adam"`, `"adam[b1=0.8]"`), families (`"first_order"`) and objects.

    A name is tuned, unless `tune` is false; a name with `lr=` in brackets, or an object, races as it is given. Where no methods are
    named, those race that are practical for `size` parameters.

    Raises:
        ValueError: an unknown name, or a method that cannot solve this kind of problem.
    """
    if methods is None:
        methods = [n for f in DEFAULT_FAMILIES[kind] for n in names(f)]
        methods = [n for n in methods if can_race(n, kind) and practical(n, size)]
        if kind != "loss":
            methods.remove("sgd")  # without minibatches it is gradient_descent
    elif isinstance(methods, str) or not isinstance(methods, list | tuple):
        methods = [methods]
    families = {family(n) for n in HOMES}
    out: list[Contender] = []
    for given in expanded(methods):
        if isinstance(given, str) and given in families:
            out += [_named(n, {}, kind) for n in names(given) if can_race(n, kind)]
        elif isinstance(given, str):
            name, values = parse(given)
            out.append(_named(name, values, kind))
        else:
            as_method(given, _solvable(given, kind))
            out.append(Contender(registered_name(given) if isinstance(given, Record) else "optax", given, False, set=None))
    seen: dict[str, int] = {}
    for i, c in enumerate(out):
        seen[c.name] = seen.get(c.name, 0) + 1
        if seen[c.name] > 1:
            out[i] = dataclasses.replace(c, name=f"{c.name} ({seen[c.name]})")
    if not tune:
        out = [dataclasses.replace(c, fixed=True) for c in out]
    for c in out:
        check_settings(c.given)
    if not out:
        raise ValueError("no methods to race; name some, for example methods=['adam', 'sgd']")
    return out


def expanded(given: Iterable[Any]) -> list[Any]:
    """The items of a list, with one for each choice where a name has some: "adam[b1=0.8|0.9]" stands for two."""
    return [one for item in given for one in (expand(item) if isinstance(item, str) else [item])]


def practical(name: str, size: int) -> bool:
    """Whether a registered method is practical for so many parameters."""
    limit = getattr(method_class(name), "practical_up_to", None)
    return limit is None or size <= limit


def can_race(name: str, kind: str) -> bool:
    """Whether a registered method can take part in a race of this kind."""
    cls = method_class(name)
    if issubclass(cls, Rule):
        return kind != "system"
    allowed = {
        "loss": (Training, Objective),
        "batch": (Training, Objective),
        "fun": (Objective,),
        "residual": (LeastSquares, Objective),
        "system": (LinearSystem,),
    }
    return getattr(cls, "solves", None) in allowed[kind]


def _named(name: str, values: dict[str, Any], kind: str) -> Contender:
    if name not in HOMES:
        racing = [n for n in HOMES if can_race(n, kind)]
        raise unknown(name, [*racing, *{family(n) for n in racing}])
    cls = method_class(name)
    known = [f.name for f in dataclasses.fields(cls)]
    for key in values:
        if key not in known:
            raise ValueError(f"{name} has no hyperparameter {key!r}; it has {', '.join(known) or 'none'}")
    given = cls(**values)
    if not can_race(name, kind):
        as_method(given, _solvable(given, kind))
        raise ValueError(f"{name} cannot take part in a race on this kind of problem ({kind})")
    if isinstance(values.get("preconditioner"), str):
        name = f"{name} + {values['preconditioner']}"
    return Contender(name, given, step_size_of(given) is not None and not {"lr", "inner"} & values.keys(), set=frozenset(values))


def _solvable(given: Any, kind: str) -> type[Oracles]:
    solves = getattr(given, "solves", None)
    if kind == "system":
        return LinearSystem
    if kind in ("loss", "batch") and solves is not Objective:
        return Training
    return LeastSquares if kind == "residual" and solves is LeastSquares else Objective


def grid(trials: int) -> np.ndarray:
    """The step sizes that every tuned method tries, log-spaced over `GRID`."""
    return np.geomspace(*GRID, trials)
