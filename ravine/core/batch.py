"""Many independent problems at once: one lane each, side by side in one program, and finished lanes replaced on the way.

Lanes in one loop wait for the slowest, and what all of them remember does not fit a core's cache. So a processor works on a pool of
lanes that fits: a lane that has ended makes room for the next problem. When there is none left, the last few are gathered
into ever smaller batches. An accelerator, which has room for all, begins with those.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import driver
from ravine.core.choice import check_settings
from ravine.core.driver import Carry
from ravine.core.flat import Layout
from ravine.core.method import Method
from ravine.core.problem import Oracles
from ravine.core.pytree import substitute
from ravine.core.result import Result
from ravine.core.run import outcome
from ravine.core.side_by_side import side_by_side
from ravine.core.stop import Stop

FEWER = 8
LEAST = 64
FIRST_CHUNK = 16
CACHE_BYTES = 2**18
"""What of a core's second-level cache the lanes that are worked on may fill."""
MOST_LANES = 512  # python benchmarks/second_order.py lanes
STEPS, ROUNDS = 4, 64
"""Steps of the lanes between two looks at which of them have ended, and looks between two returns to the host."""
PARTS_FROM = 4
"""A batch goes to several cores where each has so many pools of lanes to work through."""
PATIENCE = 64
"""Rounds that the last few lanes of a pool go on in it: to make it smaller costs a compilation."""


def lanes(tree: Any, name: str) -> int:
    """The common length of the first axis of all leaves.

    Raises:
        ValueError: there is none, or lengths differ.
    """
    shapes = [np.shape(v) for v in jax.tree.leaves(tree)]
    lengths = {s[0] if s else None for s in shapes}
    if len(lengths) != 1 or None in lengths:
        raise ValueError(f"every array of {name} needs the same first axis, one entry a problem; got shapes {shapes}")
    return int(lengths.pop() or 0)


