"""The range test: on a function whose largest step size is known, on curves made by hand, and on the digits."""

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.compare.range_test import read_curve

BOX = rv.Problem(name="box", fun=lambda x: jnp.sum(x**2), x0=jnp.ones(2), bounds=(0.5, 2.0))


@pytest.mark.parametrize("curvature", [1e-2, 1.0, 1e2])
def test_gradient_descent_is_told_a_step_below_two_over_the_curvature(curvature):
    bowl = rv.Problem(name="bowl", fun=lambda x: 0.5 * curvature * jnp.sum(x**2), x0=jnp.ones(3))
    found = rv.lr_find(bowl, "gradient_descent", start=1e-6 / curvature, end=100 / curvature, steps=200)
    assert 0.01 / curvature < found.suggestion < 2 / curvature
    assert found.diverged_at > 2 / curvature
    np.testing.assert_allclose(found.lrs[[0, -1]], [1e-6 / curvature, found.lrs[-1]])
    np.testing.assert_allclose(np.diff(np.log(found.lrs)), np.log(1e8) / 199, rtol=1e-6)


def test_the_losses_are_those_of_the_run_itself():
    start = jnp.array([1.0, -2.0])

    def fun(x):
        return jnp.sum(jnp.cosh(x))

    found = rv.lr_find(rv.Problem(name="own", fun=fun, x0=start), "momentum", start=1e-3, end=1.0, steps=20)
    rule, x, losses = rv.Momentum(), np.array(start), []
    v = np.zeros(2)
    for lr in found.lrs:
        losses.append(np.sum(np.cosh(x)))
        v = rule.beta * v - lr * np.sinh(x)
        x = x + v
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)


def test_the_readings_of_a_curve_made_by_hand():
    lrs = np.geomspace(1e-5, 10, 61)
    steps = np.log10(lrs)
    losses = np.where(steps < -3, 2.0, np.where(steps < -1, 2.0 - 0.8 * (steps + 3), 0.4 + 5 * (steps + 1) ** 2))
    found = read_curve(lrs, losses)
    assert 1e-3 < found.candidates["steepest"] < 0.3
    assert 1e-3 < found.candidates["valley"] < 0.3
    assert found.candidates["min_over_10"] == pytest.approx(found.lrs[found.smoothed.argmin()] / 10)
    assert found.suggestion == sorted(found.candidates.values())[1]
    blown = np.where(lrs > 1, np.nan, losses)
    assert read_curve(lrs, blown).diverged_at == lrs[lrs > 1][0]


def test_a_loss_that_never_falls_gives_no_suggestion():
    found = read_curve(np.geomspace(1e-3, 1, 20), np.linspace(1, 3, 20))
    assert found.suggestion is None
    assert found.candidates == {}


@pytest.mark.parametrize("method", ["sgd", "momentum", "adam", "lion"])
def test_what_is_suggested_trains_the_digits(method):
    """Half an epoch's range test beats the step size that the method comes with, or comes near it, within four epochs."""
    found = rv.lr_find("digits_mlp[width=16]", method)
    suggested = rv.compare("digits_mlp[width=16]", [f"{method}[lr={found.suggestion}]"], budget="4epochs", seeds=1).winner.final
    shipped = rv.compare("digits_mlp[width=16]", [method], budget="4epochs", seeds=1, tune=False).winner.final
    assert suggested < 1.05 * shipped
    assert suggested < 1.0


def test_residuals_and_the_loss_over_all_data_have_step_sizes_too():
    assert rv.lr_find("rosenbrock", "adam").suggestion > 0
    assert rv.lr_find("digits_logistic", "adam").suggestion > 0
    problem = rv.Problem(name="fit", residual=lambda x: x - jnp.arange(3.0), x0=jnp.zeros(3))
    assert 1e-3 < rv.lr_find(problem, "gradient_descent").suggestion < 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rv.lr_find("sphere", "bfgs"), "bfgs has no step size to look for: take a first-order rule, such as 'adam'"),
        (lambda: rv.lr_find("sphere", "adma"), "did you mean 'adam'"),
        (lambda: rv.lr_find("sphere", start=1.0, end=0.1), "the first less than the second"),
        (lambda: rv.lr_find("sphere", "first_order"), "stands for .* methods: name one of them"),
        (lambda: rv.lr_find("sphere", "adam[lr=0.1]"), "has a step size already: leave it out"),
        (lambda: rv.lr_find("sphere", start="a"), "start and end must be step sizes"),
        (lambda: rv.lr_find(BOX), "has bounds, which rules with a step size do not know"),
        (lambda: rv.lr_find("sphere", steps=3), "steps must be a whole number of at least 10"),
        (lambda: rv.lr_find("poisson[n=4]"), "is a linear system: its methods have no step size"),
    ],
)
def test_a_wrong_call_is_told_the_right_one(call, words):
    with pytest.raises(ValueError, match=words):
        call()
