"""Linear methods race on a system: to a recomputed residual, with the time to set them up on the clock."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

import ravine as rv
from ravine.compare.race_systems import suitable
from ravine.problems import registry


@pytest.fixture(scope="module")
def race():
    names = ["jacobi", "cg[preconditioner=ssor]", "cholesky"]
    return rv.compare("poisson[n=7]", names, budget="300steps", target=1e-4)


def test_every_method_ends_at_the_target_by_the_true_residual(race):
    problem = registry.make("poisson", n=7)
    assert {e.name for e in race.entries} == {"jacobi", "cg + ssor", "cholesky"}
    for entry in race.entries:
        (curve,) = entry.curves
        assert entry.reached(1e-4) == 1, entry.name
        assert curve.status == "CONVERGED"
        assert curve.loss[0] == pytest.approx(1.0)
        alone = rv.linear_solve(problem.A, problem.b, eval(f"rv.{entry.setting}"), tol=1e-4)
        assert curve.iteration[-1] == alone.nit
        assert curve.loss[-1] == pytest.approx(float(alone.fun) / 7, rel=1e-6)


def test_setting_up_is_in_the_seconds_and_work_is_products(race):
    curve = next(e for e in race.entries if e.name == "cholesky").curves[0]
    assert curve.seconds[0] > 0
    curve = next(e for e in race.entries if e.name == "jacobi").curves[0]
    np.testing.assert_allclose(curve.work, curve.iteration + 1)
    assert race.work_unit == "products"


def test_it_says_which_one_to_take_and_how(race):
    assert race.verdict.startswith(f"Take {race.winner.setting}")
    A, b = jnp.eye(3), jnp.ones(3)
    names = {"rv": rv, "A": A, "b": b}
    exec(race.code, names)
    assert names["result"].success
    assert "final residual" in race.table()
    assert any("one run a method" in w for w in race.warnings)


def test_a_method_that_does_not_fit_says_why():
    swapped = rv.Problem(name="swapped", A=np.array([[0.1, 1.0], [1.0, 0.1]]), b=np.ones(2), target=1e-6)
    race = rv.compare(swapped, ["jacobi", "minres"], budget="50steps")
    remarks = {e.name: e.remark for e in race.entries}
    assert "≥ 1: it does not converge" in remarks["jacobi"]
    assert race.entries[-1].name == "jacobi"
    assert race.winner.reached(1e-6)


def test_all_that_fit_race_by_default():
    symmetric = suitable(registry.make("poisson", n=4))
    assert {"lu", "cholesky", "jacobi", "gauss_seidel", "sor", "ssor", "cg", "minres", "gmres", "bicgstab", "lsmr", "lsqr"} <= {
        *symmetric
    }
    assert "cg[preconditioner=incomplete_cholesky]" in symmetric
    windy = suitable(registry.make("poisson", n=4, wind=1.0))
    assert not {"cg", "minres", "cholesky"} & {*windy}
    assert "gmres[preconditioner=ssor]" in windy
    tall = suitable(rv.Problem(A=np.ones((3, 2)), b=np.ones(3)))
    assert sorted(tall) == ["lsmr", "lsqr", "qr"]
    free = suitable(rv.Problem(A=lambda v: 2 * v, b=np.ones(3)))
    assert "cg" in free
    assert not {"lu", "jacobi", "ssor"} & {*free}


def test_wind_is_upwind_transport():
    A = np.asarray(registry.make("poisson", n=3, wind=2.0).A.dense())
    T, eye = 2 * np.eye(3) - np.eye(3, k=1) - np.eye(3, k=-1), np.eye(3)
    np.testing.assert_allclose(A, np.kron(T, eye) + np.kron(eye, T + 2.0 * (eye - np.eye(3, k=-1))))


def test_a_matrix_from_a_file(tmp_path):
    scipy.io.mmwrite(tmp_path / "three.mtx", np.diag([1.0, 2.0, 4.0]))
    problem = registry.make("matrix_market", path=str(tmp_path / "three.mtx"))
    assert problem.kind == "system"
    np.testing.assert_allclose(problem.b, [1, 2, 4])
    with pytest.raises(ValueError, match="name a file"):
        registry.make("matrix_market")


def test_misuse_is_refused_with_the_cure():
    with pytest.raises(ValueError, match="A and b belong together"):
        rv.Problem(A=np.eye(2))
    with pytest.raises(ValueError, match="did you mean 'ssor'"):
        rv.CG(preconditioner="sor")
    problem = rv.Problem(A=np.eye(2), b=np.ones(2))
    with pytest.raises(ValueError, match=r"Adam.*call"):
        rv.compare(problem, ["adam"])
    with pytest.raises(ValueError, match="no epochs"):
        rv.compare(problem, ["cg"], budget="3epochs")