def in_cache(bytes_a_lane: int, least: int, most: int, cache: int = CACHE_BYTES) -> int:
    """How many lanes to work on at a time: a power of two that `cache` holds, or `least` or `most`."""
    return max(least, min(most, 2 ** int(np.log2(max(1, cache // bytes_a_lane)))))


def handed_on(rows: Any, free: Any, following: Any, total: int) -> tuple[Any, Any]:
    """The next problems to the lanes that are free, `total` where there is none left; and which problem follows."""
    given = jnp.where(free, jnp.minimum(following + jnp.cumsum(free, dtype=jnp.int32) - 1, total), rows).astype(jnp.int32)
    return given, jnp.minimum(following + jnp.sum(free, dtype=jnp.int32), total)


def run_batch(method: Method, problem: Oracles, args: Any, x0s: Any, layout: Layout, stop: Stop, key: Any = None) -> Result:
    """Solves one problem a lane; everything in the result has the lanes as its first axis.

    Args:
        problem: the oracles of every lane, without `args`.
        args: a tuple of trees with the lanes along the first axis.
        x0s: packed starts, (lanes, n).
        key: one for all lanes, split among them.
    """
    check_settings(method)
    total = lanes(x0s, "x0s")
    keys = None if key is None else jax.random.split(key, total)
    starts = (args, x0s, keys)
    one = jax.eval_shape(lambda starts: _begin(method, problem, stop, *starts), jax.tree.map(lambda v: v[:1], starts))
    width = in_cache(sum(v.size * v.dtype.itemsize for v in jax.tree.leaves(one)), LEAST, MOST_LANES)
    clock = time.perf_counter()
    if jax.default_backend() == "cpu" and total > width:

        def part(starts: Any, ready: Callable[[], None]) -> Carry:
            return _through_pool(method, problem, starts, stop, width, clock, ready)

        full = side_by_side(part, starts, PARTS_FROM * width)
    else:
        full = _start(method, problem, stop, *starts)
    return _finish(method, problem, layout, stop, _gathered(method, problem, args, full, stop, clock), args)


def _gathered(method: Method, problem: Oracles, args: Any, full: Carry, stop: Stop, clock: float) -> Carry:
    """All lanes at their ends. As lanes end, the others are gathered into batches of an eighth: each size compiles once."""
    steps = FIRST_CHUNK
    total = size = len(full.status)
    while True:
        seconds = time.perf_counter() - clock
        running = np.flatnonzero(np.asarray(full.status) == 0)
        if not running.size:
            return full
        while size > LEAST and running.size <= size // FEWER:
            size = max(size // FEWER, LEAST)
        if size < total:
            # Finished lanes fill up the batch; they do nothing in it.
            rest = np.setdiff1d(np.arange(total), running, assume_unique=True)[: size - running.size]
            full = _advance_some(method, problem, args, full, stop, steps, seconds, np.concatenate([running, rest]))
        else:
            full = _advance(method, problem, args, full, stop, steps, seconds)
        steps = min(2 * steps, 512)


class Pool(NamedTuple):
    """The lanes that are worked on, and all of them.

    Attributes:
        rows: which problem each lane of the pool works on; past the last one where it has none.
        args, carry: of these.
        following: the next problem that has not begun.
        waited: rounds since the last one began.
        full: the carries of all problems, filled in as they end.
    """

    rows: Any
    args: Any
    carry: Carry
    following: Any
    waited: Any
    full: Carry


def _through_pool(
    method: Method, problem: Oracles, starts: Any, stop: Stop, width: int, clock: float, ready: Callable[[], None]
) -> Carry:
    """The carries of all problems: ended, but for a few that take much longer than the others."""
    pool = _fill(method, problem, stop, starts, width)
    while True:
        pool = _rounds(method, problem, stop, starts, time.perf_counter() - clock, pool)
        ready()
        if bool(_over(pool, len(starts[1]))):
            return pool.full


@partial(jax.jit, static_argnames="width")
def _fill(method: Any, problem: Any, stop: Any, starts: Any, width: int) -> Pool:
    rows = jnp.arange(width, dtype=jnp.int32)
    args, x0s, keys = _taken(starts, rows)
    carry = _begin(method, problem, stop, args, x0s, keys)
    total = len(starts[1])
    full = jax.tree.map(lambda v: jnp.zeros((total, *v.shape[1:]), v.dtype), carry)
    return Pool(rows, args, carry, jnp.int32(width), jnp.int32(0), full)


def _over(pool: Pool, total: int) -> Any:
    left = jnp.sum(pool.rows < total)
    return (pool.following >= total) & ((left == 0) | ((left <= len(pool.rows) // FEWER) & (pool.waited >= PATIENCE)))


@partial(jax.jit, donate_argnames="pool")
def _rounds(method: Any, problem: Any, stop: Any, starts: Any, seconds: Any, pool: Pool) -> Pool:
    total, width = len(starts[1]), len(pool.rows)

    def some_steps(c: tuple[Any, Pool]) -> tuple[Any, Pool]:
        n, pool = c
        carry = _advance_lanes(method, problem, pool.args, pool.carry, stop, STEPS, seconds)
        ended = (carry.status != 0) & (pool.rows < total)
        pool = pool._replace(carry=carry, waited=jnp.where(pool.following >= total, pool.waited + 1, 0))
        # To begin costs about as much as a step of all lanes: not before an eighth of them has ended.
        enough = jnp.sum(ended) >= jnp.where(pool.following >= total, 1, width // FEWER)
        return n + 1, jax.lax.cond(enough, replaced, lambda pool, ended: pool, pool, ended)

    def replaced(pool: Pool, ended: Any) -> Pool:
        full = _put(pool.full, jnp.where(ended, pool.rows, total), pool.carry)
        free = ended | (pool.rows >= total)
        rows, following = handed_on(pool.rows, free, pool.following, total)
        args, x0s, keys = _taken(starts, rows)
        carry = _begin(method, problem, stop, args, x0s, keys)
        carry = carry._replace(status=jnp.where(rows < total, carry.status, pool.carry.status))
        carry = jax.tree.map(lambda new, old: jnp.where(free.reshape(-1, *(1,) * (new.ndim - 1)), new, old), carry, pool.carry)
        return Pool(rows, args, carry, following, pool.waited, full)

    def go(c: tuple[Any, Pool]) -> Any:
        return (c[0] < ROUNDS) & ~_over(c[1], total)

    _, pool = jax.lax.while_loop(go, some_steps, (jnp.int32(0), pool))
    return pool._replace(full=_put(pool.full, pool.rows, pool.carry))


def _taken(tree: Any, rows: Any) -> Any:
    return jax.tree.map(lambda v: v.at[rows].get(mode="clip"), tree)


def _put(full: Any, rows: Any, some: Any) -> Any:
    return jax.tree.map(lambda v, new: v.at[rows].set(new, mode="drop"), full, some)


def _begin(method: Any, problem: Any, stop: Any, args: Any, x0s: Any, keys: Any) -> Carry:
    def lane(a: Any, x: Any, key: Any) -> Any:
        return driver.start(method, substitute(problem, args=a), x, stop, key, (), 0, True)

    return jax.vmap(lane)(args, x0s, keys)


_start = jax.jit(_begin)


def _advance_lanes(method: Any, problem: Any, args: Any, carries: Any, stop: Any, steps: Any, seconds: Any) -> Any:
    def lane(a: Any, carry: Any) -> Any:
        return driver.advance(method, substitute(problem, args=a), carry, stop, steps, seconds)

    return jax.vmap(lane)(args, carries)


_advance = partial(jax.jit, donate_argnames="carries")(_advance_lanes)


@partial(jax.jit, donate_argnames="full")
def _advance_some(method: Any, problem: Any, args: Any, full: Any, stop: Any, steps: Any, seconds: Any, rows: Any) -> Any:
    chosen, some = jax.tree.map(lambda v: v[rows], (args, full))
    some = _advance_lanes(method, problem, chosen, some, stop, steps, seconds)
    return jax.tree.map(lambda v, new: v.at[rows].set(new, unique_indices=True), full, some)


@partial(jax.jit, static_argnames="layout")
def _finish(method: Any, problem: Any, layout: Any, stop: Any, full: Any, args: Any) -> Result:
    def lane(a: Any, carry: Any) -> Result:
        return outcome(method, substitute(problem, args=a), carry, layout, stop, {})

    return dataclasses.replace(jax.vmap(lane)(args, full), carry=None, stop=stop, method=method)
