"""Derivatives of solutions in A and b, forward and reverse, and vmap, against closed forms and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import sparse as js

import ravine as rv

rng = np.random.default_rng(8)
n = 6
Q = rng.standard_normal((n, n))
DEFINITE, GENERAL = jnp.asarray(Q @ Q.T / n + np.eye(n)), jnp.asarray(Q + 4 * np.eye(n))
b, u, db = (jnp.asarray(rng.standard_normal(n)) for _ in range(3))
dA = jnp.asarray(rng.standard_normal((n, n)))


@pytest.mark.parametrize("method", ["auto", "lu", "qr", "cg", "gmres", "lsmr", "lsqr", "gauss_seidel"])
def test_forward_and_reverse_are_those_of_the_inverse(method):
    A = DEFINITE + 2 * jnp.eye(n) if method in ("cg", "gauss_seidel") else GENERAL
    step = dA + dA.T if method == "cg" else dA

    def solve(A, b):
        return rv.linear_solve(A, b, method, tol=1e-12).x

    x, dx = jax.jvp(solve, (A, b), (step, db))
    np.testing.assert_allclose(x, jnp.linalg.solve(A, b), rtol=1e-9)
    np.testing.assert_allclose(dx, jnp.linalg.solve(A, db - step @ x), rtol=1e-8)
    gA, gb = jax.grad(lambda A, b: jnp.vdot(u, solve(A, b)), (0, 1))(A, b)
    w = jnp.linalg.solve(A.T, u)
    np.testing.assert_allclose(gb, w, rtol=1e-8)
    np.testing.assert_allclose(gA, -jnp.outer(w, x), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("method", ["qr", "lsmr", "lsqr"])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_least_squares_and_least_norm(method, shape):
    A, c = GENERAL[: shape[0], : shape[1]], b[: shape[0]]

    def ours(A, c):
        return jnp.vdot(u[: shape[1]], rv.linear_solve(A, c, method, tol=1e-12).x)

    def reference(A, c):
        return jnp.vdot(u[: shape[1]], jnp.linalg.pinv(A) @ c)

    for g, e in zip(jax.grad(ours, (0, 1))(A, c), jax.grad(reference, (0, 1))(A, c), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("shape", "method"), [((6, 6), "gmres"), ((6, 3), "qr"), ((3, 6), "lsmr")])
def test_second_derivatives(shape, method):
    A, c, step = GENERAL[: shape[0], : shape[1]], b[: shape[0]], dA[: shape[0], : shape[1]]

    def ours(s):
        return jnp.sum(rv.linear_solve(A + s * step, c * (1 + s**2), method, tol=1e-12).x)

    def reference(s):
        return jnp.sum(jnp.linalg.pinv(A + s * step) @ c) * (1 + s**2)

    expected = jax.jacfwd(jax.jacfwd(reference))(0.1)
    for second in (jax.hessian(ours), jax.grad(jax.grad(ours))):
        np.testing.assert_allclose(second(0.1), expected, rtol=1e-6)


def test_under_jit_and_vmap_over_matrices_and_right_hand_sides():
    As = DEFINITE[None] + jnp.arange(3.0)[:, None, None] * jnp.eye(n)[None]
    xs = jax.jit(jax.vmap(lambda A: rv.linear_solve(A, b, "cg", tol=1e-10).x))(As)
    np.testing.assert_allclose(xs, jnp.stack([jnp.linalg.solve(A, b) for A in As]), rtol=1e-8)
    r = jax.vmap(lambda c: rv.linear_solve(GENERAL, c, "gmres", tol=1e-10))(jnp.stack([b, u]))
    np.testing.assert_allclose(r.x, jnp.linalg.solve(GENERAL, jnp.stack([b, u]).T).T, rtol=1e-8)
    assert np.all(np.asarray(r.status) == rv.Status.CONVERGED)
    g = jax.vmap(jax.grad(lambda c: rv.linear_solve(GENERAL, c, "lu").x @ u))(jnp.stack([b, u]))
    np.testing.assert_allclose(g[0], jnp.linalg.solve(GENERAL.T, u), rtol=1e-9)


def test_many_right_hand_sides_are_differentiable():
    B = jnp.stack([b, u, db], 1)
    g = jax.grad(lambda A: jnp.sum(rv.linear_solve(A, B, "lu").x ** 2))(GENERAL)
    e = jax.grad(lambda A: jnp.sum(jnp.linalg.solve(A, B) ** 2))(GENERAL)
    np.testing.assert_allclose(g, e, rtol=1e-8)


def test_a_function_that_closes_over_what_is_differentiated():
    def f(c):
        return jnp.sum(rv.linear_solve(lambda v: c * v, b, "gmres", tol=1e-12).x)

    c = jnp.arange(1.0, n + 1)
    np.testing.assert_allclose(jax.grad(f)(c), -b / c**2, rtol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.grad(f))(c), -b / c**2, rtol=1e-8)


def test_a_sparse_matrix_in_its_entries():
    M = js.BCOO.fromdense(jnp.where(jnp.abs(dA) > 0.8, dA, 0) + 5 * jnp.eye(n))

    def f(data):
        return jnp.sum(rv.linear_solve(js.BCOO((data, M.indices), shape=M.shape), b, "gmres", tol=1e-12).x)

    x, w = jnp.linalg.solve(M.todense(), b), jnp.linalg.solve(M.todense().T, jnp.ones(n))
    np.testing.assert_allclose(jax.grad(f)(M.data), -w[M.indices[:, 0]] * x[M.indices[:, 1]], rtol=1e-8)
