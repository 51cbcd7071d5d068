"""The paths of all methods through a scene, made by the library's own driver in one compiled program.

What a slider changes is data: hyperparameters, start, noise, number of steps, and which methods run at all (one that is switched
off does no step). So only another scene, or a method that has not been asked for before, compiles.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ravine.core import driver
from ravine.core.choice import as_method
from ravine.core.codegen import Compiled, may_be_quick
from ravine.core.function import Function
from ravine.core.problem import LeastSquares, Objective
from ravine.core.pytree import Hyper, Record, part, static, substitute
from ravine.core.registry import method_class, names
from ravine.core.rule import Descent, Rule, layout_for
from ravine.core.run import default_tolerance
from ravine.core.status import Status
from ravine.core.stop import MaxSteps, Optimality
from ravine.lab.scenes import Scene
from ravine.steps.schedules import RobbinsMonro

MOST_STEPS = 1000
# Up to here only these rows are looked at: values, gradients and curvature of a thousand points were a third of an answer.
USUAL_STEPS = 200
# A line search that is refused over and over must end, too.
TRIALS_A_STEP = 20
POWER = Hyper(
    "power", 0.0, 0.0, 1.0, False, ">=0", False, "power p with which the step size falls, α n⁻ᵖ (½ < p ≤ 1: Robbins-Monro)"
)


class Sampled(Objective):
    """The scene as step k's minibatch sees it."""

    scene: Any = static(None)
    draws: Any = part(None)

    def at(self, k: Any) -> Objective:
        draw = self.draws[k % len(self.draws)]
        return Objective(Function(self.scene.sampled), (draw, *self.args), self.layout)


class Path(NamedTuple):
    """One method's run.

    Attributes:
        status: how it ended, a `Status`; 0 when it did the steps asked for.
        x, f, g: points (nit + 1, 2), and value and gradient there, without noise.
    """

    status: int
    x: np.ndarray
    f: np.ndarray
    g: np.ndarray

    @property
    def nit(self) -> int:
        """The number of iterations."""
        return len(self.x) - 1


class Paths(NamedTuple):
    """All runs by name, and more of the one in focus.

    Attributes:
        runs: by the registered name.
        curvature: the Hessian along the run in focus, or JᵀJ for a method that is given residuals, (nit + 1, 2, 2).
        state: what the method in focus remembers, by name, (nit + 1, size).
    """

    runs: dict[str, Path]
    curvature: np.ndarray
    state: dict[str, np.ndarray]


class Settings(NamedTuple):
    """What the sliders say.

    Attributes:
        x0: the start, two numbers.
        methods: the values of the sliders by method and name; what is not given has its default.
        knobs: of the scene; or the typed expression.
        steps: iterations, at most `MOST_STEPS`.
        batch: the size of the minibatches; 0 for no noise.
        seed: of the noise.
        focus: the method to tell more of.
    """

    x0: tuple[float, float]
    methods: dict[str, dict[str, float]]
    knobs: tuple[Any, ...] = ()
    steps: int = 200
    batch: int = 0
    seed: int = 0
    focus: str = ""


def paths(scene: Scene, settings: Settings, compiled_for: tuple[str, ...] = ()) -> Paths:
    """Runs the methods of `settings` on the scene.

    Args:
        compiled_for: the methods that the program is made for, at least those of `settings`; the others are switched off.

    Example:
        >>> from ravine.lab.paths import Settings, paths
        >>> from ravine.lab.scenes import SCENES
        >>> runs = paths(SCENES["ravine"], Settings((1.0, 0.5), {"adam": {"lr": 0.1}}, knobs=(25.0,), steps=5)).runs
        >>> runs["adam"].x.shape
        (6, 2)
    """
    methods = compiled_for or tuple(settings.methods)
    dtype = jnp.result_type(float)
    values = [settings.methods.get(n, {}).get(h.name, h.default) for n in methods for h in sliders(n)]
    focus = settings.focus if settings.focus in settings.methods else next(iter(settings.methods))
    out, states = _all(
        scene,
        methods,
        jax.tree.map(lambda v: np.asarray(v, dtype), settings.knobs),
        np.asarray(settings.x0, dtype),
        np.asarray(values, dtype),
        np.array([n in settings.methods for n in methods]),
        np.int32(methods.index(focus)),
        np.int32(settings.steps),
        np.int32(settings.batch),
        np.uint32(settings.seed),
        # Hundreds of small loops: they run as fast, and are compiled sooner.
        quick=may_be_quick(),
    )
    out, state = jax.device_get((out, states[methods.index(focus)]))
    runs = {}
    for i, name in enumerate(methods):
        nit, status = int(out["nit"][i]), int(out["status"][i])
        if name in settings.methods:
            runs[name] = Path(0 if status == Status.MAX_STEPS else status, *(out[key][i, : nit + 1] for key in "xfg"))
    length = runs[focus].nit + 1
    return Paths(runs, out["curvature"][:length], {n: v[:length] for n, v in _named(state).items()})


