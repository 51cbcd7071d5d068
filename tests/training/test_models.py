"""Flax NNX states and Equinox modules are trees like any other."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import ravine as rv


@pytest.fixture
def data():
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    return x, np.sin(3 * x[:, 0])


class Net(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(1, 16, rngs=rngs, param_dtype=jnp.float32)
        self.out = nnx.Linear(16, 1, rngs=rngs, param_dtype=jnp.float32)

    def __call__(self, x):
        return self.out(jnp.tanh(self.hidden(x)))[:, 0]


def test_a_flax_nnx_state(data):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        graph, state = nnx.split(Net(nnx.Rngs(0)))

        def loss(state, batch):
            x, y = batch
            return jnp.mean((nnx.merge(graph, state)(x) - y) ** 2)

        result = rv.train(loss, state, data, rv.Adam(0.03), batch_size=16, epochs=300, validation=data)
        assert isinstance(result.x, nnx.State)
        assert jax.tree.structure(result.x) == jax.tree.structure(state)
        assert result.history["loss"][-1] < 0.02 * result.history["loss"][0]
        net = nnx.merge(graph, result.x)
        np.testing.assert_allclose(jnp.mean((net(data[0]) - data[1]) ** 2), result.history["validation_loss"][-1], rtol=1e-5)


def test_a_flax_state_with_counters_is_to_be_split(data):
    class Dropped(nnx.Module):
        def __init__(self, rngs):
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.linear = nnx.Linear(1, 1, rngs=rngs)

    state = nnx.state(Dropped(nnx.Rngs(0)))
    with pytest.raises(TypeError, match="parameters must be"):
        rv.train(lambda s, b: jnp.float32(0), state, data, "adam", epochs=1)


@pytest.mark.parametrize("method", [rv.Adam(0.03), optax.adam(0.03)])
def test_an_equinox_module(data, method):
    model = eqx.nn.MLP(1, "scalar", 16, 1, activation=jnp.tanh, key=jax.random.key(0), dtype=jnp.float32)

    def loss(model, batch):
        x, y = batch
        return jnp.mean((jax.vmap(model)(x) - y) ** 2)

    result = rv.train(loss, model, data, method, batch_size=16, epochs=300, validation=data, metrics={"again": loss})
    assert isinstance(result.x, eqx.nn.MLP)
    assert result.x.activation is model.activation
    assert result.history["loss"][-1] < 0.02 * result.history["loss"][0]
    np.testing.assert_allclose(loss(result.x, data), result.history["validation_loss"][-1], rtol=1e-4)
    np.testing.assert_allclose(loss(result.best.x, data), result.history["again"].min(), rtol=1e-4)


def test_the_rate_of_a_dropout_is_not_trained(data):
    keys = jax.random.split(jax.random.key(0))
    model = eqx.nn.Sequential([eqx.nn.Linear(1, 4, key=keys[0]), eqx.nn.Dropout(0.25), eqx.nn.Linear(4, 1, key=keys[1])])

    def loss(model, batch):
        x, y = batch
        with jax.numpy_dtype_promotion("standard"):
            return jnp.mean((jax.vmap(lambda v: model(v, key=keys[0]))(x)[:, 0] - y) ** 2)

    result = rv.train(loss, model, data, "adam", batch_size=16, epochs=3)
    assert result.x.layers[1].p == 0.25
    assert not np.array_equal(result.x.layers[0].weight, model.layers[0].weight)


def test_a_partial_carries_arrays_that_may_change_without_compiling(traces):
    def loss(scale, params, batch):
        return jnp.mean((scale * params - batch) ** 2)

    counted = traces(loss)
    data, start = np.ones(8, np.float32), jnp.zeros((1,), jnp.float32)
    rv.train(functools.partial(counted, jnp.float32(1)), start, data, rv.SGD(0.1), epochs=5)
    seen = counted.count
    result = rv.train(functools.partial(counted, jnp.float32(2)), start, data, rv.SGD(0.1), epochs=99)
    assert counted.count == seen
    np.testing.assert_allclose(result.x, 0.5, rtol=1e-5)
