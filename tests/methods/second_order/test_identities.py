"""The identities of the textbooks."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import driver
from ravine.core.problem import LinearSystem
from ravine.math.operators import Dense
from ravine.math.row_lengths import row_lengths
from ravine.math.rows import rows
from ravine.math.secant import bfgs_diagonal, bfgs_inverse
from ravine.methods.linear.within import Within
from ravine.methods.second_order import newton_cg
from ravine.methods.second_order.ssbroyden import self_scaled


def quadratic(n=8, seed=0, condition=50.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    A = basis @ np.diag(np.geomspace(1.0, condition, n)) @ basis.T
    return jnp.asarray(A), jnp.asarray(rng.normal(size=n)), jnp.asarray(rng.normal(size=n))


def half_form(x, A, b):
    return 0.5 * x @ A @ x - b @ x


def conjugate_gradients(A, b, x, steps):
    path, r = [x], b - A @ x
    p = r
    for _ in range(steps):
        alpha = r @ r / (p @ A @ p)
        x, new = x + alpha * p, r - alpha * A @ p
        p, r = new + (new @ new) / (r @ r) * p, new
        path.append(x)
    return np.array(path)


def path_of(method, A, b, x0, steps):
    r = rv.minimize(half_form, x0, (A, b), method=method, stop=rv.MaxSteps(steps), history="x")
    return r.history["x"]


@pytest.mark.parametrize("method", [rv.BFGS(search=rv.Exact()), rv.LBFGS(8, search=rv.Exact()), rv.LBFGS(1, search=rv.Exact())])
def test_quasi_newton_with_exact_line_search_is_conjugate_gradients_on_a_quadratic(method):
    A, b, x0 = quadratic()
    np.testing.assert_allclose(path_of(method, A, b, x0, 6), conjugate_gradients(A, b, x0, 6), rtol=1e-7, atol=1e-8)


def test_the_exact_line_search_finds_the_minimum_along_the_line():
    A, b, x0 = quadratic()
    x1 = path_of(rv.SteepestDescent(search=rv.Exact()), A, b, x0, 1)[1]
    g = A @ x0 - b
    np.testing.assert_allclose(x1, x0 - (g @ g) / (g @ A @ g) * g, rtol=1e-10)


@pytest.mark.parametrize(("n", "blocks"), [(6, 1), (12, 3), (30, 1)])
def test_the_fast_update_is_the_formula_of_the_book(n, blocks):
    rng = np.random.default_rng(1)
    root, s, y = rng.normal(size=(n, n)), rng.normal(size=n), rng.normal(size=n)
    H, y = root @ root.T, np.sign(s @ y) * y
    rho, identity = 1 / (y @ s), np.eye(n)
    book = (identity - rho * np.outer(s, y)) @ H @ (identity - rho * np.outer(y, s)) + rho * np.outer(s, s)
    fast = bfgs_inverse(rows(jnp.asarray(H)), jnp.asarray(s), jnp.asarray(y))
    assert len(fast.blocks) == blocks
    np.testing.assert_allclose(np.concatenate(fast.blocks), book, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(fast @ y, s, rtol=1e-9, atol=1e-11)  # the secant equation


def test_lbfgs_with_full_memory_is_bfgs():
    rng = np.random.default_rng(2)
    A, _, g = quadratic()
    full, limited = rv.BFGS(), rv.LBFGS(memory=12)
    H, pairs, first = full.blank(g), limited.blank(g), None
    for k in range(12):
        s = jnp.asarray(rng.normal(size=8))
        H, pairs = full.learn(H, k == 0, s, A @ s, g), limited.learn(pairs, k == 0, s, A @ s, g)
        first = pairs.D if first is None else first
    # L-BFGS takes γ from its last pair, BFGS from its first; with the same γ they are one method.
    same = limited.direction(pairs._replace(D=first), g)
    np.testing.assert_allclose(same, full.direction(H, g), rtol=1e-9)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(limited.direction(pairs, g), full.direction(H, g), rtol=1e-3)


def test_the_diagonal_of_lbfgs_is_that_of_the_bfgs_update_of_a_scaled_diagonal_matrix():
    rng = np.random.default_rng(4)
    D, s, y = rng.uniform(0.1, 10, 7), rng.normal(size=7), rng.normal(size=7)
    y *= np.sign(s @ y)
    B = np.diag(1 / D) * (y @ (D * y)) / (s @ y)
    B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (s @ y)  # the update of the Hessian itself
    np.testing.assert_allclose(bfgs_diagonal(jnp.asarray(D), jnp.asarray(s), jnp.asarray(y)), 1 / np.diag(B), rtol=1e-12)


def test_random_signs_tell_the_lengths_of_rows():
    """Exactly where the matrix is diagonal; otherwise the mean of many estimates of ‖Aᵢ‖² is ‖Aᵢ‖²."""
    like = jnp.ones(50)
    h = jnp.asarray(10.0 ** np.linspace(-4, 4, 50))
    np.testing.assert_allclose(row_lengths(lambda v: h * v, like, jax.random.key(0)), h, rtol=1e-12)
    A = jnp.asarray(np.random.default_rng(0).standard_normal((50, 50)))
    squares = jax.vmap(lambda key: row_lengths(lambda v: A @ v, like, key) ** 2)(jax.random.split(jax.random.key(1), 1000))
    np.testing.assert_allclose(jnp.mean(squares, axis=0), jnp.sum(A**2, axis=1), rtol=0.1)


def test_units_and_a_preconditioner_exclude_each_other():
    with pytest.raises(ValueError, match="take one of the two"):
        rv.NewtonCG(rv.StrongWolfe(), rv.CG(preconditioner="jacobi"), diagonal=True)


def test_a_diagonal_makes_newton_cg_see_units():
    """Six orders of magnitude between the units of the first and the last parameter."""
    units = jnp.asarray(10.0 ** np.linspace(-3, 3, 200))

    def f(x):
        z = units * x
        return (z[0] - 1) ** 2 + jnp.sum((z[1:] - z[:-1]) ** 2 + 0.1 * (z[1:] - 1) ** 4)

    plain, scaled = (
        rv.minimize(f, jnp.zeros(200), method=rv.NewtonCG(diagonal=d), stop=rv.Optimality(1e-8) | rv.MaxSteps(most))
        for d, most in ((False, 500), (True, 50))
    )
    assert scaled.success
    np.testing.assert_allclose(units * scaled.x, 1, rtol=1e-4)
    assert not plain.success
    assert scaled.work["hv"] < plain.work["hv"] / 20


def test_a_diagonal_makes_lbfgs_see_units():
    units = 10.0 ** np.linspace(-3, 3, 40)

    def f(x):
        return jnp.sum(jnp.cosh(units * x) - 1) + 0.1 * jnp.sum(units[1:] * x[1:] * units[:-1] * x[:-1])

    values = [float(rv.minimize(f, 1 / units, method=rv.LBFGS(diagonal=d), stop=rv.MaxSteps(300)).fun) for d in (False, True)]
    assert abs(values[1]) < 1e-12
    assert values[0] > 1


def test_a_pair_without_positive_curvature_teaches_nothing():
    g = jnp.arange(1.0, 4.0)
    for method in (rv.BFGS(), rv.LBFGS(3)):
        memory = method.blank(g)
        after = method.learn(memory, False, g, -g, g)
        jax.tree.map(np.testing.assert_array_equal, method.direction(after, g), method.direction(memory, g))


def test_nonlinear_conjugate_gradients_are_the_linear_ones_on_a_quadratic():
    A, b, x0 = quadratic()
    path = path_of(rv.NonlinearCG(search=rv.Exact()), A, b, x0, 6)
    np.testing.assert_allclose(path, conjugate_gradients(A, b, x0, 6), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("method", ["newton", rv.TrustRegion(radius=100.0), rv.NewtonCG()])
def test_newtons_method_ends_in_one_step_on_a_quadratic(method):
    A, b, x0 = quadratic(condition=3.0)
    r = rv.minimize(half_form, x0, (A, b), method=method, tol=1e-3 if isinstance(method, rv.NewtonCG) else None)
    assert int(r.nit) <= (4 if isinstance(method, rv.NewtonCG) else 1)  # conjugate gradients are cut short on purpose
    np.testing.assert_allclose(A @ r.x, b, atol=1e-2 if isinstance(method, rv.NewtonCG) else 1e-9)


def test_the_steps_of_a_trust_region_do_not_depend_on_units():
    units = 2.0 ** np.array([-20, 0, 13])  # powers of two, so that nothing is rounded differently

    def f(x):
        return jnp.sum(jnp.cosh(x)) + (x[0] * x[1] - x[2]) ** 2 + 3 * x[1] ** 4

    x0 = np.array([2.0, -1.5, 3.0])
    plain = rv.minimize(f, x0, method="trust_region", history=("x",), stop=rv.MaxSteps(6))
    other = rv.minimize(lambda z: f(units * z), x0 / units, method="trust_region", history=("x",), stop=rv.MaxSteps(6))
    assert int(plain.nit) == 6
    np.testing.assert_allclose(units * other.history["x"], plain.history["x"], rtol=1e-12, atol=1e-14)


def test_the_self_scaled_update_meets_the_secant_equation_and_stays_positive_definite():
    rng = np.random.default_rng(3)
    root, s, y = rng.normal(size=(6, 6)), rng.normal(size=6), rng.normal(size=6)
    H, y = jnp.asarray(root @ root.T + np.eye(6)), jnp.asarray(np.sign(s @ y) * y)
    u, b = H @ y, s @ jnp.linalg.solve(H, s) / (y @ s)
    updated = self_scaled(H, jnp.asarray(s), y, u, b)
    np.testing.assert_allclose(updated @ y, s, rtol=1e-6)
    np.testing.assert_allclose(updated, updated.T, rtol=1e-8)
    assert np.linalg.eigvalsh(updated).min() > 0


def test_the_direction_of_lbfgsb_without_bounds_is_that_of_the_matrix_also_where_steps_differ_by_orders_of_magnitude():
    A, _, _ = quadratic(seed=2)
    rng = np.random.default_rng(2)
    method, no_bounds = rv.LBFGSB(memory=5), types.SimpleNamespace(lower=None, upper=None)
    memory, pairs = method.blank(jnp.zeros(8, jnp.float32)), []
    for k in range(5):
        s = (rng.normal(size=8) * 10.0 ** (-2 * k)).astype(np.float32)
        pairs.append((s.astype(np.float64), np.asarray(A) @ s))
        memory = method.learn(memory, False, jnp.asarray(s), jnp.asarray(pairs[-1][1], jnp.float32), None)
    s, y = pairs[-1]
    B = (y @ y) / (s @ y) * np.eye(8)
    for s, y in pairs:
        B += np.outer(y, y) / (s @ y) - np.outer(B @ s, B @ s) / (s @ B @ s)
    g = rng.normal(size=8).astype(np.float32)
    _, p = method.look(no_bounds, memory, False, jnp.zeros(8, jnp.float32), jnp.asarray(g))
    newton = -np.linalg.solve(B, g)
    np.testing.assert_allclose(p, newton, rtol=0, atol=1e-5 * np.abs(newton).max())


def test_conjugate_gradients_end_with_the_first_point_that_is_long_enough():
    A, b, _ = quadratic(n=12)
    problem, anywhere = LinearSystem(Dense(A), b), jnp.zeros(12)

    def end(length, steps):
        return driver.solve(Within(rv.CG(), length), problem, anywhere, rv.MaxSteps(steps))

    lengths = [float(jnp.linalg.norm(end(jnp.inf, k).state.x)) for k in range(8)]
    assert lengths == sorted(lengths)
    for k in range(1, 8):
        ended = end(0.5 * (lengths[k - 1] + lengths[k]), 100)
        assert int(ended.k) == k
        assert float(jnp.linalg.norm(ended.state.x)) == lengths[k]


def test_newton_cg_spends_no_products_on_directions_that_the_search_turns_down(monkeypatch):
    """Eigenvectors as a sum of squares, from the identity: H is nearly singular on the way."""
    k = 20
    A = 2 * np.eye(k) - np.eye(k, k=1) - np.eye(k, k=-1)

    def solve():
        def f(x):
            D, Q = x[:k], x[k:].reshape(k, k)
            return jnp.sum((Q.T @ (D[:, None] * Q) - A) ** 2) + jnp.sum((Q.T @ Q - jnp.eye(k)) ** 2)

        start = np.concatenate([np.ones(k), np.eye(k).ravel()])
        return rv.minimize(f, start, method="newton_cg", stop=rv.Optimality(1e-8) | rv.MaxSteps(5000))

    capped = solve()
    monkeypatch.setattr(newton_cg, "FAR", np.inf)
    free = solve()
    assert capped.success
    assert free.success
    # seen: 16,388 products beside 23,822, and 996 values beside 1,514
    assert capped.work["hv"] < 0.85 * free.work["hv"]
    assert capped.work["f"] < 0.85 * free.work["f"]
