"""A trace is known where there is one."""

import jax
import jax.numpy as jnp

from ravine.core.tracing import tracing


def test_a_trace_is_seen_in_every_transformation_and_nowhere_else():
    seen = []

    def look(x):
        seen.append(tracing())
        return 2 * x

    jax.jit(look)(1.0)
    jax.grad(look)(1.0)
    jax.vmap(look)(jnp.ones(2))
    jax.eval_shape(lambda x: look(x), 1.0)
    jax.lax.fori_loop(0, 1, lambda i, x: look(x), 1.0)
    assert len(seen) >= 5
    assert all(seen)
    with jax.disable_jit(), jax.default_matmul_precision("highest"):
        jax.jit(look)(1.0)
    assert not seen[-1]
    assert not tracing()
