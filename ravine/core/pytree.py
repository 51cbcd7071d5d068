"""Records: frozen dataclasses that are pytrees, and the three kinds of field they have.

Methods, problems and stop criteria are all records, so that each can be passed through `jax.jit`, swept with `jax.vmap` and
compared by value. A field is one of

    hyper   a number that is traced: changing it never recompiles, and a sweep over it is a `vmap`
    part    another pytree (a line search, a linear solver, an array, or None)
    static  a compile-time constant (a count, a name): changing it recompiles
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

VALID: dict[str, tuple[Callable[[Any], Any], str]] = {
    ">0": (lambda v: v > 0, "greater than 0"),
    ">=0": (lambda v: v >= 0, "0 or greater"),
    "[0,1)": (lambda v: (v >= 0) & (v < 1), "at least 0 and less than 1"),
    "[0,1]": (lambda v: (v >= 0) & (v <= 1), "between 0 and 1"),
    "(0,1)": (lambda v: (v > 0) & (v < 1), "strictly between 0 and 1"),
    "(0,1]": (lambda v: (v > 0) & (v <= 1), "greater than 0 and at most 1"),
    "(0,2)": (lambda v: (v > 0) & (v < 2), "strictly between 0 and 2"),
    ">1": (lambda v: v > 1, "greater than 1"),
    ">=1": (lambda v: v >= 1, "1 or greater"),
    "whole": (lambda v: (v >= 0) & (v < 2**31) & (v == np.floor(v)), "a whole number from 0 to 2,147,483,647"),
    "any": (lambda v: v == v, "a number"),
}


@dataclasses.dataclass(frozen=True)
class Hyper:
    """What a hyperparameter says of itself; sliders, sweeps, help texts and validation are made from it.

    Attributes:
        name: the field's name.
        default: its default value.
        low, high: the range that is worth trying (sliders, sweeps); legal values are given by `valid`.
        log: whether the range is to be walked in the logarithm.
        valid: a key of `VALID`.
        schedule: whether a schedule (a function of the 0-based count) may stand in its place.
        doc: one line with the symbol it has in the formula.
    """

    name: str
    default: float
    low: float
    high: float
    log: bool
    valid: str
    schedule: bool
    doc: str


def hyper(
    default: float,
    low: float,
    high: float,
    *,
    log: bool = False,
    valid: str | None = None,
    schedule: bool = False,
    doc: str,
) -> Any:
    """A traced number with the range worth trying `[low, high]`; see `Hyper`."""
    described = Hyper("", default, low, high, log, valid or (">0" if log else ">=0"), schedule, doc)
    return dataclasses.field(default=default, metadata={"kind": "hyper", "hyper": described})


def step_size(default: float, low: float, high: float, *, doc: str = "step size α") -> Any:
    """A step size: a positive number, or a schedule of the 0-based count (optax's, or `ravine.schedules`)."""
    return hyper(default, low, high, log=True, schedule=True, doc=doc)


def part(default: Any = dataclasses.MISSING, *, factory: Any = dataclasses.MISSING, of: type | None = None, doc: str = "") -> Any:
    """A field that is a pytree of its own; `factory` builds the default, and only what is an `of` is taken."""
    metadata = {"kind": "part", "of": of, "doc": doc}
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def static(default: Any = dataclasses.MISSING, *, choices: tuple[Any, ...] = (), least: int | None = None, doc: str = "") -> Any:
    """A field that is a compile-time constant; it must be hashable.

    Args:
        choices: what it may be, where these are given.
        least: where it is given, the field is a whole number, this one or a larger one.
    """
    return dataclasses.field(default=default, metadata={"kind": "static", "choices": choices, "least": least, "doc": doc})


def _is_function(value: Any) -> bool:
    """Whether a hyperparameter's value is a plain function (static) and not a record that can be called (traced)."""
    return callable(value) and not isinstance(value, Record | jax.Array)


def _check(owner: str, h: Hyper, value: Any) -> None:
    if callable(value):
        if h.schedule:
            return
        raise TypeError(f"{owner}: {h.name} must be a number, not a schedule; schedules can stand for step sizes only")
    if isinstance(value, jax.core.Tracer) or type(value) is object:
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real | np.ndarray | np.generic | jax.Array):
        raise TypeError(f"{owner}: {h.name} must be a number, got {value!r} of type {type(value).__name__}")
    legal, words = VALID[h.valid]
    if not (legal(value) if isinstance(value, int | float) else np.all(legal(np.asarray(value)))):
        raise ValueError(f"{owner}: {h.name} must be {words}, got {h.name}={value}")
    if h.schedule and not np.all(np.isfinite(np.asarray(value))):
        raise ValueError(f"{owner}: {h.name} must be finite, got {h.name}={value}")


