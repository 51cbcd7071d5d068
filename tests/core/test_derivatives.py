"""Derivatives of trees, the Taylor model, the check of derivatives, and counter-examples to convexity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.program import equations

TREE = {"a": np.array([0.5, -1.0]), "b": np.array(2.0)}


def f(p):
    return jnp.sum(jnp.sin(p["a"])) * p["b"] + p["b"] ** 3 / 3


def test_gradient_hessian_and_products_of_a_tree():
    a, b = TREE["a"], TREE["b"]
    g = rv.gradient(f, TREE)
    np.testing.assert_allclose(g["a"], np.cos(a) * b)
    np.testing.assert_allclose(g["b"], np.sin(a).sum() + b**2)
    H = np.diag([*(-np.sin(a) * b), 2 * b])
    H[:2, 2] = H[2, :2] = np.cos(a)
    np.testing.assert_allclose(rv.hessian(f, TREE), H)
    v = {"a": np.array([1.0, 2.0]), "b": np.array(-1.0)}
    product = rv.hvp(f, TREE, v)
    np.testing.assert_allclose([*product["a"], product["b"]], H @ [1.0, 2.0, -1.0])


def test_jacobian_of_a_tree_valued_function():
    J = rv.jacobian(lambda p: {"u": p["a"] * p["b"], "v": p["b"] ** 2}, TREE)
    np.testing.assert_allclose(J, [[2, 0, 0.5], [0, 2, -1.0], [0, 0, 4]])


def test_the_taylor_model_errs_by_the_third_order_and_newton_goes_to_its_minimum():
    def g(x):
        return jnp.exp(x[0]) + x[0] * x[1] + x[1] ** 2

    a, p = np.array([0.3, -0.2]), np.array([1.0, 0.7])
    for order in (1, 2):
        model = rv.taylor(g, a, order=order)
        error = [abs(float(model(a + h * p) - g(a + h * p))) for h in (1e-2, 1e-3)]
        np.testing.assert_allclose(error[0] / error[1], 10 ** (order + 1), rtol=0.02)
    r = rv.minimize(g, a, method="newton", stop=rv.MaxSteps(1))
    np.testing.assert_allclose(r.x, rv.taylor(g, a).minimum(), rtol=1e-12)
    with pytest.raises(ValueError, match="order must be 1 or 2"):
        rv.taylor(g, a, order=3)
    with pytest.raises(ValueError, match="use taylor"):
        rv.taylor(g, a, order=1).minimum()


@jax.custom_vjp
def wrong(p):
    return jnp.sum(p["a"] ** 2) + p["b"]


wrong.defvjp(lambda p: (wrong(p), p), lambda p, t: ({"a": jnp.array([2.0, 3.0]) * p["a"] * t, "b": t},))


def test_a_wrong_derivative_rule_is_found_and_named():
    assert rv.check_derivatives(f, TREE)
    found = rv.check_derivatives(wrong, TREE)
    assert not found
    assert found.worst == "x['a'][1]"
    np.testing.assert_allclose([found.autodiff, found.difference], [-3.0, -2.0], rtol=1e-6)


def test_derivatives_of_vector_valued_functions_are_checked():
    assert rv.check_derivatives(lambda x: jnp.sin(x) * x[0], np.array([0.3, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("function", "convex"),
    [
        (lambda x: jnp.sum(x**2), True),
        (lambda x: jnp.sum(jnp.abs(x)), True),
        (lambda x: x[0] - 3 * x[1], True),
        (lambda x: jnp.sum(x**4 - x**2), False),
        (lambda x: jnp.sum(x**2) + 0.05 * jnp.sin(50 * x[0]), False),
    ],
)
def test_chords_below_the_graph(function, convex):
    found = rv.is_convex(function, (-2 * np.ones(2), 2 * np.ones(2)), jax.random.key(0))
    assert bool(found) is convex
    assert ("no proof" in str(found)) is convex
    if not convex:
        middle = 0.5 * (found.x + found.y)
        assert function(middle) > 0.5 * (function(found.x) + function(found.y))


def test_a_hessian_of_a_function_with_large_arrays_makes_none_that_is_n_times_as_large():
    """Column by column it stays in the cache; the numbers are those of all columns at once."""
    data = jnp.linspace(0.1, 1, 30_000)

    def f(x):
        return jnp.sum((jnp.sin(x[:, None] * data[None]).sum(0) - data) ** 2)

    x = jnp.linspace(-1, 1, 12)
    program = jax.make_jaxpr(lambda x: rv.hessian(f, x))(x)
    sizes = [np.prod(v.aval.shape) for eqn in equations(program) for v in eqn.outvars]
    assert max(sizes) == 12 * 30_000
    np.testing.assert_allclose(rv.hessian(f, x), jax.hessian(f)(x), rtol=1e-9)


def test_a_large_constant_hides_no_correct_derivative():
    assert rv.check_derivatives(lambda x: 1e9 + jnp.sum(x**2), jnp.arange(1.0, 4.0))


def test_one_further_argument_may_stand_alone():
    a = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(rv.gradient(lambda x, a: jnp.sum(a * x**2), jnp.ones(2), a), [2.0, 4.0])
    np.testing.assert_allclose(rv.hessian(lambda x, a: jnp.sum(a * x**2), jnp.ones(2), a), np.diag([2.0, 4.0]))
    np.testing.assert_allclose(rv.hvp(lambda x, a: jnp.sum(a * x**2), jnp.ones(2), jnp.ones(2), a), [2.0, 4.0])
    np.testing.assert_allclose(rv.jacobian(lambda x, a: a * x, jnp.ones(2), a), np.diag(a))
    assert rv.check_derivatives(lambda x, a: jnp.sum(a * x**2), jnp.ones(2), a)
    np.testing.assert_allclose(rv.taylor(lambda x, a: jnp.sum(a * x**2), jnp.ones(2), a).g, [2.0, 4.0])


@pytest.mark.parametrize("derivative", [rv.gradient, rv.hessian, rv.taylor, lambda f, x: rv.hvp(f, x, x)])
def test_a_function_that_is_not_scalar_is_refused(derivative):
    with pytest.raises(ValueError, match="must return a scalar"):
        derivative(lambda x: x**2, jnp.ones(3))


@pytest.mark.parametrize(
    ("f", "box", "words"),
    [
        (jnp.sum, (-jnp.inf * jnp.ones(2), jnp.ones(2)), "must be finite"),
        (jnp.sum, (jnp.ones(2), -jnp.ones(2)), "must be finite, lower ≤ upper"),
        (jnp.sum, [(-1, 1), (-2, 2), (0, 1)], "box must be .lower, upper."),
        (lambda x: x, (-jnp.ones(2), jnp.ones(2)), "must return a scalar"),
    ],
)
def test_a_search_for_chords_that_cannot_be_made_is_refused(f, box, words):
    with pytest.raises(ValueError, match=words):
        rv.is_convex(f, box, 0)


def test_chords_on_which_f_is_not_finite_say_nothing():
    answer = rv.is_convex(lambda x: jnp.sum(x) * jnp.nan, (-jnp.ones(2), jnp.ones(2)), 0)
    assert answer.tried == 0
    assert str(answer) == "nothing is known: f is not finite on any chord that was tried"


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_a_wrong_rule_is_found_whatever_the_size_of_f(size):
    @jax.custom_jvp
    def sine(x):
        return size * jnp.sin(x)

    sine.defjvp(lambda x, v: (sine(*x), size * jnp.cos(x[0]) * v[0] * 1.001))
    x = jnp.array([0.3, 1.0, -2.0])
    found = rv.check_derivatives(lambda x: jnp.sum(sine(x)), x)
    assert not found
    assert found.error == pytest.approx(1e-3, rel=0.01)
    assert rv.check_derivatives(lambda x: size * jnp.sum(jnp.sin(x)), x)


def test_derivatives_that_vanish_pass():
    """Where ∇f = 0 a difference is its own error: x − sin x at 0, a fit at its minimum, a constant."""
    assert rv.check_derivatives(lambda x: jnp.sum(x - jnp.sin(x)), jnp.zeros(2))
    t = jnp.linspace(0, 1, 50)

    def cost(p):
        return jnp.sum((p[0] * jnp.exp(p[1] * t) - jnp.cos(3 * t)) ** 2)

    fit = rv.minimize(cost, jnp.array([1.0, -1.0]), method="newton")
    assert fit.success
    assert rv.check_derivatives(cost, fit.x)
    assert rv.check_derivatives(lambda x: 3.0 + 0 * jnp.sum(x), jnp.ones(2))
