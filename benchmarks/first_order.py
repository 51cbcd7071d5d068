"""First-order rules beside optax and torch: the update step, its compilation, and the whole training step.

    python benchmarks/first_order.py big        the update on the 20.3 M parameters of the MLP 3072-4000-1000-4000-10
    python benchmarks/first_order.py small      the update on 1,000 arrays of 64×64, and how long it takes to compile
    python benchmarks/first_order.py step       the whole training step of that MLP, batch 64 and 500

All peers of a row take turns in one process, buffers are donated everywhere, times are minima; GB/s counts once each array that
the rule must read, and once each that it must write. --rules names the rules. Needs `pip install '.[benchmarks]'`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

# OpenMP's threads would spin for milliseconds after each call of torch, on a core that the next contender needs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from timing import interleaved, verdict

import ravine as rv
from ravine.core import driver
from ravine.core.choice import as_method
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import Training
from ravine.core.rule import layout_for, stepped
from ravine.core.stop import MaxSteps
from ravine.problems.networks import MLP, cross_entropy

WIDTHS = (3072, 4000, 1000, 4000, 10)
BIG = [s for i, o in pairwise(WIDTHS) for s in ((i, o), (o,))]
SMALL = [(64, 64)] * 1000

T = torch.optim
# rule: (ours, optax's, torch's class and arguments or None)
RULES: dict[str, tuple[Any, Any, Any]] = {
    "sgd": (rv.SGD(0.1), optax.sgd(0.1), (T.SGD, {"lr": 0.1})),
    "momentum": (rv.Momentum(0.01), optax.sgd(0.01, 0.9), (T.SGD, {"lr": 0.01, "momentum": 0.9})),
    "nesterov": (rv.Nesterov(0.01), optax.sgd(0.01, 0.9, True), (T.SGD, {"lr": 0.01, "momentum": 0.9, "nesterov": True})),
    "rmsprop": (rv.RMSProp(1e-3), optax.rmsprop(1e-3, eps_in_sqrt=False), (T.RMSprop, {"lr": 1e-3})),
    "adagrad": (rv.Adagrad(0.01), optax.adagrad(0.01), (T.Adagrad, {"lr": 0.01})),
    "adadelta": (rv.Adadelta(1.0), optax.adadelta(1.0), (T.Adadelta, {"lr": 1.0})),
    "adam": (rv.Adam(1e-3), optax.adam(1e-3), (T.Adam, {"lr": 1e-3})),
    "adamax": (rv.AdaMax(2e-3), optax.adamax(2e-3), (T.Adamax, {"lr": 2e-3})),
    "nadam": (rv.Nadam(1e-3), optax.nadam(1e-3), (T.NAdam, {"lr": 1e-3})),
    "amsgrad": (rv.AMSGrad(1e-3, variant="torch"), optax.amsgrad(1e-3), (T.Adam, {"lr": 1e-3, "amsgrad": True})),
    "adamw": (rv.AdamW(1e-3), optax.adamw(1e-3), (T.AdamW, {"lr": 1e-3})),
    "lion": (rv.Lion(1e-4), optax.lion(1e-4), None),
    "schedule_free": (rv.ScheduleFree(2.5e-3), optax.contrib.schedule_free_adamw(2.5e-3), None),
    "prodigy": (rv.Prodigy(1.0), optax.contrib.prodigy(1.0), None),
    "muon": (rv.Muon(0.02), optax.contrib.muon(0.02), None),
}
# torch runs where JAX does.
ON_GPU = jax.default_backend() == "gpu"
torch.set_default_device("cuda" if ON_GPU else "cpu")
NOT_BY_DEFAULT = ("muon",)  # its Newton-Schulz products of 3072×4000 matrices take seconds a step


def arrays(shapes: list[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(np.float32) / 100 for s in shapes]


def stepper(transformation: Any, params: Any, grads: Any, prepare: Callable[[Any], Any] = lambda g: g) -> tuple[Any, float, int]:
    """A call that makes one donated update, the seconds it took to trace and compile, and the bytes it must move."""

    # Arguments in the order of the results: donated buffers are matched to results of the same shape in order, and a parameter
    # that is to be written where a moment was must be copied.
    def update(x: Any, s: Any, g: Any) -> Any:
        return stepped(transformation, x, transformation.update(prepare(g), s, x))

    state = jax.jit(transformation.init)(params)
    began = time.perf_counter()
    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(params, state, grads).compile()
    seconds = time.perf_counter() - began
    held = jax.tree.map(jnp.copy, [params, state])
    size = sum(v.nbytes for v in jax.tree.leaves(params))
    moved = 2 * sum(v.nbytes for v in jax.tree.leaves((params, state))) + size

    def call() -> None:
        held[:] = compiled(held[0], held[1], grads)
        jax.block_until_ready(held)

    return call, seconds, moved


def torch_stepper(optimiser: Any, keywords: dict[str, Any], params: list[np.ndarray], grads: list[np.ndarray]) -> Any:
    leaves = [torch.nn.Parameter(torch.tensor(p)) for p in params]
    for leaf, g in zip(leaves, grads, strict=True):
        leaf.grad = torch.tensor(g)
    made = optimiser(leaves, **keywords)
    made.step()
    return lambda: finished(made.step())


def finished(result: Any) -> Any:
    """The result of torch, once its work is done."""
    if ON_GPU:
        torch.cuda.synchronize()
    return result


def peers_of_torch(spec: Any, params: list[np.ndarray], grads: list[np.ndarray]) -> dict[str, Any]:
    """torch's fused and foreach forms, as far as they exist."""
    out: dict[str, Any] = {}
    for form in ("fused", "foreach"):
        try:
            out[f"torch {form}"] = torch_stepper(spec[0], {**spec[1], form: True}, params, grads)
        except (TypeError, RuntimeError):  # this rule has no such form on this device
            continue
    return out


