"""Least squares beside its peers: one small fit, ten thousand at once, and a network.

    python benchmarks/least_squares.py single       # first and steady call, float64
    python benchmarks/least_squares.py batch        # 10,000 fits of four parameters to 50 points, float32
    python benchmarks/least_squares.py batch --x64  # the same in float64
    python benchmarks/least_squares.py network      # a step of Levenberg-Marquardt on a network, float32: 64 residuals
    python benchmarks/least_squares.py network --large  # 512 residuals of 78,601 parameters
    python benchmarks/least_squares.py bundle problem-16-22106-pre.txt.gz  # cameras and points, beside Ceres in C++
    python benchmarks/least_squares.py sparse       # sparse normal equations beside conjugate gradients

Contenders take turns in one process, the best of all rounds counts, and the figure that means something is the ratio.
Needs `pip install '.[benchmarks]'`; `bundle` needs g++ and Ceres (`apt-get install g++ libceres-dev`).
"""

from __future__ import annotations

import argparse
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import ravine as rv

LANES = 10_000
LOOPED = 100  # SciPy's loop is timed on so many fits and multiplied


def race(contenders, rounds, again=None):
    """The first call and the least time of each, in milliseconds; `again` times a later one."""
    first = {name: timed(run) for name, run in contenders.items()}
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, run in contenders.items():
            best[name] = min(best[name], (again or timed)(run))
    return {name: (first[name], best[name]) for name in contenders}


def timed(run):
    start = time.perf_counter()
    jax.block_until_ready(run())
    return 1e3 * (time.perf_counter() - start)


def shortest(run):
    """The least of up to a hundred calls in a row: the first ones find the caches full of others' data, and threads asleep."""
    times = [timed(run)]
    while len(times) < 100 and sum(times) < 1000:
        times.append(timed(run))
    return min(times)


def table(title, times, goals):
    print(f"\n{title}\n{'':<34}{'first, ms':>11}{'steady, ms':>12}{'ravine / it':>13}{'goal':>7}")
    ours = times["ravine"][1]
    for name, (first, steady) in times.items():
        goal = goals.get(name)
        verdict = "" if goal is None else f"{goal:>7}{'' if ours / steady <= goal else '  missed'}"
        print(f"{name:<34}{first:>11.1f}{steady:>12.3f}{ours / steady:>13.3f}{verdict}")


def double_exponential(t, a, b, c, d, e):
    return a * jnp.exp(-b * t) + c * jnp.exp(-d * t) + e


