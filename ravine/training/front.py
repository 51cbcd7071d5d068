"""`train`: a training loss, data, and a rule."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import checkpoint as saved
from ravine.core import driver
from ravine.core.choice import as_method, check_settings, label
from ravine.core.clock import Clock
from ravine.core.files import require_place
from ravine.core.flat import unpacked
from ravine.core.function import Function
from ravine.core.keywords import with_cures
from ravine.core.method import Method
from ravine.core.problem import Training
from ravine.core.result import BestPoint, Result
from ravine.core.rule import layout_for
from ravine.core.run import as_key
from ravine.core.status import Status
from ravine.core.stop import MaxSteps, Stop, View, criterion
from ravine.core.tracing import on_host_only
from ravine.trackers.front import open_tracker
from ravine.training.batches import NEVER, Held, Streamed, examples, is_tree_of_arrays, is_whole, require_form
from ravine.training.evaluate import Evaluation, together
from ravine.training.log import RunLog
from ravine.training.model import Assembled, check_loss, of_arrays, parameters
from ravine.training.progress import Progress

SECONDS_BETWEEN_CHECKPOINTS = 10.0


@with_cures
def train(
    loss: Callable[[Any, Any], Any],
    params: Any,
    data: Any,
    method: Any = "adam",
    *,
    batch_size: int | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    key: Any = None,
    validation: Any = None,
    metrics: Any = None,
    stop: Stop | None = None,
    progress: bool = True,
    callback: Callable[[dict[str, Any]], Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    ragged: str = "drop",
    log: Any = None,
) -> Result:
    """Trains `params` on minibatches of `data`, many steps in one compiled call.

    An *iteration* (`nit`) is one step on one batch; an *epoch* is one pass over the data.

    Args:
        loss: loss(params, batch), a scalar: the mean over the batch. A batch has the structure of `data`.
        params: any pytree of floating-point arrays: nested dicts, a Flax NNX state, an Equinox module. Numbers and functions in a
            module, such as the rate of a dropout, are no parameters and stay as they are.
        data: a pytree of arrays with the examples along the first axis, for example `(inputs, labels)`; it is held on the device,
            shuffled without replacement in each epoch, in an order that depends on `key` and the epoch alone. Or any iterable of
            batches (a list, a generator, a torch or grain loader), taken in its own order; or a function of the epoch that
            returns one.
        method: a rule such as `Adam(1e-3)`, its name, any optax transformation, or `ProxProp(…)`.
        batch_size: examples a step; None takes all of them. Not for an iterable, which has its own.
        epochs, steps: how long; one of them must be given (steps alone for a generator that never ends).
        key: a seed or a JAX key; 0 if not given.
        validation: data of the same structure, evaluated at the end of each epoch.
        metrics: a function (params, batch) → number or dict of numbers, or a dict of such, averaged over `validation`.
        stop: further criteria, looked at on the host. They see the mean training loss of the last full epoch as f: `Target(0.1)`
            stops after the first epoch whose mean minibatch loss is at most 0.1.
        progress: a live line on standard error, if that is a terminal.
        callback: called after each epoch with a dict of its row of the history; returning True ends the run.
        checkpoint: a file that is written (atomically) after epochs, at most every 10 s, and at the end. If it exists, the run goes
            on from it, to the same bits as without the break.
        ragged: what becomes of the examples that do not fill a last batch: "drop" (others in each epoch, since each is shuffled
            anew) or "keep" (a smaller last batch, at the price of a second compilation).
        log: where the numbers go: "jsonl:run.jsonl", "tensorboard:runs/a", "wandb:project", "trackio:project",
            "mlflow:experiment", an object with the methods start, log, artifact and finish, or a list of these. After each epoch,
            and every 2 s within one, it is told `train/loss`, `eval/loss` and `eval/<metric>`, `lr` where the rule has one, and
            the `step_time` in seconds; the step is the iteration. A tracker that fails on the way is dropped with a warning.

    Returns:
        A `Result`. `x` are the parameters after the last step, `fun` the mean minibatch loss of the last epoch; `status` is
        MAX_STEPS when the epochs were done. `best` are the parameters at the end of the best epoch (by validation loss if there
        is one, by mean training loss otherwise). `history` has `step_loss`, one number an iteration, and one row an epoch in
        `epoch`, `iteration`, `loss`, `seconds`, `validation_loss` and each metric.

    Raises:
        ValueError: no or inconsistent examples, a batch larger than the data, batches or validation data of another form, a loss
            that is not scalar, a schedule that is no step size at the first or the last step, neither epochs nor steps, a tracker
            that there is not.
        TypeError: parameters that are not floating point; a tracker that lacks a method; a call inside `jit`, `vmap` or `grad`.
        ImportError: the package of a tracker is missing; the message says what to install.

    Source:
        Minibatches without replacement: L. Bottou, "Curiously fast convergence of some stochastic gradient descent
        algorithms", 2009.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> inputs = jnp.linspace(-1.0, 1.0, 64)[:, None]
        >>> targets = 3.0 * inputs[:, 0] + 0.5
        >>> def loss(params, batch):
        ...     x, y = batch
        ...     return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)
        >>> start = {"w": jnp.zeros(1), "b": jnp.zeros(())}
        >>> result = rv.train(loss, start, (inputs, targets), rv.Adam(0.05), batch_size=16, epochs=100, key=0)
        >>> result.status.name, result.nit, bool(result.fun < 1e-3)
        ('MAX_STEPS', 400, True)
    """
    on_host_only("train", "call it outside, or write the loop inside with the init and update of a rule, such as ravine.Adam(1e-3)")
    of_model = Function(loss, "loss")
    params, constants = parameters(params)
    fun = of_arrays(of_model, constants)
    chosen = as_method(method, Training)
    layout = layout_for(chosen, params, "params")

    def arrays(packed: Any) -> Any:
        return packed if layout is None else layout.unpack(packed)

    def unpack(packed: Any) -> Any:
        whole = packed if layout is None else unpacked(layout, packed)
        return whole if constants is None else Assembled(fun, *constants).join(whole)

    seed = 0 if key is None else key
    key = as_key(seed)
    if stop is not None and (unseen := criterion(stop).requirements() & {"optimality", "step"}):
        raise ValueError(f"no {' or '.join(sorted(unseen))} is measured in training: stop by Target, SmallDecrease or MaxSeconds")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of the row of an epoch, got {callback!r}")
    _at_least_one("epochs", epochs)
    _at_least_one("steps", steps)
    tracker = None if log is None else open_tracker(log)
    feed: Held | Streamed
    if is_tree_of_arrays(data):
        if epochs is None and steps is None:
            raise ValueError("say how long to train: epochs=10, or steps=1000")
        feed = Held(
            fun,
            data,
            layout,
            size=batch_size,
            key=key,
            ragged=ragged,
            whole_epochs=validation is not None or callback is not None or stop is not None,
            epochs=epochs,
            steps=steps,
        )
        total = feed.total
    else:
        if isinstance(data, tuple | dict | str):
            examples(data)  # says which part of it is no array
        if not callable(data) and not hasattr(data, "__iter__"):
            raise TypeError(f"data must be arrays, an iterable of batches, or a function of the epoch; got {type(data).__name__}")
        if batch_size is not None:
            raise ValueError("batch_size is for data held in arrays; an iterable yields its own batches")
        check, watched = partial(check_loss, fun, params), callback is not None
        feed = Streamed(fun, data, layout, check, epochs=epochs, steps=steps, watched=watched)
        total = steps if steps is not None else NEVER
    check_settings(chosen, total - 1 if total < NEVER else 0)
    example = feed.example()
    check_loss(fun, params, example)
    evaluate = None
    if validation is not None:
        examples(validation, "validation")
        require_form(validation, example, "validation", "data" if isinstance(feed, Held) else "a batch")
        validation = jax.tree.map(jnp.asarray, validation)
        check_loss(fun, params, validation, "validation")
        evaluate = Evaluation(of_arrays(together(loss, metrics), constants), arrays)
    elif metrics is not None:
        raise ValueError("metrics are averaged over validation data: pass validation=(inputs, labels)")
    if checkpoint is not None:
        require_place(checkpoint)
    packed = params if layout is None else layout.pack(params)
    known = total if steps is not None or isinstance(feed, Held) else None
    shown = Progress(progress, epochs, known, feed.size)
    told = None
    if tracker is not None:
        told = RunLog(tracker, chosen, _config(batch_size=feed.size, epochs=epochs, steps=steps, seed=seed))
    run = _Run(chosen, feed, total, stop, evaluate, validation, callback, checkpoint, shown, told)
    return run(packed, key, unpack, method)


def _at_least_one(name: str, value: Any) -> None:
    if value is not None and not (is_whole(value) and value >= 1):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def _config(**settings: Any) -> dict[str, int]:
    """The settings that are whole numbers: a key of JAX's is none, nor is what was not given."""
    return {name: int(value) for name, value in settings.items() if is_whole(value)}


