"""Derivatives of solutions: against the closed form, forward and reverse, through args, closures and bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv

A = np.array([[3.0, 1.0], [1.0, 2.0]])
B = jnp.array([1.0, 2.0])


def f(x, b):
    return 0.5 * x @ A @ x - b @ x + 0.25 * jnp.sum(x**4)


def solution(b):
    return rv.minimize(f, jnp.zeros(2), (b,), method="bfgs", tol=1e-12).x


def closed_over(b):
    return rv.minimize(lambda x: f(x, b), jnp.zeros(2), method="bfgs", tol=1e-12).x


EXACT = np.linalg.inv(A + np.diag(3 * np.asarray(solution(B)) ** 2))


@pytest.mark.parametrize("solve", [solution, closed_over])
@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_the_derivative_is_that_of_the_implicit_function_theorem(solve, mode):
    np.testing.assert_allclose(mode(solve)(B), EXACT, rtol=1e-8)
    np.testing.assert_allclose(jax.jit(mode(solve))(B), EXACT, rtol=1e-8)


def test_second_derivatives():
    def root(s):
        return rv.minimize(lambda x: 0.5 * jnp.sum((x**2 - s) ** 2), jnp.ones(1), method="bfgs", tol=1e-12).x[0]

    np.testing.assert_allclose(jax.hessian(root)(4.0), -(4**-1.5) / 4, rtol=1e-7)


def test_the_value_has_the_derivative_of_the_envelope_theorem():
    g = jax.grad(lambda b: rv.minimize(f, jnp.zeros(2), (b,), method="bfgs").fun)(B)
    np.testing.assert_allclose(g, -solution(B), rtol=1e-6)


def test_an_active_bound_moves_its_element_and_holds_it():
    def within(upper, b):
        r = rv.minimize(lambda x, b: 0.5 * x @ A @ x - b @ x, jnp.zeros(2), (b,), method="lbfgsb", bounds=(0, upper), tol=1e-12)
        return r.x

    by_upper, by_b = jax.jacrev(within, argnums=(0, 1))(jnp.array([5.0, 0.2]), B)
    # x₁ = upper₁ = 0.2 is held; x₀ = (b₀ − x₁) / 3 is free.
    np.testing.assert_allclose(by_upper, [[0, -1 / 3], [0, 1]], atol=1e-9)
    np.testing.assert_allclose(by_b, [[1 / 3, 0], [0, 0]], atol=1e-9)


def test_a_tree_of_parameters_and_of_arguments():
    def loss(p, data):
        return jnp.sum((p["w"] * data["x"] + p["c"] - data["y"]) ** 2)

    data = {"x": jnp.array([0.0, 1.0, 2.0]), "y": jnp.array([1.0, 2.0, 4.0])}

    def slope(data):
        return rv.minimize(loss, {"w": jnp.zeros(()), "c": jnp.zeros(())}, (data,), method="bfgs", tol=1e-12).x["w"]

    np.testing.assert_allclose(jax.grad(slope)(data)["y"], [-0.5, 0, 0.5], atol=1e-8)


def test_many_parameters_are_differentiated_without_a_matrix():
    n = 600
    scale = jnp.linspace(1.0, 3.0, n)

    def total(b):
        return jnp.sum(rv.minimize(lambda x, b: jnp.sum(scale * (x - b) ** 2), jnp.zeros(n), (b,), method="lbfgs").x ** 2)

    b = jnp.linspace(-1.0, 1.0, n)
    np.testing.assert_allclose(jax.grad(total)(b), 2 * b, atol=1e-6)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_in_a_straight_valley_the_solution_moves_to_the_nearest_one(mode):
    def valley(b):
        return rv.minimize(lambda x: (x[0] + 2 * x[1] - b**2) ** 2 + (x[2] - b) ** 2, jnp.zeros(3), method="bfgs", tol=1e-10).x

    # In units of the curvature, 1 and 2: x₀ = t, x₁ = t/2 with 2 t = b².
    np.testing.assert_allclose(mode(valley)(3.0), [3.0, 1.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(mode(mode(valley)))(3.0), [1.0, 0.5, 0.0], atol=1e-6)


def test_a_long_valley_that_has_an_end_is_followed_there():
    H, c = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-9]]), np.array([0.0, 1.0])

    def end(b):
        return rv.minimize(lambda x: 0.5 * x @ H @ x - b * (c @ x), jnp.zeros(2), method="newton", tol=1e-14).x

    np.testing.assert_allclose(jax.jacrev(end)(1.0), np.linalg.solve(H, c), rtol=1e-5)


@pytest.mark.parametrize("method", ["lbfgs", "newton", "newton_cg", "trust_region"])
def test_a_function_may_solve_a_problem_of_its_own(method):
    def inner(s):
        return rv.minimize(lambda x, s: jnp.sum((x - s) ** 2), jnp.zeros(2), args=(s,), method="lbfgs").x

    result = rv.minimize(lambda s: jnp.sum((inner(s) - 1) ** 2) + jnp.sum(s**2), jnp.zeros(2), method=method)
    assert result.status.name == "CONVERGED"
    np.testing.assert_allclose(result.x, [0.5, 0.5], rtol=1e-6)
