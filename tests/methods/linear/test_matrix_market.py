"""Matrices from files: solved to a true residual of 1e-8, or an honest status. `pytest --matrices DIR` takes your own folder."""

import gzip

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

import ravine as rv
from ravine.problems import matrix_market

rng = np.random.default_rng(11)


def written(folder):
    """Small stand-ins of the kinds that the collections have: definite, indefinite, general, tall, singular, dense."""
    general = sp.csr_array(sp.random_array((60, 60), density=0.06, rng=rng) + sp.diags_array(np.linspace(1, 5, 60)))
    graph = sp.csr_array(np.diag([1.0, 2, 2, 1]) - np.eye(4, k=1) - np.eye(4, k=-1))
    kinds = {
        "definite": general @ general.T + sp.eye_array(60),
        "indefinite": general + general.T - 4 * sp.eye_array(60),
        "general": general,
        "tall": sp.csr_array((rng.random((40, 12)) < 0.2) * 1.0 + np.eye(40, 12)),
        "laplacian": graph,
        "dense": rng.standard_normal((5, 5)),
    }
    for name, M in kinds.items():
        path = folder / f"{name}.mtx"
        scipy.io.mmwrite(path, M)
        if name == "general":
            (folder / f"{name}.mtx.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return folder


@pytest.fixture(scope="module")
def matrices(request, tmp_path_factory):
    given = request.config.getoption("--matrices")
    return matrix_market.folder(given or written(tmp_path_factory.mktemp("mm")))


def honest(A, b, r, tol):
    """The status agrees with the residual, computed here."""
    D = A.toarray() if sp.issparse(A) else A
    residual = b - D @ np.asarray(r.x)
    relative = np.linalg.norm(residual) / np.linalg.norm(b)
    assert r.fun == pytest.approx(np.linalg.norm(residual), rel=1e-4, abs=1e-10 * np.linalg.norm(b))
    assert np.all(np.isfinite(r.x))
    if r.status.name == "CONVERGED":
        normal = np.linalg.norm(D.T @ residual) / (np.linalg.norm(D) * np.linalg.norm(residual))
        assert relative <= tol or (r.method.least_squares and normal <= 1.01 * tol)
    return relative


@pytest.mark.parametrize("consistent", [True, False])
def test_auto_solves_them_or_says_why_not(matrices, consistent):
    for name, A in matrices.items():
        b = A @ np.linspace(1, 2, A.shape[1]) if consistent else rng.standard_normal(A.shape[0])
        r = rv.linear_solve(A, b, tol=1e-8)
        relative = honest(A, b, r, 1e-8)
        if consistent:
            assert r.success, (name, r.why, r.message)
            assert relative <= 1e-8, name


@pytest.mark.parametrize("method", ["cg", "minres", "gmres", "bicgstab", "lsmr", "lsqr"])
@pytest.mark.filterwarnings("ignore:.*is for symmetric A:RuntimeWarning")
def test_every_krylov_method_is_honest_about_them(matrices, method):
    for A in matrices.values():
        if A.shape[0] != A.shape[1] and method not in ("lsmr", "lsqr"):
            continue
        b = A @ np.linspace(1, 2, A.shape[1])
        honest(A, b, rv.linear_solve(A, b, method, tol=1e-8, stop=rv.MaxSteps(2000)), 1e-8)
