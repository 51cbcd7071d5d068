"""Time of second-order methods beside their peers: the first call, the steady call, and ten thousand problems at once.

    python benchmarks/second_order.py           # all tables, about two minutes
    python benchmarks/second_order.py first     # or one: first, steady, batch, lanes, hessian

Every table is one run in which the contenders take turns; the figure that counts is the ratio. First calls are timed in fresh
processes after a warm-up of JAX itself. Rosenbrock's function in 10 variables, float64; the batch has 4 variables and each lane its
own steepness b. Its minimum is 0 for every b; in 4 variables there is a second, local one, where some lanes end for every solver.
Needs `pip install '.[benchmarks]'`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def rosenbrock(x, b=100.0):
    return jnp.sum(b * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_numpy(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def gradient_numpy(x):
    g = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    g[:-1] = -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    g[1:] += 200 * inner
    return g


X0 = np.tile([-1.2, 1.0], 5)


def ours(name):
    from ravine import minimize  # loads what it needs, as the imports of the others do

    return lambda: jax.block_until_ready(minimize(rosenbrock, X0, method=name).x)


TOLERANCES = {"BFGS": 1e-9, "LBFGS": 1e-11}
"""optimistix stops by steps and decreases: the loosest powers of ten with which |∇f|∞ ends at 10⁻⁸, where the others stop by it."""


def optimistix(name, tol=None):
    import optimistix as optx

    tol = TOLERANCES[name] if tol is None else tol
    solver = getattr(optx, name)(rtol=tol, atol=tol)

    @jax.jit
    def run(x):
        return optx.minimise(lambda x, _: rosenbrock(x), solver, x, max_steps=10_000, throw=False).value

    return lambda: jax.block_until_ready(run(X0))


def jaxopt(name):
    import jaxopt

    solver = getattr(jaxopt, name)(fun=rosenbrock, maxiter=10_000, tol=1e-8)
    run = jax.jit(lambda x: solver.run(x).params)
    return lambda: jax.block_until_ready(run(X0))


def scipy(name, jitted=False):
    """SciPy with a gradient written by hand in NumPy, or, `jitted`, with the function that the others get and JAX's gradient."""
    import scipy.optimize

    fun, jac = rosenbrock_numpy, gradient_numpy
    if jitted:
        both = jax.jit(jax.value_and_grad(rosenbrock))

        def fun(x):
            f, g = both(x)
            return float(f), np.asarray(g)

        jac = True
    # With its own ftol L-BFGS-B stops where |∇f|∞ is 6·10⁻⁵.
    options = {"gtol": 1e-8} | ({"ftol": 0} if name == "L-BFGS-B" else {})
    return lambda: scipy.optimize.minimize(fun, X0, jac=jac, method=name, options=options).x


CONTENDERS = {
    "ravine BFGS": lambda: ours("bfgs"),
    "ravine L-BFGS": lambda: ours("lbfgs"),
    "optimistix BFGS": lambda: optimistix("BFGS"),
    "optimistix L-BFGS": lambda: optimistix("LBFGS"),
    "optimistix BFGS, 1e-8": lambda: optimistix("BFGS", 1e-8),
    "optimistix L-BFGS, 1e-8": lambda: optimistix("LBFGS", 1e-8),
    "jaxopt BFGS": lambda: jaxopt("BFGS"),
    "jaxopt L-BFGS": lambda: jaxopt("LBFGS"),
    "scipy BFGS": lambda: scipy("BFGS"),
    "scipy L-BFGS-B": lambda: scipy("L-BFGS-B"),
    "scipy BFGS, jitted f": lambda: scipy("BFGS", jitted=True),
    "scipy L-BFGS-B, jitted f": lambda: scipy("L-BFGS-B", jitted=True),
}


def first_call(name):
    """CPU seconds of the first call, imports not counted; in this process, which must be fresh."""
    jax.config.update("jax_enable_x64", True)
    jax.jit(lambda x: x @ x + 1)(X0).block_until_ready()
    run = CONTENDERS[name]()
    t = time.process_time()
    run()
    print(json.dumps(time.process_time() - t))


