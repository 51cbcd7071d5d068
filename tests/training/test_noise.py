"""Gradient noise against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.training.noise import GradientNoise


def half_square(w, batch):
    x, y = batch
    return jnp.mean(0.5 * (x @ w - y) ** 2)


def test_linear_regression_with_known_covariance():
    # x ~ N(0, C), y = x·w* + N(0, σ²), d = w − w*: G = C d and, by Isserlis' theorem for E[x xᵀ d dᵀ x xᵀ],
    # Σ = (dᵀC d + σ²) C + C d dᵀ C.
    rng = np.random.default_rng(0)
    C = np.diag([4.0, 1.0, 0.25])
    x = rng.normal(size=(200_000, 3)) @ np.sqrt(C)
    w_star, d, sigma = np.array([1.0, -1.0, 2.0]), np.array([0.5, 1.0, -1.0]), 0.7
    y = x @ w_star + sigma * rng.normal(size=len(x))
    signal = np.sum((C @ d) ** 2)
    trace = (d @ C @ d + sigma**2) * np.trace(C) + signal
    noise = rv.gradient_noise(half_square, jnp.asarray(w_star + d), (x, y), batch_sizes=(2, 8, 32, 128), draws=3000)
    np.testing.assert_allclose(noise.signal, signal, rtol=0.02)
    np.testing.assert_allclose(noise.trace, trace, rtol=0.03)
    np.testing.assert_allclose(noise.noise_scale, trace / signal, rtol=0.04)


def test_the_variance_of_a_finite_data_set_falls_as_one_over_the_batch():
    rng = np.random.default_rng(1)
    x, y, w = rng.normal(size=(50, 4)), rng.normal(size=50), rng.normal(size=4)
    g = (x @ w - y)[:, None] * x  # the gradient of each example
    G, trace = g.mean(0), np.var(g, axis=0).sum()
    noise = rv.gradient_noise(half_square, jnp.asarray(w), (x, y), batch_sizes=(1, 4, 16, 64, 256), draws=4000, key=2)
    np.testing.assert_allclose(noise.signal, G @ G, rtol=1e-12)
    # Drawn with replacement: no correction (n − B)/(n − 1), and a batch may be larger than the data.
    np.testing.assert_allclose(noise.variance * noise.batch_sizes, trace, rtol=0.08)
    slope = np.polyfit(np.log(noise.batch_sizes), np.log(noise.variance), 1)[0]
    np.testing.assert_allclose(slope, -1, atol=0.02)


def test_progress_is_half_at_the_noise_scale():
    noise = GradientNoise((1, 10, 1000), np.array([10.0, 1.0, 0.01]), 10.0, 1.0)
    assert noise.noise_scale == 10
    np.testing.assert_allclose(noise.progress, [1 / 11, 1 / 2, 100 / 101])


def test_the_table_has_a_row_a_batch_size():
    x = np.array([1.0, 3.0])
    noise = rv.gradient_noise(lambda w, x: jnp.mean(0.5 * (w - x) ** 2), jnp.zeros(()), x, batch_sizes=(1, 8), draws=400)
    head, one, eight, last = str(noise).splitlines()
    assert "progress a step" in head
    assert one.split()[0] == "1"
    assert eight.split()[0] == "8"
    assert f"= {noise.noise_scale:.3g}" in last


def test_a_stationary_point_is_all_noise():
    x = np.array([-1.0, 1.0])
    noise = rv.gradient_noise(lambda w, x: jnp.mean(0.5 * (w - x) ** 2), jnp.zeros(()), x, batch_sizes=(1,), draws=10)
    assert noise.noise_scale == np.inf
    np.testing.assert_array_equal(noise.progress, 0)
    assert "inf" in str(noise)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_trees_of_parameters_and_the_default_sizes(dtype, line, start, loss):
    params = jax.tree.map(lambda v: v.astype(dtype), start)
    batch = jax.tree.map(lambda v: v.astype(dtype), line)
    noise = rv.gradient_noise(loss, params, batch, draws=50)
    assert noise.batch_sizes == (1, 4, 16, 64)
    exact = jax.vmap(jax.grad(loss), (None, 0))(start, jax.tree.map(lambda v: v[:, None], line))
    trace = sum(float(jnp.var(v, axis=0).sum()) for v in jax.tree.leaves(exact))
    np.testing.assert_allclose(noise.trace, trace, rtol=0.2)
    np.testing.assert_allclose(noise.signal, optax.tree.norm(jax.grad(loss)(start, line), squared=True), rtol=0.02)


def test_the_same_key_gives_the_same_numbers(line, start, loss):
    one, same, other = (rv.gradient_noise(loss, start, line, key=k, draws=5) for k in (1, 1, 2))
    np.testing.assert_array_equal(one.variance, same.variance)
    assert (one.variance != other.variance).any()


def test_bad_input(line, start, loss):
    x, y = line
    for match, keywords in (("batch_sizes", {"batch_sizes": (0,)}), ("batch_sizes", {"batch_sizes": ()}), ("draws", {"draws": 0})):
        with pytest.raises(ValueError, match=match):
            rv.gradient_noise(loss, start, line, **keywords)
    with pytest.raises(ValueError, match="disagree on the number of examples"):
        rv.gradient_noise(loss, start, (x, y[1:]))
    with pytest.raises(ValueError, match="loss must return a scalar"):
        rv.gradient_noise(lambda p, b: b[0], start, line)
    with pytest.raises(ValueError, match="not finite"):
        rv.gradient_noise(loss, start, (x * np.nan, y), draws=1)
    with pytest.raises(TypeError, match="floating point"):
        rv.gradient_noise(loss, {"w": np.arange(3), "b": np.float32(0)}, line)


def test_one_example_shows_no_noise():
    with pytest.raises(ValueError, match=r"data has one example: .*pass two at least"):
        rv.gradient_noise(lambda w, x: jnp.mean((w - x) ** 2), jnp.zeros(()), jnp.ones(1))
