"""Budgets: what they stand for, and that a run ends before it has done more than its budget of work."""

import numpy as np
import pytest

import ravine as rv
from ravine.compare.budget import read_budget
from ravine.compare.load import load_problem


@pytest.mark.parametrize(
    ("problem", "given", "words"),
    [
        ("sphere", None, "1,000 iterations"),
        ("sphere", 7, "7 iterations"),
        ("sphere", "1step", "1 iteration"),
        ("sphere", "5000grads", "5,000 gradients"),
        ("sphere", "2min", "120 s for all methods together, 100,000 iterations at most"),
        ("digits_mlp", None, "20 epochs"),
        ("digits_mlp", "200gradients", "200 gradients of batches (10 epochs)"),
        ("poisson[n=4]", "30products", "30 products"),
    ],
)
def test_a_budget_in_words(problem, given, words):
    assert read_budget(given, load_problem(problem)).words == words


@pytest.mark.parametrize(
    ("problem", "given", "words"),
    [
        ("sphere", "30products", "the work on problem 'sphere' is counted in gradients; write budget '30gradients'"),
        ("poisson[n=4]", "30grads", "is counted in products"),
        ("sphere", "30horses", "cannot be read"),
        ("sphere", "1e400steps", "is above 1,000,000, for which there is no room"),
        ("sphere", "1e13steps", "is above 1,000,000"),
        ("digits_mlp", "5grads", "is less than an epoch of 'digits_mlp', which has 20 batches"),
    ],
)
def test_a_unit_that_the_problem_does_not_have(problem, given, words):
    with pytest.raises(ValueError, match=words):
        read_budget(given, load_problem(problem))


def test_a_run_ends_before_it_has_done_more_gradients_than_its_budget():
    """As many iterations as `minimize` does within those gradients, and not one more."""
    race = rv.compare("rosenbrock", ["newton", "bfgs", "adam"], budget="40grads", trials=3, target=1e-30)
    for e in race.entries:
        (c,) = e.curves
        assert c.work[-1] <= 40
        assert c.status == "MAX_WORK"
    problem, n = load_problem("rosenbrock"), len(next(e for e in race.entries if e.name == "newton").curves[0].iteration) - 1
    longer = rv.minimize(problem.fun, problem.x0, method="newton", stop=rv.MaxSteps(n + 1))
    assert longer.work["g"] + 2 * longer.work["h"] > 40


def test_work_that_is_not_spent_changes_nothing():
    free, bound = (rv.compare("rosenbrock", ["bfgs"], budget=b).winner.curves[0] for b in ("300steps", "3000grads"))
    np.testing.assert_array_equal(free.loss, bound.loss)
    assert free.status == bound.status == "CONVERGED"


def test_gradients_of_batches_are_steps_and_full_gradients_count_as_an_epoch():
    race = rv.compare("digits_mlp[width=8]", ["sgd", "lbfgs"], budget="60grads", seeds=1, trials=2)
    ends = {e.name: e.curves[0] for e in race.entries}
    assert ends["sgd"].iteration[-1] == 60
    assert ends["lbfgs"].work[-1] <= 3  # the budget is 3 epochs; sgd drops the examples that fill no batch


def test_epochs_are_as_many_gradients_for_what_takes_all_data_at_once():
    race = rv.compare("digits_mlp[width=8]", ["sgd", "lbfgs"], budget="4epochs", seeds=1, trials=2)
    lbfgs = next(e for e in race.entries if e.name == "lbfgs").curves[0]
    assert 3 <= lbfgs.work[-1] <= 4
    free = rv.compare("digits_mlp[width=8]", ["sgd", "lbfgs"], budget="40steps", seeds=1, trials=2)
    assert "Budget of what takes all data at once (lbfgs): 40 iterations." in free.warnings


def test_a_linear_system_within_a_budget_of_products():
    race = rv.compare("poisson[n=12]", ["cg", "jacobi"], budget="9products", target=1e-12)
    for e in race.entries:
        assert e.curves[0].work[-1] <= 9
        assert e.curves[0].status == "MAX_WORK"