def _named(state: Any) -> dict[str, np.ndarray]:
    """The leaves of a recorded state by the name of their field, each (rows, size)."""
    found: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        fields = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
        keys = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
        name = (fields or keys)[-1]
        if np.issubdtype(leaf.dtype, np.floating):
            found.setdefault(name, leaf.reshape(len(leaf), -1))
    return found


@cache
def offered(residual: bool) -> tuple[str, ...]:
    """The registered methods that suit a scene, with residuals or without, in the order of the registry."""
    return tuple(n for n in names() if _suits(method_class(n), residual))


def _suits(cls: Any, residual: bool) -> bool:
    if issubclass(cls, Rule):
        return True
    return issubclass(Objective, cls.solves) or (residual and issubclass(LeastSquares, cls.solves))


def takes_residual(name: str) -> bool:
    """Whether the method is given residuals and not their half sum of squares."""
    cls = method_class(name)
    return not issubclass(cls, Rule) and not issubclass(Objective, cls.solves)


@cache
def sliders(name: str) -> tuple[Hyper, ...]:
    """The hyperparameters of a method, those of its parts as "part.name"; a step size brings the power p with which it falls."""
    found = list(_hypers(method_class(name)(), ""))
    first = next((i for i, h in enumerate(found) if h.schedule), None)
    if first is not None:
        found.insert(first + 1, dataclasses.replace(POWER, default=0.0))
    return tuple(found)


def _hypers(record: Record, prefix: str) -> Any:
    for h in record.hypers():
        yield dataclasses.replace(h, name=prefix + h.name, default=float(getattr(record, h.name)))
    for f in dataclasses.fields(record):  # type: ignore[arg-type]
        inner = getattr(record, f.name)
        if isinstance(inner, Record):
            yield from _hypers(inner, f"{prefix}{f.name}.")


def made(name: str, values: Any) -> Any:
    """The method with these values, in the order of `sliders`."""
    given = dict(zip((h.name for h in sliders(name)), values, strict=True))
    power = given.pop(POWER.name, None)
    if power is not None:
        rate = next(h.name for h in sliders(name) if h.schedule)
        given[rate] = substitute(RobbinsMonro(), a=given[rate], p=power)
    return _with(method_class(name)(), given, "")


def _with(record: Any, given: dict[str, Any], prefix: str) -> Any:
    changes = {h.name: given[prefix + h.name] for h in record.hypers()}
    for f in dataclasses.fields(record):
        inner = getattr(record, f.name)
        if isinstance(inner, Record):
            changes[f.name] = _with(inner, given, f"{prefix}{f.name}.")
    return substitute(record, **changes)


