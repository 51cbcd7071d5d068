"""What the page shows is what the library does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import codegen
from ravine.core.choice import as_method
from ravine.core.problem import LeastSquares, Objective
from ravine.core.registry import method_class
from ravine.core.status import Status
from ravine.lab import paths as engine
from ravine.lab.expression import parse
from ravine.lab.paths import Settings, offered, paths, sliders, step_sizes, takes_residual
from ravine.lab.scenes import DISTRESS, RAVINE, SCENES, TEMPERATURE, TYPED, TYPED_RESIDUAL
from ravine.problems import functions

STEPS = 30


def knobs(scene):
    return tuple(k.default for k in scene.knobs)


def everything(scene, **more):
    methods = {n: {} for n in offered(scene.residual is not None)}
    return Settings(scene.start, methods, knobs(scene), STEPS, **more)


@pytest.fixture(scope="module")
def compiled_alike():
    """All programs in the usual way: the two ways round differently, and quasi-Newton steps make 10⁻¹⁶ 10⁻⁸ within 20 steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codegen, "_refused", ["not in this test"])
        yield


@pytest.fixture(scope="module")
def shown(compiled_alike):
    return paths(SCENES["rosenbrock"], everything(SCENES["rosenbrock"]))


@pytest.mark.parametrize("name", offered(True))
def test_paths_equal_the_history_of_the_front_door(shown, name):
    scene = SCENES["rosenbrock"]
    known = functions.rosenbrock()
    stop = rv.Optimality(float(np.sqrt(np.finfo(float).eps))) | rv.MaxSteps(STEPS)
    method = method_class(name)()
    if takes_residual(name):
        expected = rv.least_squares(known.residual, np.array(scene.start), method=method, stop=stop, history=("x", "f"))
    else:
        expected = rv.minimize(known.fun, np.array(scene.start), method=method, stop=stop, history=("x", "f"))
    run = shown.runs[name]
    assert run.nit == int(expected.nit)
    assert (Status(run.status) if run.status else Status.MAX_STEPS) == expected.status
    np.testing.assert_allclose(run.x, expected.history["x"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.f, expected.history["f"], rtol=1e-9, atol=1e-15)


def test_all_methods_for_functions_are_offered():
    assert {"gradient_descent", "adam", "bfgs"} <= set(offered(False)) <= set(offered(True))
    for name in offered(True):
        as_method(method_class(name)(), LeastSquares if takes_residual(name) else Objective)


def test_a_slider_or_a_method_switched_off_does_not_compile(monkeypatch):
    scene = RAVINE
    methods = ("gradient_descent", "adam")

    def count():
        return engine._all.usual._cache_size() + engine._all.quick._cache_size()

    before = count()
    both = paths(scene, Settings((1.0, 0.5), {n: {} for n in methods}, (25.0,), 10), methods)
    compiled = count()
    assert compiled > before
    one = paths(scene, Settings((0.3, -0.5), {"adam": {"lr": 0.3, "b1": 0.5}}, (100.0,), 17, batch=4, seed=3), methods)
    same = paths(scene, Settings((1.0, 0.5), {"adam": {}}, (25.0,), 10), methods)
    assert count() == compiled
    assert list(one.runs) == ["adam"]
    assert one.runs["adam"].nit == 17
    np.testing.assert_array_equal(same.runs["adam"].x, both.runs["adam"].x)


def test_a_slider_means_the_hyperparameter():
    given = {"lr": 0.05, "b1": 0.7, "b2": 0.95, "eps": 1e-6}
    run = paths(RAVINE, Settings((1.0, 0.5), {"adam": given}, (25.0,), 12)).runs["adam"]
    expected = rv.minimize(
        functions.ravine(condition=25.0).fun, np.array([1.0, 0.5]), method=rv.Adam(**given), stop=rv.MaxSteps(12), history="x"
    )
    np.testing.assert_allclose(run.x, expected.history["x"], rtol=1e-12)


def test_the_power_is_robbins_monro():
    run = paths(RAVINE, Settings((1.0, 0.5), {"sgd": {"lr": 0.05, "power": 0.75}}, (25.0,), 12)).runs["sgd"]
    expected = rv.minimize(
        functions.ravine(condition=25.0).fun,
        np.array([1.0, 0.5]),
        method=rv.SGD(rv.schedules.RobbinsMonro(0.05, p=0.75)),
        stop=rv.MaxSteps(12),
        history="x",
    )
    np.testing.assert_allclose(run.x, expected.history["x"], rtol=1e-12)


def test_sliders_of_parts_reach_the_parts():
    assert {h.name for h in sliders("bfgs")} >= {"search.c1", "search.c2"}
    method = engine.made("bfgs", [0.01 * (i + 1) for i in range(len(sliders("bfgs")))])
    assert [float(method.search.c1), float(method.search.c2)] == [0.01, 0.02]


def test_state_curvature_and_gradient_of_the_method_in_focus():
    scene = SCENES["rosenbrock"]
    out = paths(scene, Settings(scene.start, {"adam": {"lr": 0.1}, "momentum": {"lr": 1e-4}}, (), 8, focus="momentum"))
    run = out.runs["momentum"]
    known = functions.rosenbrock()
    np.testing.assert_allclose(run.g, jax.vmap(jax.grad(known.fun))(run.x), rtol=1e-12)
    np.testing.assert_allclose(out.curvature, jax.vmap(jax.hessian(known.fun))(run.x), rtol=1e-12)
    np.testing.assert_allclose(out.state["v"][1:], np.diff(run.x, axis=0), rtol=1e-9)  # v⁺ is the step


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda s: s.name)
def test_scenes_are_at_rest_at_their_minima(scene):
    for point in scene.minima_at(*knobs(scene)):
        inside = np.array(scene.window)
        assert inside[0] <= point[0] <= inside[1]
        assert inside[2] <= point[1] <= inside[3]
        if scene.name == "ackley":  # a kink
            continue
        gradient = jax.grad(scene.value)(jnp.asarray(point), *knobs(scene))
        np.testing.assert_allclose(gradient, 0, atol=2e-5)