def first_table(rounds):
    names = [n for n in CONTENDERS if not n.startswith("scipy") and not n.endswith("1e-8")]
    seconds = {n: [] for n in names}
    for _ in range(rounds):
        for n in names:
            done = subprocess.run([sys.executable, __file__, "--one", n], capture_output=True, text=True, check=True)
            seconds[n].append(json.loads(done.stdout.splitlines()[-1]))
    best = {n: min(v) for n, v in seconds.items()}
    print(f"\nFirst call, CPU seconds (least of {rounds}); goals: ≤ 1.0 of optimistix, ≤ 0.5 of jaxopt")
    for n in names:
        print(f"  {n:20} {best[n]:6.2f}")
    for kind in ("BFGS", "L-BFGS"):
        ratios = {peer: best[f"ravine {kind}"] / best[f"{peer} {kind}"] for peer in ("optimistix", "jaxopt")}
        print(f"  {kind}: {ratios['optimistix']:.2f} of optimistix, {ratios['jaxopt']:.2f} of jaxopt")


def steady_table(rounds):
    jax.config.update("jax_enable_x64", True)
    runs = {n: make() for n, make in CONTENDERS.items()}
    import ravine as rv

    for kind in ("BFGS", "L-BFGS"):
        name = kind.lower().replace("-", "")
        compiled = jax.jit(lambda x, tol, name=name: rv.minimize(rosenbrock, x, method=name, tol=tol).x)
        runs[f"ravine {kind}, jitted"] = lambda compiled=compiled: jax.block_until_ready(compiled(X0, 1.5e-8))
        theirs = np.abs(gradient_numpy(np.asarray(runs[f"optimistix {kind}, 1e-8"]()))).max()
        runs[f"ravine {kind}, as far"] = lambda compiled=compiled, tol=theirs: jax.block_until_ready(compiled(X0, tol))
    seconds = {n: [] for n in runs}
    slopes = {n: np.abs(gradient_numpy(np.asarray(run()))).max() for n, run in runs.items()}
    for _ in range(rounds):
        for n, run in runs.items():
            # A hundred calls in a row: after another contender's turn, the first ones find the caches full of that.
            for _ in range(100):
                t = time.perf_counter()
                run()
                seconds[n].append(time.perf_counter() - t)
    best = {n: min(v) for n, v in seconds.items()}
    print(f"\nSteady call, µs (least of {100 * rounds}), and |∇f|∞ at its end; goals: ≤ 0.6 of optimistix, ≤ 0.05 of SciPy")
    for n in runs:
        print(f"  {n:24} {1e6 * best[n]:9.0f}   {slopes[n]:.0e}")
    print("'jitted': inside a jit, as optimistix and jaxopt are; '1e-8': by its own criteria with rtol = atol = 10⁻⁸;")
    print("'as far': jitted, until |∇f|∞ is what optimistix comes to by these")
    for kind, theirs in (("BFGS", "scipy BFGS"), ("L-BFGS", "scipy L-BFGS-B")):
        for form in (f"ravine {kind}, jitted", f"ravine {kind}"):
            peers = (f"optimistix {kind}", f"optimistix {kind}, 1e-8", theirs, f"{theirs}, jitted f")
            of = {peer: best[form] / best[peer] for peer in peers}
            print(f"  {form}: " + ", ".join(f"{ratio:.3f} of {peer}" for peer, ratio in of.items()))
        as_far = best[f"ravine {kind}, as far"] / best[f"optimistix {kind}, 1e-8"]
        print(f"  ravine {kind}, as far: {as_far:.3f} of optimistix {kind}, 1e-8")


