"""Time of a training step of ProxProp, relative to backpropagation in the same run: python benchmarks/proxprop.py

The paper's MLP 3072-4000-1000-4000-10, batch 500, torch's form of Nesterov's momentum, float32; each contender's steps are one
compiled call whose buffers are given away, as in training. Contenders take turns; the least wall-clock time of each is compared.

Goals: exact ≤ 1.3, cg3 ≤ 1.45. By floating-point operations it would be 1.18 and 1.36; the forms of the published code, in
parameter space, 5.2 and 7.3.
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ravine as rv
from ravine.core import driver
from ravine.core.choice import as_method
from ravine.core.function import Function
from ravine.core.problem import Training
from ravine.core.stop import MaxSteps
from ravine.problems.networks import MLP, cross_entropy

GOALS = {"exact": 1.3, "cg3": 1.45}


def stepper(method, loss, data, params):
    """A function that makes n training steps."""
    method, stop = as_method(method, Training), MaxSteps(10**9)
    problem = Training(Function(loss), data, None, None, None)
    carry = driver.start(method, problem, params, stop, None, (), 0, False)

    def advance(n):
        nonlocal carry
        carry = jax.block_until_ready(driver.advance(method, problem, carry, stop, n))

    advance(1)
    return advance


def distances() -> None:
    """How far each solver's direction is from the exact one: first CIFAR-10 batch, at the start, τ = 0.05, float32."""
    train = rv.problems.cifar10().train
    data = jnp.asarray(train.x[:500]), jnp.asarray(train.y[:500])
    net = MLP((3072, 4000, 1000, 4000, 10))
    params, loss = net.init(jax.random.key(0)), cross_entropy(net)

    def direction(solver):
        layers = jax.jit(jax.grad(rv.proxprop(loss, 0.05, solver)))(params, data)[:-1]
        return [np.append(layer.W, layer.b).astype(np.float64) for layer in layers]

    exact = direction("exact")
    print("| solver | ‖d − d_exact‖/‖d_exact‖ of layers 1, 2, 3 | ‖d‖/‖d_exact‖ |")
    print("|---|---|---|")
    for solver in ("cg1", "cg3", "cg5", "cg10", "reference-cg3", "reference-cg10"):
        pairs = list(zip(direction(solver), exact, strict=True))
        far = ", ".join(f"{np.linalg.norm(d - e) / np.linalg.norm(e):.3f}" for d, e in pairs)
        long = ", ".join(f"{np.linalg.norm(d) / np.linalg.norm(e):.3f}" for d, e in pairs)
        print(f"| {solver} | {far} | {long} |")


def timings(solvers, rounds, count) -> None:
    """The table of times."""
    net = MLP((3072, 4000, 1000, 4000, 10))
    rng = np.random.default_rng(0)
    # Natural images: neighbouring pixels alike, and a common brightness.
    x = np.clip(0.5 + 0.25 * rng.normal(size=(500, 1)) + 0.02 * rng.normal(size=(500, 3072)).cumsum(1), 0, 1).astype(np.float32)
    data = jnp.asarray(x), jnp.asarray(rng.integers(0, 10, 500), jnp.int32)
    loss, params = cross_entropy(net), net.init(jax.random.key(0))
    steps = {"backprop": stepper(optax.sgd(0.05, momentum=0.95, nesterov=True), loss, data, params)}
    for solver in solvers:
        method = rv.ProxProp(optax.sgd(0.1, momentum=0.95, nesterov=True), solver=solver)
        steps[solver] = stepper(method, loss, data, params)
    wall, cpu = ({name: [] for name in steps} for _ in range(2))
    for _ in range(rounds):
        for name, step in steps.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            step(count)
            wall[name].append((time.perf_counter() - began) / count)
            cpu[name].append((time.process_time() - began_cpu) / count)
    device = jax.devices()[0].device_kind
    print(f"{os.cpu_count()} cores, {platform.machine()}, {device}, jax {jax.__version__}; least of {rounds} rounds")
    print("| method | ms a step | ratio | CPU ms a step | ratio | goal |")
    print("|---|---|---|---|---|---|")
    for name in steps:
        w, c = min(wall[name]), min(cpu[name])
        ratios = w / min(wall["backprop"]), c / min(cpu["backprop"])
        goal = GOALS.get(name)
        verdict = "" if goal is None else f"≤ {goal} {'met' if ratios[0] <= goal else 'missed'}"
        print(f"| {name} | {1e3 * w:.3g} | {ratios[0]:.2f} | {1e3 * c:.3g} | {ratios[1]:.2f} | {verdict} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solvers", nargs="*", default=["exact", "cg1", "cg3", "cg5", "cg10", "reference-cg3"])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2, help="steps a turn")
    parser.add_argument("--distances", action="store_true", help="how far each solver is from the exact direction, on CIFAR-10")
    args = parser.parse_args()
    if args.distances:
        distances()
    else:
        timings(args.solvers, args.rounds, args.steps)


if __name__ == "__main__":
    main()
