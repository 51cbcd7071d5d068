"""ADMM beside a loop in NumPy and SciPy as in the book, and beside jaxopt's accelerated proximal gradient.

    taskset -c 0 python benchmarks/admm.py [lasso] [path] [tv]

lasso   ½‖A x − b‖² + λ‖x‖₁, A 1000×500 of condition 100: seconds until the subgradient condition holds to 10⁻⁶ of ‖Aᵀb‖∞
path    the same for 10 weights λ: one `vmap` beside 10 runs of the loop, which share one factorisation
tv      ½‖x − y‖² + λ‖D x‖₁ of 20,000 points: x-steps by CG with IC(0), exact for D'D, beside SciPy's banded Cholesky

Each ratio is seconds over the peer's in the same run, compiled before, on one core, in float64.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import cho_factor, cho_solve, cho_solve_banded, cholesky_banded
from timing import interleaved

import ravine as rv

jax.config.update("jax_enable_x64", True)

TOL = 1e-6
ALPHA = 1.6


def soft(v, t):
    return v - np.clip(v, -t, t)


def lasso_data(m=1000, n=500):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, n)) * np.logspace(0, -2, n) / m**0.5
    x = np.where(rng.random(n) < 0.1, rng.standard_normal(n), 0)
    b = A @ x + 1e-3 * rng.standard_normal(m)
    return A, b, np.abs(A.T @ b).max()


def fit(x, A, b):
    return 0.5 * jnp.sum((A @ x - b) ** 2)


def gram(x, G, c):
    return 0.5 * x @ (G @ x) - c @ x


def miss(A, b, x, weight):
    """How far the subgradient condition is from holding at x, relative to ‖Aᵀb‖∞."""
    g = A.T @ (A @ x - b)
    off = np.where(x != 0, np.abs(g + weight * np.sign(x)), np.maximum(np.abs(g) - weight, 0))
    return off.max() / np.abs(A.T @ b).max()


def book(G, c, weight, rho, factors=None, most=20_000):
    """The loop of the book, its residuals checked at every step as ours are."""
    factors = cho_factor(G + rho * np.eye(len(c))) if factors is None else factors
    z, u, size = np.zeros_like(c), np.zeros_like(c), np.abs(c).max()
    k = 0
    while k < most:
        k += 1
        x = cho_solve(factors, c + rho * (z - u), check_finite=False)
        relaxed = ALPHA * x + (1 - ALPHA) * z
        z = soft(relaxed + u, weight / rho)
        u = u + relaxed - z
        if np.abs(G @ z - c + rho * u).max() <= TOL * size:
            break
    return z, k


def report(title, runs, peer):
    times = interleaved(runs, rounds=5, warmups=0)
    print(title)
    for name, (least, middle) in times.items():
        ratio = f"{middle / times[peer][1]:.2f}"
        print(f"  {name:<44} {1e3 * least:8.1f} ms least, {1e3 * middle:8.1f} ms median, {ratio} of {peer}")


def lasso():
    import jaxopt

    A, b, size = lasso_data()
    G, c, weight = A.T @ A, A.T @ b, 0.01 * size
    start = jnp.zeros(A.shape[1])
    on_device = tuple(map(jnp.asarray, (A, b, G, c)))
    g = rv.prox.L1(weight)

    def ours(f, args, method):
        return rv.minimize(f, start, args, method, g=g, tol=TOL)

    with_cg = rv.ADMM(linear=rv.CG(preconditioner="jacobi"))
    rho = float(ours(gram, on_device[2:], "admm").carry.state.rho)
    prox = jaxopt.ProximalGradient(gram, jaxopt.prox.prox_lasso, tol=1e-8, maxiter=20_000)
    runs = {
        f"NumPy loop, ρ = {rho:.2g} (what ours ended with)": lambda: book(G, c, weight, rho),
        "NumPy loop, ρ = 1": lambda: book(G, c, weight, 1.0),
        "ADMM, f = ½xᵀGx − cᵀx": lambda: ours(gram, on_device[2:], "admm"),
        "ADMM, f = ½‖A x − b‖²": lambda: ours(fit, on_device[:2], "admm"),
        "ADMM, the same by CG with Jacobi": lambda: ours(fit, on_device[:2], with_cg),
        "jaxopt ProximalGradient (accelerated), G": lambda: prox.run(start, weight, *on_device[2:]).params.block_until_ready(),
    }
    for name, call in runs.items():
        r = call()
        x, k = r if isinstance(r, tuple) else (r.x, r.nit) if hasattr(r, "nit") else (r, "?")
        print(f"  {name:<44} misses by {miss(A, b, np.asarray(x), weight):.1e} after {k} steps")
    report(f"lasso, {A.shape[0]}×{A.shape[1]}", runs, next(iter(runs)))


def path():
    A, b, size = lasso_data()
    G, c = A.T @ A, A.T @ b
    weights = size * np.logspace(-2, -0.3, 10)
    start, rho = jnp.zeros(len(c)), 0.05
    method = rv.ADMM(rho, adapt=False)

    @jax.jit
    def ours(weights, G, c):
        return jax.vmap(lambda w: rv.minimize(gram, start, (G, c), method, g=rv.prox.L1(w), tol=TOL).x)(weights)

    def loop():
        factors = cho_factor(G + rho * np.eye(len(c)))
        return np.stack([book(G, c, w, rho, factors)[0] for w in weights])

    on_device = tuple(map(jnp.asarray, (weights, G, c)))
    runs = {"NumPy loop, 10 times": loop, "ADMM, one vmap": lambda: ours(*on_device).block_until_ready()}
    for name, call in runs.items():
        print(f"  {name:<44} misses by {max(miss(A, b, np.asarray(x), w) for x, w in zip(call(), weights, strict=True)):.1e}")
    report("path of 10 weights", runs, "NumPy loop, 10 times")


def tv():
    import scipy.sparse

    n, weight, rho = 20_000, 1.0, 5.0
    rng = np.random.default_rng(0)
    y = np.cumsum(rng.standard_normal(n) * (rng.random(n) < 0.01)) + 0.3 * rng.standard_normal(n)
    D = scipy.sparse.diags_array([-np.ones(n - 1), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n))
    steps = 300
    M = rv.precond.IncompleteCholesky().of(scipy.sparse.csr_array(scipy.sparse.eye_array(n) + rho * D.T @ D))
    start, there = jnp.zeros(n), jnp.asarray(y)
    K = lambda x: x[1:] - x[:-1]  # noqa: E731

    def near(x, y):
        return 0.5 * jnp.sum((x - y) ** 2)

    def ours(cg):
        method = rv.ADMM(rho, adapt=False, linear=cg)
        return rv.minimize(near, start, (there,), method, g=rv.prox.L1(weight), K=K, stop=rv.MaxSteps(steps))

    def loop():
        bands = np.stack([np.full(n, -rho), np.r_[1 + rho, np.full(n - 2, 1 + 2 * rho), 1 + rho]])
        factors = cholesky_banded(bands)
        z, u = np.zeros(n - 1), np.zeros(n - 1)
        for _ in range(steps):
            w = np.diff(rho * (z - u), prepend=0, append=0)
            x = cho_solve_banded((factors, False), y - w, check_finite=False)
            relaxed = ALPHA * np.diff(x) + (1 - ALPHA) * z
            z = soft(relaxed + u, weight / rho)
            u = u + relaxed - z
        return x

    runs = {
        f"SciPy's banded Cholesky, {steps} steps": loop,
        "ADMM, CG (η = 0.1)": lambda: ours(rv.CG()),
        "ADMM, CG with IC(0)": lambda: ours(rv.CG(preconditioner=M)),
    }
    value = lambda x: 0.5 * np.sum((x - y) ** 2) + weight * np.abs(np.diff(x)).sum()  # noqa: E731
    for name, call in runs.items():
        r = call()
        x, note = (np.asarray(r.x), r.work) if hasattr(r, "x") else (r, "")
        print(f"  {name:<44} value {value(x):.8g} {note}")
    report(f"total variation, {n} points", runs, f"SciPy's banded Cholesky, {steps} steps")


if __name__ == "__main__":
    sections = {"lasso": lasso, "path": path, "tv": tv}
    for name in sys.argv[1:] or sections:
        sections[name]()
