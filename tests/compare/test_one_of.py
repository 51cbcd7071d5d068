"""Rules that share one program move as they do alone; gradient descent over minibatches is gradient descent on all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.compare.budget import Budget
from ravine.compare.contenders import contenders
from ravine.compare.one_of import OneOf, WholeGradient
from ravine.compare.race_training import TrainingRace
from ravine.core.choice import as_method
from ravine.core.hyperparameters import with_values
from ravine.core.problem import Training
from ravine.core.registry import method_class, names
from ravine.problems.training import digits_mlp

ELEMENTWISE = tuple(method_class(n)() for n in names("first_order") if method_class(n).scope == "element")


def walk(rule, steps=7):
    """The points that a rule comes to on a crooked function, and where it looked."""
    x = {"a": jnp.array([1.0, -2.0, 0.5]), "b": jnp.array([[0.3, 4.0]])}
    state, seen = rule.init(x), []

    @jax.jit
    def step(state, x):
        at = rule.look_at(state, x)
        g = jax.grad(lambda p: sum(jnp.sum(jnp.sin(v) + v**2) for v in jax.tree.leaves(p)))(at)
        u, state = rule.update_ahead(g, state, x)
        return state, jax.tree.map(jnp.add, x, u), at

    for _ in range(steps):
        state, x, at = step(state, x)
        seen += [*jax.tree.leaves(x), *jax.tree.leaves(at)]
    return np.concatenate([np.ravel(v) for v in seen])


@pytest.mark.parametrize("which", range(len(ELEMENTWISE)), ids=lambda i: type(ELEMENTWISE[i]).__name__)
def test_a_rule_among_others_moves_as_it_does_alone(which):
    alone = with_values(ELEMENTWISE[which], {"lr": 0.05})
    among = OneOf(0.05, which=jnp.int32(which), rules=ELEMENTWISE)
    np.testing.assert_allclose(walk(among), walk(alone), rtol=1e-12)


def test_gradient_descent_over_batches_is_gradient_descent_on_all_of_them():
    targets = jnp.arange(12.0).reshape(4, 3)  # four batches of three
    rule, x = WholeGradient(rv.GradientDescent(0.1), 4), jnp.array(10.0)
    state = rule.init(x)
    for epoch in range(3):
        before = x
        for batch in targets:
            u, state = rule.update(jnp.mean(x - batch), state, x)
            x = x + u
        np.testing.assert_allclose(x, before - 0.1 * (before - targets.mean()), rtol=1e-12, err_msg=f"epoch {epoch}")


def test_rules_of_a_race_share_one_program(monkeypatch):
    traces = 0

    def counted(fun):
        def call(*args):
            nonlocal traces
            traces += 1
            return fun(*args)

        return call

    problem = digits_mlp(width=8)
    object.__setattr__(problem, "loss", counted(problem.loss))
    racing = contenders(["sgd", "adam", "nesterov"], "loss")
    race = TrainingRace(problem, (0,), (1,), np.array([0.01, 0.1]), racing)
    counts = []
    for contender in racing:
        race.run(contender, Budget(1, 1, "1 epoch"), lambda: False)
        counts.append(traces)
    assert counts[0] == counts[1] == counts[2] > 0


def test_what_cannot_share_a_program_has_its_own(monkeypatch):
    racing = contenders(["sgd", "muon", "prodigy", rv.Adam(0.1)], "loss")
    race = TrainingRace(digits_mlp(width=8), (0,), (1,), np.array([0.01, 0.1]), racing)
    assert [race.shares(c) for c in racing] == [True, False, False, False]
    assert race.method(racing[1]) == as_method("muon", Training)
    monkeypatch.setattr("ravine.compare.race_training.ROOM", 1000)
    large = TrainingRace(digits_mlp(width=8), (0,), (1,), np.array([0.01, 0.1]), racing)
    assert not any(large.shares(c) for c in racing)
