"""What a race says of a problem of the user's own is so, and what is wrong with it is said before anything runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.compare.comparison import which
from ravine.compare.load import load_problem
from tests.compare.conftest import curve, entry

rng = np.random.default_rng(0)
X = rng.normal(size=(64, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32)


def loss(p, batch):
    x, y = batch
    return jnp.mean((x @ p["w"] - y) ** 2)


def problem(**more):
    how = {
        "name": "lin",
        "loss": loss,
        "init": lambda key: {"w": jax.random.normal(key, (3,), jnp.float32)},
        "data": (X, Y),
        "batch_size": 16,
        "validation": (X[:20], Y[:20]),
        "metrics": {"mae": lambda p, b: jnp.mean(jnp.abs(b[0] @ p["w"] - b[1]))},
        "target": 0.01,
    }
    return rv.Problem(**(how | more))


@pytest.mark.parametrize(("name", "shown"), [("accuracy", 0.9), ("top5_error", 0.2), ("mae", 0.5), ("validation loss", 0.2)])
def test_of_a_measure_the_value_is_shown_that_its_name_asks_for(name, shown):
    one = curve([1.0, 0.5, 0.4])
    object.__setattr__(one, "validation", {name: np.array([0.9, 0.2, 0.5])})
    assert entry("sgd", [one]).validated(name).tolist() == [shown]
    assert which(name) in ("largest", "smallest", "last")


def test_a_measure_of_which_less_is_better_is_not_shown_at_its_worst():
    done = rv.compare(problem(), ["sgd"], budget="5epochs", seeds=1, trials=4)
    values = done.winner.curves[0].validation["mae"]
    assert done.rows()[0]["mae"] == pytest.approx(values[-1])
    assert values[-1] < values[0]
    assert "final mae" in done.table(200)


@pytest.mark.parametrize(("size", "method"), [(16, "sgd"), (None, "sgd"), (16, "gradient_descent")])
def test_the_code_that_is_printed_has_the_epochs_that_were_run(size, method):
    done = rv.compare(problem(batch_size=size), [method], budget="5epochs", seeds=1, trials=2)
    assert "epochs=5, key=0)" in done.code


def test_the_code_that_is_printed_runs_for_a_method_that_takes_all_data_at_once():
    done = rv.compare(problem(), ["bfgs"], budget="10epochs", seeds=1)
    there = {"loss": loss, "params": {"w": jnp.zeros(3, jnp.float32)}, "data": (X, Y)}
    exec(done.code, there)
    assert there["result"].success


def test_a_metric_that_is_no_number_is_refused_before_the_race():
    wrong = problem(metrics={"mae": lambda p, b: jnp.abs(b[0] @ p["w"] - b[1])})
    with pytest.raises(ValueError, match="metric 'mae' must be a scalar"):
        rv.compare(wrong, ["sgd"], budget="1epochs")


@pytest.mark.parametrize("which_data", ["data", "validation"])
def test_data_that_are_not_finite_are_refused_before_the_race(which_data):
    bad = X.copy()
    bad[7, 0] = np.nan
    with pytest.raises(ValueError, match="have 1 numbers that are not finite"):
        rv.compare(problem(**{which_data: (bad, Y)}), ["sgd"], budget="1epochs")


def test_without_tuning_no_note_speaks_of_it():
    done = rv.compare("sphere", ["bfgs", "adam"], budget="20steps", tune=False)
    assert not any("were tuned on that run" in w for w in done.warnings)
    assert any("were not tuned" in w for w in done.warnings)


@pytest.mark.parametrize("method", ["bfgs", "nonlinear_cg"])
def test_gradients_of_a_race_are_those_of_the_iteration_that_took_them(method):
    done = rv.compare("rosenbrock", [method], budget="12steps", seeds=1)
    work = done.winner.curves[0].work
    raced = load_problem("rosenbrock")
    for k in (1, 3, 6):
        assert work[k] == rv.minimize(raced.fun, raced.x0, method=method, stop=rv.MaxSteps(k)).njev


@pytest.mark.parametrize("budget", ["1.5steps", "0.5epochs", "2.5grads"])
def test_a_budget_of_a_part_of_a_step_is_refused(budget):
    with pytest.raises(ValueError, match="must be a whole number of"):
        rv.compare(problem(), ["sgd"], budget=budget)