@pytest.mark.parametrize("scene", [s for s in SCENES.values() if s.residual], ids=lambda s: s.name)
def test_residuals_belong_to_the_value(scene):
    x = jnp.array([0.4, 0.9])
    r = scene.residual(x, *knobs(scene))
    np.testing.assert_allclose(scene.value(x, *knobs(scene)), 0.5 * r @ r, rtol=1e-13)


def test_the_ravine_is_the_libraries_own():
    x = jnp.array([0.4, 0.9])
    np.testing.assert_allclose(RAVINE.value(x, 40.0), functions.ravine(condition=40.0).fun(x), rtol=1e-14)


def test_shifted_temperatures_move_the_minimum():
    scene = SCENES["logistic"]
    gradient = jax.grad(scene.value)(jnp.asarray(scene.minima_at(2.5)[0]), 2.5)
    np.testing.assert_allclose(gradient, 0, atol=2e-5)


def test_logistic_is_the_likelihood_of_the_flights():
    z = (TEMPERATURE - TEMPERATURE.mean()) / TEMPERATURE.std()
    p = 1 / (1 + np.exp(-(0.3 - 0.8 * z)))
    expected = -np.mean(DISTRESS * np.log(p) + (1 - DISTRESS) * np.log(1 - p))
    np.testing.assert_allclose(SCENES["logistic"].value(jnp.array([0.3, -0.8]), 0.0), expected, rtol=1e-13)


def test_minibatches_are_drawn_without_replacement_and_have_the_right_mean():
    scene = SCENES["logistic"]
    draws = scene.draws(jax.random.key(0), jnp.int32(5), 400, jnp.float64)
    weights = np.asarray(draws) + 1 / scene.count
    np.testing.assert_allclose(np.sort(weights, axis=1)[:, -5:], 1 / 5)
    np.testing.assert_allclose(np.sort(weights, axis=1)[:, :-5], 0, atol=1e-16)
    x = jnp.array([0.3, -0.8])
    examples = scene.examples(x, 0.0)
    np.testing.assert_allclose(scene.sampled(x, draws[7], 0.0), weights[7] @ np.asarray(examples), rtol=1e-12)
    np.testing.assert_allclose(scene.draws(jax.random.key(0), jnp.int32(scene.count), 3, jnp.float64), 0, atol=1e-16)


