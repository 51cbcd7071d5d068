"""Where batches come from: arrays held on the device, or any iterable. Both answer `feed(k)`, which the driver asks for oracles."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.codegen import Compiled, may_be_quick
from ravine.core.driver import HISTORY_ROWS
from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.problem import Training

STACKED_BYTES = 64 * 2**20
SECONDS_TO_STACK = 0.25
NEVER = 2**31 - 2


def examples(data: Any, name: str = "data") -> int:
    """The number of examples in a tree of arrays, which all have them along the first axis.

    Raises:
        ValueError: no arrays, no examples, arrays that disagree, or words and objects in place of numbers.
    """
    leaves = jax.tree_util.tree_leaves_with_path(data)
    if not leaves:
        raise ValueError(f"{name} holds no arrays; pass for example (inputs, labels)")
    sizes = {}
    for path, v in leaves:
        if not hasattr(v, "shape"):
            what = f"{name}{jax.tree_util.keystr(path)} is of type {type(v).__name__}"
            raise ValueError(f"{what}; {name} must be arrays: make them with numpy.asarray")
        where = name + jax.tree_util.keystr(path)
        if isinstance(v, np.ndarray | np.generic) and v.dtype.kind in "OSUMm":
            raise ValueError(f"{where} has dtype {v.dtype}; {name} must be numbers: convert it by .astype(float), or encode it")
        if np.ndim(v) == 0:
            raise ValueError(f"{where} is a scalar; examples are counted along the first axis of arrays")
        sizes[where] = int(np.shape(v)[0])
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{where} has {n}" for where, n in sizes.items())
        raise ValueError(f"the arrays of {name} disagree on the number of examples: {listed}")
    n = next(iter(sizes.values()))
    if n == 0:
        raise ValueError(f"{name} is empty: it has no examples")
    return n


def require_form(batch: Any, of: Any, name: str, other: str = "data") -> None:
    """Refuses a tree that does not have its arrays where another has them; a list may stand for a tuple.

    Raises:
        ValueError: the forms differ.
    """
    places, others = ([jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(v)] for v in (batch, of))
    if places != others:
        theirs, ours = (", ".join(f"{word}{place}" for place in v) for word, v in ((name, places), (other, others)))
        raise ValueError(f"{name} must have the form of {other}: it has {theirs}, and {other} has {ours}")


def is_whole(value: Any) -> bool:
    """Whether the value is a whole number."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and float(value).is_integer()


def is_tree_of_arrays(data: Any) -> bool:
    """Whether `data` is held in arrays, and not an iterable of batches."""
    if callable(data) or isinstance(data, Iterator):
        return False
    leaves = jax.tree.leaves(data)
    if not all(hasattr(v, "shape") and hasattr(v, "dtype") for v in leaves):
        return False
    # A list of batches (each a tuple or dict of arrays) is an iterable; a tuple, dict or single array is data.
    return not (isinstance(data, list) and not all(hasattr(v, "shape") for v in data))


def permutation(key: Any, epoch: int, n: int) -> np.ndarray:
    """The examples 0 … n − 1 in an order that the key and the epoch alone decide, that of `jax.random.permutation`.

    It sorts by random numbers; on a processor NumPy does, because XLA sorts slowly there (`python benchmarks/driver.py orders`).
    """
    if jax.default_backend() != "cpu":
        return np.asarray(jax.random.permutation(jax.random.fold_in(key, np.int32(epoch)), n), np.int32)
    order = np.arange(n, dtype=np.int32)
    places = np.arange(n, dtype=np.uint64)
    for row in np.asarray(_numbers(key, np.int32(epoch), n, quick=may_be_quick())):
        # Number and place in one: NumPy sorts such integers faster than it finds a stable order.
        order = order[np.sort((row.astype(np.uint64) << np.uint64(32)) | places) & np.uint64(2**32 - 1)]
    return order


