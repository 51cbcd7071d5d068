"""Every registered method against one list of promises.

A method is met through the oracles that it solves; a family with oracles of its own adds a `Stage` here.
"""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import driver
from ravine.core.choice import as_method
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import Composite, LeastSquares, Objective
from ravine.core.registry import HOMES, family, method_class
from ravine.core.rule import Rule, layout_for
from ravine.core.status import Status
from ravine.core.stop import MaxSteps
from ravine.methods.proximal.front import composite

STEPS = 6
START = {"a": np.array([1.5, -0.5, 0.8]), "b": np.array([0.3])}
FLAT = np.concatenate([START["a"], START["b"]])


def smooth(x):
    """Convex, smooth, not quadratic; the minimum is where the coupling pulls it."""
    a, b = (x["a"], x["b"]) if isinstance(x, dict) else (x[:3], x[3:])
    return jnp.sum(jnp.cosh(a - 0.5)) + 0.5 * jnp.sum((b - a[:1]) ** 2) + 0.1 * jnp.sum(a) ** 2


def residuals(x):
    a, b = (x["a"], x["b"]) if isinstance(x, dict) else (x[:3], x[3:])
    return jnp.concatenate([jnp.sinh(a - 0.5), b - a[:1], 0.3 * jnp.sum(a, keepdims=True), a[:2] * a[1:]])


def quadratic(x):
    a, b = (x["a"], x["b"]) if isinstance(x, dict) else (x[:3], x[3:])
    return jnp.sum((a - 0.5) ** 2) + 0.5 * jnp.sum((b - a[:1]) ** 2) + 0.1 * jnp.sum(a) ** 2


@dataclasses.dataclass(frozen=True)
class Stage:
    """How a family is met: its oracles, the function given to them, and the front door."""

    oracles: Any
    fun: Callable[[Any], Any]
    solve: Callable[..., Any]
    nan: Callable[[Any], Any]  # what the function returns where it is not a number
    pose: Callable[..., Any] | None = None  # its oracles, where fun, args and layout do not suffice


PENALTY = rv.prox.L1(0.1)
STAGES = {
    "objective": Stage(Objective, smooth, rv.minimize, lambda v: v * jnp.nan),
    "least_squares": Stage(LeastSquares, residuals, getattr(rv, "least_squares", None), lambda v: v * jnp.nan),
    "composite": Stage(
        Composite, quadratic, partial(rv.minimize, g=PENALTY), lambda v: v * jnp.nan, lambda *f: composite(*f, PENALTY, None)
    ),
}


def stage_of(name: str) -> Stage | None:
    cls = method_class(name)
    solves = Objective if issubclass(cls, Rule) else cls.solves
    return next((s for s in STAGES.values() if s.oracles is solves), None)


# Families whose problem is not a function of a point have a suite of their own.
OWN_SUITE = {"linear": "tests/methods/linear", "proximal": "tests/methods/proximal"}
NAMES = [n for n in HOMES if stage_of(n) is not None]
RULES = [n for n in NAMES if issubclass(method_class(n), Rule)]


def test_every_method_is_on_a_stage():
    assert {family(n) for n in HOMES if stage_of(n) is None} <= set(OWN_SUITE)


def setting(name: str, x0: Any, fun: Any = None, method: Any = None) -> tuple[Any, Any, Any, Any]:
    """The method, the oracles, the packed start and its layout."""
    stage = stage_of(name)
    assert stage is not None
    method = as_method(name if method is None else method, stage.oracles)
    layout = layout_for(method, x0)
    packed = x0 if layout is None else layout.pack(x0)
    return method, (stage.pose or stage.oracles)(Function(fun or stage.fun), (), layout), jax.tree.map(jnp.asarray, packed), layout


def point(layout: Any, method: Any, carry: Any) -> np.ndarray:
    x = method.point(carry.state)
    return np.concatenate([np.ravel(v) for v in jax.tree.leaves(x if layout is None else layout.unpack(x))])


