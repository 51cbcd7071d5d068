"""A batch in as many parts as there are cores, each in a thread of its own.

A compiled loop over lanes keeps one core busy, and XLA runs what one thread asks for one after another. 10,000 runs of
L-BFGS take 107 ms on two cores and 168 on one (`python benchmarks/second_order.py batch`, the same after `taskset -c 0`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import get_opaque_trace_state

CONTEXT = ("enable_x64", "default_matmul_precision", "default_device", "debug_nans", "numpy_dtype_promotion")
"""Settings of JAX that a `with` may have changed for one thread only."""


def side_by_side(run: Callable[[Any, Callable[[], None]], Any], rows: Any, least: int) -> Any:
    """What `run(rows, ready)` makes of the rows of a tree, on a processor part by part at the same time.

    Parts are equally long, for one compilation: the last one may take some rows of the one before once more.

    Args:
        run: its result has the same first axis as its rows. It calls `ready` when its programs are compiled; the next part
            begins then, or when it returns.
        rows: a tree whose leaves have the rows along the first axis.
        least: rows of a part.
    """
    total = len(jax.tree.leaves(rows)[0])
    count = min(cores(), total // least)
    if count < 2 or jax.default_backend() != "cpu" or _context() != in_a_thread(_context):
        return run(rows, lambda: None)
    size = -(-total // count)
    firsts = [min(i * size, total - size) for i in range(count)]
    made: list[Any] = [None] * count
    errors: list[BaseException] = []

    def work(i: int, ready: threading.Event) -> None:
        try:
            made[i] = run(jax.tree.map(lambda v: v[firsts[i] : firsts[i] + size], rows), ready.set)
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    threads = []
    for i in range(count):
        ready = threading.Event()
        threads.append(threading.Thread(target=work, args=(i, ready)))
        threads[-1].start()
        ready.wait()
        if errors:
            break
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return jax.tree.map(lambda *parts: jnp.concatenate([v[i * size - firsts[i] :] for i, v in enumerate(parts)]), *made)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _context() -> Any:
    """What would change a computation that another thread is asked for: a trace going on, or a setting of this thread."""
    return trace_state(), [getattr(jax.config, f"jax_{name}") for name in CONTEXT]


def trace_state() -> Any:
    """What is being traced in this thread; equal for equal traces."""
    return get_opaque_trace_state(convention="nnx")


def in_a_thread(look: Callable[[], Any]) -> Any:
    """What `look` sees in a thread of its own, where no trace is going on and no setting has been changed."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(look()))
    thread.start()
    thread.join()
    return found[0]
