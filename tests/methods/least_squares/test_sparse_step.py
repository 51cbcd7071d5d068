"""Sparse normal equations: the dense step's numbers, the pattern found, and a wrong one refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import ravine as rv
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import LeastSquares
from ravine.fitting.sparsity import probe
from ravine.math.loss import Loss
from ravine.methods.least_squares.sparse_step import SparseStep

N = 12


def chain(x):
    """Rosenbrock's chain: each residual depends on one or two neighbours."""
    return jnp.concatenate([3 * (x[1:] - x[:-1] ** 2), 1 - x[:-1], 0.3 * jnp.sin(x[-1:])])


def pattern():
    return np.asarray(jax.jacfwd(chain)(jnp.linspace(0.4, 1.3, N))) != 0


def problem(loss=None, lower=None):
    return LeastSquares(Function(chain), (), Layout.vector(np.zeros(N)), lower, None, loss)


@pytest.mark.parametrize("loss", [None, Loss("cauchy", 0.5)])
@pytest.mark.parametrize("lam", [0.0, 1e-3, 1e3])
def test_the_step_is_that_of_dense_normal_equations(loss, lam):
    x, D = jnp.linspace(0.2, 1.1, N), jnp.linspace(1.0, 3.0, N)
    lower = jnp.full(N, -1.0).at[0].set(0.2)  # x[0] sits on its bound
    sparse, dense, task = SparseStep.of(scipy.sparse.csr_array(pattern()), ""), rv.CholeskyStep(), problem(loss, lower)
    one, other = sparse.look(task, x), dense.look(task, x)
    for name in ("f", "g", "squares", "offset", "gauss_newton"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-12, err_msg=name)
    p, q = (s.step(task, x, at, D, jnp.float64(lam)) for s, at in ((sparse, one), (dense, other)))
    for a, b in zip(p, q, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(sparse.curvature(task, x, one, p.p), dense.curvature(task, x, other, p.p), rtol=1e-9)


@pytest.mark.parametrize("method", ["levenberg_marquardt", "levenberg", "dogleg", "gauss_newton"])
def test_every_method_ends_where_it_does_with_qr(method):
    ends = [rv.least_squares(chain, np.full(N, 0.5), method=method, sparsity=s) for s in (None, pattern())]
    assert all(r.success for r in ends)
    np.testing.assert_allclose(ends[1].x, ends[0].x, rtol=1e-6)
    assert abs(ends[0].nit - ends[1].nit) <= 1
    assert "seen by 2 products; pattern as given" in ends[1].why


def test_bounds_and_robust_losses_end_where_they_do_with_qr():
    given = {"bounds": (None, 0.9), "loss": "soft_l1", "f_scale": 0.3}
    ends = [rv.least_squares(chain, np.full(N, 0.5), sparsity=s, **given) for s in (None, pattern())]
    assert all(r.success for r in ends)
    assert np.max(ends[1].x) == 0.9
    np.testing.assert_allclose(ends[1].x, ends[0].x, rtol=1e-6)


def test_probing_finds_the_exact_pattern():
    for x in (jnp.zeros(N), jnp.linspace(0.2, 1.1, N)):  # at zero, the derivatives of x² vanish
        np.testing.assert_array_equal(probe(problem(), x).toarray(), pattern())
    r = rv.least_squares(chain, np.zeros(N), sparsity="probe")
    assert f"{np.sum(pattern())} entries" in r.why
    assert f"found by probing: {N} Jacobian-vector products at each of 3 points" in r.why


def test_probing_stays_where_the_function_is_defined():
    def root(x):
        return jnp.sqrt(x) - 1

    lower = jnp.zeros(3)
    task = LeastSquares(Function(root), (), Layout.vector(np.zeros(3)), lower, None, None)
    np.testing.assert_array_equal(probe(task, jnp.full(3, 1e-9)).toarray(), np.eye(3))


def test_more_columns_than_are_probed_at_once():
    def far(x):
        return x[:100] * x[100:] - 1

    found = probe(LeastSquares(Function(far), (), Layout.vector(np.zeros(200))), jnp.ones(200)).toarray()
    np.testing.assert_array_equal(found, np.concatenate([np.eye(100), np.eye(100)], axis=1))


def test_trees_have_patterns_in_the_order_of_their_leaves():
    def line(p):
        return jnp.concatenate([p["a"] - 1, p["b"] * p["a"] - 2])

    both = np.block([[np.eye(3), np.zeros((3, 3))], [np.eye(3), np.eye(3)]])
    r = rv.least_squares(line, {"a": jnp.full(3, 0.5), "b": jnp.ones(3)}, sparsity=both)
    np.testing.assert_allclose(r.x["b"], 2, rtol=1e-7)


@pytest.mark.parametrize(("row", "column"), [(0, 1), (4, 4), (2 * N - 2, N - 1)])
def test_a_pattern_that_misses_an_entry_is_refused_with_its_place(row, column):
    wrong = pattern()
    wrong[row, column] = False
    with pytest.raises(ValueError, match=rf"x\[{column}\] \(row {row}, column {column}\)"):
        rv.least_squares(chain, np.zeros(N), sparsity=wrong)


def test_an_entry_that_shows_only_on_the_way_is_said_at_the_end():
    def late(x):
        return jnp.stack([x[0] - 5, jnp.where(x[0] > 3, x[1] - 1, 0), 0.5 * x[1]])

    for sparsity in ("probe", np.array([[1, 0], [0, 0], [0, 1]])):
        r = rv.least_squares(late, np.zeros(2), sparsity=sparsity)
        np.testing.assert_allclose(r.x, [5, 0.8], rtol=1e-5)  # steps are poor, the gradient is right
        assert "misses an entry that is not zero here: residual 1 has the derivative 1 with respect to x[1]" in r.message


def test_misuse_is_refused_with_the_cure():
    with pytest.raises(ValueError, match="shape 3×3"):
        rv.least_squares(chain, np.zeros(N), sparsity=np.eye(3))
    with pytest.raises(ValueError, match="'probe' or a pattern"):
        rv.least_squares(chain, np.zeros(N), sparsity="prob")
    with pytest.raises(ValueError, match="leave linear= out"):
        rv.least_squares(chain, np.zeros(N), method=rv.LevenbergMarquardt(linear=rv.QRStep()), sparsity="probe")
    with pytest.raises(ValueError, match="sparsity='probe'"):
        rv.least_squares(chain, np.zeros(N), method=rv.LevenbergMarquardt(linear=rv.SparseStep()))
    with pytest.raises(ValueError, match="call least_squares outside"):
        jax.jit(lambda x: rv.least_squares(chain, x, sparsity="probe").x)(jnp.zeros(N))


def test_a_jacobian_without_full_rank_and_a_parameter_without_effect():
    def sums(x):
        return jnp.stack([x[0] + x[1] - 2, x[2] - 1, x[0] + x[1] - 4])

    r = rv.least_squares(sums, np.zeros(4), sparsity="probe")
    assert r.success
    # How x₀ and x₁ share their sum is rounding over λ, which is rounding, too: 1.5 on one machine, 1.414 and 1.586 on another.
    np.testing.assert_allclose([r.x[0] + r.x[1], r.x[2], r.x[3]], [3, 1, 0], atol=1e-6)
    assert abs(r.x[0] - r.x[1]) < 1


def test_other_data_of_the_same_pattern_compile_nothing(traces):
    fun = traces(lambda x, y: chain(x) - y)
    for shift in (0.0, 0.1):
        r = rv.least_squares(fun, np.full(N, 0.5), (np.full(2 * N - 1, shift),), sparsity=pattern())
        assert r.success
        seen, fun.count = fun.count, 0
    assert seen == 0


def test_products_are_counted():
    r = rv.least_squares(chain, np.full(N, 0.5), sparsity=pattern())
    assert r.work["jv"] == 2 * r.work["vj"]
