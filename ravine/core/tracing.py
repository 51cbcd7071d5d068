"""Whether values are being traced, by `jit`, `vmap` or `grad`."""

from __future__ import annotations

import functools
from typing import Any

import jax

from ravine.core.side_by_side import in_a_thread, trace_state


def tracing() -> bool:
    """Whether something is being traced in this thread. Where nothing is, no value can be a tracer."""
    return bool(trace_state() != _no_trace())


def is_traced(*trees: Any) -> bool:
    """Whether any leaf is being traced."""
    return tracing() and any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(trees))


def on_host_only(door: str, cure: str) -> None:
    """Raises where something is being traced.

    Raises:
        TypeError: `door` was called inside `jit`, `vmap` or `grad`.
    """
    if tracing():
        raise TypeError(f"{door} runs on the host and cannot be called inside jit, vmap or grad: {cure}")


@functools.cache
def _no_trace() -> Any:
    return in_a_thread(trace_state)
