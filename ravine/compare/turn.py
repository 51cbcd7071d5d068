"""Who runs; meanwhile another thread may compile.

XLA's pool on the CPU has a thread for each core. LAPACK's kernels wait, on a thread of that pool, for pieces of work that
others of its threads are to do: two programs that factor matrices at once on two cores waited for each other for ever (jax 0.10.2).
So what calls a library runs alone. Programs that call none run two at a time, because the kernels of small networks gain nothing
from a second core: `python benchmarks/sweep.py` took 3.5 s in place of 4.3 on two cores of an AMD EPYC, before its
programs were compiled quickly.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from ravine.core.codegen import Compiled, may_be_quick

PLACES = 2
CHUNK = 100
SECONDS = 0.25
"""Of a chunk of steps, and of a timing, where more steps would take longer."""


class Turn:
    """Places for programs that run: one of two, or, alone, both."""

    def __init__(self) -> None:
        self._places, self._door = threading.Semaphore(PLACES), threading.Lock()

    @contextmanager
    def taken(self, alone: bool = True) -> Iterator[None]:
        """Waits for its turn. Who comes first goes first, so that two who want both places do not take one each."""
        wanted = PLACES if alone else 1
        with self._door:
            for _ in range(wanted):
                self._places.acquire()
        try:
            yield
        finally:
            self._places.release(wanted)


TURN = Turn()


def next_chunk(n: int, took: float) -> int:
    """How many steps to take before the clock is looked at again, when n of them took so many seconds."""
    return max(1, min(2 * n, CHUNK, int(n * SECONDS / max(took, 1e-9))))


def compiled(f: Compiled, *args: Any, **keywords: Any) -> tuple[Any, bool]:
    """The shapes of `run(f, *args)`, once its program is compiled for them, and whether it is to run alone."""
    lowered = f.lowered(*args, quick=may_be_quick(), **keywords)
    text = lowered.as_text()
    alone = any(f"stablehlo.{name}" in text for name in ("custom_call", "convolution", "fft"))
    return jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), lowered.out_info), alone


def run(f: Compiled, *args: Any, **keywords: Any) -> Any:
    """f(*args), by a program that is compiled quickly: it runs a few times."""
    return f(*args, quick=may_be_quick(), **keywords)
