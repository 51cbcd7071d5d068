"""ADMM: against the conditions of a solution, solvers that share no code with it, and a loop as in the book."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse
from jax.experimental import sparse

import ravine as rv

rng = np.random.default_rng(0)
M, N = 30, 20
A = rng.standard_normal((M, N))
TRUTH = np.where(np.arange(N) % 4 == 0, 2 * rng.standard_normal(N), 0.0)
B = A @ TRUTH + 0.1 * rng.standard_normal(M)
D = np.diff(np.eye(N), axis=0)
STEPS = np.repeat([0.0, 2.0, -1.0, 1.0], N // 4) + 0.2 * rng.standard_normal(N)
ZERO = jnp.zeros(N)


def fit(x, A, b):
    return 0.5 * jnp.sum((A @ x - b) ** 2)


def near(x, y):
    return 0.5 * jnp.sum((x - y) ** 2)


def logistic(x, A, signs):
    return jnp.sum(jnp.logaddexp(0.0, -signs * (A @ x)))


def lasso(weight=3.0, method="admm", **options):
    return rv.minimize(fit, ZERO, (A, B), method, g=rv.prox.L1(weight), **options)


def assert_subgradient(gradient, x, weight, tol):
    """−∇f(x) ∈ λ ∂‖x‖₁."""
    on = np.asarray(x) != 0
    np.testing.assert_allclose(gradient[on], -weight * np.sign(x[on]), atol=tol)
    assert np.all(np.abs(gradient[~on]) <= weight + tol)


@pytest.mark.parametrize("weight", [0.01, 3.0, 30.0, 1e4])
@pytest.mark.parametrize("tol", [None, 1e-12])
def test_converged_means_that_the_subgradient_condition_holds(weight, tol):
    r = lasso(weight, tol=tol)
    assert r.status.name == "CONVERGED"
    size = max(np.abs(A.T @ B).max(), np.abs(A.T @ (A @ r.x)).max(), weight)
    assert_subgradient(A.T @ (A @ np.asarray(r.x) - B), r.x, weight, 2 * (tol or 1.5e-8) * size)
    assert (weight == 1e4) == (not np.any(r.x))
    np.testing.assert_allclose(r.fun, fit(r.x, A, B) + weight * np.abs(r.x).sum())


def test_with_orthonormal_columns_the_lasso_is_soft_thresholding():
    Q = np.linalg.qr(A)[0]
    r = rv.minimize(fit, ZERO, (Q, B), g=rv.prox.L1(0.5), tol=1e-12)
    c = Q.T @ B
    np.testing.assert_allclose(r.x, np.sign(c) * np.maximum(np.abs(c) - 0.5, 0), atol=1e-10)


@pytest.mark.parametrize("weight", [0.05, 0.5, 100.0])
def test_total_variation_is_what_its_dual_gives(weight):
    # x = y − Dᵀw with the w of least ½‖y − Dᵀw‖² in the box |w| ≤ λ, by SciPy's active sets.
    w = scipy.optimize.lsq_linear(D.T, STEPS, (-weight, weight), method="bvls", tol=1e-14).x
    r = rv.minimize(near, ZERO, (STEPS,), g=rv.prox.L1(weight), K=D, tol=1e-11)
    assert r.status.name == "CONVERGED"
    np.testing.assert_allclose(r.x, STEPS - D.T @ w, atol=1e-8)


def test_the_fused_lasso_meets_its_conditions():
    # ∇f + λ₁ s + λ₂ Dᵀw = 0 with s ∈ ∂‖x‖₁ and w ∈ ∂‖D x‖₁: K stacks the identity on D, g is a pair.
    K = lambda x: (x, x[1:] - x[:-1])  # noqa: E731
    r = rv.minimize(fit, ZERO, (A, B), g=(rv.prox.L1(1.0), rv.prox.L1(2.0)), K=K, tol=1e-11)
    assert r.status.name == "CONVERGED"
    y, w = np.split(np.asarray(r.carry.state.y), [N])
    np.testing.assert_allclose(A.T @ (A @ r.x - B) + y + D.T @ w, 0, atol=1e-8)
    for dual, primal, weight in ((y, r.x, 1.0), (w, D @ r.x, 2.0)):
        assert np.all(np.abs(dual) <= weight + 1e-12)
        on = np.abs(primal) > 1e-6
        assert on.any()
        np.testing.assert_allclose(dual[on], weight * np.sign(primal[on]), atol=1e-9)


def test_sets_are_kept_to_the_bit():
    r = rv.minimize(fit, ZERO, (A, B), g=rv.prox.NonNegative(), tol=1e-12)
    np.testing.assert_allclose(r.x, scipy.optimize.nnls(A, B)[0], atol=1e-9)
    assert np.all(r.x >= 0)
    assert np.any(r.x == 0)
    r = rv.minimize(fit, ZERO, (A, B), g=rv.prox.Box(-0.5, 0.5), tol=1e-12)
    np.testing.assert_allclose(r.x, scipy.optimize.lsq_linear(A, B, (-0.5, 0.5), tol=1e-14).x, atol=1e-7)
    assert np.all(np.abs(r.x) <= 0.5)


@pytest.mark.parametrize("linear", [rv.Cholesky(), rv.CG(), rv.CG("jacobi")], ids=["newton", "newton_cg", "preconditioned"])
def test_f_need_not_be_quadratic(linear):
    signs = np.sign(B)
    r = rv.minimize(logistic, ZERO, (A, signs), rv.ADMM(linear=linear), g=rv.prox.L1(1.5), tol=1e-10)
    assert r.status.name == "CONVERGED"
    assert_subgradient(np.asarray(jax.grad(logistic)(r.x, A, signs)), r.x, 1.5, 1e-8)
    assert r.work["hv"] > 0


def test_the_steps_are_those_of_the_book():
    rho, alpha, weight = 2.0, 1.6, 0.5
    x, z, u = np.zeros(N), np.zeros(N - 1), np.zeros(N - 1)
    factors = scipy.linalg.cho_factor(A.T @ A + rho * D.T @ D)
    for _ in range(12):
        x = scipy.linalg.cho_solve(factors, A.T @ B + rho * D.T @ (z - u))
        relaxed = alpha * D @ x + (1 - alpha) * z
        z = np.sign(relaxed + u) * np.maximum(np.abs(relaxed + u) - weight / rho, 0)
        u = u + relaxed - z
    method = rv.ADMM(rho, alpha, adapt=False)
    r = rv.minimize(fit, ZERO, (A, B), method, g=rv.prox.L1(weight), K=D, stop=rv.MaxSteps(12))
    s = r.carry.state
    for ours, book in ((r.x, x), (s.z, z), (s.y / s.rho, u)):
        np.testing.assert_allclose(ours, book, atol=1e-12)
    assert r.work["factor"] == 1


PRECONDITIONERS = {
    "none": None,
    "jacobi": rv.precond.Jacobi(),
    "by name": "block_jacobi",
    "block_jacobi": rv.precond.BlockJacobi(6),
    "ssor": rv.precond.SSOR(1.2),
    "incomplete_cholesky": rv.precond.IncompleteCholesky(),
    "made before": rv.precond.Jacobi().of(A.T @ A),
    "callable": lambda r: r / jnp.arange(1.0, r.size + 1),
}


@pytest.mark.parametrize("name", PRECONDITIONERS)
def test_every_preconditioner_gives_the_exact_steps(name):
    options = {"g": rv.prox.L1(3.0), "K": D, "stop": rv.MaxSteps(8)}
    exact = rv.minimize(fit, ZERO, (A, B), "admm", **options)
    cg = rv.CG(preconditioner=PRECONDITIONERS[name])
    r = rv.minimize(fit, ZERO, (A, B), rv.ADMM(linear=cg, inner=1e-12), **options)
    np.testing.assert_allclose(r.x, exact.x, atol=1e-9)
    assert "factor" not in r.work
    assert r.work["hv"] > 8


@pytest.mark.parametrize("linear", [rv.LU(), rv.QR()], ids=["lu", "qr"])
def test_other_factors_give_the_same_steps(linear):
    options = {"stop": rv.MaxSteps(8)}
    np.testing.assert_allclose(lasso(method=rv.ADMM(linear=linear), **options).x, lasso(**options).x, atol=1e-10)


def test_a_preconditioner_saves_products_where_the_condition_is_bad():
    ill = np.random.default_rng(1).standard_normal((300, 100)) * np.logspace(0, 3, 100)
    b = ill @ np.ones(100)
    counts = {}
    for name in ("none", "jacobi", "ssor", "incomplete_cholesky"):
        method = rv.ADMM(linear=rv.CG(preconditioner=PRECONDITIONERS[name]), adapt=False, inner=1e-3)
        r = rv.minimize(fit, jnp.zeros(100), (ill, b), method, g=rv.prox.L1(1.0), stop=rv.MaxSteps(10))
        counts[name] = r.work["hv"] / 10
    assert counts["jacobi"] < 0.25 * counts["none"]
    assert counts["ssor"] < 0.25 * counts["none"]
    assert counts["incomplete_cholesky"] == 2.1  # of a dense matrix it is exact: a residual and a step each, and one product before


def test_a_run_is_the_same_in_other_units():
    r, larger = (
        lasso(tol=1e-9),
        rv.minimize(lambda x, A, b: 1e6 * fit(x, A, b), ZERO, (A, B), rv.ADMM(rho=1e6), g=rv.prox.L1(3e6), tol=1e-9),
    )
    assert r.nit == larger.nit
    np.testing.assert_allclose(r.x, larger.x, atol=1e-10)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_weight_rho_finds_the_scale(factor):
    r = rv.minimize(lambda x, A, b: factor * fit(x, A, b), ZERO, (A, B), g=rv.prox.L1(3 * factor))
    assert r.status.name == "CONVERGED"
    assert r.nit < 400
    np.testing.assert_allclose(r.x, lasso(tol=1e-10).x, atol=1e-6)


def test_a_start_at_the_minimum_of_f_is_no_solution():
    x0 = np.linalg.lstsq(A, B)[0]
    r = rv.minimize(fit, x0, (A, B), g=rv.prox.L1(3.0))
    assert r.nit > 0
    np.testing.assert_allclose(r.x, lasso().x, atol=1e-6)
    assert rv.minimize(fit, ZERO, (A, B), g=rv.prox.Zero(), stop=rv.MaxSteps(1), tol=0.0).optimality > 0


FORMS = {
    "array": D,
    "scipy": scipy.sparse.csr_array(D),
    "bcoo": sparse.BCOO.fromdense(jnp.asarray(D)),
    "operator": rv.operators.Diagonals(jnp.stack([-jnp.ones(N - 1), jnp.ones(N - 1)]), (0, 1), N),
    "function": lambda x: x[1:] - x[:-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_k_is_what_linear_solve_takes(form):
    r = rv.minimize(near, ZERO, (STEPS,), g=rv.prox.L1(0.5), K=FORMS[form], stop=rv.MaxSteps(10))
    plain = rv.minimize(near, ZERO, (STEPS,), g=rv.prox.L1(0.5), K=jnp.asarray(D), stop=rv.MaxSteps(10))
    np.testing.assert_allclose(r.x, plain.x, atol=1e-12)
    assert r.work["av"] == plain.work["av"]


def test_every_array_of_a_tree_has_its_own_g():
    def loss(p, A, b):
        return 0.5 * jnp.sum((A @ p["w"] + p["c"] - b) ** 2)

    start = {"w": ZERO, "c": jnp.zeros(())}
    r = rv.minimize(loss, start, (A, B + 3), g={"w": rv.prox.L1(3.0), "c": rv.prox.Zero()}, tol=1e-11)
    left = A @ np.asarray(r.x["w"]) + float(r.x["c"]) - B - 3
    assert_subgradient(A.T @ left, r.x["w"], 3.0, 1e-7)
    np.testing.assert_allclose(left.sum(), 0, atol=1e-7)


def test_jit_and_vmap_over_starts_and_weights():
    weights = jnp.array([0.5, 3.0, 20.0])
    starts = jnp.stack([ZERO, ZERO + 1, -3 * ZERO + 2])
    path = jax.jit(jax.vmap(lambda w: lasso(w, tol=1e-9)))(weights)
    assert np.all(path.success)
    for x, w in zip(path.x, weights, strict=True):
        np.testing.assert_allclose(x, lasso(float(w), tol=1e-9).x, atol=1e-8)
    same = jax.jit(jax.vmap(lambda x: rv.minimize(fit, x, (A, B), g=rv.prox.L1(3.0), tol=1e-9).x))(starts)
    np.testing.assert_allclose(same, np.broadcast_to(path.x[1], same.shape), atol=1e-8)


def test_vmap_over_weights_where_f_is_not_quadratic():
    weights, signs, method = jnp.array([1.5, 4.0]), np.sign(B), rv.ADMM(linear=rv.CG())
    solve = lambda w: rv.minimize(logistic, ZERO, (A, signs), method, g=rv.prox.L1(w), tol=1e-9)  # noqa: E731
    together = jax.jit(jax.vmap(solve))(weights)
    for i, w in enumerate(weights):
        alone = solve(float(w))
        np.testing.assert_allclose(together.x[i], alone.x, atol=1e-8)
        assert together.counts[i].tolist() == alone.counts.tolist()


def test_another_weight_compiles_nothing(traces):
    counted = traces(fit)
    solve = lambda w, K: rv.minimize(counted, ZERO, (A, B), g=rv.prox.L1(w), K=K, stop=rv.MaxSteps(3))  # noqa: E731
    solve(1.0, D)
    first = counted.count
    solve(2.0, 3 * D)
    assert counted.count == first


class TestStatuses:
    def test_infeasible(self):
        both = rv.prox.Box(np.array([1.0, -np.inf]), np.array([np.inf, 0.0]))  # x ≥ 1 and x ≤ 0
        r = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(1), g=both, K=jnp.ones((2, 1)))
        assert r.status.name == "INFEASIBLE"
        assert not r.success
        point = rv.prox.Box(np.array([1.0, -np.inf]), np.array([np.inf, 1.0]))  # x = 1
        r = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(1), g=point, K=jnp.ones((2, 1)))
        assert r.status.name == "CONVERGED"
        np.testing.assert_allclose(r.x, [1.0], atol=1e-6)

    def test_precision_where_the_tolerance_is_below_it(self):
        r = rv.minimize(fit, ZERO.astype(jnp.float32), (A.astype(np.float32), B.astype(np.float32)), g=rv.prox.L1(3.0), tol=1e-12)
        assert r.status.name == "PRECISION"
        assert r.optimality < 1e-5
        assert r.x.dtype == jnp.float32

    def test_a_step_that_is_not_finite_is_made_shorter(self):
        # −log x is not there for x ≤ 0, where the first step from 0.1 would lead.
        r = rv.minimize(
            lambda x: jnp.sum(50 * x - jnp.log(x)), jnp.full(3, 0.1), method=rv.ADMM(rho=0.01), g=rv.prox.L1(1.0), tol=1e-9
        )
        assert r.status.name == "CONVERGED"
        np.testing.assert_allclose(r.x, 1 / 51, rtol=1e-6)

    def test_breakdown_where_the_step_has_no_unique_argmin(self):
        free = {"g": rv.prox.L1(1.0), "K": jnp.array([[1.0, 0.0]])}  # nothing says what x₂ is
        r = rv.minimize(lambda x: 0.5 * (x[0] - 3.0) ** 2, jnp.zeros(2), **free)
        assert r.status.name == "BREAKDOWN"
        assert np.all(np.isfinite(r.x))
        r = rv.minimize(lambda x: 0.5 * (x[0] - 3.0) ** 2, jnp.ones(2), method=rv.ADMM(linear=rv.CG()), **free)
        assert r.status.name == "CONVERGED"
        np.testing.assert_allclose(r.x, [2.0, 1.0], atol=1e-6)

    def test_unbounded(self):
        r = rv.minimize(lambda x: -jnp.sum(x**2), jnp.ones(3), g=rv.prox.L1(0.1))
        assert r.status.name == "UNBOUNDED"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: lasso(method="lbfgs"), ValueError, "lbfgs cannot take g; methods that can: admm"),
        (lambda: lasso(method=rv.Adam(0.1)), ValueError, "Adam cannot take g"),
        (lambda: rv.minimize(fit, ZERO, (A, B), "admm"), ValueError, r"ADMM needs f\(x\) \+ g\(K x\).*g=rv.prox.L1"),
        (lambda: rv.minimize(fit, ZERO, (A, B), K=D), ValueError, "K is the linear map in g.K x.: give g, too"),
        (lambda: lasso(bounds=(0, 1)), ValueError, r"bounds are g=rv.prox.Box\(lower, upper\)"),
        (lambda: rv.minimize(fit, ZERO, (A, B), g=jnp.abs), TypeError, "g must be a function with a prox.*rv.prox.L1"),
        (lambda: rv.minimize(fit, ZERO, (A, B), g=rv.prox.L1), TypeError, "g must be a function with a prox"),
        (lambda: lasso(K=np.eye(5)), ValueError, "K is 5×5, so x must have 5 numbers; x0 has 20"),
        (lambda: lasso(K="D"), TypeError, "must be an array, a sparse matrix"),
        (lambda: lasso(K=lambda x: x + 1.0), ValueError, r"K is no linear function: K\(u \+ v\) differs"),
        (lambda: lasso(np.ones(7)), ValueError, r"L1 does not fit an array of shape \(20,\)"),
        (lambda: rv.minimize(fit, ZERO, (A, B), g=(rv.prox.L1(), rv.prox.L1())), ValueError, "g must be one for all of"),
        (lambda: rv.ADMM(linear=rv.GMRES()), TypeError, "linear must be Cholesky.*CG.*got GMRES"),
        (lambda: rv.ADMM(linear="cg"), TypeError, "linear must be a LinearMethod"),
        (
            lambda: rv.minimize(near, jnp.zeros(5000), (jnp.zeros(5000),), rv.ADMM(linear=rv.CG("jacobi")), g=rv.prox.L1()),
            ValueError,
            r"Jacobi wants .*5000×5000.*preconditioner=rv.precond.Jacobi\(…\).of\(A\)",
        ),
    ],
)
def test_misuse_names_the_cure(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_auto_says_what_it_took():
    assert rv.minimize(fit, ZERO, (A, B), g=rv.prox.L1(3.0)).why.startswith(
        "ADMM: g is given by its prox; f is quadratic, solved by"
    )

    r = rv.minimize(near, jnp.zeros(3000), (jnp.ones(3000),), g=rv.prox.L1(0.5))
    assert "3000 parameters are too many for factors" in r.why
    np.testing.assert_allclose(r.x, 0.5, atol=1e-6)