def _draw(key: Any, epoch: Any, n: int) -> jax.Array:
    """A row of n random numbers for each time that is sorted: once more where two of 2³² numbers may well be the same."""
    key, rows = jax.random.fold_in(key, epoch), []
    for _ in range(math.ceil(3 * math.log(n) / math.log(2**32 - 1))):
        key, sub = jax.random.split(key)
        rows.append(jax.random.bits(sub, (n,), jnp.uint32))
    return jnp.stack(rows) if rows else jnp.zeros((0, n), jnp.uint32)


_numbers = Compiled(_draw, static_argnames="n")


def orders(key: Any, epoch: int, *, n: int, steps: int, size: int, epochs: int, wanted: int) -> jax.Array:
    """The examples of each step of some epochs, (epochs × steps, size); those beyond `wanted` are zeros that are never read."""
    order = np.zeros((epochs, steps, size), np.int32)
    for i in range(min(epochs, wanted)):
        order[i] = permutation(key, epoch + i, n)[: steps * size].reshape(steps, size)
    return jnp.asarray(order.reshape(epochs * steps, size))


class Held:
    """Batches of arrays on the device, drawn without replacement, each epoch in an order of its own.

    `ragged="drop"` leaves out the n mod size examples that do not fill a batch: others in each epoch, because each is shuffled
    anew. `ragged="keep"` ends each epoch with a smaller batch, at the price of a second compilation.
    """

    def __init__(
        self,
        loss: Function,
        data: Any,
        layout: Layout | None,
        *,
        size: int | None,
        key: Any,
        ragged: str,
        whole_epochs: bool,
        epochs: int | None = None,
        steps: int | None = None,
    ):
        n = examples(data)
        if size is not None and not (is_whole(size) and 1 <= size <= n):
            raise ValueError(
                f"batch_size={size!r} must be between 1 and the {n} examples that there are, a whole number; None takes all at once"
            )
        size = None if size is None else int(size)
        if ragged not in ("drop", "keep"):
            raise ValueError(f'ragged must be "drop" or "keep", got {ragged!r}')
        self.loss, self.layout, self.key, self.n, self.size = loss, layout, key, n, size or n
        self.data = jax.tree.map(jnp.asarray, data)
        self.full = n // self.size
        self.rest = n % self.size if ragged == "keep" else 0
        self.steps_per_epoch: int = self.full + bool(self.rest)
        long = [epochs * self.steps_per_epoch] if epochs is not None else []
        self.total = min([*long, NEVER if steps is None else steps])
        self.epochs = -(-self.total // self.steps_per_epoch)
        # Epochs short of a history buffer share one block of orders, so that a host boundary does not come every few steps.
        self.block = 1 if whole_epochs or self.rest else max(1, HISTORY_ROWS // self.full)
        self._cached: tuple[int, Any] = (-1, None)

    @property
    def form(self) -> str:
        """What a run that goes on from another must have in common with it."""
        return f"batches of {self.size} out of {self.n} examples" + (", the last one smaller" if self.rest else "")

    def order(self, epoch: int) -> Any:
        """The orders of the block that begins with `epoch`."""
        if self._cached[0] != epoch:
            shape = {"n": self.n, "steps": self.full, "size": self.size, "epochs": self.block}
            self._cached = (epoch, orders(self.key, epoch, wanted=max(1, self.epochs - epoch), **shape))
        return self._cached[1]

    def looks_at(self, epoch: int) -> bool:
        """Whether the host sees the parameters at the end of this epoch (counted from 1), whatever the pace."""
        return epoch % self.block == 0

    def example(self) -> Any:
        """The shapes of one batch."""
        return jax.tree.map(lambda v: jax.ShapeDtypeStruct((self.size, *v.shape[1:]), v.dtype), self.data)

    def prepare(self, k: int) -> None:
        """Nothing is to be done ahead: an order takes less time than a step."""

    def __call__(self, k: int) -> tuple[Training, int]:
        if self.size == self.n:
            return Training(self.loss, self.data, None, None, self.layout), 2**31 - 1
        epoch, step = divmod(k, self.steps_per_epoch)
        if step == self.full:  # the smaller batch at the end of an epoch
            order = jnp.asarray(permutation(self.key, epoch, self.n)[-self.rest :][None])
            return Training(self.loss, self.data, order, np.int32(k), self.layout), 1
        first = epoch - epoch % self.block
        begin = first * self.steps_per_epoch
        problem = Training(self.loss, self.data, self.order(first), np.int32(begin), self.layout)
        return problem, begin + self.block * self.full - k


class Streamed:
    """Batches of an iterable: a list, a generator, a torch or grain loader, or a function of the epoch that returns one.

    Batches of one shape are stacked and sent to the device together; a batch of another shape starts a new stack (and compiles
    once more). The next stack is made while the device works on the last. What can be iterated again is, for the next epoch; a
    generator ends the training when it is exhausted.
    """

    def __init__(
        self,
        loss: Function,
        batches: Iterable[Any] | Callable[[int], Iterable[Any]],
        layout: Layout | None,
        check: Callable[[Any, str], None],
        *,
        epochs: int | None,
        steps: int | None,
        watched: bool = False,
    ):
        """`check(batch, name)` raises where the loss cannot take a batch; it is called once for each shape. Where the user's code
        has `watched` the end of an epoch, it may have changed the data: no stack of the next epoch is made before."""
        self.once = not callable(batches) and iter(batches) is batches
        if epochs is None and steps is None and not self.once:
            raise ValueError("say how long to train: epochs=10, or steps=1000")
        self.loss, self.layout, self.source, self.epochs, self.steps = loss, layout, batches, epochs, steps
        self.check, self.watched = check, watched
        self.like: Any = None  # a tree of the form of the first batch
        self.shapes: set[Any] = set()
        self.epoch, self.epoch_ends = 0, []  # type: tuple[int, list[int]]
        self.iterator: Iterator[Any] | None = None
        self.waiting: Any = None
        self.first, self.count, self.problem = 0, 0, None  # type: tuple[int, int, Any]
        self.ready: Any = None  # the next stack
        self.failure: Exception | None = None
        self.lengths: dict[Any, set[int]] = {}
        self.pulled, self.room = 0, HISTORY_ROWS
        self.ended = False
        self.steps_per_epoch: int | None = None
        self.size = 0

    def _open(self) -> Iterator[Any]:
        return iter(self.source(self.epoch) if callable(self.source) else self.source)

    def _next(self) -> Any:
        if self.waiting is not None:
            batch, self.waiting = self.waiting, None
            return batch
        if self.ended:
            return None
        for _ in range(2):
            if self.iterator is None:
                self.iterator = self._open()
            batch = next(self.iterator, None)
            if batch is not None:
                self.pulled += 1
                return self._checked(batch)
            if not self.epoch_ends or self.epoch_ends[-1] != self.pulled:
                self.epoch_ends.append(self.pulled)
                self.steps_per_epoch = self.steps_per_epoch or self.pulled
            self.epoch += 1
            self.iterator = None
            if self.once or self.epoch == self.epochs:  # a generator cannot be read twice
                break
        self.ended = True
        return None

    def _checked(self, batch: Any) -> Any:
        """The batch as NumPy's arrays; what is wrong with it is said once for each shape."""
        batch, name = jax.tree.map(np.asarray, batch), f"batch {self.pulled}"
        if _shapes(batch) not in self.shapes:
            examples(batch, name)
            self.like = jax.tree.map(lambda v: v.dtype, batch) if self.like is None else self.like
            require_form(batch, self.like, name, "batch 1")
            self.check(batch, name)
            self.shapes.add(_shapes(batch))
        return jax.tree.map(_as_jax_would, batch)

    @property
    def exhausted(self) -> bool:
        """Whether all batches that there were have been asked for, and were fewer than was wanted."""
        unused = self.ready is not None and self.ready[1] > 0
        return self.ended and self.once and self.epoch != self.epochs and not unused

    @property
    def form(self) -> str:
        """What a run that goes on from another must have in common with it."""
        return "batches of an iterable"

    def looks_at(self, epoch: int) -> bool:
        """The host sees the end of every epoch."""
        return True

    def example(self) -> Any:
        """The shapes of the first batch."""
        self.waiting = self._next()
        if self.waiting is None:
            raise ValueError("data is empty: the iterable yielded no batch")
        self.size = examples(self.waiting, "a batch")
        return jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), self.waiting)

    def skip(self, n: int) -> None:
        """Reads past the first n batches, which a resumed run has seen."""
        for _ in range(n - self.count):
            self._next()

    def __call__(self, k: int) -> tuple[Any, int]:
        if not self.first <= k < self.first + self.count:
            self._make(k)
            if self.failure is not None:
                raise self.failure
            (self.first, self.count, self.problem), self.ready = self.ready, None
        return self.problem, self.first + self.count - k

    def prepare(self, k: int) -> None:
        """`feed(k)` ahead of time, as far as that is possible; what the iterable raises waits until then."""
        if not (self.watched and k in self.epoch_ends):
            self._make(k)

    def _make(self, k: int) -> None:
        if self.ready is None and self.failure is None and not self.first <= k < self.first + self.count:
            try:
                self.ready = self._stack(k)
            except Exception as error:
                self.failure = error

    def _stack(self, k: int) -> tuple[int, int, Any]:
        """First step, number of steps (0 if there are no batches any more) and problem of the next stack, from step k on."""
        enough = NEVER if self.steps is None else self.steps
        batch = None if k >= enough else self._next()
        if batch is None:
            return k, 0, self.problem
        self.size = examples(batch, "a batch")
        shapes = _shapes(batch)
        most = max(1, min(HISTORY_ROWS, STACKED_BYTES // max(1, sum(v.nbytes for v in jax.tree.leaves(batch)))))
        most = 2 ** int(np.log2(most))
        # A batch is copied as soon as it comes: a loader may hand out the same memory again and again.
        room, n, began = jax.tree.map(lambda v: _room(most, v), batch), 0, time.perf_counter()
        while True:
            for out, v in zip(jax.tree.leaves(room), jax.tree.leaves(batch), strict=True):
                out[n] = v
            n += 1
            if n >= min(most, self.room) or k + n >= enough:
                break
            # Where batches come slowly the host is back soon, for Ctrl-C and progress; only powers of two, so few compile.
            if time.perf_counter() - began > SECONDS_TO_STACK and n.bit_count() == 1:
                self.room = n
                break
            # A stack does not run over the end of an epoch, where the host looks at the losses.
            ends = len(self.epoch_ends)
            batch = self._next()
            if batch is None:
                break
            if _shapes(batch) != shapes or len(self.epoch_ends) > ends:
                self.waiting = batch
                break
        if self.waiting is None and not (self.once and k + n >= enough):
            self.waiting = self._next()  # tells whether the epoch ends with this stack
        # As long as an earlier stack, if that is not twice too long, or a power of two, so that few lengths are compiled; what is
        # beyond is never read.
        known = self.lengths.setdefault(shapes, set())
        length = min((m for m in known if n <= m <= 2 * n), default=1 << (n - 1).bit_length() if known else n)
        known.add(length)
        data = jax.tree.map(lambda v: jax.device_put(v[:length]), room)
        return k, n, Training(self.loss, data, None, np.int32(k), self.layout)


def _room(most: int, like: np.ndarray) -> np.ndarray:
    """Room for so many arrays, one below the other.

    A processor's device takes memory over as it is, without a copy, where that begins at a multiple of 64 bytes.
    """
    shape, size = (most, *like.shape), most * like.nbytes
    memory = np.empty(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size].view(like.dtype).reshape(shape)


def _as_jax_would(v: np.ndarray) -> np.ndarray:
    return v.astype(jax.dtypes.canonicalize_dtype(v.dtype), copy=False)


def _shapes(batch: Any) -> Any:
    return jax.tree.structure(batch), tuple((v.shape, v.dtype) for v in jax.tree.leaves(batch))
