"""Honest counts of the work that was really done.

Oracles call `count` while a step is being traced. What stands in straight-line code is counted once a step; what stands inside
`work.while_loop` and `work.cond` is counted as often as it ran, on the device. So no method carries counters of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

KINDS = {
    "f": "values of f",
    "g": "gradients",
    "h": "Hessians",
    "hv": "Hessian-vector products",
    "r": "residuals",
    "jac": "Jacobians",
    "jv": "Jacobian-vector products Jv",
    "vj": "transposed products Jᵀv",
    "av": "matrix-vector products Av",
    "atv": "transposed matrix-vector products Aᵀv",
    "factor": "matrix factorisations",
    "prox": "proximal operators",
}
NAMES = tuple(KINDS)
_INDEX = {name: i for i, name in enumerate(NAMES)}
_stack = threading.local()


class Tally:
    """Counts of one traced region: static ones by name, and a traced vector from the loops inside."""

    def __init__(self) -> None:
        self.static: dict[str, int] = {}
        self.traced: Any = None

    def add(self, name: str, n: Any) -> None:
        if isinstance(n, int):
            self.static[name] = self.static.get(name, 0) + n
        else:
            self.add_vector(jnp.zeros(len(NAMES), jnp.int32).at[_INDEX[name]].add(jnp.asarray(n, jnp.int32)))

    def add_vector(self, v: Any) -> None:
        self.traced = v if self.traced is None else self.traced + v

    def vector(self) -> jax.Array:
        """All counts as one int32 vector in the order of `NAMES`."""
        import numpy as np

        fixed = np.array([self.static.get(name, 0) for name in NAMES], np.int32)
        return jnp.asarray(fixed) if self.traced is None else self.traced + fixed

    def __bool__(self) -> bool:
        return bool(self.static) or self.traced is not None


def zeros() -> jax.Array:
    """No work."""
    return jnp.zeros(len(NAMES), jnp.int32)


@contextmanager
def tallied() -> Iterator[Tally]:
    """Collects everything counted inside the block."""
    if not hasattr(_stack, "tallies"):
        _stack.tallies = []
    tally = Tally()
    _stack.tallies.append(tally)
    try:
        yield tally
    finally:
        _stack.tallies.pop()


def _current() -> Tally | None:
    tallies = getattr(_stack, "tallies", None)
    return tallies[-1] if tallies else None


def count(name: str, n: Any = 1) -> None:
    """Counts `n` calls of the oracle `name` (a key of `KINDS`)."""
    tally = _current()
    if tally is not None:
        tally.add(name, n)


def count_vector(v: Any) -> None:
    """Counts what an inner run has counted: its work vector."""
    tally = _current()
    if tally is not None:
        tally.add_vector(v)


def while_loop(go: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
    """`jax.lax.while_loop` that counts the work of every iteration done.

    Raises:
        RuntimeError: the condition asks an oracle; XLA does not say how often it asked, so ask in the body.
    """
    if _current() is None:
        return lax.while_loop(go, body, init)

    def counted(carry: Any) -> Any:
        done, value = carry
        with tallied() as tally:
            value = body(value)
        return (done + tally.vector() if tally else done), value

    def asked(carry: Any) -> Any:
        with tallied() as tally:
            answer = go(carry[1])
        if tally:
            raise RuntimeError("the condition of a loop asks an oracle, which cannot be counted there: ask it in the body")
        return answer

    done, value = lax.while_loop(asked, counted, (zeros(), init))
    count_vector(done)
    return value


def cond(predicate: Any, yes: Callable[..., Any], no: Callable[..., Any], *operands: Any) -> Any:
    """`jax.lax.cond` that counts the work of the branch taken."""
    if _current() is None:
        return lax.cond(predicate, yes, no, *operands)
    tallies: dict[str, Tally] = {}

    def noted(name: str, branch: Callable[..., Any]) -> Callable[..., Any]:
        def run(*ops: Any) -> Any:
            with tallied() as tallies[name]:
                value = branch(*ops)
            if tallies[name].traced is not None:
                raise _Looped
            return value

        return run

    # Counts known while tracing need not go through the branches: most conditions count nothing, or the same on both sides.
    try:
        value = lax.cond(predicate, noted("yes", yes), noted("no", no), *operands)
    except _Looped:
        return _cond_with_loops(predicate, yes, no, *operands)
    counts = [tally.static for tally in tallies.values()]  # of one branch only under `jax.disable_jit`
    if counts[0] != counts[-1]:
        count_vector(jnp.where(predicate, tallies["yes"].vector(), tallies["no"].vector()))
    else:
        for name, n in counts[0].items():
            count(name, n)
    return value


class _Looped(Exception):
    """A branch has a loop whose work is known only when it has run."""


def _cond_with_loops(predicate: Any, yes: Callable[..., Any], no: Callable[..., Any], *operands: Any) -> Any:
    def counted(branch: Callable[..., Any]) -> Callable[..., Any]:
        def run(*ops: Any) -> Any:
            with tallied() as tally:
                value = branch(*ops)
            return tally.vector(), value

        return run

    done, value = lax.cond(predicate, counted(yes), counted(no), *operands)
    count_vector(done)
    return value


def in_gradients(vector: Any, n: int) -> Any:
    """Work in units of one gradient: a Hessian-vector product is 2, a Hessian or Jacobian of n parameters is n, a value
    that comes with a gradient nothing more.

    Args:
        vector: counts, (…, len(NAMES)); n: the number of parameters.
    """
    import numpy as np

    v: Any = np.asarray(vector, np.float64)
    c = {name: v[..., i] for i, name in enumerate(NAMES)}
    pairs = np.maximum(c["f"], c["g"]) + np.maximum(c["r"], c["vj"])
    return pairs + 2 * c["hv"] + n * (c["h"] + c["jac"]) + c["jv"]


def as_dict(vector: Any) -> dict[str, Any]:
    """The counts by name, without the zeros; all of them while tracing, and arrays stay arrays under `vmap`."""
    import numpy as np

    if isinstance(vector, jax.core.Tracer):
        return {name: vector[..., i] for i, name in enumerate(NAMES)}
    v: Any = np.asarray(vector)
    if v.ndim == 1:
        return {name: int(n) for name, n in zip(NAMES, v, strict=True) if n}
    return {name: v[..., i] for i, name in enumerate(NAMES) if v[..., i].any()}