def batch_table(rounds, lanes):
    jax.config.update("jax_enable_x64", True)
    import optimistix as optx
    import scipy.optimize

    import ravine as rv

    rng = np.random.default_rng(0)
    x0, b = rng.normal(size=(lanes, 4)), rng.uniform(50, 150, lanes)
    solver = optx.BFGS(rtol=1e-8, atol=1e-8)

    @jax.jit
    @jax.vmap
    def theirs(x, b):
        return optx.minimise(rosenbrock, solver, x, b, max_steps=10_000, throw=False).value

    runs = {
        "ravine minimize_batch BFGS": lambda: jax.block_until_ready(rv.minimize_batch(rosenbrock, x0, (b,), "bfgs").x),
        "ravine minimize_batch L-BFGS": lambda: jax.block_until_ready(rv.minimize_batch(rosenbrock, x0, (b,), "lbfgs").x),
        "optimistix BFGS, vmap": lambda: jax.block_until_ready(theirs(x0, b)),
    }
    points = {n: np.asarray(run()) for n, run in runs.items()}
    seconds = {n: [] for n in runs}
    for _ in range(rounds):
        for n, run in runs.items():
            t = time.perf_counter()
            run()
            seconds[n].append(time.perf_counter() - t)
    best = {n: min(v) for n, v in seconds.items()}
    t = time.perf_counter()
    some = 100
    for x, c in zip(x0[:some], b[:some], strict=True):
        scipy.optimize.minimize(lambda x, c=c: np.sum(c * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), x, method="BFGS")
    best["SciPy BFGS, a loop (from 100)"] = (time.perf_counter() - t) * lanes / some
    print(f"\n{lanes} problems of 4 variables, ms (least of {rounds}); goals: ≤ 0.3 of vmapped optimistix, ≤ 0.05 of a SciPy loop")
    look = jax.jit(jax.vmap(jax.value_and_grad(rosenbrock)))
    for n, s in best.items():
        told = ""
        if n in points:
            f, g = map(np.asarray, look(points[n], b))
            told = f"{100 * np.mean(np.abs(g).max(1) < 1e-4):.2f} % at |∇f| < 10⁻⁴, {100 * np.mean(f < 1e-6):.2f} % at f < 10⁻⁶"
        print(f"  {n:30} {1e3 * s:9.1f}  {told}")
    for n in list(runs)[:2]:
        peers = best["optimistix BFGS, vmap"], best["SciPy BFGS, a loop (from 100)"]
        print(f"  {n}: {best[n] / peers[0]:.2f} of optimistix, {best[n] / peers[1]:.4f} of SciPy")


def lanes_table(rounds):
    """What a step costs by the number of lanes that are worked on at a time."""
    jax.config.update("jax_enable_x64", True)
    import ravine as rv
    from ravine.core import batch
    from ravine.core.flat import Layout
    from ravine.core.function import Function
    from ravine.core.problem import Objective

    steps, problem = 20, Objective(Function(rosenbrock), (), Layout.vector(np.zeros(4)))
    print(f"\nBFGS in 4 variables, ns a lane and step, {steps} steps (least of {10 * rounds})")
    for width in (64, 128, 256, 512, 1024, 2048, 4096):
        rng = np.random.default_rng(0)
        x0, args = rng.normal(size=(width, 4)), (rng.uniform(50, 150, width),)
        stop = rv.MaxSteps(1000)
        best = float("inf")
        for _ in range(10 * rounds):
            carries = jax.block_until_ready(batch._start(rv.BFGS(), problem, stop, args, x0, None))
            t = time.perf_counter()
            jax.block_until_ready(batch._advance(rv.BFGS(), problem, args, carries, stop, steps, 0.0))
            best = min(best, time.perf_counter() - t)
        print(f"  {width:5} lanes {1e9 * best / steps / width:6.0f}")


def peaks(x, position, data):
    """Squares of a sum of Lorentz peaks, each with a weight and a width, less data: an array of peaks × data."""
    weight, width = x[0::2], x[1::2]
    return jnp.sum((jnp.sum(weight * width / ((data[:, None] - position) ** 2 + width**2), axis=1) - jnp.sin(data)) ** 2)


def hessian_table(rounds):
    """The Hessian of a function with large arrays, all columns at once and one after another."""
    import ravine.core.columns as columns

    jax.config.update("jax_enable_x64", True)
    print(f"\nHessian, 66 parameters, ms (least of {5 * rounds})")
    x, position = jnp.ones(66), jnp.linspace(0, 1, 33)
    for size in (20, 200, 1000, 4600):
        f = partial(peaks, position=position, data=jnp.linspace(0, 1, size))
        ways = {"jax.hessian": jax.jit(jax.hessian(f)), "ravine": jax.jit(partial(columns.hessian, f))}
        best = dict.fromkeys(ways, float("inf"))
        for way in ways.values():
            way(x).block_until_ready()
        for _ in range(5 * rounds):
            for name, way in ways.items():
                t = time.perf_counter()
                way(x).block_until_ready()
                best[name] = min(best[name], time.perf_counter() - t)
        print(f"  {size:5} data" + "".join(f"  {name} {1e3 * t:8.3f}" for name, t in best.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["all", "first", "steady", "batch", "lanes", "hessian"], default="all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=10_000, help="problems of the batch")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.one:
        first_call(a.one)
        return
    tables = {
        "first": first_table,
        "steady": lambda n: steady_table(4 * n),
        "batch": lambda n: batch_table(n, a.lanes),
        "lanes": lanes_table,
        "hessian": hessian_table,
    }
    for name in tables if a.what == "all" else [a.what]:
        tables[name](a.rounds)


if __name__ == "__main__":
    main()
