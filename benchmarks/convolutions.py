"""Gradients of convolutions inside a compiled loop, as JAX writes them and with their axes moved (`ravine/core/convolutions.py`).

    python benchmarks/convolutions.py

Prints milliseconds for a gradient of a small ConvNet in a loop of two steps, and outside of a loop, where XLA moves the
axes itself; and for eight lanes of it, as a sweep over step sizes has them, under `vmap` and one after another.
"""

import time

import jax
import jax.numpy as jnp

from ravine.core.convolutions import in_fast_order, over_lanes
from ravine.problems.networks import ConvNet, cross_entropy

EXAMPLES, LANES = 100, 8
ROUNDS = 3


def milliseconds(f, *args):
    compiled = jax.jit(f).lower(*args).compile()
    jax.block_until_ready(compiled(*args))
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def twice(gradient):
    """Two steps of gradient descent in a loop."""

    def loop(params, batch):
        def step(params, _):
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(params, batch)), None

        return jax.lax.scan(step, params, None, length=2)[0]

    return loop


def main():
    network = ConvNet((32, 32, 3), 10, channels=(16, 20, 20), window=5)
    key = jax.random.key(0)
    params = network.init(key)
    batch = jax.random.uniform(key, (EXAMPLES, 32, 32, 3)), jnp.zeros(EXAMPLES, jnp.int32)
    gradient = jax.grad(cross_entropy(network))
    outside = milliseconds(gradient, params, batch)
    loop = milliseconds(twice(gradient), params, batch) / 2
    moved = milliseconds(twice(in_fast_order(gradient)), params, batch) / 2
    print(f"{EXAMPLES} images of 32×32×3, 5×5 filters, 16, 20 and 20 channels, float32, on {jax.devices()[0].device_kind}")
    print(f"gradient outside of a loop     {outside:8.1f} ms")
    print(f"in a loop, as JAX writes it    {loop:8.1f} ms")
    print(f"in a loop, with axes moved     {moved:8.1f} ms, ratio {moved / loop:.3f}")
    lanes = jax.tree.map(lambda v: jnp.stack([v] * LANES), params)
    for name, spread in (("under vmap", jax.vmap), ("one after another", over_lanes(True))):
        of_lanes = spread(lambda p: in_fast_order(gradient)(p, batch))
        took = milliseconds(twice(lambda p, _, of_lanes=of_lanes: of_lanes(p)), lanes, None) / 2
        print(f"{LANES} lanes in a loop, {name:<18}{took:8.1f} ms")


if __name__ == "__main__":
    main()
