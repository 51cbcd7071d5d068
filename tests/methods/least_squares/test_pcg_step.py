"""The matrix-free step: the factorised one at a tight tolerance, and no Jacobian ever."""

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import LeastSquares

A = np.random.default_rng(0).standard_normal((30, 10))
B = np.random.default_rng(1).standard_normal(30)


def curved(x):
    return jnp.sin(A @ x) + 0.1 * (A @ x) ** 2 - B


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("lam", [1e-3, 1.0])
def test_at_a_tight_tolerance_it_is_the_factorised_step(block, lam):
    problem, x, D = LeastSquares(Function(curved), (), Layout.vector(np.zeros(10))), np.full(10, 0.1), np.linspace(0.5, 2, 10)
    pcg, qr = rv.PCGStep(tol=1e-13, block=block), rv.QRStep()
    p = pcg.step(problem, x, pcg.look(problem, x), D, jnp.float64(lam)).p
    np.testing.assert_allclose(p, qr.step(problem, x, qr.look(problem, x), D, jnp.float64(lam)).p, rtol=1e-7, atol=1e-9)


def test_the_column_lengths_are_right_on_average():
    problem, x = LeastSquares(Function(curved), (), Layout.vector(np.zeros(10))), np.full(10, 0.1)
    estimate = rv.PCGStep(probes=4000).look(problem, x).squares
    np.testing.assert_allclose(estimate, rv.QRStep().look(problem, x).squares, rtol=0.1)


def test_the_same_end_without_a_jacobian():
    r = rv.least_squares(curved, np.full(10, 0.1), method=rv.LevenbergMarquardt(linear=rv.PCGStep(), damping=rv.Nielsen()))
    assert r.success, r.message
    assert "jac" not in r.work
    assert r.work["jv"] > 0
    dense = rv.least_squares(curved, np.full(10, 0.1), method=rv.LevenbergMarquardt(damping=rv.Nielsen()))
    np.testing.assert_allclose(r.fun, dense.fun, rtol=1e-8)


def test_the_tolerance_follows_the_gradient():
    """η⁺ = 0.9 (‖g⁺‖/‖g‖)², at least 0.9 η² where that exceeds 0.1, and never more than at first."""
    problem, x = LeastSquares(Function(curved), (), Layout.vector(np.zeros(10))), np.full(10, 0.1)
    step = rv.PCGStep(tol=0.6)
    local = step.look(problem, x)

    def following(factor, eta):
        return float(step.follow(problem, x, local._replace(r=jnp.float64(eta)), local._replace(g=factor * local.g)).r)

    assert float(local.r) == 0.6
    assert following(0.1, 0.2) == pytest.approx(0.9 * 0.1**2)  # 0.9·0.2² is less than 0.1
    assert following(0.1, 0.5) == pytest.approx(0.9 * 0.5**2)  # the safeguard
    assert following(3.0, 0.5) == 0.6  # the gradient rises


def test_rough_solves_reach_the_same_end_with_fewer_products():
    def end(tol):
        method = rv.LevenbergMarquardt(linear=rv.PCGStep(tol=tol), damping=rv.Nielsen())
        return rv.least_squares(curved, np.full(10, 0.1), method=method, tol=1e-6)

    rough, exact = end(0.5), end(1e-10)
    assert rough.success
    assert exact.success
    np.testing.assert_allclose(rough.x, exact.x, rtol=1e-4, atol=1e-5)
    assert rough.work["jv"] < 0.8 * exact.work["jv"]


def test_auto_makes_no_jacobian_that_does_not_fit():
    problem = LeastSquares(Function(lambda x: x[:50_000]), (), Layout.vector(np.zeros(100_000)))
    step, why = rv.AutoStep().chosen(problem, np.zeros(100_000))
    assert isinstance(step, rv.PCGStep)
    assert "too large" in why


@pytest.mark.parametrize(
    "M",
    [
        rv.precond.BlockJacobi(5).of(jnp.asarray(A.T @ A)),
        rv.precond.IncompleteCholesky().of(jnp.asarray(A.T @ A)),
        lambda r: jnp.linalg.solve(A.T @ A, r),
    ],
    ids=["block_jacobi", "incomplete_cholesky", "function"],
)
def test_the_preconditioners_of_linear_systems_serve_it(M):
    problem, x, D = LeastSquares(Function(curved), (), Layout.vector(np.zeros(10))), np.full(10, 0.1), np.linspace(0.5, 2, 10)
    pcg, qr = rv.PCGStep(tol=1e-13, linear=rv.CG(preconditioner=M)), rv.QRStep()
    p = pcg.step(problem, x, pcg.look(problem, x), D, jnp.float64(1e-3)).p
    np.testing.assert_allclose(p, qr.step(problem, x, qr.look(problem, x), D, jnp.float64(1e-3)).p, rtol=1e-7, atol=1e-9)


def test_with_the_inverse_one_iteration_is_the_gauss_newton_step():
    problem = LeastSquares(Function(lambda x: A @ x - B), (), Layout.vector(np.zeros(10)))
    step = rv.PCGStep(tol=1e-12, steps=1, linear=rv.CG(preconditioner=lambda r: jnp.linalg.solve(A.T @ A, r)))
    x = np.full(10, 0.1)
    p = step.step(problem, x, step.look(problem, x), np.linspace(0.5, 2, 10), jnp.float64(0.0)).p
    np.testing.assert_allclose(x + p, np.linalg.lstsq(A, B, rcond=None)[0], rtol=1e-8)


def test_a_preconditioner_that_has_not_seen_a_matrix_is_refused():
    method = rv.LevenbergMarquardt(linear=rv.PCGStep(linear=rv.CG(preconditioner=rv.precond.Jacobi())))
    with pytest.raises(TypeError, match=r"give CG preconditioner=Jacobi\(…\)\.of\(A\)"):
        rv.least_squares(curved, np.full(10, 0.1), method=method)
