"""The experiments of the ProxProp paper on CIFAR-10 [1, section 5]: backpropagation against proximal backpropagation.

    mlp      3072-4000-1000-4000-10, Nesterov momentum 0.95 (its Figure 2)
    convnet  three 5×5 convolutions of 16, 20 and 20 channels with pooling, Adam (its Figure 3)

Images in [0, 1], batches of 500, PyTorch's starting weights; 45,000 images to train, the last 5,000 to validate, 10,000 to test.
A run is one method and one seed; runs of a seed share the start and the order of batches. Where an epoch takes long the run's state
is written after each, otherwise a few times a minute, whole or not at all, and the next call goes on from there.

[1] T. Frerix, T. Möllenhoff, M. Möller, D. Cremers, "Proximal Backpropagation", ICLR (2018), arXiv 1706.04638.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ravine.core import checkpoint, driver
from ravine.core.choice import as_method
from ravine.core.files import write_whole
from ravine.core.flat import as_arrays
from ravine.core.function import Function
from ravine.core.problem import Training
from ravine.core.status import Status
from ravine.core.stop import MaxSteps
from ravine.methods.proximal.proxprop import ProxProp
from ravine.problems.datasets import Dataset, Split, cifar10
from ravine.problems.networks import MLP, ConvNet, accuracy, cross_entropy
from ravine.training.batches import orders
from ravine.training.evaluate import mean_over, together

NETWORKS: dict[str, Any] = {
    "mlp": MLP((3072, 4000, 1000, 4000, 10)),
    "convnet": ConvNet((32, 32, 3), 10, (16, 20, 20), window=5),
}
RUNS = {"mlp": ("backprop", "cg3", "cg5", "cg10", "exact"), "convnet": ("backprop", "cg3", "cg10")}
BATCH_SIZE = 500
SECONDS_BETWEEN_SAVES = 15.0  # a state has 160 MB, and an accelerator makes an epoch in a fifth of a second


def method_of(network: str, run: str) -> Any:
    """The method of a run: "backprop", or a solver of ProxProp, with "@0.1" for another step size than the paper's.

    Torch's form of Nesterov's momentum, as in the paper: the parameters shown are those at which the gradient is taken.
    """
    name, _, given = run.partition("@")
    try:
        lr = float(given) if given else {"mlp": 0.05 if name == "backprop" else 1.0, "convnet": 1e-3}[network]
    except ValueError:
        raise ValueError(f'a run is "backprop" or a solver, with a step size such as "backprop@0.1"; got {run!r}') from None
    inner = optax.sgd(lr, momentum=0.95, nesterov=True) if network == "mlp" else optax.adam(lr)
    return inner if name == "backprop" else ProxProp(inner, tau=0.05 if network == "mlp" else 1.0, solver=name)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The runs of one network.

    Args:
        folder: where the states are.
        network: "mlp" or "convnet".
        runs: "backprop", "exact", "cg3", "reference-cg3" …, each perhaps with a step size: "backprop@0.1".
        seeds: how many, from 0 on.
        epochs: of each run.
        train_size: how many of the training images, the first ones.
        pace: seconds of an epoch of each run, measured apart, for the picture; those of the runs themselves if None.
        data: in the place of CIFAR-10.
        model: in the place of the paper's network.
        save_every: the least seconds between two saved states of a run that is not complete.

    Raises:
        ValueError: an unknown network or run, no seeds or epochs, not one pace a run, a train_size not between a batch and all
            there are.
    """

    folder: pathlib.Path
    network: str = "mlp"
    runs: tuple[str, ...] = RUNS["mlp"]
    seeds: int = 1
    epochs: int = 50
    train_size: int | None = None
    pace: tuple[float, ...] | None = None
    data: Callable[[], Dataset] = cifar10
    model: Any = None
    save_every: float = SECONDS_BETWEEN_SAVES

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network is one of {', '.join(NETWORKS)}; got {self.network!r}")
        if self.pace is not None and len(self.pace) != len(self.runs):
            raise ValueError(f"pace is the seconds of an epoch for each of {', '.join(self.runs)}; got {len(self.pace)} numbers")
        for name in ("seeds", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)}")
        for run in self.runs:
            method_of(self.network, run)

    def state_file(self, run: str, seed: int) -> pathlib.Path:
        """Where the rows of a run are."""
        return self.folder / f"{self.network}-{run.replace('@', '-at-')}-{seed}.json"

    def rows(self, run: str, seed: int) -> list[dict[str, Any]]:
        """What is saved of a run: one row an epoch, the first before training."""
        file = self.state_file(run, seed)
        return json.loads(file.read_text())["rows"] if file.exists() else []

    def next(self) -> tuple[str, int] | None:
        """The run that has the fewest saved epochs, of the first seed that is not complete; None when all are."""
        for seed in range(self.seeds):
            done = [(len(self.rows(run, seed)) - 1, i) for i, run in enumerate(self.runs)]
            fewest, i = min(done)
            if fewest < self.epochs:
                return self.runs[i], seed
        return None

    def advance(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Trains epoch by epoch, run by run, and yields each new row. A run is left for another one only where it was saved."""
        held: tuple[Any, Any] = (None, None)
        data = None
        try:
            while (now := self.next()) is not None:
                if data is None:
                    data = self._data()
                if held[0] != now:
                    held = now, Running(self, *now, data)
                yield *now, held[1].epoch()
        finally:
            if held[1] is not None and held[1].unsaved:
                held[1].save()

    def _data(self) -> dict[str, Any]:
        data = self.data()
        n = len(data.train.y) if self.train_size is None else self.train_size
        if not BATCH_SIZE <= n <= len(data.train.y):
            raise ValueError(f"train-size must be between {BATCH_SIZE} (a batch) and {len(data.train.y)}, got {n}")
        splits = {"train": Split(data.train.x[:n], data.train.y[:n]), "validation": data.validation, "test": data.test}
        return {name: jax.tree.map(jnp.asarray, tuple(split)) for name, split in splits.items()}


@cache
def _compiled_once(network: str, run: str) -> Any:
    """The method of a run; the same object for all seeds, which then share its compiled programs."""
    return as_method(method_of(network, run), Training)


class Running:
    """One run in memory, restored from its state if there is one."""

    def __init__(self, experiment: Experiment, run: str, seed: int, data: dict[str, Any]):
        self.file, self.data = experiment.state_file(run, seed), data
        self.epochs, self.save_every = experiment.epochs, experiment.save_every
        network = experiment.model or NETWORKS[experiment.network]
        self.settings = {"network": experiment.network, "run": run, "seed": seed, "train_size": len(data["train"][1])}
        if self.file.exists() and (known := json.loads(self.file.read_text())["settings"]) != self.settings:
            raise ValueError(f"{self.file} is of {known}, not of {self.settings}: give another folder with --out")
        loss = cross_entropy(network)
        self.loss, self.measure = Function(loss), Function(together(loss, {"accuracy": accuracy(network)}))
        self.method = _compiled_once(experiment.network, run)
        key = jax.random.key(seed)
        self.start_key, self.order_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        self.steps = len(data["train"][1]) // BATCH_SIZE
        self.limit = MaxSteps(2**31 - 2)
        params = as_arrays(network.init(self.start_key))
        self.carry = driver.start(self.method, self._batches(0), params, self.limit, None, ("f",), self.steps + 1, False)
        self.rows: list[dict[str, Any]] = []
        self.saved_at, self.unsaved = time.monotonic(), False
        if self.saved.exists():
            self.carry, extra = checkpoint.load(self.saved, self.carry)
            self.rows = extra["rows"]
        if not self.rows:
            self._record(None, 0.0)

    @property
    def saved(self) -> pathlib.Path:
        return self.file.with_suffix(".npz")

    def _batches(self, epoch: int) -> Training:
        order = orders(self.order_key, epoch, n=len(self.data["train"][1]), steps=self.steps, size=BATCH_SIZE, epochs=1, wanted=1)
        return Training(self.loss, self.data["train"], order, jnp.int32(epoch * self.steps), None)

    def epoch(self) -> dict[str, Any]:
        """One more epoch, and its row."""
        self.unsaved = False  # an interrupted epoch leaves no state to save: its buffers were given away
        problem = self._batches(len(self.rows) - 1)
        advance = partial(driver.advance, self.method, problem, stop=self.limit)
        # No steps at first: compilation is not counted.
        carry = jax.block_until_ready(advance(carry=self.carry, n=0))
        began = time.perf_counter()
        self.carry = jax.block_until_ready(advance(carry=carry, n=self.steps))
        seconds = time.perf_counter() - began
        diverged = int(self.carry.status) != Status.RUNNING
        self._record(None if diverged else float(np.mean(self.carry.history["f"][1 : self.steps + 1])), seconds)
        if len(self.rows) > self.epochs or time.monotonic() - self.saved_at >= self.save_every:
            self.save()
        return self.rows[-1]

    def _record(self, batch_loss: float | None, seconds: float) -> None:
        epoch = len(self.rows)
        row: dict[str, Any] = {
            "epoch": epoch,
            "batch_loss": batch_loss,
            "seconds": seconds + (self.rows[-1]["seconds"] if epoch else 0.0),
        }
        for name, split in self.data.items():
            means = mean_over(self.measure, self.carry.state.x, split)
            row |= {f"{name}_{what}": float(v) for what, v in means.items()}
        self.rows.append(row)
        self.carry.history["base"] = np.array(self.carry.nit)
        self.unsaved = True

    def save(self) -> None:
        """Writes the state and the rows."""
        checkpoint.save(self.saved, self.carry, {"rows": self.rows})
        write_whole(self.file, json.dumps({"settings": self.settings, "rows": self.rows}, indent=1))
        self.saved_at, self.unsaved = time.monotonic(), False
