"""Iterative methods on a Poisson problem: an image that smooths while the residual falls.

    −Δu = h   on a square, u = 0 at its edge; five-point differences on n×n inner points

The runs come from `linear_solve`; the page shows the iterates, and their distance from the solution.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from ravine.core.registry import family, names
from ravine.core.status import Status
from ravine.core.stop import MaxSteps
from ravine.lab.paths import made, sliders

SIZES = (12, 16, 24)
MOST_STEPS = 400
MOST_FRAMES = 60
STARTS = ("noise", "zero", "waves")
DIRECT = ("lu", "qr", "cholesky")


@cache
def offered() -> tuple[str, ...]:
    """The registered methods that iterate towards x."""
    return tuple(n for n in names() if family(n) == "linear" and n not in DIRECT)


class Iterates(NamedTuple):
    """One method's run.

    Attributes:
        status: how it ended, a `Status`; 0 when it did the steps asked for.
        residual: ‖b − A x‖ / ‖b‖ after each step, (nit + 1,).
        error: ‖x − x*‖ / ‖x*‖ likewise.
        images: x at the steps `frames`, (frames, n, n); the last of them is that of its end.
    """

    status: int
    residual: np.ndarray
    error: np.ndarray
    images: np.ndarray


@cache
def poisson(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix, the right-hand side of two warm spots and a cold one, and the solution, scaled to largest value 1."""
    line, one = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1), np.eye(n)
    A = np.kron(line, one) + np.kron(one, line)
    at = (np.arange(n) + 1) / (n + 1)
    x, y = np.meshgrid(at, at)
    spots = [(0.3, 0.65, 1.0), (0.7, 0.7, 0.7), (0.6, 0.25, -0.9)]
    b = sum((w * np.exp(-((x - a) ** 2 + (y - c) ** 2) / 0.012) for a, c, w in spots), np.zeros((n, n))).ravel()
    solution = np.linalg.solve(A, b)
    top = np.abs(solution).max()
    return A, b / top, solution / top


def start(n: int, kind: str) -> np.ndarray:
    """Where the runs begin: noise, zeros, or the solution with a slow and a quick wave on it."""
    solution = poisson(n)[2]
    if kind == "zero":
        return np.zeros(n * n)
    if kind == "noise":
        return np.random.default_rng(0).uniform(-1, 1, n * n)
    at = (np.arange(n) + 1) / (n + 1)
    slow, quick = np.sin(np.pi * at), np.sin(np.round(0.75 * n) * np.pi * at)
    return solution + 0.7 * np.outer(slow, slow).ravel() + 0.5 * np.outer(quick, quick).ravel()


def frames_of(steps: int) -> list[int]:
    """The steps of which the images are kept: all of a short run, fewer and fewer of a long one."""
    if steps < MOST_FRAMES:
        return list(range(steps + 1))
    return sorted({0, *np.unique(np.round(np.geomspace(1, steps, MOST_FRAMES - 1)).astype(int)).tolist()})


def runs(n: int, kind: str, methods: dict[str, dict[str, float]], steps: int) -> dict[str, Iterates]:
    """The runs of all methods from the same start."""
    from ravine.methods.linear.front import linear_solve

    A, b, solution = poisson(n)
    kept = frames_of(steps)
    out = {}
    for name, given in methods.items():
        method = made(name, [given.get(h.name, h.default) for h in sliders(name)])
        run = linear_solve(A, b, method=method, x0=start(n, kind), tol=1e-13, stop=MaxSteps(steps), history=("x", "f"))
        x, f = np.asarray(run.history["x"]), np.asarray(run.history["f"])
        status = 0 if run.status == Status.MAX_STEPS else int(run.status)
        errors = np.linalg.norm(x - solution, axis=1) / np.linalg.norm(solution)
        images = x[np.minimum(kept, len(x) - 1)].reshape(-1, n, n)
        out[name] = Iterates(status, f / np.linalg.norm(b), errors, images)
    return out
