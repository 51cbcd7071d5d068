"""curve_fit and least_squares as front doors: SciPy's numbers, bounds, losses, bad input, derivatives."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import ravine as rv

rng = np.random.default_rng(3)
t = np.linspace(0.0, 4.0, 30)
sigma = rng.uniform(0.05, 0.2, t.size)
y = 2.5 * np.exp(-1.3 * t) + 0.5 + sigma * rng.standard_normal(t.size)


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


def with_numpy(t, a, k, c):
    return a * np.exp(-k * t) + c


@pytest.mark.parametrize("more", [{}, {"sigma": sigma}, {"sigma": sigma, "absolute_sigma": True}, {"sigma": np.diag(sigma**2)}])
def test_popt_and_pcov_are_scipys(more):
    popt, pcov = rv.curve_fit(decay, t, y, **more)
    expected, covariance = scipy.optimize.curve_fit(with_numpy, t, y, ftol=1e-14, xtol=1e-14, gtol=1e-14, **more)
    np.testing.assert_allclose(popt, expected, rtol=1e-6)
    np.testing.assert_allclose(pcov, covariance, rtol=1e-4)


def test_a_dictionary_of_parameters_goes_in_and_comes_out():
    fit = rv.curve_fit(decay, t, y, p0={"a": 1.0, "k": 1.0, "c": 0.0})
    plain = rv.curve_fit(decay, t, y)
    assert set(fit.popt) == {"a", "k", "c"}
    np.testing.assert_allclose([fit.popt[n] for n in "akc"], plain.popt, rtol=1e-7)


@pytest.mark.parametrize("bounds", [scipy.optimize.Bounds([-1, -1, -1], [1, 1, 1]), [(-1, 1)] * 3, (-1, [1, 1, 1]), (-1, 1)])
def test_bounds_of_every_form_are_understood(bounds):
    r = rv.least_squares(lambda x: x - jnp.array([2.0, -3.0, 0.5]), np.zeros(3), bounds=bounds)
    np.testing.assert_allclose(r.x, [1, -1, 0.5], atol=1e-9)


def test_of_two_parameters_two_vectors_are_the_lower_and_the_upper_bounds_as_in_scipy():
    def residual(x):
        return x - jnp.array([2.0, -3.0])

    for bounds in (([-1, -2], [1, 2]), ((-1, -2), (1, 2))):
        np.testing.assert_allclose(rv.least_squares(residual, np.zeros(2), bounds=bounds).x, [1, -2], atol=1e-9)
        np.testing.assert_allclose(scipy.optimize.least_squares(residual, np.zeros(2), bounds=bounds).x, [1, -2], atol=1e-9)
        np.testing.assert_allclose(rv.least_squares_batch(residual, np.zeros((1, 2)), bounds=bounds).x, [[1, -2]], atol=1e-9)


@pytest.mark.parametrize(
    "bounds", [(0, [3.0, 1.5, 0.8]), ([2.2, 1.2, -np.inf], np.inf), (-np.inf, [3.0, 2.0, 0.6]), (-np.inf, np.inf)]
)
def test_without_a_start_a_fit_begins_within_its_bounds(bounds):
    popt, _ = rv.curve_fit(decay, t, y, bounds=bounds)
    expected, _ = scipy.optimize.curve_fit(with_numpy, t, y, bounds=bounds)
    np.testing.assert_allclose(popt, expected, rtol=1e-5)


def test_one_parameter_may_start_at_a_number():
    popt, pcov = rv.curve_fit(lambda x, a: a * x, np.arange(4.0), 3 * np.arange(4.0), 1.0)
    np.testing.assert_allclose(popt, [3])
    assert pcov.shape == (1, 1)


def test_the_report_has_what_lmfits_has():
    fit = rv.curve_fit(decay, t, y, p0={"a": 1.0, "k": 1.0, "c": 0.0})
    text = fit.fit_report()
    for words in ("[[Fit Statistics]]", "chi-square", "Akaike", "[[Variables]]", "a:", "+/-", "(init = 1)", "C(c, k)"):
        assert words in text
    np.testing.assert_allclose(fit.stderr, np.sqrt(np.diag(fit.pcov)), rtol=1e-12)
    np.testing.assert_allclose(np.diag(fit.correlation), 1.0, rtol=1e-12)


def test_the_band_is_linear_propagation():
    fit = rv.curve_fit(lambda t, a, b: a + b * t, t, y)
    value, reach = fit.band(np.array([0.0, 2.0]))
    C = np.asarray(fit.pcov)
    np.testing.assert_allclose(value, fit.popt[0] + fit.popt[1] * np.array([0.0, 2.0]), rtol=1e-12)
    np.testing.assert_allclose(reach[1] ** 2, C[0, 0] + 4 * C[0, 1] + 4 * C[1, 1], rtol=1e-10)


def test_directions_without_data_are_named():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = rv.curve_fit(lambda t, a, b, c: (a + 2 * b) * jnp.exp(-c * t), t, y)
    assert fit.result.success
    assert fit.statistics.rank == 2
    assert fit.statistics.unseen == ("a - 0.5 b",) or fit.statistics.unseen == ("x[0] - 0.5 x[1]",)
    assert "rank 2 of 3" in fit.result.message
    assert np.all(np.isinf(fit.pcov))
    assert "say nothing about" in fit.fit_report()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ydata": np.where(t == t[3], np.nan, y)}, r"ydata\[3\] is nan"),
        ({"xdata": np.where(t == t[5], np.inf, t)}, r"xdata\[5\] is inf"),
        ({"sigma": np.where(t == t[2], 0.0, sigma)}, r"sigma\[2\] is 0"),
        ({"ydata": y[:-1]}, r"returns shape \(30,\), but ydata has shape \(29,\)"),
        ({"sigma": sigma[:-1]}, r"sigma has shape \(29,\)"),
        ({"bounds": (2.0, 3.0), "p0": np.ones(3)}, "x0 within the bounds"),
        ({"bounds": (1.0, 1.0), "p0": np.ones(3)}, "lower < upper is needed; parameter 0 has lower 1"),
        ({"bounds": (3.0, 2.0)}, r"the bounds of x0\[0\] cross or are NaN: lower 3.0 and upper 2.0"),
        ({"bounds": (np.nan, 2.0)}, r"the bounds of x0\[0\] cross or are NaN: lower nan"),
        ({"method": "lm"}, "unknown method 'lm'; did you mean 'levenberg_marquardt'"),
        ({"loss": "hubr"}, "loss must be one of"),
        ({"bounds": (np.zeros(2), np.ones(3))}, r"the lower bounds do not match x0: \(2,\) does not fit \(3,\)"),
    ],
)
def test_bad_input_is_refused_with_its_place(change, message):
    with pytest.raises(ValueError, match=message):
        rv.curve_fit(decay, **({"xdata": t, "ydata": y} | change))


@pytest.mark.parametrize("model", [with_numpy, lambda t, a: t if a > 0 else -t])
def test_a_model_that_jax_cannot_trace_is_told(model):
    with pytest.raises(TypeError, match=r"asks for numbers while JAX traces it: write jnp\.exp\(x\)"):
        rv.curve_fit(model, t, y)


def test_residuals_that_are_not_finite_are_told_with_their_place():
    r = rv.least_squares(lambda x: jnp.log(jnp.array([1.0, -1.0, 2.0]) * x), np.array([1.0]))
    assert r.status.name == "NONFINITE"
    assert "1 of 3 residuals are not finite: residual 1 is nan" in r.message


@pytest.mark.parametrize("name", ["levenberg_marquardt", "levenberg", "dogleg"])
def test_nothing_is_evaluated_outside_the_box(name):
    seen = []

    def residual(x):
        jax.debug.callback(lambda v: seen.append(np.asarray(v)), x)
        return jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])

    lower, upper = np.array([-2.0, -0.5]), np.array([0.8, 2.0])
    r = rv.least_squares(residual, np.array([-1.2, 1.0]), method=name, bounds=(lower, upper))
    jax.effects_barrier()
    assert r.success
    assert len(seen) > 3
    assert np.all((np.array(seen) >= lower) & (np.array(seen) <= upper))
    reference = scipy.optimize.least_squares(
        lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]),
        [-1.2, 1.0],
        bounds=(lower, upper),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    np.testing.assert_allclose(r.x, reference.x, rtol=1e-5)
    assert r.x[0] == 0.8


@pytest.mark.parametrize("loss", ["huber", "soft_l1", "cauchy", "arctan"])
def test_robust_costs_are_scipys(loss):
    wrong = y + np.where(np.arange(t.size) % 7 == 0, 5.0, 0.0)
    r = rv.least_squares(lambda p: decay(t, *p) - wrong, np.array([2.0, 1.0, 0.5]), loss=loss, f_scale=0.2)
    s = scipy.optimize.least_squares(
        lambda p: with_numpy(t, *p) - wrong, [2.0, 1.0, 0.5], loss=loss, f_scale=0.2, xtol=1e-14, ftol=1e-14, gtol=1e-14
    )
    assert r.success, r.message
    np.testing.assert_allclose(r.fun, s.cost, rtol=1e-7)
    np.testing.assert_allclose(r.x, s.x, rtol=2e-4)


@pytest.mark.parametrize("loss", ["soft_l1", "tukey"])
def test_small_residuals_cost_what_their_squares_do(loss):
    from ravine.math.loss import Loss

    r = jnp.array([1e-3, 1e-4, 1e-6], jnp.float32)
    np.testing.assert_allclose(jax.vmap(Loss(loss).cost)(r), 0.5 * r**2, rtol=2e-6)


@pytest.mark.parametrize("loss", ["huber", "cauchy"])
def test_the_covariance_with_a_robust_loss_is_scipys(loss):
    wrong = y + np.where(np.arange(t.size) % 7 == 0, 5.0, 0.0)
    more = {"loss": loss, "f_scale": 0.2}
    fit = rv.curve_fit(decay, t, wrong, [2.0, 1.0, 0.5], **more)
    _, covariance = scipy.optimize.curve_fit(
        with_numpy, t, wrong, [2.0, 1.0, 0.5], method="trf", xtol=1e-14, ftol=1e-14, gtol=1e-14, **more
    )
    np.testing.assert_allclose(fit.pcov, covariance, rtol=1e-4)
    np.testing.assert_allclose(fit.statistics.residuals, decay(t, *fit.popt) - wrong, rtol=1e-12)
    np.testing.assert_allclose(fit.statistics.reduced_chi_square, 2 * fit.result.fun / (t.size - 3), rtol=1e-12)
    batch = rv.curve_fit_batch(decay, t, np.stack([y, wrong]), [2.0, 1.0, 0.5], **more)
    np.testing.assert_allclose(batch.pcov[1], fit.pcov, rtol=1e-6)


def test_tukey_ignores_what_is_far_off():
    wrong = y + np.where(np.arange(t.size) % 7 == 0, 50.0, 0.0)
    keep = np.arange(t.size) % 7 != 0
    r = rv.least_squares(lambda p: decay(t, *p) - wrong, np.array([2.4, 1.2, 0.5]), loss="tukey", f_scale=2.0)
    clean = rv.curve_fit(decay, t[keep], y[keep])
    np.testing.assert_allclose(r.x, clean.popt, atol=0.05)


@pytest.mark.parametrize("loss", ["huber", "soft_l1", "cauchy", "arctan", "tukey"])
def test_the_corrected_residuals_have_the_gradient_and_triggs_hessian(loss):
    from ravine.math.loss import RHO, Loss

    robust, r = Loss(loss, 0.7), jnp.array([0.1, 0.4, 0.65])
    corrected, weigh = robust.correct(r)
    root = weigh(jnp.ones(3))
    np.testing.assert_allclose(root * corrected, jax.grad(robust.cost)(r), rtol=1e-12)
    hessian, slope = np.diag(jax.hessian(robust.cost)(r)), jax.grad(robust.cost)(r) / r
    np.testing.assert_allclose(root**2, np.maximum(hessian, 0.01 * slope), rtol=1e-9)
    assert loss in RHO


def test_the_derivative_of_a_fit_is_that_of_differences():
    def peak(height):
        return rv.curve_fit(decay, t, y * height).popt[1]

    def residual(p, y):
        return decay(t, *p) - y

    def rate(shift):
        return rv.least_squares(residual, np.array([2.0, 1.0, 0.5]), args=(y + shift * t**2,)).x[1]

    for fun, at in ((rate, 0.01), (peak, 1.0)):
        difference = (fun(at + 1e-4) - fun(at - 1e-4)) / 2e-4
        np.testing.assert_allclose(jax.grad(fun)(at), difference, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(jax.jvp(fun, (at,), (1.0,))[1], difference, rtol=1e-4, atol=1e-6)


def test_a_fit_has_second_derivatives():
    def root(s):
        return rv.least_squares(lambda x, s: x**2 - s, np.ones(1), args=(s,)).x[0]

    for second in (jax.hessian(root), jax.grad(jax.grad(root))):
        np.testing.assert_allclose(second(4.0), -(4**-1.5) / 4, rtol=1e-7)


def test_the_cost_of_a_fit_has_a_derivative():
    def cost(s):
        return rv.least_squares(lambda x, s: x - s * jnp.array([1.0, 3.0]), np.ones(1), args=(s,)).fun

    np.testing.assert_allclose(cost(1.5), 1.5**2, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(cost)(1.5), 3.0, rtol=1e-12)


@pytest.mark.parametrize("model", [lambda t, a: None, lambda t, a: [a, a]])
def test_a_model_that_returns_no_array_is_told(model):
    with pytest.raises(TypeError, match="must return an array, got"):
        rv.curve_fit(model, t, y)


def test_a_parameter_at_a_bound_has_the_derivative_of_the_bound():
    def fitted(theta):
        return rv.curve_fit(decay, t, y + theta[1] * t**2, p0=jnp.ones(3), bounds=(0.0, jnp.stack([theta[0], 9.0, 9.0]))).popt

    at = np.array([2.0, 0.01])  # the height without bounds is 2.5
    assert fitted(at)[0] == at[0]
    difference = np.stack([(fitted(at + h) - fitted(at - h)) / 2e-4 for h in 1e-4 * np.eye(2)], axis=1)
    np.testing.assert_allclose(jax.jacrev(fitted)(at), difference, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(fitted)(at), difference, rtol=1e-4, atol=1e-6)


def test_jit_and_vmap_of_a_fit():
    fit = jax.jit(lambda y: rv.curve_fit(decay, t, y).popt)
    np.testing.assert_allclose(fit(y), rv.curve_fit(decay, t, y).popt, rtol=1e-7)
    many = np.stack([y, y + 0.1])
    np.testing.assert_allclose(jax.vmap(fit)(many)[1], fit(many[1]), rtol=1e-7)


def test_where_the_data_tell_less_than_there_are_parameters_a_fit_moves_in_what_they_tell():
    def two(theta, split):
        """A height and a rate, and how they move; the height may be in two parts, which the data do not tell apart."""

        def fitted(y):
            def residual(p, y):
                return (p[0] + 2 * p[2] if split else p[0]) * jnp.exp(-p[1] * t) - y

            p = rv.least_squares(residual, np.array([2.0, 1.0, 0.3]) if split else np.array([2.0, 1.0]), args=(y,)).x
            return jnp.stack([p[0] + 2 * p[2], p[1], p[0] - 2 * p[2]]) if split else p

        return fitted(y + theta * t**2)

    moves = jax.jacrev(two)(0.01, True)
    np.testing.assert_allclose(moves[:2], jax.jacfwd(two)(0.01, False), rtol=1e-6)
    np.testing.assert_allclose(moves[2], 0, atol=1e-9)  # what the data do not tell does not move


def test_with_fewer_residuals_than_parameters_a_fit_moves_to_the_nearest_solution():
    W, c, d = rng.standard_normal((3, 7)) * np.geomspace(1e-3, 1e3, 7), rng.standard_normal(3), rng.standard_normal(3)
    moves = jax.jacrev(lambda s: rv.least_squares(lambda x, c: W @ x - c, np.zeros(7), args=(c + s * d,)).x)(0.0)
    D = np.linalg.norm(W, axis=0)
    np.testing.assert_allclose(moves, np.linalg.pinv(W / D) @ d / D, rtol=1e-9)


def test_a_direction_that_only_the_curvature_of_the_residuals_tells_has_its_derivative():
    def solution(s):
        # J has no first column where 2 x₀ + s = 0, which is where ½‖r‖² has its minimum.
        return rv.least_squares(lambda x, s: jnp.stack([x[0] ** 2 + 2 + s * x[0], x[1] - s * x[0]]), np.ones(2), args=(s,)).x

    np.testing.assert_allclose(solution(0.3), [-0.15, -0.045], atol=1e-7)
    np.testing.assert_allclose(jax.jacfwd(solution)(0.3), [-0.5, -0.3], atol=1e-6)


@pytest.mark.parametrize(
    "linear",
    [rv.QRStep(), rv.CholeskyStep(), rv.DualStep(), rv.PCGStep(), None],
    ids=["qr", "cholesky", "dual", "pcg", "sparse"],
)
def test_blind_directions_are_named_whatever_was_factorised(linear):
    def residual(x):
        return jnp.stack([x[0] + x[1] - 1, 2 * (x[0] + x[1]) - 3, x[2] - 2, x[2] - 4])

    def fitted(residual, **more):
        if linear is None:
            return rv.least_squares(residual, np.zeros(3), sparsity="probe", **more)
        return rv.least_squares(residual, np.zeros(3), method=rv.LevenbergMarquardt(linear=linear), **more)

    r = fitted(residual)
    assert "rank 2 of 3: nothing is known about x[0] - x[1]" in r.message
    # What a bound holds is known.
    held = fitted(residual, bounds=(-5.0, np.array([0.3, 5.0, 1.0])))
    assert held.success
    assert held.x[2] == 1.0
    assert ("nothing is known" in held.message) == (held.x[0] < 0.3)
    full = fitted(lambda x: x - jnp.arange(4.0)[:3])
    assert "nothing is known" not in full.message


@pytest.mark.parametrize("m", [10, 100_000])
def test_blind_directions_are_named_however_many_residuals_there_are(m):
    t = np.linspace(0.0, 4.0, m)
    r = rv.least_squares(lambda x: (x[0] + 3 * x[1]) * jnp.exp(-x[2] * t) + 0.7 * x[3] - 2 * np.exp(-t) - 1, np.full(4, 0.5))
    assert "rank 3 of 4: nothing is known about x[0] - 0.333 x[1]" in r.message


def test_residuals_that_depend_on_each_other_are_told_where_they_are_fewer_than_parameters():
    def residual(x):
        return jnp.stack([x[0] + x[1] + x[2] - 1, 2 * (x[0] + x[1] + x[2]) - 3])

    r = rv.least_squares(residual, np.zeros(3))
    assert "rank 1 of 2, the number of residuals: nothing is known about " in r.message
    apart = rv.least_squares(lambda x: jnp.stack([x[0] + x[1] - 1, x[1] - x[2]]), np.zeros(3))
    assert "nothing is known" not in apart.message


def test_a_method_in_the_place_of_args_is_told():
    with pytest.raises(TypeError, match="write method='gauss_newton'"):
        rv.least_squares(lambda x: x, np.ones(2), "gauss_newton")
    r = rv.least_squares(lambda x, y: x - y, np.ones(2), np.array([3.0, 4.0]))  # one array needs no tuple, as in minimize
    np.testing.assert_allclose(r.x, [3.0, 4.0])


@pytest.mark.parametrize(
    ("labels", "cure"),
    [
        ([0, 1, 2], r"logits of shape \(3, classes\) for 3 labels, got \(4, 3\)"),
        ([0, 1, 2, 5], r"labels\[3\] is 5, but .* returns 3 classes"),
        ([0.0, 1.0, 2.0, 1.0], "labels must be whole numbers"),
    ],
)
def test_labels_that_are_not_those_of_the_logits_are_refused(labels, cure):
    with pytest.raises(ValueError, match=cure):
        rv.least_squares(lambda W: jnp.ones((4, 2)) @ W, np.zeros((2, 3)), loss=rv.SoftmaxCrossEntropy(np.array(labels)))


def heights(x, h):
    """A curve of straight lines between heights at 0, 1, 2 …"""
    i = jnp.clip(jnp.floor(x).astype(int), 0, len(h) - 2)
    return h[i] + (x - jnp.floor(x)) * (h[i + 1] - h[i])


def test_a_curve_of_many_parameters_with_its_sparsity_is_the_dense_fit():
    x = np.linspace(0.0, 10.9, 60)
    data = np.sin(x) + 0.1 * rng.standard_normal(x.size)
    dense = rv.curve_fit(heights, x, data, p0={"h": np.zeros(12)})
    fit = rv.curve_fit(heights, x, data, p0={"h": np.zeros(12)}, sparsity="probe")
    assert "sparse normal equations: 119 entries in the 60×12 Jacobian, seen by 2 products" in fit.result.why
    np.testing.assert_allclose(fit.popt["h"], dense.popt["h"], atol=1e-8)
    np.testing.assert_allclose(fit.pcov, dense.pcov, rtol=1e-6, atol=1e-9)


def test_the_report_has_the_correlations_that_are_large_enough_the_largest_first():
    fit = rv.curve_fit(decay, t, y)
    lines = fit.fit_report(least_correlation=0.3).split("[[Correlations]]")[1].splitlines()[1:]
    C = fit.correlation
    expected = sorted(((abs(C[i, j]), f"C(x[{i}], x[{j}]) = {C[i, j]:+.4f}") for i, j in ((0, 1), (0, 2), (1, 2))), reverse=True)
    assert [line.strip() for line in lines] == [text for size, text in expected if size >= 0.3]
    assert "Correlations" not in fit.fit_report(least_correlation=1.1)


def test_data_that_the_residual_closes_over_have_their_derivative_and_the_start_has_none():
    def fitted(height, start):
        return rv.least_squares(lambda p: decay(t, *p) - height * decay(t, 2.0, 1.3, 0.5), start * np.array([2.0, 1.0, 0.5])).x

    by_height, by_start = jax.jit(jax.jacrev(fitted, argnums=(0, 1)))(1.0, 1.0)
    np.testing.assert_allclose(by_height, [2.0, 0.0, 0.5], atol=1e-6)
    np.testing.assert_array_equal(by_start, 0)


@pytest.mark.parametrize(
    ("p0", "told"),
    [
        ([1.0, 1.0], r"p0 has 2 parameters, and decay is called as decay\(t, a, k, c\): missing a required argument: 'c'"),
        ([1.0, 1.0, 1.0, 1.0], "p0 has 4 parameters.*too many"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "p0 has the parameters a, b, c"),
    ],
)
def test_another_number_of_parameters_than_the_model_takes_is_told(p0, told):
    with pytest.raises(TypeError, match=told):
        rv.curve_fit(decay, t, y, p0=p0)


def test_losses_that_are_none_are_told():
    with pytest.raises(TypeError, match=r"write SoftmaxCrossEntropy\(…\)"):
        rv.least_squares(lambda x: x, np.ones(2), loss=rv.SoftmaxCrossEntropy)
    with pytest.raises(ValueError, match=r"f_scale is one number .*, got shape \(2,\): divide each residual"):
        rv.least_squares(lambda x: x, np.ones(2), loss="huber", f_scale=np.ones(2))


def test_a_precision_without_factorisations_is_told():
    with pytest.raises(
        TypeError, match="LevenbergMarquardt factors matrices, which JAX does in float32 and float64, not in float16"
    ):
        rv.least_squares(lambda x: x - 1, jnp.ones(2, jnp.float16))


def test_residuals_that_a_flat_loss_leaves_out_are_told_where_too_few_are_left():
    far = rv.least_squares(lambda x: x - jnp.array([100.0, 101.0, 102.0]), np.ones(1), loss="tukey")
    assert "3 of 3 residuals are above f_scale = 1" in far.message
    assert "their median is 100" in far.message
    near = rv.least_squares(lambda x: x - jnp.array([100.0, 101.0, 102.0]), np.ones(1), loss="tukey", f_scale=200.0)
    assert "f_scale" not in near.message


def test_with_cross_entropy_errors_are_those_of_the_likelihood():
    X = rng.standard_normal((60, 2))
    labels = jnp.asarray(X @ [1.0, -2.0] + 0.5 + rng.logistic(size=60) > 0, int)

    def logits(p):
        score = X @ p[:2] + p[2]
        return jnp.stack([jnp.zeros_like(score), score], axis=1)

    def negative_log_likelihood(p):
        return -jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(logits(p)), labels[:, None], axis=1))

    r = rv.least_squares(logits, np.zeros(3), loss=rv.SoftmaxCrossEntropy(labels))
    about = rv.statistics(r)
    np.testing.assert_allclose(about.covariance, np.linalg.inv(jax.hessian(negative_log_likelihood)(r.x)), rtol=1e-6)
    np.testing.assert_allclose(about.chi_square, 2 * negative_log_likelihood(r.x), rtol=1e-12)
    np.testing.assert_allclose(np.sum(about.residuals**2), about.chi_square, rtol=1e-12)
    report = rv.fit_report(r)
    assert "data points        = 60" in report
    assert f"Akaike info crit   = {about.chi_square + 6:.8g}" in report
    assert "chi-square" not in report
