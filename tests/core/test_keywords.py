"""Keywords of other libraries are answered with what takes their place."""

import inspect
import re

import jax.numpy as jnp
import pytest

import ravine as rv
from ravine.core.keywords import CURES, with_cures

DOORS = [rv.minimize, rv.minimize_batch, rv.least_squares, rv.least_squares_batch, rv.curve_fit, rv.linear_solve, rv.train]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rv.minimize(jnp.sum, jnp.ones(2), jac=True), "minimize has no jac: JAX differentiates"),
        (lambda: rv.minimize(jnp.sum, jnp.ones(2), options={"maxiter": 5}), r"minimize has no options: .*rv\.MaxSteps\(500\)"),
        (lambda: rv.least_squares(jnp.sin, jnp.ones(2), max_nfev=5), r"least_squares has no max_nfev: .*MaxEvaluations\(n\)"),
        (lambda: rv.curve_fit(jnp.add, [1.0], [2.0], [1.0], maxfev=5), r"curve_fit has no maxfev: .*MaxEvaluations\(n\)"),
        (lambda: rv.curve_fit(jnp.add, [1.0], [2.0], [1.0], weights=5), "curve_fit has no weights: say sigma=1/weights"),
        (
            lambda: rv.least_squares_batch(jnp.sin, jnp.ones((2, 1)), max_nfev=5),
            "least_squares_batch has no max_nfev: it takes .*max_steps",
        ),
        (lambda: rv.minimize(jnp.sum, jnp.ones(2), implicit_diff=True), "minimize has no implicit_diff: derivatives of a solution"),
        (lambda: rv.minimize(jnp.sum, jnp.ones(2), maxls=20), "minimize has no maxls: line searches belong to the method"),
        (lambda: rv.linear_solve(jnp.eye(2), jnp.ones(2), M=jnp.eye(2)), "linear_solve has no M: say preconditioner="),
        (lambda: rv.compare("sphere", method="adam"), r"compare has no method: say methods=\[…\]"),
        (lambda: rv.minimize(jnp.sum, jnp.ones(2), methods="adam"), "minimize has no methods: say method="),
        (lambda: rv.train(jnp.sum, jnp.ones(2), jnp.ones(2), lr=0.1), r"train has no lr: .*method=rv\.Adam\(1e-3\)"),
    ],
)
def test_a_keyword_of_another_library_gets_its_cure(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_other_unknown_keywords_are_left_to_python():
    with pytest.raises(TypeError, match="unexpected keyword argument 'methode'"):
        rv.minimize(jnp.sum, jnp.ones(2), methode="bfgs")


@pytest.mark.parametrize("door", DOORS, ids=lambda d: d.__name__)
def test_front_doors_keep_their_names_and_signatures(door):
    assert "Example:" in door.__doc__
    assert next(iter(inspect.signature(door).parameters)) in ("fun", "f", "A", "loss")


def test_a_keyword_that_a_front_door_takes_is_its_own():
    @with_cures
    def solve(x, maxiter=3):
        return x + maxiter

    assert "maxiter" in CURES
    assert solve(1, maxiter=4) == 5


def test_what_the_cures_name_is_there():
    named = re.findall(r"rv\.(\w+)", " ".join(CURES.values()))
    assert len(named) > 5
    assert all(hasattr(rv, name) for name in named)
