"""Both ways to make kernels on a processor, side by side: the first call and the steady one.

    python benchmarks/codegen.py             # both ways
    python benchmarks/codegen.py arrays      # what a kernel costs by the number of arrays that it reads

`ravine/core/codegen.py` takes the quick way where no array of a program has more than its `SMALL` elements. Every program is
compiled in both ways here, whatever its size; float64, 30 iterations, CPU seconds of the first calls, least times of the others.
"""

from __future__ import annotations

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.core import codegen

CASES = [
    ("Rosenbrock", "bfgs", (4, 10, 30, 90, 300, 1000)),
    ("Rosenbrock", "lbfgs", (10, 100, 1000)),
    ("logistic", "bfgs", (10, 30, 100)),
    ("logistic", "newton", (10, 30, 100)),
    ("curve", "levenberg_marquardt", (4, 10, 30)),
]


def problem(name, n):
    rng = np.random.default_rng(0)
    if name == "Rosenbrock":
        return lambda x: jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), np.tile([-1.2, 1.0], n // 2)
    if name == "logistic":
        A, y = rng.normal(size=(5 * n, n)), np.sign(rng.normal(size=5 * n))
        return lambda x: jnp.mean(jnp.log1p(jnp.exp(-y * (A @ x)))) + 1e-3 * x @ x, np.zeros(n)
    t, c = np.linspace(0, 1, 5 * n), np.linspace(0, 1, n)
    return lambda x: jnp.tanh(jnp.exp(-((t[:, None] - c) ** 2)) @ x) - np.sin(5 * t), np.zeros(n)


def by_arrays(turns=20_000):
    """Nanoseconds an iteration of a loop of one kernel, by the arrays of 40 numbers that it reads; all take turns, least of 7."""
    runs = {}
    for n in (3, 5, 7, 9, 11, 12, 14, 16):
        others = [jnp.asarray(np.random.default_rng(i).random(40)) for i in range(n)]

        @jax.jit
        def run(vs):
            step = lambda i, c: 0.5 * c + sum(jnp.maximum(v, c) for v in vs) * 1e-3  # noqa: E731
            return jax.lax.fori_loop(0, turns, step, jnp.zeros(40))

        runs[n + 1] = lambda run=run, others=others: run(others).block_until_ready()
        runs[n + 1]()
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(7):
        for n, run in runs.items():
            t = time.perf_counter()
            run()
            best[n] = min(best[n], time.perf_counter() - t)
    for n, seconds in best.items():
        print(f"{n:3} arrays {1e9 * seconds / turns:6.1f} ns")


def main():
    jax.config.update("jax_enable_x64", True)
    if sys.argv[1:] == ["arrays"]:
        by_arrays()
        return
    print(f"{'':36} first, s: usual quick   steady, µs: usual     quick   quick / usual")
    for name, method, sizes in CASES:
        for n in sizes:
            f, x0 = problem(name, n)
            solve = rv.least_squares if name == "curve" else rv.minimize
            first, steady = {}, {True: float("inf"), False: float("inf")}
            for round in range(20):
                for quick in (False, True):
                    codegen.SMALL = 2**60 if quick else -1
                    codegen._small.clear()
                    for _ in range(1 if not round else 2):  # the first of two finds the caches full of the other's code
                        began, t = time.process_time(), time.perf_counter()
                        solve(f, x0, method=method, stop=rv.MaxSteps(30))
                        took = time.perf_counter() - t
                    if round:
                        steady[quick] = min(steady[quick], took)
                    else:
                        first[quick] = time.process_time() - began
            print(
                f"{name:11}{method:20}{n:5} {first[False]:15.2f} {first[True]:5.2f} {1e6 * steady[False]:19.0f} "
                f"{1e6 * steady[True]:9.0f} {steady[True] / steady[False]:12.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
