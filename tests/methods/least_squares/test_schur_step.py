"""The Schur complement: the step of dense normal equations, and Levenberg-Marquardt's path, for residuals of pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import LeastSquares
from ravine.math.loss import Loss
from ravine.math.segments import Chunks
from ravine.problems.bundle_adjustment import synthetic

rng = np.random.default_rng(0)
LEFT, RIGHT = np.nonzero(rng.random((5, 9)) < 0.6)
SHUFFLED = rng.permutation(len(LEFT))
LEFT, RIGHT = LEFT[SHUFFLED], RIGHT[SHUFFLED]
Y = rng.standard_normal((len(LEFT), 2))
START = (jnp.asarray(rng.standard_normal((5, 3))), jnp.asarray(rng.standard_normal((9, 2))))
LAYOUT = Layout.vector(START)


def pair(a, b, y):
    return jnp.stack([a[0] * b[0] + a[1], a[2] * b[1] + 0.1 * b[0] ** 2]) - y


RESIDUAL = rv.PairResidual(pair, LEFT, RIGHT)


def problem(loss=None, lower=None):
    return LeastSquares(Function(RESIDUAL), (Y,), LAYOUT, lower, None, loss)


def test_the_residual_of_pairs_is_each_pairs_own():
    r = RESIDUAL(START, jnp.asarray(Y))
    for k in (0, 7, len(LEFT) - 1):
        np.testing.assert_allclose(r[k], pair(START[0][LEFT[k]], START[1][RIGHT[k]], Y[k]), rtol=1e-14)


@pytest.mark.parametrize("solver", ["dense", "cg"])
@pytest.mark.parametrize("case", ["plain", "robust, on a bound"])
def test_the_step_is_that_of_dense_normal_equations(solver, case):
    x = LAYOUT.pack(START)
    task = problem() if case == "plain" else problem(Loss("cauchy", 0.5), jnp.full_like(x, -5).at[jnp.arange(0, 33, 4)].set(x[::4]))
    schur, _ = rv.SchurStep(solver).chosen(task, x)
    dense, D = rv.CholeskyStep(), jnp.linspace(1.0, 3.0, x.size)

    @jax.jit
    def both(task, schur, lam):
        one, other = schur.look(task, x), dense.look(task, x)
        one = one._replace(offset=0 * one.offset)  # conjugate gradients to the end
        steps = schur.step(task, x, one, D, lam), dense.step(task, x, other, D, lam)
        bends = schur.curvature(task, x, one, steps[1].p), dense.curvature(task, x, other, steps[1].p)
        return one, other, steps, bends

    for lam in (1e-3, 10.0):
        one, other, (p, q), bends = both(task, schur, jnp.float64(lam))
        for name in ("f", "g", "squares"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-10, atol=1e-12, err_msg=name)
        assert np.any(other.g == 0) == (case != "plain")
        np.testing.assert_allclose(p.p, q.p, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(p.gain, q.gain, rtol=1e-8)
        np.testing.assert_allclose(*bends, rtol=1e-10)
        if solver == "dense":
            np.testing.assert_allclose(p.slope, q.slope, rtol=1e-8)


def test_levenberg_marquardt_on_a_scene_goes_the_way_it_goes_with_qr():
    scene = synthetic(cameras=3, points=20)
    runs = [
        rv.least_squares(
            scene.pairs(), scene.x0, (scene.observed,), method=rv.LevenbergMarquardt(linear=linear, damping=rv.Nielsen()),
            stop=rv.SmallDecrease(1e-10) | rv.MaxSteps(30), history=("f",),
        )
        for linear in (rv.QRStep(), rv.SchurStep("dense"))
    ]  # fmt: skip
    # The free choice of coordinates leaves J without full rank: QR and normal equations see it at different roundings.
    np.testing.assert_allclose(runs[1].history["f"][:8], runs[0].history["f"][:8], rtol=1e-6)
    np.testing.assert_allclose(runs[1].fun, runs[0].fun, rtol=1e-9)
    np.testing.assert_allclose(scene.pairs()(scene.x0, jnp.asarray(scene.observed)), scene.residual(scene.x0), rtol=1e-12)


def test_auto_eliminates_where_qr_would_be_slow():
    task, x = problem(), LAYOUT.pack(START)
    assert rv.AutoStep().chosen(task, x)[1].startswith("QR")
    many = rv.PairResidual(pair, np.repeat(np.arange(5), 500), np.tile(np.arange(500), 5))
    start = (jnp.zeros((5, 3)), jnp.zeros((500, 2)))
    big = LeastSquares(Function(many), (np.zeros((2500, 2)),), Layout.vector(start))
    step, why = rv.AutoStep().chosen(big, Layout.vector(start).pack(start))
    assert why == "Schur complement: 500 blocks of 2 eliminated, 5 blocks of 3 solved for, dense"
    assert step.solver == "dense"


def test_sums_of_products_over_groups_of_every_size():
    group = np.array([2, 0, 2, 2, 4, 4] + [3] * 40)
    first, second = rng.integers(0, 7, 46), rng.integers(0, 9, 46)
    X, Z = rng.standard_normal((8, 2, 3)), rng.standard_normal((9, 2, 4))
    X[7] = 0
    expected = np.zeros((5, 3, 4))
    np.add.at(expected, group, np.einsum("kdi,kdj->kij", X[first], Z[second]))
    found = Chunks.of(group, first, second, 5, 7).gram(jnp.asarray(X), jnp.asarray(Z))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("residual", "x0", "extra", "message"),
    [
        (lambda x, y: x[0].ravel(), START, {}, "wrap the residual of one pair in PairResidual"),
        (RESIDUAL, (START[0],), {}, "two arrays of one row a block"),
        (RESIDUAL, (START[0], START[1][:4]), {}, "right names the row 8 of 4"),
        (rv.PairResidual(lambda a, b, y: b[:2] - y, LEFT, RIGHT), (START[0], jnp.zeros((9, 9))), {}, "exchange left and right"),
        (RESIDUAL, START, {"loss": rv.SoftmaxCrossEntropy(jnp.zeros(len(LEFT), int))}, "joins residuals of several pairs"),
    ],
)
def test_what_has_no_such_structure_is_refused(residual, x0, extra, message):
    method = rv.LevenbergMarquardt(linear=rv.SchurStep())
    with pytest.raises(ValueError, match=message):
        rv.least_squares(residual, x0, (Y,), method=method, **extra)


def test_indices_are_checked():
    with pytest.raises(ValueError, match="right must be integers from 0 on"):
        rv.PairResidual(pair, [0, 1], [0, -1])
    with pytest.raises(ValueError, match="right must be integers"):
        rv.PairResidual(pair, [0, 1], [0])
    with pytest.raises(ValueError, match="left must be integers"):
        rv.PairResidual(pair, [0.5, 1], [0, 1])