def single(rounds):
    """Five parameters, 200 points. "inside jit": the solver as part of a compiled program, without the front door."""
    import jaxopt
    import optimistix as optx

    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 200)
    truth, p0 = np.array([2.0, 0.5, 1.0, 3.0, 0.2]), np.array([1.0, 0.3, 0.5, 2.0, 0.0])
    y = np.asarray(double_exponential(t, *truth)) + 0.01 * rng.standard_normal(200)

    def residual(p, y):
        return double_exponential(t, *p) - y

    def numpy_residual(p):
        return p[0] * np.exp(-p[1] * t) + p[2] * np.exp(-p[3] * t) + p[4] - y

    def numpy_jacobian(p):
        u, v = np.exp(-p[1] * t), np.exp(-p[3] * t)
        return np.stack([u, -p[0] * t * u, v, -p[2] * t * v, np.ones_like(t)], axis=1)

    ours = jax.jit(lambda p, y: rv.least_squares(residual, p, (y,), method=rv.LevenbergMarquardt(linear=rv.QRStep())).x)
    cholesky = jax.jit(lambda p, y: rv.least_squares(residual, p, (y,), method=rv.LevenbergMarquardt(linear=rv.CholeskyStep())).x)
    solver = optx.LevenbergMarquardt(rtol=1e-8, atol=1e-8)
    theirs = jax.jit(lambda p, y: optx.least_squares(residual, solver, p, y, throw=False).value)
    jaxopt_lm = jaxopt.LevenbergMarquardt(residual, tol=1e-8, solver="cholesky")
    jaxopt_run = jax.jit(lambda p, y: jaxopt_lm.run(p, y=y).params)
    pj, yj = jnp.asarray(p0), jnp.asarray(y)
    exact = scipy.optimize.least_squares(numpy_residual, p0, numpy_jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    contenders = {
        "ravine": lambda: ours(pj, yj),
        "ravine, Cholesky": lambda: cholesky(pj, yj),
        "ravine, front door": lambda: rv.least_squares(residual, p0, (y,)).x,
        "optimistix": lambda: theirs(pj, yj),
        "jaxopt, Cholesky": lambda: jaxopt_run(pj, yj),
        "SciPy lm (MINPACK), NumPy model": lambda: scipy.optimize.least_squares(numpy_residual, p0, numpy_jacobian, method="lm").x,
        "SciPy trf, NumPy model": lambda: scipy.optimize.least_squares(numpy_residual, p0, numpy_jacobian).x,
    }
    for name, run in contenders.items():
        error = float(np.max(np.abs(np.asarray(run()) - exact) / np.abs(exact)))
        print(f"{name:<34} relative error {error:.1e}")
    # Those calls have compiled everything: fresh functions for the first call would time SciPy's imports, so compile anew.
    jax.clear_caches()
    goals = {"optimistix": 0.5, "SciPy lm (MINPACK), NumPy model": 0.3}
    table(f"{single.__doc__} Calls in a row", race(contenders, rounds, shortest), goals)
    table("The same, calls in turns: caches are full of others' data and code", race(contenders, rounds), {})


def peak(t, a, m, s, c):
    return a * jnp.exp(-0.5 * ((t - m) / s) ** 2) + c


def batch(rounds, dtype):
    """10,000 peaks of four parameters, 50 points each, 5 % of the starts bad."""
    import jaxopt
    import optimistix as optx

    rng = np.random.default_rng(0)
    t = np.linspace(-1, 1, 50).astype(dtype)
    low, high = np.array([1, -0.3, 0.15, 0]), np.array([3, 0.3, 0.4, 1])
    truth = rng.uniform(low, high, (LANES, 4))
    y = np.asarray(peak(t[None], *(truth[:, i : i + 1] for i in range(4)))) + 0.05 * rng.standard_normal((LANES, 50))
    p0 = truth * rng.uniform(0.7, 1.3, truth.shape)
    p0[rng.random(LANES) < 0.05] = [1, 0.9, 0.1, 0]
    y, p0 = jnp.asarray(y, dtype), jnp.asarray(p0, dtype)

    def residual(p, y):
        return peak(t, *p) - y

    tol = 1e-4 if dtype == np.float32 else 1e-8
    solver = optx.LevenbergMarquardt(rtol=tol, atol=tol)
    theirs = jax.jit(jax.vmap(lambda p, y: optx.least_squares(residual, solver, p, y, throw=False, max_steps=100).value))
    jaxopt_lm = jaxopt.LevenbergMarquardt(residual, tol=tol, solver="cholesky", maxiter=100)
    jaxopt_run = jax.jit(jax.vmap(lambda p, y: jaxopt_lm.run(p, y=y).params))
    t64, y64, p64 = (np.asarray(v, float) for v in (t, y, p0))

    def one(i):
        yi = y64[i]

        def r(p):
            return p[0] * np.exp(-0.5 * ((t64 - p[1]) / p[2]) ** 2) + p[3] - yi

        def J(p):
            z = (t64 - p[1]) / p[2]
            e = np.exp(-0.5 * z * z)
            return np.stack([e, p[0] * e * z / p[2], p[0] * e * z * z / p[2], np.ones_like(t64)], axis=1)

        return scipy.optimize.leastsq(r, p64[i], Dfun=J)[0]

    def loop():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.stack([one(i) for i in range(LOOPED)])

    contenders = {
        "ravine": lambda: rv.least_squares_batch(residual, p0, (y,)).x,
        "optimistix under vmap": lambda: theirs(p0, y),
        "jaxopt under vmap": lambda: jaxopt_run(p0, y),
        f"SciPy leastsq in a loop (×{LANES // LOOPED})": loop,
    }
    times = race(contenders, rounds)
    scipys = f"SciPy leastsq in a loop (×{LANES // LOOPED})"
    times[scipys] = tuple(v * LANES / LOOPED for v in times[scipys])
    cost = jax.jit(jax.vmap(lambda p, y: jnp.sum(residual(p, y) ** 2)))
    least = np.min([np.asarray(cost(contenders[n](), y)) for n in list(contenders)[:3]], axis=0)
    for name in list(contenders)[:3]:
        good = np.asarray(cost(contenders[name](), y)) <= least * (1 + 1e-3)
        print(f"{name:<34}{100 * good.mean():.2f} % within 0.1 % of the best cost")
    goals = {"optimistix under vmap": 0.15, "jaxopt under vmap": 0.05, scipys: 0.05}
    table(f"{batch.__doc__} {np.dtype(dtype).name}", times, goals)


def difference(many, few, steps, rounds):
    """Milliseconds of one step of each, from runs of many and of few steps in turns."""
    best = {name: [float("inf"), float("inf")] for name in many}
    for _ in range(rounds + 1):  # one for compiling
        for name in many:
            best[name] = [min(b, shortest(run)) for b, run in zip(best[name], (many[name], few[name]), strict=True)]
    return {name: (a - b) / steps[name] for name, (a, b) in best.items()}


def network(rounds, examples, inputs, hidden):
    """A step of Levenberg-Marquardt on a network of one hidden layer."""
    import jaxopt
    import optimistix as optx

    from ravine.core import driver
    from ravine.core.flat import Layout
    from ravine.core.function import Function
    from ravine.core.problem import LeastSquares

    rng = np.random.default_rng(0)
    X, y = (jnp.asarray(v, jnp.float32) for v in (rng.standard_normal((examples, inputs)), rng.standard_normal(examples)))
    params = {"W": rng.standard_normal((inputs, hidden)) / inputs**0.5, "b": np.zeros(hidden)}
    params |= {"V": rng.standard_normal((hidden, 1)) / hidden**0.5, "c": np.zeros(1)}
    params = {name: jnp.asarray(v, jnp.float32) for name, v in params.items()}

    def residual(p, data):
        X, y = data
        return (jnp.tanh(X @ p["W"] + p["b"]) @ p["V"] + p["c"])[:, 0] - y

    layout = Layout.vector(params)
    problem, x = LeastSquares(Function(residual), ((X, y),), layout), layout.pack(params)
    n, small = len(x), len(x) < 5000
    never = rv.Optimality(0.0) | rv.MaxSteps(1000)

    def solved(method, problem, x, k):
        carry = driver.solve(method, problem, x, never, steps=k)
        return carry.state.x, carry.k

    solved = jax.jit(solved)

    def ours(linear, k):
        method = rv.LevenbergMarquardt(linear=linear, damping=rv.Nielsen())
        return lambda: solved(method, problem, x, jnp.int32(k))

    def optimistix(k):
        solver = optx.LevenbergMarquardt(rtol=0.0, atol=0.0)
        run = jax.jit(lambda p: optx.least_squares(residual, solver, p, (X, y), max_steps=k, throw=False).value)
        return lambda: run(params)

    def jaxopts(k):
        how = "cholesky" if small else jaxopt.linear_solve.solve_cg
        flat = jaxopt.LevenbergMarquardt(
            lambda x, data: problem._residual(x), maxiter=k, tol=0.0, solver=how, materialize_jac=small
        )
        run = jax.jit(lambda x: flat.run(x, data=(X, y)).params)
        return lambda: run(x)

    makers = {
        "ravine": lambda k: ours(rv.KernelStep(), k),
        "ravine, dual with an explicit J": lambda k: ours(rv.DualStep(), k),
        "ravine, conjugate gradients": lambda k: ours(rv.PCGStep(), k),
    }
    if small:
        makers["ravine, Cholesky of the n×n system"] = lambda k: ours(rv.CholeskyStep(), k)
        makers |= {"optimistix (QR)": optimistix, "jaxopt, Cholesky": jaxopts}
    many = {name: make(4 if name in ("ravine", "ravine, conjugate gradients") else 2) for name, make in makers.items()}
    # A run that has reached what float32 resolves ends before its last step; peers take all.
    steps = {name: int(run()[1]) - 1 if name.startswith("ravine") else 1 for name, run in many.items()}
    times = difference(many, {name: make(1) for name, make in makers.items()}, steps, rounds)
    gradient = jax.jit(lambda problem, x: problem.value_and_grad(x)[1])
    timed(lambda: gradient(problem, x))
    backward = min(timed(lambda: gradient(problem, x)) for _ in range(20))

    def iterations(k):
        linear = rv.PCGStep(tol=1e-12, steps=k)
        local = jax.jit(linear.look)(problem, x)
        run = jax.jit(lambda problem, x, local: linear.step(problem, x, local, jnp.sqrt(local.squares), jnp.float32(0)).p)
        return lambda: run(problem, x, local)

    iteration = difference({"": iterations(6)}, {"": iterations(1)}, {"": 5}, 5 * rounds)[""]
    print(f"\n{network.__doc__} {examples} residuals, {n} parameters; a gradient takes {backward:.3f} ms")
    print(f"{'':<36}{'step, ms':>11}{'in gradients':>14}{'ravine / it':>13}")
    for name, step in times.items():
        print(f"{name:<36}{step:>11.3f}{step / backward:>14.1f}{times['ravine'] / step:>13.4f}")
    print(f"{'an iteration of conjugate gradients':<36}{iteration:>11.3f}{iteration / backward:>14.2f}   goal ≤ 1.1")
    if not small:
        # jaxopt with conjugate gradients and materialize_jac=False asks for 90 GB, too.
        print(f"optimistix and jaxopt need n×n matrices, {4 * n**2 / 1e9:.0f} GB each")


def bundle(rounds, path):
    """Bundle adjustment, to a relative decrease of 1e-10: Levenberg-Marquardt from the same first damping, the same two cores."""
    import ceres_bal

    from ravine.problems.bundle_adjustment import read

    scene = read(path)
    pairs = scene.pairs()
    method = rv.LevenbergMarquardt(linear=rv.SchurStep(), damping=rv.Nielsen(1e-4))  # Ceres starts with a radius of 1e4

    def solve(stop):
        return rv.least_squares(pairs, scene.x0, (scene.observed,), method=method, stop=stop | rv.MaxSteps(100))

    began = time.perf_counter()
    end = solve(rv.SmallDecrease(1e-10))
    print(f"ravine: {end.why}; cost {end.fun:.4f} after {end.nit} steps; first call {time.perf_counter() - began:.1f} s")
    near = rv.Target(float(end.fun) * (1 + 1e-6))
    times = {}
    for _ in range(rounds):
        theirs = ceres_bal.run(path, "dense_schur")
        first = next(seconds for seconds, cost in theirs["costs"] if cost <= theirs["final_cost"] * (1 + 1e-6))
        row = {
            "to the end": (timed(lambda: solve(rv.SmallDecrease(1e-10)).x), 1e3 * theirs["seconds"]),
            "to 1 + 1e-6 of the cost": (timed(lambda: solve(near).x), 1e3 * first),
        }
        for name, (ours, other) in row.items():
            best = times.get(name, (float("inf"), float("inf")))
            times[name] = min(ours, best[0]), min(other, best[1])
    print(f"Ceres: cost {theirs['initial_cost']:.4f} to {theirs['final_cost']:.4f} in {theirs['iterations']} steps")
    for name, (ours, other) in times.items():
        goal = f"goal 2{'' if ours / other <= 2 else '  missed'}"
        print(f"{name:<26} ravine {ours:7.0f} ms   Ceres {other:7.0f} ms   ravine / Ceres {ours / other:.2f}   {goal}")


def sparse(rounds):
    """Sparse Jacobians: a chain, whose JᵀJ is well-conditioned, and an image smoothed with weak data, whose JᵀJ is not."""
    import scipy.sparse

    def chain(x):
        return jnp.concatenate([3 * (x[1:] - x[:-1] ** 2), 1 - x[:-1], 0.3 * jnp.sin(x[-1:])])

    def smooth(u):
        u = u.reshape(SIDE, SIDE)
        across, down = (u[:, 1:] - u[:, :-1]).ravel(), (u[1:] - u[:-1]).ravel()
        slopes = jnp.concatenate([across, down])
        return jnp.concatenate([slopes + 0.1 * slopes**3, 1e-3 * (u.ravel() - image)])

    SIDE, n = 100, 20_000
    image = 10 * np.random.default_rng(0).standard_normal(SIDE**2)
    step, one = scipy.sparse.diags_array([1.0, 1.0], offsets=[0, 1], shape=(SIDE - 1, SIDE)), scipy.sparse.eye_array
    grid = scipy.sparse.vstack([scipy.sparse.kron(one(SIDE), step), scipy.sparse.kron(step, one(SIDE)), one(SIDE**2)])
    last = scipy.sparse.csr_array(([1], ([0], [n - 1])), shape=(1, n))
    ahead = scipy.sparse.diags_array([1.0, 1.0], offsets=[0, 1], shape=(n - 1, n))
    line = scipy.sparse.vstack([ahead, one(n - 1, n), last])
    cg = rv.LevenbergMarquardt(linear=rv.PCGStep(), damping=rv.Nielsen())
    for name, fun, start, pattern in (
        (f"chain of {n} parameters", chain, np.full(n, 0.5), line),
        (f"image of {SIDE}×{SIDE}", smooth, np.zeros(SIDE**2), grid),
    ):
        contenders = {
            "ravine": lambda: rv.least_squares(fun, start, sparsity=pattern, tol=1e-6),  # noqa: B023
            "ravine, conjugate gradients": lambda: rv.least_squares(fun, start, method=cg, tol=1e-6),  # noqa: B023
        }
        for contender, run in contenders.items():
            end = run()
            print(f"{name}: {contender:<34} {float(end.fun):.12g}  {end.message}")
        table(name, race({k: lambda run=run: run().x for k, run in contenders.items()}, rounds), {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["single", "batch", "network", "bundle", "sparse"])
    parser.add_argument("path", nargs="?", help="bundle: a file of Bundle Adjustment in the Large")
    parser.add_argument("--x64", action="store_true", help="batch in float64")
    parser.add_argument("--large", action="store_true", help="network of 512 residuals")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", given.which in ("single", "bundle", "sparse") or given.x64)
    if given.which == "single":
        single(20 * given.rounds)
    elif given.which == "network":
        network(given.rounds, *((512, 784, 100) if given.large else (64, 51, 48)))
    elif given.which == "bundle":
        bundle(given.rounds, given.path)
    elif given.which == "sparse":
        sparse(given.rounds)
    else:
        batch(given.rounds, np.float64 if given.x64 else np.float32)
