"""The methods of least squares: what they must be in the limits, and what must not change them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import driver
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import LeastSquares
from ravine.core.stop import MaxSteps
from ravine.problems import registry
from ravine.steps.damping import Trial

STEPS = (rv.QRStep(), rv.CholeskyStep())
x64 = np.random.default_rng(0)
A = x64.standard_normal((9, 4))
B = x64.standard_normal(9)


def curved(x):
    return jnp.sin(A @ x) + 0.1 * (A @ x) ** 2 - B


def problem(fun, n):
    return LeastSquares(Function(fun), (), Layout.vector(np.zeros(n)))


def jacobian(fun, x):
    return np.asarray(jax.jacfwd(fun)(x))


@pytest.mark.parametrize("linear", STEPS)
@pytest.mark.parametrize("lam", [1e-6, 1.0, 1e6])
def test_every_linear_step_solves_the_damped_system(linear, lam):
    x, D = np.full(4, 0.3), np.array([1.0, 2.0, 0.5, 3.0])
    local = linear.look(problem(curved, 4), x)
    J, r = jacobian(curved, x), np.asarray(curved(x))
    p = linear.step(problem(curved, 4), x, local, D, jnp.float64(lam)).p
    np.testing.assert_allclose((J.T @ J + lam * np.diag(D**2)) @ p, -J.T @ r, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(linear.curvature(problem(curved, 4), x, local, p), np.sum((J @ p) ** 2), rtol=1e-9)
    np.testing.assert_allclose(local.g, J.T @ r, rtol=1e-12)


@pytest.mark.parametrize("lam", [1e-4, 1.0, 1e6])
def test_primal_is_dual(lam):
    def wide(x):
        return curved(x)[:3]

    x, D = np.full(4, 0.3), np.array([1.0, 2.0, 0.5, 3.0])
    found = []
    for linear in (rv.QRStep(), rv.CholeskyStep(), rv.DualStep()):
        local = linear.look(problem(wide, 4), x)
        solution = linear.step(problem(wide, 4), x, local, D, jnp.float64(lam))
        found.append(
            (solution.p, solution.gain, solution.slope, local.offset, linear.curvature(problem(wide, 4), x, local, solution.p))
        )
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("linear", STEPS)
def test_the_slope_is_the_derivative_of_the_length(linear):
    x, D = np.full(4, 0.3), np.array([1.0, 2.0, 0.5, 3.0])
    local = linear.look(problem(curved, 4), x)

    def solve(lam):
        return linear.step(problem(curved, 4), x, local, D, jnp.float64(lam))

    def square(lam):
        return float(np.sum((D * solve(lam).p) ** 2))

    np.testing.assert_allclose(solve(0.5).slope, -(square(0.5 + 1e-5) - square(0.5 - 1e-5)) / 4e-5, rtol=1e-6)


@pytest.mark.parametrize("linear", STEPS)
def test_damping_to_zero_is_gauss_newton(linear):
    x = np.full(4, 0.3)
    local = linear.look(problem(curved, 4), x)
    newton = -np.linalg.lstsq(jacobian(curved, x), curved(x), rcond=None)[0]
    tiny = linear.step(problem(curved, 4), x, local, np.ones(4), jnp.float64(1e-12)).p
    np.testing.assert_allclose(tiny, newton, rtol=1e-5)
    np.testing.assert_allclose(local.gauss_newton, newton, rtol=1e-5)


@pytest.mark.parametrize("linear", STEPS)
def test_damping_to_infinity_is_scaled_gradient_descent(linear):
    x, D = np.full(4, 0.3), np.array([1.0, 2.0, 0.5, 3.0])
    local = linear.look(problem(curved, 4), x)
    huge = linear.step(problem(curved, 4), x, local, D, jnp.float64(1e12)).p
    np.testing.assert_allclose(huge, -local.g / (1e12 * D**2), rtol=1e-6)


def test_the_lectures_formula_taken_literally_steps_twice_as_far():
    x = np.full(4, 0.3)
    J, r = jacobian(curved, x), np.asarray(curved(x))
    newton = np.linalg.lstsq(J, -r, rcond=None)[0]
    literal = -np.linalg.solve(J.T @ J + 1e-12 * np.eye(4), 2 * J.T @ r)
    np.testing.assert_allclose(literal, 2 * newton, rtol=1e-6)


@pytest.mark.parametrize("name", ["gauss_newton", "levenberg_marquardt"])
def test_a_linear_problem_takes_one_step(name):
    r = rv.least_squares(lambda x: A @ x - B, np.zeros(4), method=name)
    assert r.success
    assert r.nit == 1
    np.testing.assert_allclose(r.x, np.linalg.lstsq(A, B, rcond=None)[0], rtol=1e-10)


@pytest.mark.parametrize("name", ["gauss_newton", "levenberg", "levenberg_marquardt"])
@pytest.mark.parametrize("linear", STEPS)
def test_linear_steps_end_at_the_same_point(name, linear):
    cls = {"gauss_newton": rv.GaussNewton, "levenberg": rv.Levenberg, "levenberg_marquardt": rv.LevenbergMarquardt}[name]
    # 1e-8 away, f is 1e-16 of itself from its least.
    r = rv.least_squares(curved, np.full(4, 0.3), method=cls(linear=linear))
    assert r.success
    J = jacobian(curved, r.x)
    assert np.max(np.abs(J.T @ curved(r.x)) / np.linalg.norm(J, axis=0)) < 1e-7 * np.linalg.norm(curved(r.x))
    np.testing.assert_allclose(
        r.x, rv.least_squares(curved, np.full(4, 0.3), method=cls(linear=rv.QRStep())).x, rtol=1e-6, atol=1e-7
    )


def points(fun, x0, method):
    r = rv.least_squares(fun, x0, method=method, history=("x",), stop=MaxSteps(8))
    return np.asarray(r.history["x"])


@pytest.mark.parametrize("linear", [*STEPS, None])
@pytest.mark.parametrize("name", ["gauss_newton", "levenberg_marquardt", "nielsen"])
def test_other_units_change_nothing_but_rounding(name, linear):
    units = np.array([1e6, 1e-6, 1.0, 1e3])
    more = {} if linear is None else {"linear": linear}
    method = {
        "gauss_newton": lambda: rv.GaussNewton(**more),
        "levenberg_marquardt": lambda: rv.LevenbergMarquardt(**more),
        "nielsen": lambda: rv.LevenbergMarquardt(damping=rv.Nielsen(), **more),
    }[name]()
    plain = points(curved, np.full(4, 0.3), method)
    scaled = points(lambda x: curved(x / units), np.full(4, 0.3) * units, method)
    assert len(plain) > 4
    np.testing.assert_allclose(scaled / units, plain, rtol=1e-6, atol=1e-9)


def test_levenberg_is_not_invariant():
    units = np.array([1e3, 1.0, 1.0, 1.0])
    plain = points(curved, np.full(4, 0.3), rv.Levenberg(damping=rv.Nielsen(0.1)))
    scaled = points(lambda x: curved(x / units), np.full(4, 0.3) * units, rv.Levenberg(damping=rv.Nielsen(0.1)))
    assert np.max(np.abs(scaled[1] / units - plain[1])) > 1e-3


def test_the_first_damping_can_be_set():
    x = np.full(4, 0.3)
    local = rv.QRStep().look(problem(curved, 4), x)
    D = np.sqrt(local.squares)
    for lam in (1e-2, 1.0):
        method = rv.LevenbergMarquardt(linear=rv.QRStep(), damping=rv.Nielsen(lam))
        carry = driver.solve(method, problem(curved, 4), x, MaxSteps(10), steps=1)
        expected = rv.QRStep().step(problem(curved, 4), x, local, D, jnp.float64(lam)).p
        np.testing.assert_allclose(carry.state.x - x, expected, rtol=1e-12)


def test_fewer_residuals_than_parameters_take_steps_of_least_norm():
    rng = np.random.default_rng(1)
    W, c = rng.standard_normal((3, 7)), rng.standard_normal(3)
    for name in ("gauss_newton", "levenberg"):
        r = rv.least_squares(lambda x: W @ x - c, np.zeros(7), method=name)
        assert r.success
        assert "minimum-norm" in r.why
        np.testing.assert_allclose(W @ r.x, c, rtol=1e-9)
    # Levenberg's steps from 0 are in the range of Wᵀ, where the solution of least norm is.
    np.testing.assert_allclose(r.x, np.linalg.lstsq(W, c, rcond=None)[0], rtol=1e-7)


def test_rank_deficient_jacobians_end_in_success():
    def residual(x):
        return jnp.stack([x[0] + x[1] - 1, 2 * (x[0] + x[1]) - 3, jnp.sin(x[0] + x[1])])

    for name in ("gauss_newton", "levenberg", "levenberg_marquardt"):
        r = rv.least_squares(residual, np.array([0.2, -0.3]), method=name)
        assert r.success, name
        assert np.all(np.abs(r.x) < 10)


def test_nonfinite_trials_shrink_the_step():
    def residual(x):
        return jnp.log(x) + jnp.array([3.0, 0.0])  # undefined at the full first step from 5

    for name in ("gauss_newton", "levenberg", "levenberg_marquardt"):
        r = rv.least_squares(residual, np.array([5.0, 5.0]), method=name)
        assert r.success, name
        np.testing.assert_allclose(r.x, [np.exp(-3), 1.0], rtol=1e-7)


def test_a_wrong_sign_of_the_derivative_is_a_stall_and_no_success():
    @jax.custom_jvp
    def wrong(x):
        return x**2 - 2.0

    wrong.defjvp(lambda p, t: (wrong(p[0]), -2.0 * p[0] * t[0]))
    r = rv.least_squares(wrong, np.array([1.0, 3.0]))
    assert r.status.name == "STALLED"
    assert not r.success


@pytest.mark.parametrize("linear", STEPS)
def test_the_search_for_lambda_ends_where_no_smaller_one_is_used(linear):
    """Three decays where the data show one: the least λ of rounding already makes a step shorter than the radius."""
    t = jnp.linspace(0, 4, 60, dtype=jnp.float32)
    y = 2 * jnp.exp(-t) + jnp.asarray(0.05 * np.random.default_rng(0).standard_normal(60), jnp.float32)

    def decays(x):
        return x[0] * jnp.exp(-x[1] * t) + x[2] * jnp.exp(-x[3] * t) + x[4] * jnp.exp(-x[5] * t) - y

    start = jnp.array([100, 0.1, 1, 3, -2, 90], jnp.float32)
    r = rv.least_squares(decays, start, method=rv.LevenbergMarquardt(linear=linear), stop=MaxSteps(200))
    assert r.work["factor"] < 3 * r.work["jac"]  # it was up to 8 times: ten solves that all gave the same step


@pytest.mark.parametrize("linear", STEPS)
def test_the_step_is_as_long_as_the_radius(linear):
    """A λ comes back as the square of its root: one rounding more must not be taken for the least λ, which ends the search."""
    problem_, damping = problem(curved, 4), rv.TrustRadius()

    @jax.jit
    def lengths(x, radius):
        local = linear.look(problem_, x)
        D = jnp.sqrt(local.squares)

        def solve(lam):
            return linear.step(problem_, x, local, D, lam)

        whole = jnp.linalg.norm(D * solve(jnp.zeros(())).p)
        too_much = 0.9 * jnp.linalg.norm(local.g / D) / (radius * whole)
        p, _ = damping.step(solve, None, local.g, D, too_much, radius * whole)
        return jnp.linalg.norm(D * p) / (radius * whole)

    rng = np.random.default_rng(0)
    ratios = [float(lengths(rng.normal(size=4), r)) for r in np.geomspace(1e-3, 0.5, 40)]
    np.testing.assert_allclose(ratios, 1, atol=0.1 + 1e-9)


def test_a_network_is_not_called_solved_while_it_still_gets_better():
    """In float32, with weights of 10⁵: the sum of all their rounding errors was as large as what r still had to fall by after
    50 steps, so f = 0.2217 was called a success; it falls to 0.2199."""
    problem = registry.make("digits_mlp_squares", width=4, examples=60)
    start = jax.tree.map(lambda v: v.astype(np.float32), problem.start(jax.random.key(1)))
    r = rv.least_squares(problem.residual, start, problem.args, method=rv.GaussNewton(), stop=MaxSteps(100))
    assert r.status.name == "MAX_STEPS"
    assert r.fun < 0.2205


@pytest.mark.parametrize("radius", [6.5, 23.7, 60.0, 1e4])
def test_a_refused_gauss_newton_step_is_not_proposed_again(radius):
    length = 6.4
    trial = Trial(*map(jnp.asarray, (-1.0, length, -1.0, 1.0, 1.04)))  # the slope and the rise ask for a radius of 0.48 of it
    _, smaller = rv.TrustRadius().judge(trial, jnp.asarray(0.0), jnp.asarray(radius))
    assert 0.1 * length <= smaller < length / 1.1  # within 1.1 Δ it would be taken as it is
