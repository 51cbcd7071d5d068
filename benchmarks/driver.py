"""What the driver and the package cost: over a hand-written loop, over `import jax`, and until `ravine compare` speaks.

python benchmarks/driver.py [loop] [batches] [orders] [import] [line]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from timing import interleaved, verdict

import ravine as rv
from ravine.problems.networks import MLP, cross_entropy


def by_hand(loss: Any, start: Any, data: Any, size: int, epochs: int) -> Any:
    """A compiled epoch, as one would write it: shuffled on the device, Adam, the loss of each step kept."""
    n = len(data[1])
    steps = n // size

    @partial(jax.jit, donate_argnums=0)
    def epoch(carry: Any, key: Any, data: Any) -> Any:
        order = jax.random.permutation(key, n)[: steps * size].reshape(steps, size)

        def step(carry: Any, rows: Any) -> Any:
            params, m, v, t = carry
            f, g = jax.value_and_grad(loss)(params, jax.tree.map(lambda a: a[rows], data))
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, g)
            size_ = 1e-3 / (1 - 0.9**t)
            correct = 1 / (1 - 0.999**t)
            params = jax.tree.map(lambda p, m, v: p - size_ * m / (jnp.sqrt(v * correct) + 1e-8), params, m, v)
            return (params, m, v, t), f

        return jax.lax.scan(step, carry, order)

    def call() -> None:
        zeros = jax.tree.map(jnp.zeros_like, start)
        carry = (jax.tree.map(jnp.copy, start), zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
        losses = []
        for e in range(epochs):
            carry, f = epoch(carry, jax.random.fold_in(jax.random.key(0), e), data)
            losses.append(f)
        np.concatenate([np.asarray(f) for f in losses])

    return call


def loop(rounds: int) -> None:
    print("the driver over a hand-written compiled loop: `train` with Adam, all its host work included")
    cases = {
        "MLP 64-32-10, batch 64": ((64, 32, 10), 1285, 64, (60, 240)),
        "MLP 64-200-200-200-10, batch 64": ((64, 200, 200, 200, 10), 1285, 64, (20, 80)),
        "MLP 784-128-64-10, batch 128": ((784, 128, 64, 10), 12_800, 128, (6, 18)),
        "MLP 784-500-500-10, batch 128": ((784, 500, 500, 10), 12_800, 128, (2, 6)),
    }
    rng = np.random.default_rng(0)
    for name, (widths, n, size, lengths) in cases.items():
        net = MLP(widths)
        loss, start = cross_entropy(net), net.init(jax.random.key(0))
        data = tuple(
            map(jnp.asarray, (rng.normal(size=(n, widths[0])).astype(np.float32), rng.integers(0, 10, n).astype(np.int32)))
        )
        for epochs in lengths:
            train = partial(rv.train, loss, start, data, rv.Adam(1e-3), batch_size=size, epochs=epochs, key=0)
            best = interleaved({"ours": train, "hand": by_hand(loss, start, data, size, epochs)}, rounds)
            ours, hand = (1e3 * best[who][0] for who in ("ours", "hand"))
            print(
                f"  {name:31} {epochs:3} epochs {ours:7.1f} ms, by hand {hand:7.1f}, ratio {verdict(ours / hand, 1.02)}", flush=True
            )


def streamed(rounds: int) -> None:
    print("`train` on an iterable of NumPy's batches, over a loop that calls a compiled optax step for each")
    rng = np.random.default_rng(0)
    for widths, n, size, epochs in (((64, 32, 10), 1285, 64, 20), ((784, 128, 64, 10), 12_800, 128, 4)):
        net = MLP(widths)
        loss, start = cross_entropy(net), net.init(jax.random.key(0))
        x, y = (
            rng.normal(size=(n // size, size, widths[0])).astype(np.float32),
            rng.integers(0, 10, (n // size, size)).astype(np.int32),
        )
        batches = list(zip(x, y, strict=True))
        adam = optax.adam(1e-3)

        @jax.jit
        def step(params: Any, state: Any, batch: Any, loss: Any = loss, adam: Any = adam) -> Any:
            f, g = jax.value_and_grad(loss)(params, batch)
            updates, state = adam.update(g, state, params)
            return optax.apply_updates(params, updates), state, f

        def by_hand(start: Any = start, adam: Any = adam, step: Any = step, batches: Any = batches, epochs: int = epochs) -> None:
            params, state, losses = start, adam.init(start), []
            for _ in range(epochs):
                for batch in batches:
                    params, state, f = step(params, state, batch)
                    losses.append(f)
            np.stack([np.asarray(f) for f in losses])

        train = partial(rv.train, loss, start, batches, rv.Adam(1e-3), epochs=epochs)
        best = interleaved({"ours": train, "hand": by_hand}, rounds)
        ours, hand = (1e3 * best[who][0] for who in ("ours", "hand"))
        name = f"MLP {'-'.join(map(str, widths))}, batch {size}"
        print(f"  {name:31} {epochs:3} epochs {ours:7.1f} ms, by hand {hand:7.1f}, ratio {ours / hand:.2f}", flush=True)


def epoch_orders(rounds: int) -> None:
    from ravine.training.batches import permutation

    n, key = 12_800, jax.random.key(0)
    by_xla = jax.jit(lambda key, epoch: jax.random.permutation(jax.random.fold_in(key, epoch), n))
    contenders = {"ours": lambda: permutation(key, 1, n), "XLA": lambda: jax.block_until_ready(by_xla(key, np.int32(1)))}
    best = interleaved(contenders, 10 * rounds)
    ours, xla = (1e3 * best[who][0] for who in ("ours", "XLA"))
    print(f"the order of an epoch of {n} examples: {ours:.2f} ms, by XLA's sort {xla:.2f}, ratio {ours / xla:.2f}", flush=True)


def importing(rounds: int) -> None:
    code = "import time, jax; t = time.perf_counter(); import ravine; print(time.perf_counter() - t)"
    first = "import time, jax; t = time.perf_counter(); import ravine; ravine.train, ravine.Adam; print(time.perf_counter() - t)"
    for words, program in (("import ravine", code), ("import ravine, and first use of train and Adam", first)):
        taken = [
            float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout) for _ in range(rounds)
        ]
        goal = verdict(statistics.median(taken), 0.1) if program is code else f"{statistics.median(taken):.2f}"
        print(f"{words}: seconds beyond import jax, median of {rounds}: {goal}", flush=True)


def first_line(rounds: int) -> None:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        command = [sys.executable, "-c", "from ravine.cli import main; main()", "compare"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
            assert running.stdout is not None
            line = running.stdout.readline().decode().strip()
            taken.append(time.perf_counter() - began)
            running.kill()
    print(f"ravine compare: seconds to its first line, median of {rounds}: {verdict(statistics.median(taken), 3.0)}\n  {line!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", metavar="loop|batches|orders|import|line")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    for part in given.part or ("loop", "batches", "orders", "import", "line"):
        {"loop": loop, "batches": streamed, "orders": epoch_orders, "import": importing, "line": first_line}[part](given.rounds)


if __name__ == "__main__":
    main()
