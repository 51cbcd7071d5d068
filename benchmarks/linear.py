"""Linear systems beside SciPy and jnp.linalg, float64 unless said otherwise.

    python benchmarks/linear.py                # all tables, about four minutes
    python benchmarks/linear.py poisson        # or one: formats, cg, poisson, dense, small, sparse
    python benchmarks/linear.py --matrices DIR # every MatrixMarket file there, by "auto": the status and the true residual

Contenders take turns in one process; the figure that counts is the ratio, with its goal beside it. Needs `pip install scipy`.
"""

from __future__ import annotations

import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import scipy.io
import scipy.linalg as sl
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from jax.experimental import sparse as js
from timing import interleaved, verdict

import ravine as rv
from ravine.math.small_dense import solve_cholesky, solve_lu
from ravine.math.sparse import ell, from_scipy

SIDE = 1000


def poisson(m: int):
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
    return sp.csr_array(sp.kronsum(T, T))


def formats() -> None:
    M, v = poisson(SIDE), np.random.default_rng(0).standard_normal(SIDE**2)
    product = jax.jit(lambda A, v: A @ v)
    matrices = {
        "BCOO": js.BCOO.from_scipy_sparse(M),
        "BCSR": js.BCSR.from_scipy_sparse(M),
        "transposed ELL": ell(M),
        "diagonals": from_scipy(M),
        "stencil": rv.operators.laplacian(SIDE, SIDE),
    }
    x = jnp.asarray(v)
    calls = {"SciPy CSR": lambda: M @ v}
    calls |= {name: (lambda A=A: product(A, x).block_until_ready()) for name, A in matrices.items()}
    times = interleaved(calls, rounds=9)
    print(f"\nA v, 2-D Poisson, {SIDE**2} rows: ms, / SciPy")
    for name, (t, _) in times.items():
        print(f"  {name:<16}{1e3 * t:8.2f} {t / times['SciPy CSR'][0]:6.2f}")


def cg() -> None:
    M, steps = poisson(SIDE), 100
    A, b = from_scipy(M), np.random.default_rng(1).standard_normal(SIDE**2)

    def ours():
        rv.linear_solve(A, b, "cg", tol=1e-14, stop=rv.MaxSteps(steps)).x.block_until_ready()

    times = interleaved({"SciPy CSR": lambda: spl.cg(M, b, rtol=1e-14, maxiter=steps), "ravine": ours}, rounds=3)
    theirs, own = times["SciPy CSR"][0], times["ravine"][0]
    print(f"\n{steps} steps of CG, 2-D Poisson, {SIDE**2} unknowns: SciPy {theirs:.2f} s, ravine {own:.2f} s")
    print(f"  ratio {verdict(own / theirs, 0.6)}")


def poisson_solvers() -> None:
    M = poisson(SIDE)
    A, b = from_scipy(M), np.random.default_rng(1).standard_normal(SIDE**2)
    print(f"\n2-D Poisson, {SIDE**2} unknowns, to a residual of 1e-6:")
    best = 2 / (1 + 2 * np.sin(np.pi / (2 * (SIDE + 1))))
    for name, kind in {
        "CG": None,
        f"PCG-SSOR({best:.4f})": rv.precond.SSOR(best),
        "PCG-MIC(0)": rv.precond.IncompleteCholesky(modified=1.0),
        "PCG-IC(0)": rv.precond.IncompleteCholesky(),
        "PCG-SSOR, colours": rv.precond.SSOR(1.0, ordering="colours"),
    }.items():
        t = time.perf_counter()
        M_inv = jax.block_until_ready(kind.of(A)) if kind else None
        setup = time.perf_counter() - t
        rv.linear_solve(A, b, "cg", preconditioner=M_inv, tol=1e-6, stop=rv.MaxSteps(2))
        t = time.perf_counter()
        r = rv.linear_solve(A, b, "cg", preconditioner=M_inv, tol=1e-6, stop=rv.MaxSteps(20_000))
        took = time.perf_counter() - t
        print(f"    {name:<20}{r.status.name} after {int(r.nit)} steps, {took:.1f} s, and {setup:.1f} s to set up", flush=True)
    count = [0]
    t = time.perf_counter()
    spl.cg(M, b, rtol=1e-6, maxiter=20_000, callback=lambda _: count.__setitem__(0, count[0] + 1))
    print(f"    {'SciPy CG':<20}{count[0]} steps, {time.perf_counter() - t:.1f} s", flush=True)
    t = time.perf_counter()
    symmetric = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.01, "options": {"SymmetricMode": True}}
    spl.splu(sp.csc_array(M), **symmetric).solve(b)
    print(f"    {'SciPy splu':<20}{time.perf_counter() - t:.1f} s")


