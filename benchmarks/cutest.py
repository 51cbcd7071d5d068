"""CUTEst problems (sif2jax): who solves how many, and whose statuses can be believed.

    python benchmarks/cutest.py run --set small --solvers ours          # the library's methods; adds to cutest_results.jsonl
    python benchmarks/cutest.py run --set small --solvers peers         # SciPy, optimistix, jaxopt, optax (slow)
    python benchmarks/cutest.py run --set small --solvers ours --float32
    python benchmarks/cutest.py table                                   # the tables, from what was recorded, peers included

A run goes on where the last one stopped and ends after --seconds; a solver that takes more than --cap seconds for a problem is
recorded as that. Problems come by the number of their variables. Sets: `small` (unconstrained, n ≤ 100), `large` (unconstrained,
100 < n ≤ 10⁴), `bounded` (bounds, n ≤ 10⁴). Needs `pip install '.[benchmarks]'`; sif2jax turns float64 on, so this
is a process of its own.

Solved: f − f* ≤ max(10⁻⁶ |f*|, 10⁻¹⁰) with f* the best value over all recorded solvers of both precisions, ours and others.
SCURLY10 to 30 are CURLY10 to 30 in other units, and have their f*, which no solver reaches from where they start; with `table
--by-itself` f* is the best of those that ran on the problem. In float32 the gap is measured in float64 at the point that came
back, against max(10⁻³ |f*|, 10⁻⁴). A false success is a run that says success at a point that is neither solved nor stationary: of
the projected gradient, |g|∞ max(1, |x|∞) / max(1, |f|) or
|g|∞ / max(1, |g₀|∞) is above 10⁻⁵ (float32: 10⁻²). The second counts where |f| is huge. The projected gradient x − P(x − g) is cut
to the width of the box, which changes nothing where it is small. The first gradient is large, and cut to a box that is 10 wide it
would say 10 where it is 10⁵. So |g₀|∞ is taken as it is, over the elements that can move against it: for all solvers. A false
failure is a run that says failure at a solved point.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path

import jax
import numpy as np

RESULTS = Path(__file__).parent / "cutest_results.jsonl"
PEERS_RECORDED = (
    Path(__file__).parent / "cutest_peers.jsonl"
)  # slow to run: SciPy 1.17, optimistix 0.1.0, jaxopt 0.8.5, optax 0.2.8
STEPS = {"small": 10_000, "large": 10**6, "bounded": 10_000}  # of many variables, the time decides
SECONDS = 60.0  # of a run, compilation apart where the solver can be asked to stop; see --cap


def problems(which):
    """(name, problem) of a set, each name once, by the number of variables."""
    import sif2jax.cutest as cutest

    source = cutest.bounded_minimisation_problems if which == "bounded" else cutest.unconstrained_minimisation_problems
    least, most = {"small": (0, 100), "large": (101, 10_000), "bounded": (0, 10_000)}[which]
    found = {type(p).__name__: (int(p.num_variables()), p) for p in reversed(source)}
    return [(name, p) for name, (n, p) in sorted(found.items(), key=lambda v: (v[1][0], v[0])) if least <= n <= most]


class Setup:
    """A problem as flat vectors, with its function compiled once for all solvers that call it from Python."""

    def __init__(self, problem, dtype, steps):
        self.problem, self.dtype, self.steps, self.truth, self.first = problem, dtype, steps, None, None
        leaves = jax.tree.leaves(problem.y0)
        self.treedef = jax.tree.structure(problem.y0)
        self.shapes = [np.shape(v) for v in leaves]
        self.sizes = [int(np.prod(s)) for s in self.shapes]
        self.x0 = np.concatenate([np.ravel(np.asarray(v)) for v in leaves]).astype(dtype)
        self.n = self.x0.size
        self.bounds = None
        if hasattr(problem, "bounds") and problem.bounds is not None:
            lower, upper = problem.bounds
            flat = [
                np.concatenate(
                    [np.ravel(np.broadcast_to(np.asarray(b), s)) for b, s in zip(jax.tree.leaves(t), self.shapes, strict=True)]
                )
                for t in (lower, upper)
            ]
            self.bounds = tuple(b.astype(dtype) for b in flat)
        self.args = jax.tree.map(
            lambda v: v.astype(dtype) if hasattr(v, "astype") and np.issubdtype(v.dtype, np.floating) else v, problem.args
        )
        self.f = jax.jit(self._f)  # so that all solvers share one trace of the problem
        self.value_and_grad = jax.jit(jax.value_and_grad(self.f))
        self.hessian = jax.jit(jax.hessian(self.f))
        self.hvp = jax.jit(lambda x, v: jax.jvp(jax.grad(self.f), (x,), (v,))[1])

    def _f(self, x):
        parts = np.split(np.arange(self.n), np.cumsum(self.sizes)[:-1])
        leaves = [x[i[0] : i[-1] + 1].reshape(s) for i, s in zip(parts, self.shapes, strict=True)]
        return (
            jax.numpy.asarray(self.problem.objective(jax.tree.unflatten(self.treedef, leaves), self.args))
            .reshape(())
            .astype(x.dtype)
        )

    def judged(self, x, curvature):
        """f at x in float64, the projected gradient there relative to f and relative to that at the start, and whether x is a
        saddle, if `curvature` is wanted."""
        with jax.enable_x64(True):
            if self.truth is None:
                self.truth = Setup(self.problem, np.float64, self.steps) if self.dtype != np.float64 else self
            truth = self.truth
            x = np.asarray(x, np.float64)
            f, size = truth.projected(x)
            if truth.first is None:
                truth.first = truth.steepest_at_start()
            relative = size * max(1, np.max(np.abs(x))) / max(1, abs(f))
            saddle = False
            if curvature and self.n <= 100 and truth.bounds is None and np.isfinite(f):
                eigenvalues = np.linalg.eigvalsh(np.nan_to_num(np.asarray(truth.hessian(x))))
                saddle = bool(eigenvalues[0] * max(1, np.max(np.abs(x))) ** 2 < -1e-4 * max(1, abs(float(f)))) and bool(
                    eigenvalues[0] < -1e-6 * np.abs(eigenvalues).max()
                )
        return f, float(relative), float(size / max(1, truth.first)), saddle

    def projected(self, x):
        """f and the largest component of the projected gradient."""
        f, g = map(np.asarray, self.value_and_grad(x))
        if self.bounds is not None:
            lower, upper = self.bounds
            g = np.clip(g, x - upper, x - lower)  # x − P(x − g), without its rounding
        return float(f), float(np.max(np.abs(g)))

    def steepest_at_start(self):
        """The largest component of the gradient at the start along which f falls inside the box."""
        lower, upper = (-np.inf, np.inf) if self.bounds is None else self.bounds
        x = np.clip(self.x0, lower, upper)
        g = np.asarray(self.value_and_grad(x)[1])
        held = ((x <= lower) & (g > 0)) | ((x >= upper) & (g < 0))
        return float(np.max(np.abs(g), where=~held, initial=0.0))


def ours(method):
    def solve(setup):
        import ravine as rv

        chosen = eval(method, {"rv": rv}) if "(" in method else method
        r = rv.minimize(setup.f, setup.x0, method=chosen, stop=_stop(setup), **({"bounds": setup.bounds} if setup.bounds else {}))
        return {
            "x": np.asarray(r.x),
            "success": bool(r.success),
            "status": r.status.name,
            "nit": int(r.nit),
            "nfev": int(r.nfev),
            "note": r.message,
        }

    return solve


def _stop(setup):
    import ravine as rv
    from ravine.core.run import default_tolerance

    return rv.Optimality(default_tolerance(setup.dtype)) | rv.MaxSteps(setup.steps) | rv.MaxSeconds(SECONDS)


def scipy(method):
    def solve(setup):
        import scipy.optimize

        def fun(x):
            f, g = setup.value_and_grad(x.astype(setup.dtype))
            return float(f), np.asarray(g, np.float64)

        began = time.perf_counter()

        def callback(*_):
            if time.perf_counter() - began > SECONDS:
                raise StopIteration

        more = {}
        if method == "trust-exact":
            more["hess"] = lambda x: np.asarray(setup.hessian(x.astype(setup.dtype)), np.float64)
        if method == "trust-ncg":
            more["hessp"] = lambda x, v: np.asarray(setup.hvp(x.astype(setup.dtype), v.astype(setup.dtype)), np.float64)
        options = {"maxiter": setup.steps}
        options |= {"gtol": 1e-8} if method != "L-BFGS-B" else {"ftol": 0.0, "gtol": 1e-8, "maxfun": 10 * setup.steps}
        if method == "TNC":
            options = {"maxfun": 10 * setup.steps, "gtol": 1e-8}
        if method == "trust-constr":
            options = {"maxiter": 1000, "gtol": 1e-8}
        bounds = None
        if setup.bounds is not None:
            bounds = scipy_bounds(*setup.bounds)
        r = scipy.optimize.minimize(
            fun, setup.x0.astype(np.float64), jac=True, method=method, bounds=bounds, callback=callback, options=options, **more
        )
        return {
            "x": r.x,
            "success": bool(r.success),
            "status": str(r.status),
            "nit": int(r.nit),
            "nfev": int(r.nfev),
            "note": str(r.message),
        }

    return solve


def scipy_bounds(lower, upper):
    import scipy.optimize

    return scipy.optimize.Bounds(lower.astype(np.float64), upper.astype(np.float64))


def optimistix(name):
    def solve(setup):
        import optimistix

        solver = getattr(optimistix, name)(rtol=1e-8, atol=1e-8)
        r = optimistix.minimise(
            lambda x, _: setup.f(x), solver, jax.numpy.asarray(setup.x0), max_steps=2 * setup.steps, throw=False
        )
        good = bool(r.result == optimistix.RESULTS.successful)
        return {
            "x": np.asarray(r.value),
            "success": good,
            "status": str(r.result)[:60],
            "nit": int(r.stats["num_steps"]),
            "nfev": -1,
            "note": "",
        }

    return solve


def jaxopt(name):
    def solve(setup):
        import jaxopt

        solver = getattr(jaxopt, name)(fun=setup.f, maxiter=setup.steps, tol=1e-8)
        x, state = solver.run(jax.numpy.asarray(setup.x0), **({"bounds": setup.bounds} if setup.bounds else {}))
        good = bool(state.error <= 1e-8)
        return {"x": np.asarray(x), "success": good, "status": "", "nit": int(state.iter_num), "nfev": -1, "note": ""}

    return solve


def optax_lbfgs(setup):
    import optax

    rule = optax.lbfgs()
    both = optax.value_and_grad_from_state(setup.f)

    @jax.jit
    def run(x):
        def go(carry):
            _, state = carry
            k, g = optax.tree_utils.tree_get(state, "count"), optax.tree_utils.tree_get(state, "grad")
            return (k == 0) | ((k < setup.steps) & (jax.numpy.max(jax.numpy.abs(g)) > 1e-8))

        def body(carry):
            x, state = carry
            value, grad = both(x, state=state)
            updates, state = rule.update(grad, state, x, value=value, grad=grad, value_fn=setup.f)
            return optax.apply_updates(x, updates), state

        return jax.lax.while_loop(go, body, (x, rule.init(x)))

    x, state = run(jax.numpy.asarray(setup.x0))
    g = optax.tree_utils.tree_get(state, "grad")
    good = bool(np.max(np.abs(np.asarray(g))) <= 1e-8)
    return {
        "x": np.asarray(x),
        "success": good,
        "status": "",
        "nit": int(optax.tree_utils.tree_get(state, "count")),
        "nfev": -1,
        "note": "",
    }


OURS = {
    "small": ["trust_region", "newton", "newton_cg", "bfgs", "lbfgs", "ssbroyden", "nonlinear_cg"],
    "large": ["trust_region", "newton_cg", "lbfgs", "nonlinear_cg"],
    "bounded": ["lbfgsb", "trust_region"],
}
SOLVERS = {
    "scipy BFGS": scipy("BFGS"),
    "scipy L-BFGS-B": scipy("L-BFGS-B"),
    "scipy trust-exact": scipy("trust-exact"),
    "scipy trust-ncg": scipy("trust-ncg"),
    "scipy TNC": scipy("TNC"),
    "scipy trust-constr": scipy("trust-constr"),
    "optimistix BFGS": optimistix("BFGS"),
    "optimistix LBFGS": optimistix("LBFGS"),
    "jaxopt LBFGS": jaxopt("LBFGS"),
    "jaxopt LBFGSB": jaxopt("LBFGSB"),
    "optax lbfgs": optax_lbfgs,
}
PEERS = {
    "small": [
        "scipy BFGS",
        "scipy L-BFGS-B",
        "scipy trust-exact",
        "scipy trust-ncg",
        "optimistix BFGS",
        "optimistix LBFGS",
        "jaxopt LBFGS",
        "optax lbfgs",
    ],
    "large": ["scipy L-BFGS-B", "scipy trust-ncg", "optimistix LBFGS", "jaxopt LBFGS", "optax lbfgs"],
    "bounded": ["scipy L-BFGS-B", "scipy TNC", "scipy trust-constr", "jaxopt LBFGSB"],
}


def records(path):
    """The last record of each (set, precision, problem, solver)."""
    out = {}
    if path.exists():
        for line in path.read_text().splitlines():
            r = json.loads(line)
            out[r["set"], r["dtype"], r["problem"], r["solver"]] = r
    return out


def record(a, r):
    with a.out.open("a") as out:
        out.write(json.dumps(r) + "\n")


IN_OTHER_UNITS = {"SCURLY10": "CURLY10", "SCURLY20": "CURLY20", "SCURLY30": "CURLY30"}
UNSOLVED = {"f": float("nan"), "g": float("nan"), "g_of_first": float("nan"), "success": False}


def begin_again(a, r, began):
    """A compiled loop cannot be asked to stop: its problem is recorded as unsolved, and this process starts afresh behind it."""
    record(a, r | UNSOLVED | {"status": "capped", "seconds": a.cap})
    rest = max(1.0, a.seconds - (time.perf_counter() - began))
    os.execv(sys.executable, [sys.executable, *sys.argv, "--seconds", str(rest)])


def run(a):
    found = problems(a.set)  # while float64 is on: what they compute to be made is compiled already
    warnings.simplefilter("ignore")
    dtype = np.float32 if a.float32 else np.float64
    wanted = {"ours": OURS[a.set], "peers": PEERS[a.set], "all": PEERS[a.set] + OURS[a.set]}.get(a.solvers, a.solvers.split(";"))
    done = {} if a.again else records(a.out)
    began = time.perf_counter()
    for name, problem in found:
        jax.config.update("jax_enable_x64", not a.float32)
        todo = [s for s in wanted if (a.set, dtype.__name__, name, s) not in done]
        if not todo or (a.only and name not in a.only.split(",")) or name in a.skip.split(","):
            continue
        jax.clear_caches()  # hundreds of compiled programs exhaust the memory maps that a process may have
        setup = Setup(problem, dtype, STEPS[a.set])
        for solver in todo:
            if time.perf_counter() - began > a.seconds:
                print("stopped by --seconds; run again to go on")
                return
            t = time.perf_counter()
            r = {"set": a.set, "dtype": dtype.__name__, "problem": name, "n": setup.n, "solver": solver}
            watch = threading.Timer(a.cap, begin_again, (a, r, began))
            watch.start()
            try:
                with np.errstate(all="ignore"):
                    got = (SOLVERS[solver] if solver in SOLVERS else ours(solver))(setup)
                f, relative, of_first, saddle = setup.judged(got.pop("x"), got["success"] and not a.float32)
                r |= got | {"f": f, "g": relative, "g_of_first": of_first, "saddle": saddle}
            except Exception as e:  # a solver that raises has not solved the problem; say so in the table's source
                r |= UNSOLVED | {"status": "raised", "note": f"{type(e).__name__}: {e}"[:200]}
            watch.cancel()
            r["seconds"] = round(time.perf_counter() - t, 2)
            record(a, r)
            if a.verbose:
                print(
                    f"{name:12} {setup.n:5} {solver:18} {r['f']:14.6e} g {r['g']:8.1e} {r['status']:10} {r['seconds']} s",
                    flush=True,
                )


def solved(r, best):
    gap = r["f"] - best
    return gap <= (max(1e-6 * abs(best), 1e-10) if r["dtype"] == "float64" else max(1e-3 * abs(best), 1e-4))


def stationary(r):
    return max(r["g"], r.get("g_of_first", 0.0)) <= (1e-5 if r["dtype"] == "float64" else 1e-2)


def table(a):
    everything = list((records(a.peers) | records(a.out)).values())
    for which in ("small", "large", "bounded"):
        best = {}
        for r in everything:
            if r["set"] == which and np.isfinite(r["f"]):
                best[r["problem"]] = min(best.get(r["problem"], np.inf), r["f"])
        if not a.by_itself:
            best |= {name: min(best[name], best[other]) for name, other in IN_OTHER_UNITS.items() if {name, other} <= best.keys()}
        for dtype in ("float64", "float32"):
            rows = [r for r in everything if r["set"] == which and r["dtype"] == dtype and r["problem"] in best]
            if not rows:
                continue
            print(f"\n{which}, {dtype}: {len({r['problem'] for r in rows})} problems")
            print(f"| {'solver':18} | tried | solved | false success | success at a saddle | false failure |")
            print("|---|---|---|---|---|---|")
            for solver in dict.fromkeys(r["solver"] for r in rows):
                mine = [r for r in rows if r["solver"] == solver]
                good = [r for r in mine if solved(r, best[r["problem"]])]
                false = [r for r in mine if r["success"] and not solved(r, best[r["problem"]]) and not stationary(r)]
                saddle = [r for r in mine if r["success"] and r.get("saddle") and not solved(r, best[r["problem"]])]
                missed = [r for r in good if not r["success"]]
                kinds = {"FALSE": false, "saddle": saddle, "missed": missed}
                print(f"| {solver:18} | {len(mine)} | {len(good)} | {len(false)} | {len(saddle)} | {len(missed)} |")
                if a.show and solver in a.show.split(";"):
                    for r in mine:
                        kind = next((k for k, rs in kinds.items() if r in rs), "" if r in good else "unsolved")
                        if kind:
                            numbers = f"f {r['f']:.10e} best {best[r['problem']]:.10e} g {r['g']:.1e}"
                            print(f"    {kind:9} {r['problem']:12} n {r['n']:5} {numbers} {r['status']} nit {r.get('nit')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--set", choices=["small", "large", "bounded"], default="small")
    parser.add_argument("--solvers", default="ours", help="ours, peers, all, or names or calls with semicolons: 'bfgs;rv.LBFGS(5)'")
    parser.add_argument("--only", default="", help="problems, with commas")
    parser.add_argument("--skip", default="", help="problems to leave out, with commas")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--again", action="store_true", help="run again what is recorded")
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument(
        "--cap", type=float, default=180.0, help="the most seconds a solver may take for a problem, compilation included"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--by-itself", action="store_true", help="the table judges SCURLY by its own best values, not by those of CURLY"
    )
    parser.add_argument("--peers", type=Path, default=PEERS_RECORDED, help="recorded results of the peers")
    parser.add_argument("--show", default="", help="solvers whose unsolved problems the table lists")
    parser.add_argument("--verbose", action="store_true")
    a = parser.parse_args()
    run(a) if a.what == "run" else table(a)


if __name__ == "__main__":
    main()