class _Run:
    """One training run on the host: what happens between the compiled chunks."""

    def __init__(
        self,
        method: Method,
        feed: Held | Streamed,
        total: int,
        stop: Stop | None,
        evaluate: Evaluation | None,
        validation: Any,
        callback: Callable[[dict[str, Any]], Any] | None,
        checkpoint: Any,
        progress: Progress,
        log: RunLog | None = None,
    ):
        self.method, self.feed, self.total, self.stop = method, feed, total, stop
        self.evaluate, self.validation, self.callback = evaluate, validation, callback
        self.checkpoint, self.progress, self.log = checkpoint, progress, log
        self.losses: list[np.ndarray] = []
        self.seen = 0
        self.rows: list[dict[str, float]] = []
        self.best: BestPoint | None = None
        self.verdict, self.remark = Status.RUNNING, ""
        self.seconds_before = 0.0

    def __call__(self, packed: Any, key: Any, unpack: Callable[[Any], Any], given: Any) -> Result:
        limit = MaxSteps(self.total)
        self.began = self.written = time.perf_counter()
        restored = self.checkpoint is not None and os.path.exists(self.checkpoint)
        carry, ended = None, "FAILED"  # type: Any, str
        try:
            if restored:
                carry = self._restore(packed, key, limit)
            if self.log is not None:
                self.log.start(self.seen)
            # Closed, so that Ctrl-C is the user's again even while a traceback of their callback holds the run.
            with closing(self._boundaries(packed, key, limit, carry)) as boundaries, Clock() as clock:
                for carry in boundaries:
                    if self.log is not None:
                        self.log.arrives(int(carry.nit) - self.seen)
                    self._take(carry)
                    self._epochs_ended(carry)
                    if self.verdict and not int(carry.status):
                        break
                if self.verdict and int(carry.status) in (Status.RUNNING, Status.MAX_STEPS):
                    carry = carry._replace(status=jnp.int32(self.verdict))
                jax.block_until_ready(carry)
                if self.checkpoint is not None:
                    self._save(carry)
            ended = Status(int(carry.status)).name
        except KeyboardInterrupt:  # the second Ctrl-C; the first is a status
            ended = Status.INTERRUPTED.name
            raise
        finally:
            self.progress.close()
            if self.log is not None:
                self.log.finish(self.losses, {"status": ended, "loss": self._mean_of_last(), "iterations": self.seen})
        x = carry.state.x
        if Status(int(carry.status)) is Status.NONFINITE:
            best = self._last_resort(x, packed)
            x = best.x
        else:
            best = self.best or BestPoint(x, self._mean_of_last(), int(carry.nit))
        if isinstance(self.feed, Streamed) and self.feed.exhausted and not self.verdict and not self.remark:
            asked = "" if self.total == NEVER else f" of the {self.total} that were asked for"
            again = "a list, a loader or a function of the epoch can be read again"
            self.remark = f"The generator is exhausted after {self.seen} batches{asked}; {again}."
        # A run that goes on from a checkpoint may have a column that its first rows lack, or the other way round.
        columns = dict.fromkeys(name for r in self.rows for name in r)
        history = {name: np.array([r.get(name, np.nan) for r in self.rows]) for name in columns}
        history["step_loss"] = np.concatenate(self.losses) if self.losses else np.zeros(0, np.float32)
        nan, last = np.float32(np.nan), unpack(x)
        return Result(
            x=last,
            fun=np.float32(self._mean_of_last()),
            jac=None,
            code=carry.status,
            nit=int(carry.nit),
            counts=carry.work,
            optimality=nan,
            scale=nan,
            best=best._replace(x=last if best.x is x else unpack(best.x)),
            history=history,
            carry=carry,
            stop=limit if self.stop is None or self.verdict else limit | self.stop,
            gauge=carry.gauge,
            method=self.method,
            given=None if isinstance(given, str) else label(given),
            remark=self.remark,
            seconds=clock.seconds,
        )

    def _boundaries(self, packed: Any, key: Any, limit: Stop, carry: Any) -> Generator[driver.Carry, None, None]:
        if self.verdict:  # what was restored had met the user's criterion already
            return
        clocked = self.stop is not None and "seconds" in self.stop.requirements()
        how: dict[str, Any] = {"key": key, "history": ("f",), "best": False, "carry": carry, "clocked": clocked}
        yield from driver.drive(self.method, self._feed, packed, limit, prepare=self.feed.prepare, **how)

    def _feed(self, k: int) -> tuple[Any, int]:
        """The batches from step k on, none once all steps are done (a restored run may have done them)."""
        problem, steps = self.feed(k)
        return problem, min(steps, self.total - k)

    def _last_resort(self, x: Any, start: Any) -> BestPoint:
        """The parameters to give back after a loss that is not finite."""
        where, best = "at the end of the best epoch before that", self.best
        if best is None:
            losses = np.concatenate(self.losses)
            finite = all(bool(jnp.isfinite(v).all()) for v in jax.tree.leaves(x))
            if finite and len(losses) > 1 and losses[-2] <= losses[0]:
                where, best = "before that batch", BestPoint(x, losses[-2], self.seen - 1)
            else:
                where, best = "at the start", BestPoint(start, losses[0], 0)
        self.remark = f"The loss of a batch was not finite; x are the parameters {where}."
        return best

    def _take(self, carry: driver.Carry) -> None:
        base, nit = int(carry.history["base"]), int(carry.nit)
        # Sliced as a NumPy array: each length of a slice of a JAX array is a program of its own to compile.
        self.losses.append(np.asarray(carry.history["f"])[self.seen + 1 - base : nit - base + 1].copy())
        self.seen = nit

    def _epochs_ended(self, carry: driver.Carry) -> None:
        ends = self._new_ends()
        losses = np.concatenate(self.losses[-1:]) if not ends else np.concatenate(self.losses)
        for epoch, begin, end in ends:
            row = {
                "epoch": epoch,
                "iteration": end,
                "loss": float(np.mean(losses[begin:end], dtype=np.float64)),
                "seconds": self.seconds_before + time.perf_counter() - self.began,
            }
            # Only the last of several epochs that ended since the last boundary has its parameters here; which epochs those are
            # must not depend on the pace.
            if end == self.seen and (self.feed.looks_at(epoch) or end == self.total):
                if self.evaluate is not None:
                    means = self.evaluate(carry.state.x, self.validation)
                    row.update({f"validation_{name}" if name == "loss" else name: v for name, v in means.items()})
                score = row.get("validation_loss", row["loss"])
                if np.isfinite(score) and (self.best is None or score < self.best.fun):
                    # A copy, because the next steps overwrite x; after the last one there are none.
                    self.best = BestPoint(jax.tree.map(jnp.copy, carry.state.x) if end < self.total else carry.state.x, score, end)
            self.rows.append(row)
            if self.log is not None:
                self.log.epoch(row)
            if self.callback is not None and self.callback(dict(row)):
                self.verdict, self.remark = Status.INTERRUPTED, "The callback asked to stop."
        if self.stop is not None and not self.verdict:
            self._ask(self.stop, bool(ends))
        per_epoch = self.feed.steps_per_epoch
        last = float(self.losses[-1][-1]) if self.losses and self.losses[-1].size else float("nan")
        self.progress.show(self.seen, self.seen / per_epoch if per_epoch else 0.0, last)
        due = time.perf_counter() - self.written > SECONDS_BETWEEN_CHECKPOINTS
        if self.checkpoint is not None and ends and due:
            self._save(carry)
            self.written = time.perf_counter()
        if self.log is not None:
            self.log.leaves(self.losses, self.seen)

    def _new_ends(self) -> list[tuple[int, int, int]]:
        """Epochs that have ended and have no row yet: (number from 1, first iteration, last iteration + 1)."""
        done = len(self.rows)
        if isinstance(self.feed, Held):
            per = self.feed.steps_per_epoch or 1
            return [(e + 1, e * per, (e + 1) * per) for e in range(done, self.seen // per)]
        marks = [0, *self.feed.epoch_ends]
        return [(e + 1, marks[e], marks[e + 1]) for e in range(done, len(marks) - 1) if marks[e + 1] <= self.seen]

    def _ask(self, stop: Stop, ended: bool) -> None:
        f = self.rows[-1]["loss"] if self.rows else float(self.losses[0][0])
        before = self.rows[-2]["loss"] if len(self.rows) > 1 else float("inf")
        view = View(
            k=self.seen,
            nit=self.seen,
            f=f,
            optimality=float("nan"),
            scale=1.0,
            step=float("nan"),
            decrease=(before - f) / max(1.0, abs(f)),
            accepted=ended and len(self.rows) > 1,
            seconds=self.seconds_before + time.perf_counter() - self.began,
            evaluations=self.seen,
        )
        code = Status(int(stop.code(view)))
        if code:
            self.verdict, self.remark = code, f"Asked to stop: {stop.reason(view)}."

    def _mean_of_last(self) -> float:
        if self.rows:
            return self.rows[-1]["loss"]
        losses = np.concatenate(self.losses) if self.losses else np.zeros(0)
        return float(np.mean(losses, dtype=np.float64)) if losses.size else float("nan")

    def _save(self, carry: driver.Carry) -> None:
        extra = {
            "batches": self.feed.form,
            "method": label(self.method),
            "losses": np.concatenate(self.losses).tolist(),
            "rows": self.rows,
            "seconds": self.seconds_before + time.perf_counter() - self.began,
            "best": None if self.best is None else [float(self.best.fun), int(self.best.nit)],
        }
        tree = (carry._replace(history={}), carry.state.x if self.best is None else self.best.x)
        saved.save(self.checkpoint, tree, extra)

    def _restore(self, packed: Any, key: Any, limit: Stop) -> driver.Carry:
        fresh = driver.start(self.method, self.feed(0)[0], packed, limit, key, ("f",), driver.HISTORY_ROWS + 1, False)
        (carry, best), extra = saved.load(self.checkpoint, (fresh._replace(history={}), fresh.state.x))
        if extra.get("batches", self.feed.form) != self.feed.form:
            raise ValueError(
                f"{self.checkpoint} was saved with {extra['batches']} and this run has {self.feed.form}: go on with the same, or "
                "delete the file to start afresh"
            )
        if extra.get("method", label(self.method)) != label(self.method):
            raise ValueError(
                f"{self.checkpoint} was saved by {extra['method']} and this run has {label(self.method)}: go on with the same "
                "method, or delete the file to start afresh"
            )
        self.rows, self.seconds_before = extra["rows"], extra["seconds"]
        self.losses, self.seen = [np.asarray(extra["losses"], np.float32)], int(carry.nit)
        self.progress.resumed_at(self.seen)
        # Scores by the training loss and by the validation loss are not compared.
        if extra["best"] is not None and ("validation_loss" in self.rows[-1]) == (self.evaluate is not None):
            self.best = BestPoint(best, extra["best"][0], extra["best"][1])
        if not bool((jax.random.key_data(carry.key) == jax.random.key_data(fresh.key)).all()):
            raise ValueError(f"{self.checkpoint} was saved with another key; pass that key, or delete the file to start afresh")
        if isinstance(self.feed, Streamed):
            self.feed.skip(self.seen)
        if self.stop is not None and self.rows:
            self._ask(self.stop, True)
        return carry._replace(history={**fresh.history, "base": np.array(carry.nit)})