def dense() -> None:
    rng = np.random.default_rng(2)
    n = 2000
    G, b = rng.standard_normal((n, n)), rng.standard_normal(n)
    D = G @ G.T / n + np.eye(n)
    print(f"\ndense {n}×{n}, factor and solve: s, / SciPy")
    for kind, matrix, theirs in (
        ("lu", G, lambda: sl.lu_solve(sl.lu_factor(G), b)),
        ("cholesky", D, lambda: sl.cho_solve(sl.cho_factor(D), b)),
        ("qr", G, lambda: _scipy_qr(G, b)),
    ):
        array, c = jnp.asarray(matrix), jnp.asarray(b)
        jitted = jax.jit(lambda a, c, k=kind: rv.linear_solve(a, c, k).x)
        operator = rv.operators.Dense(array)
        calls = {
            "SciPy": theirs,
            "factor(A).solve(b)": lambda o=operator, k=kind, c=c: rv.factor(o, k).solve(c).block_until_ready(),
            "linear_solve": lambda a=array, k=kind, c=c: rv.linear_solve(a, c, k).x.block_until_ready(),
            "jitted linear_solve": lambda f=jitted, a=array, c=c: f(a, c).block_until_ready(),
        }
        times = interleaved(calls, rounds=5)
        for name in list(calls)[1:]:
            ratio = times[name][0] / times["SciPy"][0]
            told = f"{ratio:.2f} (XLA's own factors: no goal)" if name.startswith("jitted") else verdict(ratio, 1.0)
            print(f"  {kind:<10}{name:<20}{times[name][0]:.3f} {told}")


def _scipy_qr(A, b):
    Q, R = sl.qr(A, mode="economic")
    return sl.solve_triangular(R, Q.T @ b)


def small() -> None:
    rng = np.random.default_rng(3)
    print("\n10,000 systems n×n, float32: ms, / jnp.linalg")
    spd = jax.jit(lambda A, b: jax.vmap(lambda a, c: jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(a), True), c))(A, b))
    general = jax.jit(lambda A, b: jnp.linalg.solve(A, b[..., None]))
    ours_spd, ours_lu = jax.jit(solve_cholesky), jax.jit(solve_lu)
    for n in (3, 4, 6, 8):
        G = rng.standard_normal((10_000, n, n)).astype(np.float32)
        D, b = jnp.asarray(G @ G.transpose(0, 2, 1) + np.eye(n, dtype=np.float32)), jnp.asarray(G[:, 0])
        last, b_last = jnp.moveaxis(D, 0, -1), b.T
        calls = {
            "jnp cholesky": lambda D=D, b=b: spd(D, b).block_until_ready(),
            "cholesky": lambda A=last, b=b_last: ours_spd(A, b).block_until_ready(),
            "jnp solve": lambda D=D, b=b: general(D, b).block_until_ready(),
            "lu": lambda A=last, b=b_last: ours_lu(A, b).block_until_ready(),
        }
        t = {name: v[0] for name, v in interleaved(calls, rounds=9).items()}
        print(f"  n = {n}: cholesky {1e3 * t['cholesky']:.2f} {verdict(t['cholesky'] / t['jnp cholesky'], 0.2)}", end="")
        print(f"   lu {1e3 * t['lu']:.2f} {verdict(t['lu'] / t['jnp solve'], 0.2)}")


def sparse() -> None:
    M = poisson(300)
    b = np.random.default_rng(4).standard_normal(M.shape[0])
    F = rv.factor(from_scipy(M))
    from ravine.methods.linear import factor

    bare = factor._factors[int(F.number)]
    solve, c = jax.jit(F.solve), jnp.asarray(b)
    like = jax.ShapeDtypeStruct(b.shape, b.dtype)
    least = jax.jit(lambda v: jax.pure_callback(lambda v: bare.solve(np.asarray(v)), like, v))
    calls = {
        "bare": lambda: bare.solve(b),
        "ravine": lambda: solve(c).block_until_ready(),
        "a callback that does nothing else": lambda: least(c).block_until_ready(),
    }
    times = interleaved(calls, rounds=41)
    print(f"\nsparse direct solve on the host, 90,000 unknowns, medians: bare {1e3 * times['bare'][1]:.1f} ms")
    for name in list(calls)[1:]:
        print(f"  {name:<34}{times[name][1] / times['bare'][1]:.2f}")


def matrices(folder: str) -> None:
    print('A x = A (1, …, 1) by "auto", tol = 1e-8:')
    for path in sorted(pathlib.Path(folder).glob("*.mtx*")):
        M = sp.csr_array(scipy.io.mmread(path))
        b = M @ np.ones(M.shape[1])
        began = time.perf_counter()
        r = rv.linear_solve(M, b, tol=1e-8)
        took = time.perf_counter() - began
        residual = np.linalg.norm(b - M @ np.asarray(r.x)) / np.linalg.norm(b)
        shape = f"{M.shape[0]}×{M.shape[1]}, {M.nnz} entries"
        print(f"  {path.name:<26}{shape:<28}{type(r.method).__name__:<9}{r.status.name:<11}{residual:8.1e} {took:6.2f} s")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    if sys.argv[1:2] == ["--matrices"]:
        sys.exit(matrices(sys.argv[2]))
    tables = {"formats": formats, "cg": cg, "poisson": poisson_solvers, "dense": dense, "small": small, "sparse": sparse}
    for name in sys.argv[1:] or tables:
        tables[name]()
