"""Bounds: understood in every form, kept to, and refused with the cure where they cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import ravine as rv

METHODS = ["lbfgsb", "trust_region", rv.TrustRegion(dense_up_to=0)]


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def bowl(x):
    return jnp.sum((x - 3.0) ** 2)


X0 = np.tile([-1.2, 1.0], 5)
BOXES = [(-2.0, 0.5), (-0.5, 0.5), (0.3, None)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("box", BOXES)
def test_the_minimum_within_a_box_is_scipys(method, box):
    lower, upper = (-np.inf if box[0] is None else box[0]), (np.inf if box[1] is None else box[1])
    x0 = np.clip(X0, lower, upper)
    theirs = scipy.optimize.minimize(jax.jit(rosenbrock), x0, jac=jax.jit(jax.grad(rosenbrock)), bounds=[box] * 10, tol=1e-12)
    ours = rv.minimize(rosenbrock, x0, method=method, bounds=box, tol=1e-10)
    assert ours.success
    np.testing.assert_allclose(ours.fun, theirs.fun, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_f_is_never_evaluated_outside_the_box(method):
    seen = []

    def f(x):
        jax.debug.callback(lambda v: seen.append(np.asarray(v)), x)
        return rosenbrock(x)

    rv.minimize(f, np.clip(X0, -0.7, 0.6), method=method, bounds=(-0.7, 0.6))
    jax.effects_barrier()
    points = np.array([p for p in seen if p.ndim == 1])
    assert len(points) > 10
    assert points.min() >= -0.7
    assert points.max() <= 0.6
    assert (points == 0.6).any()  # and the bounds are reached exactly


@pytest.mark.parametrize("method", METHODS)
def test_a_minimum_in_the_corner(method):
    r = rv.minimize(lambda x: jnp.sum(x), np.full(3, 0.5), method=method, bounds=(0, 1))
    assert r.status.name == "CONVERGED"
    assert r.x.tolist() == [0, 0, 0]
    assert r.optimality == 0


@pytest.mark.parametrize("method", METHODS)
def test_bounds_far_away_change_nothing(method):
    def valley(x):
        return rosenbrock(x) + 50 * jnp.sum(x**2)  # with one minimum only

    free, boxed = rv.minimize(valley, X0, method=method), rv.minimize(valley, X0, method=method, bounds=(-1e6, 1e6))
    assert boxed.success
    np.testing.assert_allclose(boxed.x, free.x, atol=1e-5)


def test_in_a_box_the_first_trial_is_the_projected_gradient_step():
    def far(x):
        return 0.5 * jnp.sum((x - 50.0) ** 2)

    boxed = rv.minimize(far, jnp.zeros(3), method="lbfgsb", bounds=(-100.0, 100.0))
    half = rv.minimize(far, jnp.zeros(3), method="lbfgsb", bounds=(-100.0, None))
    assert int(boxed.nit) == 1 < int(half.nit)
    np.testing.assert_allclose(boxed.x, 50.0)


def test_every_form_of_bounds_is_the_same_box():
    forms = [
        (0, 2),
        (None, 2.0),
        (np.zeros(3), np.full(3, 2.0)),
        ([0, 0, 0], 2),
        [(0, 2), (None, 2), (-1.0, 2.0)],
        scipy.optimize.Bounds(0, 2),
        scipy.optimize.Bounds([0, -np.inf, 0], [2, 2, 2]),
    ]
    for bounds in forms:
        assert rv.minimize(bowl, np.ones(3), bounds=bounds).x.tolist() == [2, 2, 2], bounds


def test_bounds_as_trees():
    def f(p):
        return bowl(p["w"]) + bowl(p["b"])

    x0 = {"w": jnp.ones((2, 2)), "b": jnp.ones(())}
    r = rv.minimize(f, x0, bounds=({"w": None, "b": 0.5}, {"w": jnp.array([1.0, 2.0]), "b": None}))
    assert r.x["w"].tolist() == [[1, 2], [1, 2]]
    np.testing.assert_allclose(r.x["b"], 3)


def test_two_parameters_and_two_pairs_are_scipys_pairs():
    assert rv.minimize(bowl, np.ones(2), bounds=[(0, 1), (0, 2)]).x.tolist() == [1, 2]


def test_a_start_outside_is_projected_with_a_warning():
    with pytest.warns(UserWarning, match="x0 is outside the bounds in 2 of its elements"):
        r = rv.minimize(bowl, np.array([5.0, 1.0, -1.0]), bounds=(0, 2))
    assert r.success


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((1, 0), r"bounds of x0\[0\] cross or are NaN: lower 1.0 and upper 0.0"),
        ([(0, 1), (2, 1), (0, 1)], r"x0\[1\]"),
        ((np.nan, 1), "cross or are NaN"),
        ((np.zeros(2), 1), r"lower bounds do not match x0: \(2,\) does not fit \(3,\)"),
        (([0, 0], None), r"lower bounds do not match"),
        ({"lower": 0}, r"bounds must be \(lower, upper\)"),
        (({"a": 0.0, "b": 1.0}, None), "lower bounds do not match x0: expected"),
    ],
)
def test_wrong_bounds_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        rv.minimize(bowl, np.ones(3), bounds=bounds)


def test_a_method_without_bounds_names_those_with():
    with pytest.raises(ValueError, match=r"BFGS does not keep to bounds; methods that do: .*lbfgsb"):
        rv.minimize(bowl, np.ones(3), bounds=(0, 1), method="bfgs")


def test_bounds_under_jit_and_vmap():
    def solved(a, upper):
        return rv.minimize(lambda x, a: jnp.sum((x - a) ** 2), jnp.ones(2), (a,), method="lbfgsb", bounds=(0, upper)).x

    a, upper = jnp.arange(6.0).reshape(3, 2), jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(jax.jit(jax.vmap(solved))(a, upper), np.minimum(a, upper[:, None]), atol=1e-7)


def test_bounds_that_bound_nothing_are_none():
    for box in ((None, None), (-np.inf, np.inf), scipy.optimize.Bounds([-np.inf] * 2, [np.inf] * 2)):
        r = rv.minimize(lambda x: jnp.sum((x - 3) ** 2), np.zeros(2), method="bfgs", bounds=box)
        np.testing.assert_allclose(r.x, 3, rtol=1e-6)


@pytest.mark.parametrize(
    "bounds", [([0, -1], [1, 2]), ((0, 1), (-1, 2)), [(0, 1), (-1, 2)], [[0, 1], [-1, 2]], (None, np.array([1, 2]))]
)
def test_of_two_parameters_a_tuple_of_lists_is_the_lower_and_the_upper_bounds_and_all_else_pairs(bounds):
    r = rv.minimize(lambda x: jnp.sum((x - 3) ** 2), np.array([0.5, 0.5]), method="lbfgsb", bounds=bounds)
    np.testing.assert_allclose(r.x, [1, 2], atol=1e-9)


@pytest.mark.parametrize("method", ["trust_region", "lbfgsb"])
def test_a_gradient_that_is_small_beside_x_is_none_the_less(method):
    # Half a rounding of x = 4·10¹⁰ is 4·10⁻⁶, and the slope is 2·10⁻⁸.
    r = rv.minimize(lambda x: jnp.sum((x / 1e9 - 50) ** 2), jnp.array([4e10]), method=method, bounds=(0, 1e11))
    assert r.success
    assert abs(r.x[0] / 5e10 - 1) < 1e-7


def test_steps_that_are_small_beside_x_are_not_rounded_away():
    r = rv.minimize(
        lambda x: jnp.sum(1e-9 * jnp.cosh(x - 1e13)), jnp.array([1e13 + 3, 1e13 - 2]), method="lbfgsb", bounds=(0, 2e13)
    )
    assert r.status is rv.Status.CONVERGED
    assert r.x.tolist() == [1e13, 1e13]


@pytest.mark.parametrize("method", ["trust_region", "lbfgsb"])
def test_bounds_that_cross_while_jax_traces_are_a_status(method):
    def within(upper):
        r = rv.minimize(lambda x: jnp.sum((x - 1) ** 2), jnp.zeros(2), method=method, bounds=(0, upper))
        return r.status, r.success

    for bounds, expected in (-1.0, rv.Status.INFEASIBLE), (0.5, rv.Status.CONVERGED):
        status, success = jax.jit(within)(bounds)
        assert rv.Status(int(status)) is expected
        assert bool(success) is (expected is rv.Status.CONVERGED)


def test_pairs_may_be_traced():
    def within(u):
        return rv.minimize(lambda x: jnp.sum((x - 1) ** 2), jnp.zeros(2), method="lbfgsb", bounds=[(-1, u), (None, u)]).x

    np.testing.assert_allclose(jax.jit(within)(0.5), [0.5, 0.5])
    np.testing.assert_allclose(jax.jacrev(within)(0.5), [1.0, 1.0])


def test_a_tree_of_bounds_with_another_name_is_refused():
    with pytest.raises(ValueError, match="do not match x0"):
        rv.minimize(lambda p: jnp.sum((p["a"] - 3) ** 2), {"a": jnp.zeros(2)}, bounds=(None, {"typo": 1.0}))
    r = rv.minimize(lambda p: jnp.sum((p["a"] - 3) ** 2), {"a": jnp.zeros(2)}, bounds=(None, np.array([1.0, 5.0])))
    np.testing.assert_allclose(r.x["a"], [1.0, 3.0], rtol=1e-6)