def ended(name: str, x0: Any, **more: Any) -> tuple[np.ndarray, Any]:
    method, problem, packed, layout = setting(name, x0, **more)
    carry = driver.solve(method, problem, packed, MaxSteps(10**6), steps=STEPS)
    return point(layout, method, carry), carry


@pytest.mark.parametrize("name", NAMES)
def test_jit_is_eager(name):
    method, problem, packed, layout = setting(name, FLAT)
    stop = MaxSteps(10**6)
    compiled = jax.jit(lambda x: driver.solve(method, problem, x, stop, steps=3))(packed)
    with jax.disable_jit():
        eager = driver.solve(method, problem, packed, stop, steps=3)
    np.testing.assert_allclose(point(layout, method, compiled), point(layout, method, eager), rtol=1e-9, atol=1e-12)
    assert compiled.work.tolist() == eager.work.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_vmap_is_a_loop(name):
    starts = np.stack([FLAT, FLAT[::-1], 0.5 * FLAT])
    *_, layout = setting(name, FLAT)
    assert layout is not None

    def lane(x):
        method, problem, packed, layout = setting(name, x)
        carry = driver.solve(method, problem, packed, MaxSteps(10**6), steps=STEPS)
        return layout.unpack(method.point(carry.state)), carry.work

    together, work = jax.vmap(lane)(jnp.asarray(starts))
    for i, x0 in enumerate(starts):
        alone, carry = ended(name, x0)
        np.testing.assert_allclose(together[i], alone, rtol=1e-9, atol=1e-12)
        assert work[i].tolist() == carry.work.tolist()