def bandwidth() -> None:
    n = 20 * 2**20
    a, b, c = (torch.rand(n) for _ in range(3))
    best = interleaved({"copy": lambda: finished(a.copy_(b)), "triad": lambda: finished(torch.add(b, c, alpha=3.0, out=a))})
    words = ", ".join(f"{k} {(2 if k == 'copy' else 3) * 4 * n / best[k][0] / 1e9:.0f} GB/s" for k in best)
    print(f"measured bandwidth, {torch.get_num_threads()} threads: {words}")


def updates(rules: list[str], shapes: list[tuple[int, ...]], rounds: int) -> None:
    """The update step of each rule. `tree`: gradients come as a tree; `packed`: as the training loop holds them."""
    small = shapes is SMALL
    bandwidth()
    params, grads = arrays(shapes, 0), arrays(shapes, 1)
    jp, jg = jax.tree.map(jnp.asarray, [params, grads])
    layout = Layout.grouped(jp)
    head = f"{'rule':14} {'ours ms':>8} {'GB/s':>6} {'/optax':>7} {'/fused':>7} {'/foreach':>8}"
    print(head + (f" {'from tree':>10} {'compile s':>10} {'optax s':>8} {'ratio':>6}" if small else ""))
    ratios: dict[str, dict[str, float]] = {}
    for name in rules:
        ours, theirs, spec = RULES[name]
        vector = layout_for(as_method(ours, Training), jp) if ours.scope != "element" else layout
        assert vector is not None
        one, seconds, moved = stepper(ours, vector.pack(jp), vector.pack(jg))
        other, other_seconds, _ = stepper(theirs, jp, jg)
        calls = {"ours": one, "optax": other}
        if small:
            calls["from tree"] = stepper(ours, vector.pack(jp), jg, vector.pack)[0]
        if spec is not None:
            calls |= peers_of_torch(spec, params, grads)
        best = {k: v[0] for k, v in interleaved(calls, rounds).items()}
        ratio = {k: best["ours"] / v for k, v in best.items()}
        ratios[name] = ratio | {"compile": seconds / other_seconds}
        shown = [f"{ratio[k]:.2f}" if k in ratio else "-" for k in ("optax", "torch fused", "torch foreach")]
        row = f"{name:14} {best['ours'] * 1e3:8.2f} {moved / best['ours'] / 1e9:6.1f} {shown[0]:>7} {shown[1]:>7} {shown[2]:>8}"
        if small:
            row += f" {best['from tree'] * 1e3:10.2f} {seconds:10.2f} {other_seconds:8.2f} {seconds / other_seconds:6.3f}"
        print(row, flush=True)
        del calls, one, other
    goals = {"optax": 0.35, "torch fused": 0.3, "compile": 0.1} if small else {"optax": 0.9, "torch fused": 1.8}
    for peer, goal in goals.items():
        there = {name: r[peer] for name, r in ratios.items() if peer in r}
        missed = [f"{n} {v:.2f}" for n, v in there.items() if v > goal]
        print(
            f"{peer}: ≤ {goal} for {len(there) - len(missed)} of {len(there)} rules"
            + (f"; not {', '.join(missed)}" if missed else "")
        )


