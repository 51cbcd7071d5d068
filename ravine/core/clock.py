"""Seconds that JAX spent on tracing and compiling, told apart from those of running."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import jax

from ravine.core.result import Seconds

_EVENTS = frozenset(
    {
        "/jax/core/compile/jaxpr_trace_duration",
        "/jax/core/compile/jaxpr_to_mlir_module_duration",
        "/jax/core/compile/backend_compile_duration",
    }
)
_listening = False


class _Spent(threading.local):
    """Seconds of this thread: JAX compiles in the thread that calls, and tells it there."""

    seconds = 0.0


_spent = _Spent()


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    if event in _EVENTS:
        _spent.seconds += duration_secs


class Clock:
    """`with Clock() as clock: …`, then `clock.seconds`. What other threads compile meanwhile does not count."""

    def __enter__(self) -> Clock:
        global _listening
        if not _listening:
            jax.monitoring.register_event_duration_secs_listener(_listen)
            _listening = True
        self._compiled, self._began = _spent.seconds, time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._taken = self._so_far()

    @property
    def seconds(self) -> Seconds:
        """The seconds so far, or of the block once it has ended."""
        return getattr(self, "_taken", None) or self._so_far()

    def _so_far(self) -> Seconds:
        total = time.perf_counter() - self._began
        # Tracing a function inside a function reports both, so the sum can exceed what passed.
        compiling = min(_spent.seconds - self._compiled, total)
        return Seconds(compiling, total - compiling)
