"""Why a run ended, told truthfully: no success at a saddle or away from a solution, and PRECISION apart from STALLED."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.registry import names
from ravine.math.box import nearly_stationary
from ravine.problems import nist

ALL = names("second_order")
SEE_SADDLES = ["newton", "trust_region"]


def saddle(x):
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4


@pytest.mark.parametrize("method", SEE_SADDLES)
@pytest.mark.parametrize("start", [(0.0, 0.0), (1.0, 0.0), (0.5, 1e-12)])
def test_a_saddle_is_left(method, start):
    r = rv.minimize(saddle, np.array(start), method=method)
    assert r.success
    np.testing.assert_allclose(r.fun, -0.25, atol=1e-10)


@pytest.mark.parametrize("method", SEE_SADDLES)
def test_a_maximum_is_left(method):
    r = rv.minimize(lambda x: jnp.sum(jnp.cos(x)), np.zeros(3), method=method)
    assert r.success
    np.testing.assert_allclose(r.fun, -3.0, atol=1e-10)


@pytest.mark.parametrize("method", ALL)
def test_a_large_value_hides_no_gradient(method):
    """f = 10⁸ + a bowl: what the rounding of f allows is reached, and success is said only there."""
    r = rv.minimize(lambda x: 1e8 + jnp.sum((x - 1.0) ** 2), np.full(3, 5.0), method=method)
    assert r.success
    assert np.abs(r.x - 1.0).max() < 1e-3


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "trust_region", "newton"])
def test_the_rounding_of_f_ends_with_precision(method):
    """With a tolerance of nothing, the end is where float32 resolves no decrease; that is a success and says so."""
    x0 = jnp.asarray([3.0, -2.0, 1.5], jnp.float32)
    r = rv.minimize(lambda x: jnp.sum(jnp.cosh(x - 0.1234567) + 0.1 * jnp.sin(3 * x)), x0, method=method, tol=0.0)
    assert r.status.name in ("PRECISION", "CONVERGED")
    assert r.optimality < 1e-2


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "trust_region"])
@pytest.mark.parametrize("name", ["Misra1a", "Misra1c"])
def test_a_fit_is_no_failure_where_the_rounding_of_its_residuals_hides_the_decrease(method, name):
    """Residuals of 0.1 of data near 80, parameters of 10² and 10⁻⁴: f is known to ten digits, its slopes to more."""
    fit = nist.load(name)
    r = rv.minimize(lambda b: jnp.sum((fit.model(b, fit.x) - fit.y) ** 2), fit.starts[0], method=method)
    assert r.success
    assert r.nit < 500
    np.testing.assert_allclose(r.fun, fit.sum_of_squares, rtol=1e-9)


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "trust_region"])
def test_a_huge_element_of_x_hides_no_solution(method):
    """Brown's badly scaled function: at x = (10⁶, 2·10⁻⁶) f is 0 to its last digit, and |g|∞ |x|∞ is not small."""
    r = rv.minimize(lambda x: (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2, np.ones(2), method=method)
    assert r.success
    assert r.fun < 1e-20


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "trust_region"])
def test_a_huge_value_makes_no_gradient_small(method):
    """The same function in float32: at the start |g|∞ = 2·10⁶ is 2·10⁻⁶ of f, far below the tolerance."""
    x0 = np.ones(2, np.float32)
    r = rv.minimize(lambda x: (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2, x0, method=method)
    assert r.nit > 0
    assert r.fun < 0.5e12
    assert not r.success or r.optimality < 1e3


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "nonlinear_cg", "steepest_descent"])
def test_a_wrong_gradient_is_no_success(method):
    """−g leads uphill: there is no decrease, and the gradient is large."""

    @jax.custom_vjp
    def f(x):
        return jnp.sum(x**2)

    f.defvjp(lambda x: (f(x), x), lambda x, t: (-2 * t * x,))
    r = rv.minimize(f, np.ones(2), method=method)
    assert r.status.name == "STALLED"
    assert not r.success


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "trust_region", "newton"])
def test_a_fall_without_end(method):
    r = rv.minimize(lambda x: -jnp.exp(x[0]) - x[0], np.ones(1), method=method)
    assert r.status.name == "UNBOUNDED"
    assert not r.success


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "lbfgsb", "trust_region"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_plane_falls_without_end(method, dtype):
    r = rv.minimize(lambda x: -jnp.sum(x), np.ones(2, dtype), method=method)
    assert r.status.name == "UNBOUNDED"
    assert not r.success


@pytest.mark.parametrize("method", ALL)
def test_a_wall_of_nan_is_kept_away_from(method):
    """−log is not defined below 0; trials there are shrunk."""
    r = rv.minimize(
        lambda x: jnp.sum(x - jnp.log(x)), np.array([1e-3, 50.0]), method=method, stop=rv.Optimality(1e-6) | rv.MaxSteps(5000)
    )
    assert r.status.name == "CONVERGED"
    np.testing.assert_allclose(r.x, [1, 1], atol=1e-4)


@pytest.mark.parametrize("bad", [lambda x: x, lambda x: jnp.sum(x, keepdims=True)])
def test_a_vector_valued_function_is_refused(bad):
    with pytest.raises(ValueError, match="must return a scalar"):
        rv.minimize(bad, np.ones(2))


def test_nan_everywhere_is_told_with_auto():
    r = rv.minimize(lambda x: jnp.sum(x) * jnp.nan, np.ones(2))
    assert r.status.name == "NONFINITE"
    assert not r.success


