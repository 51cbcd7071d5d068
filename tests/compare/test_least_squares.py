"""The methods of least squares join the race on problems that have residuals."""

import dataclasses

import jax
import numpy as np
import pytest

import ravine as rv
from ravine.compare.race_functions import oracles
from ravine.core.flat import Layout
from ravine.core.problem import LeastSquares, Objective
from ravine.problems import registry
from ravine.problems.networks import cross_entropy


def test_they_race_on_residuals_and_reach_the_certified_end():
    names = ["levenberg_marquardt", "dogleg", "gauss_newton"]
    race = rv.compare("nist[name=Misra1a]", names, budget="60steps", seeds=1)
    assert {e.name for e in race.entries} == set(names)
    for entry in race.entries:
        assert entry.reached(race.target) == 1, entry.name


def test_a_network_by_generalised_gauss_newton_races_first_order_methods_on_its_cross_entropy():
    problem = registry.make("digits_mlp_softmax", width=3, examples=30)
    params = problem.start(jax.random.key(0))
    layout = Layout.vector(params)
    x = layout.pack(params)
    expected = cross_entropy(problem.residual.__self__)(params, (problem.args[0], problem.residual_loss.labels))
    for kind in (LeastSquares, Objective):
        np.testing.assert_allclose(oracles(problem, kind, layout).value(x), expected, rtol=1e-6)
    race = rv.compare(problem, ["levenberg_marquardt", "lbfgs"], budget="25steps", seeds=1, target=0.3)
    curves = {e.name: e.curves[0] for e in race.entries}
    assert len({round(float(c.loss[0]), 5) for c in curves.values()}) == 1
    assert curves["levenberg_marquardt"].first(0.3) < 25
    ours, theirs = (dataclasses.replace(race, entries=(e,)).code for e in sorted(race.entries, key=lambda e: e.name == "lbfgs"))
    assert "least_squares(residual, x0, method=method)" in ours
    assert "minimize(fun, x0, method=method)" in theirs  # least_squares would refuse it


def test_a_loss_of_residuals_needs_residuals():
    with pytest.raises(ValueError, match="residual_loss is made of residuals"):
        rv.Problem(fun=lambda x: x @ x, x0=np.ones(2), residual_loss="huber")
