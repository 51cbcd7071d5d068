"""`ravine reproduce`: published experiments, run again."""

from __future__ import annotations

import os
import pathlib
from typing import Annotated, Literal

from cyclopts import Parameter

from ravine.cli.whole import Whole, WholeOrNone


def reproduce(
    experiment: Literal["proxprop"],
    /,
    *,
    network: Literal["mlp", "convnet"] = "mlp",
    runs: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    epochs: Whole = 50,
    seeds: Whole = 1,
    train_size: WholeOrNone = None,
    at_most: WholeOrNone = None,
    pace: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    out: Annotated[pathlib.Path, Parameter(name=["--out", "-o"])] = pathlib.Path("reproduce-proxprop"),
) -> int:
    """Run a published experiment again: ProxProp against backpropagation on CIFAR-10 (Frerix et al., ICLR 2018).

    Runs are saved as they go on; the same command goes on where it was stopped. Writes figure.svg, figure.html and table.md.
    Products of matrices are in full float32 on accelerators too, unless JAX_DEFAULT_MATMUL_PRECISION says otherwise.

    Parameters
    ----------
    experiment
        Which: proxprop.
    network
        The paper's MLP with Nesterov's momentum (its Fig. 2), or its ConvNet with Adam (Fig. 3).
    runs
        backprop, exact, cg3 and other solvers, "backprop@0.1" for another step size; those of the paper's figure if not given.
    epochs
        Of each run.
    seeds
        How many starts and orders of batches.
    train_size
        How many of the 45,000 training images, the first ones.
    at_most
        Stop after so many epochs in this call, to go on later.
    pace
        Seconds of an epoch of each run, measured apart, for the panel over time: for runs that shared the machine with others.
    out
        The folder of states and results.
    """
    import jax

    from ravine.cli import use_compilation_cache
    from ravine.reproduce.picture import write
    from ravine.reproduce.proxprop import RUNS, Experiment

    use_compilation_cache()
    if "JAX_DEFAULT_MATMUL_PRECISION" not in os.environ:
        jax.config.update("jax_default_matmul_precision", "highest")
    plan = Experiment(out, network, tuple(runs or RUNS[network]), seeds, epochs, train_size, None if pace is None else tuple(pace))
    out.mkdir(parents=True, exist_ok=True)
    left = at_most
    if left != 0:
        for run, seed, row in plan.advance():
            numbers = f"train loss {row['train_loss']:.4f} · validation accuracy {100 * row['validation_accuracy']:.1f} %"
            print(f"{run} seed {seed} epoch {row['epoch']}/{epochs} · {numbers} · {row['seconds']:.0f} s", flush=True)
            if row in plan.rows(run, seed)[-1:]:  # it was saved
                write(plan)
            left = None if left is None else left - 1
            if left == 0:
                break
    print(write(plan))
    return 0