def _check_constant(owner: str, f: Any, value: Any) -> None:
    choices, least, of = (f.metadata.get(name) for name in ("choices", "least", "of"))
    if choices and value not in choices:
        raise ValueError(f"{owner}: {f.name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    if least is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least):
        raise ValueError(f"{owner}: {f.name} must be a whole number of at least {least}, got {value!r}")
    if of is not None and not isinstance(value, of):
        raise TypeError(f"{owner}: {f.name} must be a {of.__name__} such as {f.default_factory()!r}, got {value!r}")


class Record:
    """Base of all records. A subclass becomes a frozen dataclass and a pytree when it is defined."""

    _hypers: ClassVar[tuple[Hyper, ...]]
    _constrained: ClassVar[tuple[Any, ...]]

    if TYPE_CHECKING:

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True)(cls)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        traced = tuple(f.name for f in fields if f.metadata.get("kind", "part") != "static")
        fixed = tuple(f.name for f in fields if f.metadata.get("kind") == "static")
        hypers = [dataclasses.replace(f.metadata["hyper"], name=f.name) for f in fields if f.metadata.get("kind") == "hyper"]
        cls._hypers = tuple(hypers)
        cls._constrained = tuple(f for f in fields if any(f.metadata.get(n) not in (None, ()) for n in ("choices", "least", "of")))
        schedules = tuple(h.name for h in hypers if h.schedule)

        def flatten(r: Any) -> tuple[tuple[Any, ...], Any]:  # in Python at every call of a program: nothing here is to be slow
            attributes = r.__dict__
            values = tuple([attributes[n] for n in traced])
            functions = None
            if any(_is_function(attributes[n]) for n in schedules):
                plain = [n in schedules and _is_function(v) for n, v in zip(traced, values, strict=True)]
                functions = tuple(v if p else None for v, p in zip(values, plain, strict=True))
                values = tuple(None if p else v for v, p in zip(values, plain, strict=True))
            return values, (tuple([attributes[n] for n in fixed]), functions)

        def flatten_with_keys(r: Any) -> tuple[Any, Any]:
            values, aux = flatten(r)
            return [(jax.tree_util.GetAttrKey(n), v) for n, v in zip(traced, values, strict=True)], aux

        def unflatten(aux: Any, values: Any) -> Any:
            constants, functions = aux
            r = object.__new__(cls)
            attributes = r.__dict__
            attributes.update(zip(traced, values, strict=True))
            attributes.update(zip(fixed, constants, strict=True))
            if functions is not None:
                attributes.update((n, f) for n, f in zip(traced, functions, strict=True) if f is not None)
            return r

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)

    def __post_init__(self) -> None:
        for h in self._hypers:
            _check(type(self).__name__, h, getattr(self, h.name))
        for f in self._constrained:
            _check_constant(type(self).__name__, f, getattr(self, f.name))

    @classmethod
    def hypers(cls) -> tuple[Hyper, ...]:
        """The declared hyperparameters, in the order in which the constructor takes them."""
        return cls._hypers

    def replace(self, **changes: Any) -> Any:
        """A copy with some fields changed (validated like a new one)."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def substitute(record: Any, **values: Any) -> Any:
    """A copy with fields set as they are, without validation: for traced values inside a step."""
    copy = object.__new__(type(record))
    copy.__dict__.update(record.__dict__)
    copy.__dict__.update(values)
    return copy


def cast(tree: Any, dtype: Any) -> Any:
    """Every floating leaf of `tree` (hyperparameters, say) as an array of `dtype`, so that nothing is promoted."""

    def one(v: Any) -> Any:
        if isinstance(v, float) or (hasattr(v, "dtype") and jnp.issubdtype(v.dtype, jnp.floating)):
            return jnp.asarray(v, dtype)
        return v

    return jax.tree.map(one, tree)


def widest(*dtypes: Any) -> Any:
    """The floating dtype, at least float32, in which all of these can be computed with (strict promotion would refuse a mix)."""
    return jnp.dtype(jnp.float64) if any(jnp.dtype(d) == jnp.float64 for d in dtypes) else jnp.dtype(jnp.float32)


def computing(x: Any) -> jax.Array:
    """In at least float32: bfloat16 would round 1 − β₂ = 0.001 to nothing."""
    x = jnp.asarray(x)
    return x.astype(widest(x.dtype))


def select(predicate: Any, yes: Any, no: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(predicate, a, b), yes, no)


def largest(tree: Any) -> jax.Array:
    """The largest absolute value in a tree, in float32 or wider."""
    # One `reduce` from 0: `jnp.max(…, initial=0)` is a reduction and a maximum after it, two loops of a processor.
    parts = [
        jax.lax.reduce(jnp.abs(v), np.zeros((), v.dtype), jax.lax.max, range(v.ndim)) for v in map(computing, jax.tree.leaves(tree))
    ]
    wide = widest(*(v.dtype for v in parts))
    return functools.reduce(jnp.maximum, (v.astype(wide) for v in parts))
