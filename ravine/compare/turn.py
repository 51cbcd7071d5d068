"""One program runs at a time; meanwhile another thread may compile.

XLA's pool on the CPU has a thread for each core. LAPACK's kernels wait, on a thread of that pool, for pieces of work that
others of its threads are to do: two programs that factor matrices at once on two cores waited for each other for ever (jax 0.10.2).
"""

from __future__ import annotations

import threading
from typing import Any

import jax

TURN = threading.Lock()
CHUNK = 100
SECONDS = 0.25
"""Of a chunk of steps, and of a timing, where more steps would take longer."""


def next_chunk(n: int, took: float) -> int:
    """How many steps to take before the clock is looked at again, when n of them took so many seconds."""
    return max(1, min(2 * n, CHUNK, int(n * SECONDS / max(took, 1e-9))))


def compiled(f: Any, *args: Any, **keywords: Any) -> Any:
    """The shapes of f(*args), once the program of the jitted f is compiled for them; nothing runs."""
    lowered = f.lower(*args, **keywords)
    lowered.compile()
    return jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), lowered.out_info)


def run(f: Any, *args: Any, **keywords: Any) -> Any:
    """f(*args), where `compiled` might stand instead."""
    return f(*args, **keywords)
