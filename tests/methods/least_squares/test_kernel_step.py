"""The layer-wise kernel: JJᵀ of a Jacobian that was made, steps of the factorised ones, and what it must not be used for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import LeastSquares
from ravine.methods.least_squares.gram import grams, network

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((7, 5)), rng.standard_normal((7, 3))
IMAGES, WORDS = rng.standard_normal((4, 6, 6, 2)), rng.standard_normal((7, 4, 5))


def normal(*shape):
    return rng.standard_normal(shape) / np.sqrt(shape[0])


MLP = {"W1": normal(5, 6), "b1": normal(6), "W2": normal(6, 4), "b2": normal(4), "W3": normal(4, 3), "b3": normal(3)}


def mlp(p, x):
    a = jnp.tanh(x @ p["W1"] + p["b1"][None])
    a = jax.nn.relu(a @ p["W2"] + p["b2"][None]) + a[:, 1:5]
    return a @ p["W3"] + p["b3"][None]


def one(p, x):
    return jax.nn.softmax(jnp.tanh(p["W1"].T @ x + p["b1"]) @ p["W2"] + p["b2"]) @ p["W3"]


def images(p):
    a = jax.lax.conv_general_dilated(IMAGES, p["F"], (2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    a = jax.nn.gelu(a + p["c"][None, None, None])
    return a.reshape(4, -1) @ p["W"] + p["b"][None]


RESIDUALS = {
    "one output": (lambda p: mlp(p, X)[:, 0] - Y[:, 0], MLP, 6),
    "three outputs": (lambda p: mlp(p, X) - Y, MLP, 6),
    "laid flat": (lambda p: (mlp(p, X) - Y).ravel() / 3, MLP, 6),
    "outputs first": (lambda p: mlp(p, X).T - Y.T, MLP, 6),
    "a tree": (lambda p: (lambda a: {"a": a[:, :2], "b": jnp.mean(a**2, axis=1)})(mlp(p, X)), MLP, 6),
    "an example at a time": (lambda p: jax.vmap(lambda x: one(p, x))(X) - Y, MLP, 5),
    "a parameter in no layer": (lambda p: p["s"] * mlp(p, X) - Y, MLP | {"s": np.array(1.5)}, 6),
    "a weight in two places": (lambda p: mlp(p, X) - Y + 0.1 * p["W3"][0][None], MLP, 4),
    "rows of rows": (lambda p: jnp.sum(jnp.tanh(WORDS @ p["W1"] + p["b1"][None, None]), axis=1) @ p["W2"], MLP, 3),
    "images": (images, {"F": normal(3, 3, 2, 3), "c": normal(3), "W": normal(54, 2), "b": normal(2)}, 4),
}


def problem(name, loss=None):
    fun, params, _ = RESIDUALS[name]
    layout = Layout.vector(params)
    return LeastSquares(Function(fun), (), layout, loss=loss), layout.pack(params)


@pytest.mark.parametrize("name", RESIDUALS)
def test_it_is_the_jacobian_times_its_transpose(name):
    given, x = problem(name)
    net = network(given, x)
    assert sum(layer.bias is not None for layer in net.layers) + len(net.layers) == RESIDUALS[name][2]
    made, (_, _, J) = jax.jit(lambda x: (grams(network(given, x), given, x), given.jacobian(x)))(x)
    np.testing.assert_allclose(np.sum(made, axis=0), J @ J.T, rtol=1e-10, atol=1e-12)


LABELS = np.arange(7, dtype=np.int32) % 3


@pytest.mark.parametrize("loss", [None, rv.Loss("cauchy", 0.3), rv.SoftmaxCrossEntropy(LABELS)])
def test_its_steps_are_those_of_the_jacobian(loss):
    given, x = problem("three outputs", loss)
    kernel, dual, qr = rv.KernelStep(), rv.DualStep(), rv.QRStep()
    local = jax.jit(kernel.look)(given, x)
    D = jnp.sqrt(local.squares)
    ours = jax.jit(kernel.step)
    for other in (dual, qr):
        there, theirs = jax.jit(other.look)(given, x), jax.jit(other.step)
        for lam in np.array([1e-4, 1.0]):
            solution, expected = ours(given, x, local, D, lam), theirs(given, x, there, D, lam)
            for got, want in zip(solution, expected, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(local.f, there.f, rtol=1e-12)
        np.testing.assert_allclose(local.g, there.g, rtol=1e-9, atol=1e-12)
        bend = other.curvature(given, x, there, expected.p)
        np.testing.assert_allclose(kernel.curvature(given, x, local, solution.p), bend, rtol=1e-6)
    # Each layer has one scale: the root of the mean of its columns' squares.
    squares = jax.jit(dual.look)(given, x).squares
    leaves = given.layout.unpack(jnp.arange(len(x), dtype=x.dtype))
    group = np.concatenate([np.ravel(leaves["W2"]), np.ravel(leaves["b2"])]).astype(int)
    np.testing.assert_allclose(local.squares[group], np.mean(squares[group]), rtol=1e-9)


def test_levenbergs_run_is_the_same_whatever_makes_the_kernel():
    given, x = problem("three outputs")

    def run(linear):
        first = 0.5 / float(np.max(jax.jit(linear.look)(given, x).squares))  # relative to the longest column
        method = rv.Levenberg(linear=linear, damping=rv.Nielsen(first))
        return rv.least_squares(*RESIDUALS["three outputs"][:2], method=method, stop=rv.MaxSteps(6))

    ends = [run(rv.KernelStep()), run(rv.DualStep())]
    np.testing.assert_allclose(ends[0].x["W2"], ends[1].x["W2"], rtol=1e-6)
    assert "jac" not in ends[0].work


@pytest.mark.parametrize("name", ["levenberg_marquardt", "gauss_newton", "dogleg"])
def test_auto_takes_it_for_a_network_and_says_so(name):
    fun, params, _ = RESIDUALS["three outputs"]
    r = rv.least_squares(fun, params, method=name, tol=1e-6)
    assert r.success, r.message
    assert r.fun < 1e-9
    assert "21×21 kernel of 3 layers" in r.why
    assert "jac" not in r.work


def normalised(p):
    Z = X @ p["W1"]
    return jnp.tanh(Z - jnp.mean(Z, axis=0, keepdims=True)) @ p["W2"][:, :3] - Y


def decayed(p):
    return {"data": mlp(p, X) - Y, "decay": 0.1 * p["W1"]}


@pytest.mark.parametrize("fun", [normalised, decayed, lambda p: p["W1"] ** 2])
def test_it_is_not_taken_where_it_would_be_wrong(fun):
    given = LeastSquares(Function(fun), (), Layout.vector(MLP))
    x = given.layout.pack(MLP)
    assert network(given, x) is None
    with pytest.raises(ValueError, match="DualStep"):
        rv.KernelStep().look(given, x)
    few = LeastSquares(Function(lambda p: jax.tree.leaves(fun(p))[0][:2]), (), Layout.vector(MLP))
    assert not isinstance(rv.AutoStep().chosen(few, x)[0], rv.KernelStep)


def test_bounds_take_another_step():
    fun, params, _ = RESIDUALS["one output"]
    r = rv.least_squares(fun, params, bounds=(-3.0, 3.0), stop=rv.MaxSteps(3))
    assert "dual system" in r.why


def test_the_cost_does_not_trace_the_function_again(traces):
    fun = traces(RESIDUALS["one output"][0])
    rv.least_squares(fun, MLP, stop=rv.MaxSteps(2))
    before = fun.count
    rv.least_squares(fun, MLP, stop=rv.MaxSteps(2))
    assert fun.count == before
