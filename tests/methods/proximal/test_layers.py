"""prox_linear and prox_conv against their definition, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import ravine as rv
from ravine.problems.networks import MLP


def numbers(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape)) for shape in shapes]


def test_the_direction_is_the_step_of_the_layers_proximal_problem():
    A, W, b, Y = numbers(0, (6, 4), (4, 3), (3,), (6, 3))
    tau = 0.7

    def loss(W, b, A):
        return jnp.mean(jnp.sum((jnp.tanh(rv.prox_linear(A, W, b, tau)) - Y) ** 2, 1))

    dW, db, dA = jax.grad(loss, (0, 1, 2))(W, b, A)
    E = jax.grad(lambda Z: jnp.mean(jnp.sum((jnp.tanh(Z) - Y) ** 2, 1)))(A @ W + b[None])
    # argmin ½‖Ãθ − (Z − E)‖² + ‖θ − θ_k‖²/(2τ), as one least-squares problem
    full, theta = np.concatenate([A, np.ones((6, 1))], 1), np.concatenate([W, b[None]], 0)
    system = np.concatenate([full, np.eye(5) / np.sqrt(tau)])
    target = np.concatenate([full @ theta - np.asarray(E), theta / np.sqrt(tau)])
    new = np.linalg.lstsq(system, target, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate([dW, db[None]], 0), theta - new, rtol=1e-9)
    np.testing.assert_allclose(dA, E @ W.T, rtol=1e-12)  # what the layer below gets is the ordinary signal


def test_algorithm_1_with_explicit_steps_is_gradient_descent():
    """Proposition 1: the penalty energy's coordinate steps, with ρ = γ = 1/τ, written out by hand for two hidden layers."""
    net, tau = MLP((5, 4, 3, 2), "tanh"), 0.1
    params = net.init(jax.random.key(0), jnp.float64)
    x, y = numbers(1, (7, 5), (7, 2))

    def head(last, a):
        return jnp.mean(jnp.sum((a @ last.W + last.b[None] - y) ** 2, 1))

    def derivative(z):
        return 1 - jnp.tanh(z) ** 2

    a, z = [x], []
    for layer in params[:-1]:
        z.append(a[-1] @ layer.W + layer.b[None])
        a.append(jnp.tanh(z[-1]))
    gradient_last, gradient_a = jax.grad(head, (0, 1))(params[-1], a[-1])
    stepped = [jax.tree.map(lambda p, g: p - tau * g, params[-1], gradient_last)]
    a_new = a[-1] - tau * gradient_a
    for l in (1, 0):
        z_new = z[l] - derivative(z[l]) * (jnp.tanh(z[l]) - a_new)
        residual = z[l] - z_new  # φ(θ_l, a_{l−1}) − z_l⁺
        a_new = a[l] - residual @ params[l].W.T
        # (c) explicit: one gradient step of unit length on ½‖φ(θ, a) − z⁺‖²
        stepped.insert(0, type(params[l])(params[l].W - a[l].T @ residual, params[l].b - residual.sum(0)))
    gradient = jax.grad(lambda p: jnp.mean(jnp.sum((net.apply(p, x) - y) ** 2, 1)))(params)
    want = jax.tree.map(lambda p, g: p - tau * g, params, gradient)
    jax.tree.map(lambda got, w: np.testing.assert_allclose(got, w, rtol=1e-12, atol=1e-14), tuple(stepped), want)


@pytest.mark.parametrize("solver", ["exact", "cg1", "cg3", "reference-cg3"])
def test_a_pointwise_convolution_is_a_dense_layer(solver):
    A, W, b = numbers(2, (3, 4, 5, 6), (6, 2), (2,))

    def loss(f, W):
        return jnp.mean(jnp.tanh(f(W)) ** 2)

    dense = jax.grad(lambda W: loss(lambda W: rv.prox_linear(A, W, b, 0.5, solver), W))(W)
    filters = jax.grad(lambda F: loss(lambda F: rv.prox_conv(A, F, b, 0.5, solver), F))(W[None, None])
    np.testing.assert_allclose(filters[0, 0], dense, rtol=1e-9)