@pytest.mark.parametrize("batch", [1, 16])
def test_noise_of_a_function_is_that_of_a_minibatch(batch):
    scene = SCENES["himmelblau"]
    draws = scene.draws(jax.random.key(1), jnp.int32(batch), 4000, jnp.float64)
    x = jnp.array([1.0, 2.0])
    noise = np.asarray(jax.vmap(jax.grad(scene.sampled), (None, 0))(x, draws)) - np.asarray(jax.grad(scene.value)(x))
    np.testing.assert_allclose(np.std(noise, axis=0), scene.sigma / np.sqrt(batch), rtol=0.05)
    np.testing.assert_allclose(np.mean(noise, axis=0), 0, atol=4 * scene.sigma / np.sqrt(batch * 4000))


def test_noise_makes_sgd_wander_and_robbins_monro_settle():
    settings = Settings((0.5, 0.2), {"gradient_descent": {"lr": 0.03}, "sgd": {"lr": 0.3, "power": 1.0}}, (10.0,), 1000, batch=1)
    runs = paths(RAVINE, settings).runs
    late = {n: np.median(r.f[-200:]) for n, r in runs.items()}
    assert late["sgd"] < late["gradient_descent"] / 10


def test_the_same_seed_gives_the_same_noise_to_every_method():
    runs = paths(RAVINE, Settings((0.5, 0.2), {n: {"lr": 0.02} for n in ("gradient_descent", "sgd")}, (10.0,), 20, batch=2)).runs
    np.testing.assert_allclose(runs["sgd"].x, runs["gradient_descent"].x, rtol=1e-12)
    other = paths(RAVINE, Settings((0.5, 0.2), {"sgd": {"lr": 0.02}}, (10.0,), 20, batch=2, seed=1)).runs
    assert np.abs(other["sgd"].x[1:] - runs["sgd"].x[1:]).max() > 1e-3


def test_a_run_that_leaves_every_bound_ends_and_says_so():
    run = paths(RAVINE, Settings((1.0, 0.5), {"gradient_descent": {"lr": 10.0}}, (1000.0,), 200)).runs["gradient_descent"]
    assert Status(run.status) in (Status.NONFINITE, Status.UNBOUNDED)
    assert run.nit < 200


def test_typed_formulas_run_like_built_in_ones():
    typed = paths(TYPED, Settings((-1.2, 1.0), {"adam": {}}, (parse("100(y - x^2)^2 + (1 - x)^2"),), 9)).runs["adam"]
    known = paths(SCENES["rosenbrock"], Settings((-1.2, 1.0), {"adam": {}}, (), 9)).runs["adam"]
    np.testing.assert_allclose(typed.x, known.x, rtol=1e-9)
    squares = paths(TYPED_RESIDUAL, Settings((-1.2, 1.0), {"adam": {}}, (parse("sqrt(2)*10(y - x^2), sqrt(2)(1 - x)"),), 9))
    np.testing.assert_allclose(squares.runs["adam"].x, known.x, rtol=1e-9)


def test_step_sizes_are_the_best_of_the_grid_that_do_not_climb():
    settings = Settings((-1.8, 0.6), {"gradient_descent": {}, "bfgs": {}}, (100.0,), 50)
    found = step_sizes(RAVINE, settings)
    assert list(found) == ["gradient_descent"]
    lr = found["gradient_descent"]["lr"]
    assert 0.01 < lr < 0.02  # the largest stable one is 2/κ
    run = paths(RAVINE, settings._replace(methods={"gradient_descent": {"lr": lr}})).runs["gradient_descent"]
    assert (np.diff(run.f) <= 0).all()
