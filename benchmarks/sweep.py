"""Tuning 8 methods × 16 step sizes × 3 seeds on the digits: this library's one compiled program a method against loops in torch.

    python benchmarks/sweep.py [--epochs 20] [--torch-methods 8]

Both train the same MLP 64-32-10 on the same 1,285 images in batches of 64 and look at the loss over all of them and at the
validation accuracy after each epoch. Ours includes tracing and compilation. With --torch-methods N only the first N methods run in
torch, and its time is scaled to 8. Needs `pip install '.[benchmarks]'`.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from timing import verdict

from ravine.compare.budget import Budget
from ravine.compare.contenders import contenders, grid
from ravine.compare.race_training import TrainingRace
from ravine.problems.datasets import digits
from ravine.problems.training import digits_mlp

METHODS = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {}),
    "adagrad": ("Adagrad", {}),
    "adam": ("Adam", {"fused": True}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
}
"""Our names, and torch's with their keywords."""
SEEDS = (0, 1, 2)
SIZE = 64


def ours(epochs: int, step_sizes: np.ndarray) -> float:
    """Seconds for all sweeps, compilation included, as `ravine compare` runs them."""
    began = time.perf_counter()
    racing = contenders(list(METHODS), "loss")
    race = TrainingRace(digits_mlp(), SEEDS[1:], SEEDS[:1], step_sizes, racing)
    budget = Budget(steps=0, epochs=epochs, words="")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda c: race.run(c, budget, lambda: False), racing))
    seconds = time.perf_counter() - began
    for r in done:
        print(f"  ours  {r.setting:24} smallest loss {np.nanmin(r.loss[-1]):.3g}")
    return seconds


def in_torch(epochs: int, step_sizes: np.ndarray, methods: list[str], threads: int) -> float:
    import torch  # as late as this, so that neither library works beside the other's modules; its import is not timed

    torch.set_num_threads(threads)
    data = digits()
    x, vx = (torch.tensor(np.asarray(v.x).reshape(len(v.y), -1)) for v in (data.train, data.validation))
    y, vy = (torch.tensor(np.asarray(v.y)).long() for v in (data.train, data.validation))
    seconds = 0.0
    for name in methods:
        optimiser, keywords = METHODS[name]
        best = (np.inf, 0.0)
        began = time.perf_counter()
        for lr in step_sizes.tolist():
            for seed in SEEDS:
                torch.manual_seed(seed)
                model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
                rule = getattr(torch.optim, optimiser)(model.parameters(), lr=lr, **keywords)
                for _ in range(epochs):
                    for rows in torch.randperm(len(x))[: len(x) // SIZE * SIZE].split(SIZE):
                        rule.zero_grad()
                        torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                        rule.step()
                    with torch.no_grad():
                        loss = float(torch.nn.functional.cross_entropy(model(x), y))
                        float((model(vx).argmax(1) == vy).float().mean())
                best = min(best, (loss, lr))
        seconds += time.perf_counter() - began
        print(f"  torch {name}({best[1]:.3g}) smallest loss {best[0]:.3g} [{time.perf_counter() - began:.1f} s]", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--torch-methods", type=int, default=len(METHODS))
    parser.add_argument("--torch-threads", type=int, default=1, help="1 is faster than 2 on a network this small")
    given = parser.parse_args()
    step_sizes = grid(16)
    one = ours(given.epochs, step_sizes)
    some = list(METHODS)[: given.torch_methods]
    other = in_torch(given.epochs, step_sizes, some, given.torch_threads) * len(METHODS) / len(some)
    runs = len(METHODS) * len(step_sizes) * len(SEEDS)
    scaled = "" if len(some) == len(METHODS) else f" (scaled from {len(some)} methods)"
    print(f"{runs} runs of {given.epochs} epochs: ours {one:.1f} s with compilation, torch {other:.1f} s{scaled}")
    print(f"ours/torch {verdict(one / other, 0.1)}: {other / one:.1f} times less time")


if __name__ == "__main__":
    main()