@pytest.mark.parametrize("name", [n for n in NAMES if method_class(n).hypers()])
def test_a_sweep_of_a_hyperparameter_is_a_vmap(name):
    cls = method_class(name)
    h = cls.hypers()[0]
    values = [h.default, h.default * 0.5 if h.default else h.low]

    def lane(value):
        method, problem, packed, layout = setting(name, FLAT, method=cls(**{h.name: value}))
        return layout.unpack(method.point(driver.solve(method, problem, packed, MaxSteps(10**6), steps=STEPS).state))

    together = jax.vmap(lane)(jnp.asarray(values))
    for i, value in enumerate(values):
        np.testing.assert_allclose(together[i], lane(value), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_the_uninterrupted_run(name):
    method, problem, packed, _ = setting(name, FLAT)
    stop = MaxSteps(10**6)
    whole = driver.advance(method, problem, driver.start(method, problem, packed, stop), stop, STEPS)
    carry = driver.advance(method, problem, driver.start(method, problem, packed, stop), stop, 2)
    carry = driver.advance(method, problem, carry, stop, STEPS - 2)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(carry), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_is_its_flat_vector(name):
    tree, _ = ended(name, START)
    flat, _ = ended(name, FLAT)
    np.testing.assert_allclose(tree, flat, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_the_dtype_of_the_start_is_kept_and_the_value_falls(name, dtype):
    stage = stage_of(name)
    x0 = jax.tree.map(lambda v: jnp.asarray(v, dtype), START)
    r = stage.solve(stage.fun, x0, method=name, stop=MaxSteps(25))
    assert {str(v.dtype) for v in jax.tree.leaves(r.x)} == {dtype}
    assert str(r.fun.dtype) == dtype
    first = stage.solve(stage.fun, x0, method=name, stop=MaxSteps(0))
    assert np.isfinite(r.fun)
    assert r.best.fun < first.fun
    assert r.code in list(Status)
    assert r.work


@pytest.mark.parametrize("name", RULES)
def test_rules_take_bfloat16_parameters(name):
    x0 = jax.tree.map(lambda v: jnp.asarray(v, jnp.bfloat16), START)
    r = rv.minimize(lambda x: smooth(jax.tree.map(lambda v: v.astype(jnp.float32), x)), x0, method=name, stop=MaxSteps(25))
    assert {str(v.dtype) for v in jax.tree.leaves(r.x)} == {"bfloat16"}
    assert np.isfinite(r.fun)


@pytest.mark.parametrize("name", NAMES)
def test_nan_at_the_start_is_told(name):
    stage = stage_of(name)
    r = stage.solve(lambda x: stage.nan(stage.fun(x)), FLAT, method=name, stop=MaxSteps(5))
    assert r.status.name == "NONFINITE"
    assert not r.success
    np.testing.assert_array_equal(r.x, FLAT)


@pytest.mark.parametrize("name", NAMES)
def test_nan_on_the_way_ends_with_a_status_and_the_best_finite_point(name):
    stage = stage_of(name)

    def cliff(x):
        value = stage.fun(x)
        return jnp.where(jnp.sum(x**2) < 2.0, stage.nan(value), value)

    r = stage.solve(cliff, FLAT, method=name, stop=MaxSteps(3000))
    assert r.status in list(Status)
    assert r.status != Status.RUNNING
    assert np.isfinite(r.fun)
    assert np.all(np.isfinite(r.x))
    assert np.all(np.isfinite(cliff(r.x)))
    assert r.fun <= stage.solve(cliff, FLAT, method=name, stop=MaxSteps(0)).fun
    assert r.status.name != "CONVERGED" or r.optimality < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_another_value_of_a_hyperparameter_or_a_tolerance_compiles_nothing(name, traces):
    stage, cls = stage_of(name), method_class(name)
    fun = traces(stage.fun)
    stage.solve(fun, FLAT, method=cls(), stop=rv.Optimality(1e-3) | MaxSteps(3))
    first = fun.count
    changed = {h.name: h.default * 0.9 if h.default else h.low for h in cls.hypers()[:1]}
    stage.solve(fun, 0.9 * FLAT, method=cls(**changed), stop=rv.Optimality(1e-2) | MaxSteps(2))
    assert fun.count == first


INVALID = {
    ">0": -1.0,
    ">=0": -1.0,
    "[0,1)": 1.0,
    "[0,1]": 1.5,
    "(0,1)": 1.0,
    "(0,1]": 0.0,
    "(0,2)": 2.0,
    ">1": 1.0,
    ">=1": 0.5,
    "any": float("nan"),
}


@pytest.mark.parametrize("name", list(HOMES))
def test_hyperparameters_are_validated_by_name(name):
    cls = method_class(name)
    for h in cls.hypers():
        with pytest.raises(ValueError, match=rf"{cls.__name__}: {h.name} must be .*, got {h.name}="):
            cls(**{h.name: INVALID[h.valid]})
        with pytest.raises(TypeError, match=rf"{cls.__name__}: {h.name} must be a number"):
            cls(**{h.name: "fast"})


@pytest.mark.parametrize("name", list(HOMES))
def test_the_docstring_is_complete(name):
    cls = method_class(name)
    module = inspect.getdoc(importlib.import_module(cls.__module__)) or ""
    text = inspect.getdoc(cls) or ""
    assert re.search(r"[⁺ₖᵀ∇θ←=]", module), "the module docstring has the update rule"
    assert re.search(r"^\[1\] ", module, re.MULTILINE), "the module docstring has a numbered source"
    assert ">>> " in text, "the class docstring has an example that runs"
    assert text.splitlines()[0].endswith("."), "the class docstring begins with a sentence"
    assert getattr(rv, cls.__name__) is cls
    for field in dataclasses.fields(cls):
        assert field.metadata.get("doc") or (field.metadata.get("kind") == "hyper" and field.metadata["hyper"].doc), field.name


@pytest.mark.parametrize("name", list(HOMES))
def test_one_file_one_method_of_at_most_a_hundred_lines_of_code(name):
    module = importlib.import_module(method_class(name).__module__)
    source = inspect.getsource(module)
    without_docs = re.sub(r'"""(?:.|\n)*?"""', "", source)
    code = [line for line in without_docs.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= 100
    assert "print(" not in without_docs
    assert Layout.__name__ not in without_docs
    assert "tree_map" not in without_docs