@pytest.mark.parametrize("empty", [np.zeros(0), {"a": np.zeros((0, 3)), "b": np.zeros(0)}])
def test_no_parameters_are_an_error(empty):
    with pytest.raises(ValueError, match="x0 has no parameters"):
        rv.minimize(lambda x: jnp.zeros(()), empty)


def test_arguments_that_do_not_fit_the_function_are_an_error():
    with pytest.raises(TypeError, match="argument"):
        rv.minimize(lambda x, a: jnp.sum((x - a) ** 2), np.ones(2))


def test_scipys_call_and_names():
    """Positional arguments and result names as in `scipy.optimize.minimize`."""
    r = rv.minimize(lambda x, a, b: jnp.sum((a * x - b) ** 2), np.zeros(2), (2.0, 4.0), "bfgs", [(0, 1), (0, 5)][:0] or None)
    np.testing.assert_allclose(r.x, [2, 2], atol=1e-6)
    assert {"x", "fun", "jac", "success", "status", "message", "nit", "nfev", "njev", "nhev"} <= set(dir(r))


def test_a_gradient_that_is_small_for_each_element_may_be_large_for_the_largest():
    f, g = jnp.float64(1.0), jnp.array([0.0, 1e-7])
    assert nearly_stationary(jnp.array([1e2, 1.0]), f, g, None, None)
    assert not nearly_stationary(jnp.array([1e4, 1.0]), f, g, None, None)  # as on a plateau of HAHN1LS
    assert not nearly_stationary(jnp.array([1e2, 1e3]), f, g, None, None)


def test_a_change_of_two_per_cent_is_no_rounding_in_single_precision_either():
    """The elements' own products are 10⁻³ and 10⁻⁶, the largest gradient times the largest element 0.02 and 0.002."""
    f, g = jnp.float32(1), jnp.array([1e-3, 5e-8], jnp.float32)
    assert not nearly_stationary(jnp.array([1.0, 20.0], jnp.float32), f, g, None, None)
    assert nearly_stationary(jnp.array([1.0, 2.0], jnp.float32), f, g, None, None)


def test_far_out_a_flat_place_is_no_solution():
    """As where NewtonCG comes to on DMN15103LS in float32: f = 1.3·10⁴, |g| = 9·10⁻¹¹ at |x| = 4·10¹¹."""
    f, g = jnp.float32(1.3e4), jnp.array([9e-11, 0.0], jnp.float32)
    assert not nearly_stationary(jnp.array([9e8, 4e11], jnp.float32), f, g, None, None)
    assert nearly_stationary(jnp.array([9e8, 4e10], jnp.float32), f, g, None, None)
    assert nearly_stationary(jnp.array([9e8, 4e11]), jnp.float64(1.3e4), jnp.array([9e-13, 0.0]), None, None)


@pytest.mark.parametrize("method", ["bfgs", "lbfgs"])
@pytest.mark.parametrize(("value", "status"), [(10.0, "STALLED"), (1000.0, "PRECISION")])
def test_a_gradient_that_a_rounding_of_x_changes_is_not_believed_to_be_small(method, value, status):
    """x ≈ 1840 in float32 is known to 10⁻⁴, and so is the gradient here: times |x|/|f| that is 0.02 in one case."""

    def f(x):
        return value + 0.5 * jnp.sum((x - 1840.0) ** 2) + jnp.sum(jnp.float32([1e-6, 3e-6]) * x)

    r = rv.minimize(f, jnp.float32([1800.0, 1900.0]), method=method, tol=0.0)
    assert r.status.name == status, r.message


@pytest.mark.parametrize("method", sorted(set(ALL) - {"steepest_descent"}))
def test_a_derivative_of_the_wrong_sign_ends_soon_and_is_no_success(method):
    """f falls nowhere along what the derivative promises; slopes that contradict the values are not followed for ever."""

    @jax.custom_jvp
    def bowl(x):
        return jnp.sum((x - 1.0) ** 2)

    bowl.defjvp(lambda x, v: (bowl(*x), 2.0 * (x[0] - 1.0) * jnp.array([-1.0, 1.0, 1.0]) @ v[0]))
    r = rv.minimize(bowl, np.array([-1.2, 1.0, 3.0]), method=method)
    assert r.status is rv.Status.STALLED, r.message
    assert r.nfev < 500


@pytest.mark.parametrize("method", [rv.Newton(), rv.Newton(search=rv.StrongWolfe()), rv.NewtonCG(), rv.NewtonCG(diagonal=True)])
def test_a_function_that_falls_without_end_behind_ripples_is_unbounded(method):
    """CUTEst's INDEF: each ripple has a minimum along every line, and Newton's steps are as long as a ripple."""

    def f(x):
        return jnp.sum(x) + jnp.sum(jnp.cos(2 * x[1:-1] - x[-1] - x[0]))

    r = rv.minimize(f, np.arange(1, 51) / 51, method=method)
    assert r.status is rv.Status.UNBOUNDED, r.message
    assert r.nfev < 500
    assert np.isfinite(r.fun)


@pytest.mark.parametrize("method", ["newton", "newton_cg"])
def test_a_look_far_ahead_changes_no_step_where_f_rises_there(method):
    """x⁴ − x² has a maximum at 0, so the first system meets negative curvature."""
    f = lambda x: jnp.sum(x**4 - x**2)  # noqa: E731
    r = rv.minimize(f, np.full(3, 0.1), method=method, history=("x",))
    assert r.success
    assert np.abs(r.history["x"]).max() < 2
    np.testing.assert_allclose(r.fun, -0.75, atol=1e-12)
