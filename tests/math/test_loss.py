"""Softmax cross-entropy in least-squares form, and networks trained with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.math.loss import SoftmaxCrossEntropy

rng = np.random.default_rng(2)
X = rng.standard_normal((12, 5))
labels = jnp.asarray(rng.integers(0, 3, 12))


def network(p, X):
    return jnp.tanh(X @ p["W"] + p["b"][None]) @ p["V"]


def start(hidden):
    draw = np.random.default_rng(0)
    return {"W": draw.standard_normal((5, hidden)) / 2, "b": np.zeros(hidden), "V": draw.standard_normal((hidden, 3)) / 2}


def test_it_is_the_gradient_and_the_hessian_in_the_logits():
    loss = SoftmaxCrossEntropy(labels)
    z = jnp.asarray(rng.standard_normal(36))
    r, weigh = loss.correct(z)
    S = jax.vmap(weigh, in_axes=1, out_axes=1)(jnp.eye(36))
    np.testing.assert_allclose(S.T @ r, jax.grad(loss.cost)(z), atol=1e-14)
    np.testing.assert_allclose(S.T @ S, jax.hessian(loss.cost)(z), atol=1e-14)
    np.testing.assert_allclose(loss.cost(z), -jnp.mean(jax.nn.log_softmax(z.reshape(12, 3))[np.arange(12), labels]), rtol=1e-12)


@pytest.mark.parametrize("linear", [rv.QRStep(), rv.DualStep(), rv.PCGStep(tol=1e-10)])
def test_a_network_is_trained_by_generalised_gauss_newton(linear):
    method = rv.LevenbergMarquardt(linear=linear, damping=rv.Nielsen())
    loss = SoftmaxCrossEntropy(labels)
    r = rv.least_squares(network, start(8), (X,), method, loss=loss, stop=rv.MaxSteps(30))
    assert r.fun < 0.01
    assert np.all(jnp.argmax(network(r.x, X), axis=1) == labels)


def test_a_network_is_trained_on_squares_with_fewer_residuals_than_parameters():
    targets = jax.nn.one_hot(labels, 3)
    r = rv.least_squares(lambda p, X: network(p, X) - targets, start(10), (X,))
    assert "36×36 kernel of 2 layers" in r.why
    assert r.success
    assert r.fun < 1e-12
