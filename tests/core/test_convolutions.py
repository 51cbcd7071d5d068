"""Convolutions with their axes moved are the same functions, and XLA sees only the order its fast kernel takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.convolutions import convolves, in_fast_order, over_lanes
from ravine.core.function import Function
from ravine.core.problem import Objective
from ravine.problems.networks import ConvNet, cross_entropy

KEY = jax.random.key(0)


def orders(program):
    """The axis orders of all convolutions in a traced program, those inside loops and branches included."""
    for eqn in program.eqns:
        if eqn.primitive.name == "conv_general_dilated":
            yield tuple(eqn.params["dimension_numbers"])
        for v in eqn.params.values():
            for inner in v if isinstance(v, tuple) else (v,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from orders(inner)


FAST = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))

LAYERS = {
    "NHWC": ((4, 9, 8, 3), (3, 2, 3, 5), {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}),
    "NCHW": ((4, 3, 9, 8), (5, 3, 3, 2), {"dimension_numbers": ("NCHW", "OIHW", "NCHW")}),
    "mixed": ((3, 9, 4, 8), (3, 5, 2, 3), {"dimension_numbers": ("CHNW", "HOWI", "WNCH")}),
    "strides": ((4, 9, 8, 3), (3, 2, 3, 5), {"window_strides": (2, 3), "dimension_numbers": ("NHWC", "HWIO", "NHWC")}),
    "dilated": (
        (4, 9, 8, 3),
        (3, 2, 3, 5),
        {"rhs_dilation": (2, 1), "lhs_dilation": (1, 2), "dimension_numbers": ("NHWC", "HWIO", "NHWC")},
    ),
    "groups": ((4, 9, 8, 6), (3, 2, 3, 4), {"feature_group_count": 2, "dimension_numbers": ("NHWC", "HWIO", "NHWC")}),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_values_and_gradients_are_the_same(layer):
    shape, filters, options = LAYERS[layer]
    options = {"window_strides": (1, 1), "padding": ((1, 0), (2, 1)), **options}
    x, W = jax.random.normal(KEY, shape), jax.random.normal(jax.random.key(1), filters)

    def loss(W, x):
        return jnp.sum(jnp.tanh(jax.lax.conv_general_dilated(x, W, **options)) ** 2)

    plain = jax.value_and_grad(loss, (0, 1))(W, x)
    moved = in_fast_order(jax.value_and_grad(loss, (0, 1)))(W, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12), moved, plain)


def wrapped_in(how, f):
    if how == "jit":
        return jax.jit(f)
    if how == "checkpoint":
        return jax.checkpoint(f)
    if how == "scan":
        return lambda W, x: jax.lax.scan(lambda total, row: (total + f(W, row[None]), None), 0.0, x)[0]
    return lambda W, x: jax.lax.cond(W[0, 0, 0, 0] < 10, f, lambda W, x: 0.0, W, x)


def test_a_gradient_by_filters_in_groups_has_no_groups_of_examples():
    x, W = jax.random.normal(KEY, (2, 6, 6, 4)), jax.random.normal(KEY, (3, 3, 1, 4))

    def loss(W):
        options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": 4}
        return jnp.sum(jnp.tanh(jax.lax.conv_general_dilated(x, W, (1, 1), "SAME", **options)))

    def groups(gradient):
        program = jax.make_jaxpr(gradient)(W).jaxpr
        return {e.params["batch_group_count"] for e in program.eqns if e.primitive.name == "conv_general_dilated"}

    assert groups(jax.grad(loss)) == {1, 4}
    assert groups(in_fast_order(jax.grad(loss))) == {1}
    np.testing.assert_allclose(in_fast_order(jax.grad(loss))(W), jax.grad(loss)(W), rtol=1e-12)


@pytest.mark.parametrize("how", ["jit", "checkpoint", "scan", "cond"])
def test_convolutions_inside_other_programs_are_moved(how):
    x, W = jax.random.normal(KEY, (3, 8, 8, 2)), jax.random.normal(KEY, (3, 3, 2, 4))

    def loss(W, x):
        return jnp.sum(jax.lax.conv_general_dilated(x, W, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) ** 2)

    gradient = jax.grad(wrapped_in(how, loss))
    assert set(orders(jax.make_jaxpr(gradient)(W, x).jaxpr)) - {FAST}
    assert set(orders(jax.make_jaxpr(in_fast_order(gradient))(W, x).jaxpr)) == {FAST}
    np.testing.assert_allclose(in_fast_order(gradient)(W, x), gradient(W, x), rtol=1e-12)
    np.testing.assert_allclose(jax.jit(in_fast_order(gradient))(W, x), gradient(W, x), rtol=1e-12)


def test_a_function_without_convolutions_is_the_same():
    f = in_fast_order(
        jax.value_and_grad(lambda p: jnp.sum(jax.nn.softplus(p["a"]) * jax.lax.cond(p["b"] > 0, jnp.sin, jnp.cos, p["b"])))
    )
    value, slope = f({"a": jnp.arange(3.0), "b": jnp.array(0.5)})
    expected = np.sin(0.5) * np.log1p(np.exp(np.arange(3.0))).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(slope["a"], np.sin(0.5) / (1 + np.exp(-np.arange(3.0))), rtol=1e-14)


@pytest.mark.parametrize("solver", [None, "cg3"])
def test_methods_see_the_fast_order_only(solver):
    network = ConvNet((8, 8, 1), 10, channels=(4, 8))
    batch = jax.random.uniform(KEY, (10, 8, 8, 1), jnp.float32), jnp.arange(10)
    loss = cross_entropy(network) if solver is None else rv.proxprop(cross_entropy(network), tau=0.1, solver=solver)
    problem = Objective(Function(loss), (batch,))
    params = network.init(KEY)
    assert set(orders(jax.make_jaxpr(problem.value_and_grad)(params).jaxpr)) == {FAST}
    assert set(orders(jax.make_jaxpr(problem.gradient)(params).jaxpr)) == {FAST}


def test_lanes_that_convolve_go_one_after_another_and_end_the_same():
    network = ConvNet((8, 8, 1), 10, channels=(2,))
    loss = cross_entropy(network)
    batch = jax.random.uniform(KEY, (5, 8, 8, 1), jnp.float32), jnp.arange(5)
    params = jax.vmap(network.init)(jax.random.split(KEY, 3))
    first = jax.tree.map(lambda v: v[0], params)
    assert convolves(loss, first, batch)
    assert not convolves(lambda p, batch: jnp.sum(p.b), first[0], batch)
    gradient = jax.grad(loss)
    spread = over_lanes(True)(lambda p: gradient(p, batch))
    inside = jax.make_jaxpr(spread)(params).jaxpr.eqns
    assert "scan" in {eqn.primitive.name for eqn in inside}
    expected = jax.vmap(lambda p: gradient(p, batch))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), spread(params), expected)