def training_steps(batches: list[int], rounds: int) -> None:
    """The whole step with Adam: batch, gradient, update. Ours is what `train` runs."""
    n = 4000
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, WIDTHS[0])).astype(np.float32), rng.integers(0, 10, n).astype(np.int32)
    net = MLP(WIDTHS)
    loss, start = cross_entropy(net), net.init(jax.random.key(0))
    data = (jnp.asarray(x), jnp.asarray(y))
    print(f"{'batch':>6} {'ours ms':>9} {'optax ms':>9} {'torch ms':>9}   (torch with fused Adam)")
    for size in batches:
        many = 5
        order = rng.permuted(np.tile(np.arange(n, dtype=np.int32), (many, 1)), axis=1)[:, :size]
        calls = {
            "ours": our_training(loss, start, data, order),
            "optax": optax_training(loss, start, data, order),
            "torch": torch_training(x, y, order),
        }
        best = {k: v[0] / many for k, v in interleaved(calls, rounds, warmups=1).items()}
        print(f"{size:>6} {best['ours'] * 1e3:9.1f} {best['optax'] * 1e3:9.1f} {best['torch'] * 1e3:9.1f}   ", end="")
        print(f"of optax {best['ours'] / best['optax']:.2f}, of torch {verdict(best['ours'] / best['torch'], 1.0)}", flush=True)


def our_training(loss: Any, start: Any, data: Any, order: np.ndarray) -> Any:
    method = as_method(rv.Adam(1e-3), Training)
    layout = layout_for(method, start, "params")
    assert layout is not None
    problem = Training(Function(loss), data, jnp.asarray(order), jnp.int32(0), layout)
    held = [driver.start(method, problem, layout.pack(start), MaxSteps(10**6), None, (), 0, False)]

    def call() -> None:
        carry = held[0]._replace(k=jnp.int32(0))
        held[0] = jax.block_until_ready(driver.advance(method, problem, carry, MaxSteps(10**6), len(order)))

    return call


def optax_training(loss: Any, start: Any, data: Any, order: np.ndarray) -> Any:
    adam = optax.adam(1e-3)

    def step(params: Any, state: Any, rows: Any, data: Any) -> Any:
        batch = jax.tree.map(lambda v: v[rows], data)
        f, g = jax.value_and_grad(loss)(params, batch)
        u, state = adam.update(g, state, params)
        return optax.apply_updates(params, u), state, f

    compiled = jax.jit(step, donate_argnums=(0, 1))
    held = [jax.tree.map(jnp.copy, start), adam.init(start)]

    def call() -> None:
        for rows in order:
            *held[:], _ = compiled(held[0], held[1], rows, data)
        jax.block_until_ready(held)

    return call


def torch_training(x: np.ndarray, y: np.ndarray, order: np.ndarray) -> Any:
    layers: list[Any] = []
    for i, o in pairwise(WIDTHS):
        layers += [torch.nn.Linear(i, o), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    tx, ty, rows_of = torch.tensor(x), torch.tensor(y).long(), torch.tensor(order).long()

    def call() -> None:
        for rows in rows_of:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(tx[rows]), ty[rows]).backward()
            optimiser.step()
        finished(None)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("big", "small", "step"), nargs="+")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=[r for r in RULES if r not in NOT_BY_DEFAULT])
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 500])
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    print(f"jax {jax.__version__}, optax {optax.__version__}, torch {torch.__version__}, {jax.devices()[0].device_kind}")
    for part in given.part:
        print(f"\n{part}")
        if part == "step":
            training_steps(given.batches, given.rounds)
        else:
            updates(given.rules, {"big": BIG, "small": SMALL}[part], given.rounds)


if __name__ == "__main__":
    main()