NCHW = ("NCHW", "OIHW", "NCHW")
FORMS = [
    ({}, {"window_strides": (1, 1), "padding": "SAME"}),
    ({"strides": 2}, {"window_strides": (2, 2), "padding": "SAME"}),
    ({"padding": "VALID", "dilation": (2, 1)}, {"window_strides": (1, 1), "padding": "VALID", "rhs_dilation": (2, 1)}),
    (
        {"dimension_numbers": NCHW, "strides": (1, 2), "padding": [(1, 0), (2, 2)]},
        {"dimension_numbers": NCHW, "window_strides": (1, 2), "padding": [(1, 0), (2, 2)]},
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), FORMS)
def test_the_system_of_a_convolution_is_that_of_its_patches(ours, theirs):
    channels_first = "dimension_numbers" in ours
    A, W, b = numbers(3, *([(4, 3, 7, 8), (5, 3, 3, 2)] if channels_first else [(4, 7, 8, 3), (3, 2, 3, 5)]), (5,))
    dims = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), **theirs}
    along = (1, -1, 1, 1) if channels_first else (1, 1, 1, -1)

    def plain(W, b, A):
        return lax.conv_general_dilated(A, W, **dims) + b.reshape(along)

    def loss(layer, W, b, A):
        return jnp.mean(jnp.tanh(layer(W, b, A)) ** 2)

    def direction(tau):
        return jax.grad(lambda *p: loss(lambda W, b, A: rv.prox_conv(A, W, b, tau, **ours), *p), (0, 1, 2))(W, b, A)

    gW, gb, gA = jax.grad(lambda *p: loss(plain, *p), (0, 1, 2))(W, b, A)
    # Ã has one column for each weight: what the layer does to unit weights.
    size = W.size + b.size
    units = jnp.eye(size)
    columns = jax.vmap(lambda u: plain(u[: W.size].reshape(W.shape), u[W.size :], A).ravel())(units)
    g = np.concatenate([gW.ravel(), gb])
    want = np.linalg.solve(np.eye(size) / 0.3 + columns @ columns.T, g)
    dW, db, dA = direction(0.3)
    np.testing.assert_allclose(np.concatenate([dW.ravel(), db]), want, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dA, gA, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(direction(1e-10)[0] / 1e-10, gW, rtol=1e-6, atol=1e-9)


def test_patches_are_summed_in_blocks(monkeypatch):
    A, W, b = numbers(4, (6, 5, 5, 2), (3, 3, 2, 4), (4,))

    def direction(W):
        return jax.grad(lambda W: jnp.mean(jnp.tanh(rv.prox_conv(A, W, b)) ** 2))(W)

    whole = direction(W)
    monkeypatch.setattr("ravine.methods.proximal.layers.PATCH_BYTES", 4 * 25 * 18 * 2)  # two images at a time
    np.testing.assert_allclose(direction(W), whole, rtol=1e-12)


def test_leading_axes_are_examples_and_half_precision_is_computed_in_single():
    A, W, b = numbers(5, (2, 3, 4), (4, 5), (5,))

    def direction(A, W, b):
        return jax.grad(lambda W: jnp.mean(jnp.tanh(rv.prox_linear(A, W, b)) ** 2))(W)

    np.testing.assert_allclose(direction(A, W, b), direction(A.reshape(6, 4), W, b), rtol=1e-12)
    half = direction(*(v.astype(jnp.bfloat16) for v in (A, W, b)))
    assert half.dtype == jnp.bfloat16
    assert np.corrcoef(half.astype(jnp.float64).ravel(), direction(A, W, b).ravel())[0, 1] > 0.99


def loss_of(W, A):
    return jnp.mean(jnp.tanh(rv.prox_linear(A, W)) ** 2)


def test_models_side_by_side_are_vmapped_and_examples_are_refused():
    A, W = numbers(6, (4, 3), (3, 2))
    models = jnp.stack([W, 2 * W])
    both = jax.vmap(jax.grad(loss_of), (0, None))(models, A)
    np.testing.assert_allclose(both[1], jax.grad(loss_of)(2 * W, A), rtol=1e-12)
    with pytest.raises(ValueError, match="per-example gradients"):
        jax.vmap(jax.grad(loss_of), (None, 0))(W, jnp.stack([A, A]))
    with pytest.raises(ValueError, match="per-example gradients"):
        jax.vmap(jax.vmap(jax.grad(loss_of), (None, 0)), (0, None))(models, jnp.stack([A, A]))
    np.testing.assert_allclose(jax.vmap(loss_of, (None, 0))(W, jnp.stack([A, A]))[0], loss_of(W, A))  # values are no trouble


def test_refusals():
    A, W = numbers(7, (4, 3), (3, 2))
    with pytest.raises(ValueError, match="at least 2 examples, got 1"):
        jax.grad(loss_of)(W, A[:1])
    with pytest.raises(ValueError, match="at least 2 examples, got 1"):
        jax.grad(lambda F: jnp.mean(rv.prox_conv(jnp.ones((1, 5, 5, 2)), F) ** 2))(jnp.ones((3, 3, 2, 2)))
    for tau in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="tau must be greater than 0"):
            rv.prox_linear(A, W, tau=tau)
    with pytest.raises(TypeError, match="tau must be a number greater than 0, got 'large'"):
        rv.prox_linear(A, W, tau="large")
    with pytest.raises(ValueError, match="solver must be"):
        rv.prox_conv(jnp.ones((2, 5, 5, 2)), jnp.ones((3, 3, 2, 2)), solver="lu")
    with pytest.raises(ValueError, match=r"needs A \(…, n\), W \(n, m\)"):
        rv.prox_linear(A, W.T)
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    local = jax.shard_map(lambda A: jax.grad(loss_of)(W, A), mesh=mesh, in_specs=spec("devices"), out_specs=spec())
    with pytest.raises(ValueError, match=r"use jax\.jit with sharded arrays"):
        local(A)