def _every_run(
    scene: Scene,
    methods: tuple[str, ...],
    knobs: Any,
    x0: Any,
    values: Any,
    on: Any,
    focus: Any,
    steps: Any,
    batch: Any,
    seed: Any,
) -> tuple[dict[str, Any], list[Any]]:
    """Every method's run and what it remembers; `values` are all hyperparameters end to end, `focus` is the method whose curvature
    is wanted.
    """
    draws = scene.draws(jax.random.key(seed), batch, MOST_STEPS, x0.dtype)
    runs, begin = [], 0
    for i, name in enumerate(methods):
        end = begin + len(sliders(name))
        method = made(name, [values[j] for j in range(begin, end)])
        runs.append(_one(scene, name, method, knobs, x0, jnp.where(on[i], steps, 0), draws, seed))
        begin = end
    x, nit, status = (jnp.stack([r[i] for r in runs]) for i in range(3))
    given = jnp.asarray(np.array([takes_residual(n) for n in methods]))

    def value(point: Any) -> Any:
        return scene.value(point, *knobs)

    def told(rows: int) -> tuple[Any, ...]:
        f, g = jax.vmap(jax.vmap(jax.value_and_grad(value)))(x[:, :rows])
        curvature = jax.vmap(jax.hessian(value))(x[focus, :rows])
        if scene.residual is not None:
            J = jax.vmap(jax.jacfwd(lambda point: scene.residual(point, *knobs)))(x[focus, :rows])  # type: ignore[misc]
            curvature = jnp.where(given[focus], jnp.einsum("kmi,kmj->kij", J, J), curvature)
        return f, g, curvature

    few, many = USUAL_STEPS + 1, MOST_STEPS + 1

    def padded(v: Any, axis: int) -> Any:
        return jnp.pad(v, [(0, many - few if i == axis else 0) for i in range(v.ndim)])

    def short() -> tuple[Any, ...]:
        f, g, curvature = told(few)
        return padded(f, 1), padded(g, 1), padded(curvature, 0)

    f, g, curvature = lax.cond(steps <= USUAL_STEPS, short, lambda: told(many))
    return {"x": x, "f": f, "g": g, "curvature": curvature, "nit": nit, "status": status}, [r[3] for r in runs]


_all = Compiled(_every_run, static_argnames=("scene", "methods"))


def _one(scene: Scene, name: str, method: Any, knobs: Any, x0: Any, steps: Any, draws: Any, seed: Any) -> Any:
    residual = takes_residual(name)
    chosen = as_method(method, LeastSquares if residual else Objective)
    layout = layout_for(chosen, x0)
    packed = x0 if layout is None else layout.pack(x0)
    problem: Any
    if residual:
        problem = LeastSquares(Function(scene.residual), knobs, layout)  # type: ignore[arg-type]
    else:
        problem = Sampled(Function(scene.value), knobs, layout, scene=scene, draws=draws)
    key = jax.random.key(seed) if chosen.randomised else None
    stop = Optimality(default_tolerance(x0.dtype)) | MaxSteps(steps)
    remembered = _remembered(chosen, problem.at(jnp.int32(0)), packed)
    carry = driver.solve(
        chosen,
        problem,
        packed,
        stop,
        key=key,
        history=("x", *remembered),
        rows=MOST_STEPS + 1,
        best=False,
        steps=steps * TRIALS_A_STEP,
    )
    points = carry.history["x"] if layout is None else jax.vmap(layout.unpack)(carry.history["x"])
    return points, carry.nit, carry.status, {n: carry.history[n] for n in remembered}


def _remembered(method: Any, problem: Any, x: Any) -> tuple[str, ...]:
    """The fields of the state that are small floating-point numbers: velocity, damping, radius …"""
    if isinstance(method, Descent):
        return ("rule",)
    state = jax.eval_shape(method.init, problem, x)

    def small(value: Any) -> bool:
        leaves = jax.tree.leaves(value)
        return bool(leaves) and all(jnp.issubdtype(v.dtype, jnp.floating) for v in leaves) and sum(v.size for v in leaves) <= 8

    return tuple(n for n in state._fields if n not in ("x", "f", "g") and small(getattr(state, n)))


STEP_SIZES = np.logspace(-5, 1, 37)


def step_sizes(scene: Scene, settings: Settings, compiled_for: tuple[str, ...] = ()) -> dict[str, dict[str, float]]:
    """For each method with a step size: the one, of a grid, that ends lowest without ever having climbed above the start.

    The same grid for all, kept to each slider's range; the other sliders as they are, no noise.
    """
    tuned = {n: next((h for h in sliders(n) if h.schedule), None) for n in settings.methods}
    best: dict[str, tuple[tuple[bool, float], dict[str, float]]] = {}
    for size in STEP_SIZES:
        trial = {n: {h.name: float(np.clip(size, h.low, h.high))} for n, h in tuned.items() if h}
        given = {n: {**values, **trial.get(n, {})} for n, values in settings.methods.items()}
        for n, run in paths(scene, settings._replace(methods=given, batch=0), compiled_for).runs.items():
            if n in trial:
                f = np.where(np.isfinite(run.f), run.f, np.inf)
                score = (bool(f.max() > f[0] + 1e-6 * abs(f[0])), float(f[-1]))
                if n not in best or score < best[n][0]:
                    best[n] = score, trial[n]
    return {n: chosen for n, (_, chosen) in best.items()}
