"""The race on a linear system A x = b: every method to the same relative residual ‖b − A x‖ / ‖b‖, recomputed where it counts.

A run is one `solve`. What a method makes of A before its first step (factors, levels of the triangles, a preconditioner) is on
the clock: the seconds of a curve begin with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.compare.budget import MAX_WORK, Budget
from ravine.compare.comparison import Curve, Entry
from ravine.compare.contenders import Contender, can_race
from ravine.compare.race_functions import sampled
from ravine.compare.sweep import held
from ravine.compare.turn import SECONDS, TURN, next_chunk
from ravine.core import driver, work
from ravine.core.clock import Clock
from ravine.core.problem import LinearSystem
from ravine.core.registry import method_class, names
from ravine.core.run import default_tolerance
from ravine.core.status import Status
from ravine.core.stop import MaxSteps, Optimality
from ravine.math.operators import MatrixFree, Operator
from ravine.methods.linear.certified import Certified
from ravine.methods.linear.diagnosis import true_residual
from ravine.methods.linear.norms import frobenius, is_symmetric
from ravine.methods.linear.solve import fitted
from ravine.methods.linear.system import System, posed
from ravine.problems.problem import Problem

PRECONDITIONERS = ("jacobi", "ssor", "incomplete_cholesky")


def suitable(problem: Problem) -> list[str]:
    """The registered methods for this A: by shape, symmetry and sign of the diagonal; CG with each preconditioner beside them."""
    A = posed(problem.A, problem.b, problem.x0).A
    square, symmetric = A.shape[0] == A.shape[1], bool(is_symmetric(A))
    entries = not isinstance(A, MatrixFree)
    definite = symmetric and (not entries or bool(jnp.all(A.diagonal() > 0)))

    def fits(cls: Any) -> bool:
        if not entries and (hasattr(cls, "kind") or hasattr(cls, "splitting")):
            return False  # direct and stationary methods need entries
        return (square or cls.least_squares) and (symmetric or not cls.symmetric) and (definite or not cls.definite)

    methods = [n for n in names("linear") if can_race(n, "system") and fits(method_class(n))]
    if entries and square:
        with_preconditioner, kinds = ("cg", PRECONDITIONERS) if definite else ("gmres", PRECONDITIONERS[:2])
        methods += [f"{with_preconditioner}[preconditioner={m}]" for m in kinds]
    return methods


class SystemRace:
    """Everything that the methods have in common."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.system: System = posed(problem.A, problem.b, problem.x0)
        A, b = self.system.A, self.system.b
        self.start = jnp.zeros(A.shape[1], b.dtype) if problem.x0 is None else self.system.pack(problem.x0)
        self.tol = default_tolerance(b.dtype) if problem.target is None else problem.target
        self.norm_of_b = float(jnp.linalg.norm(b))
        self.norm_of_A = jax.jit(frobenius)(A)

    def run(self, contender: Contender, budget: Budget, stopped: Callable[[], bool]) -> SystemRun:
        """Races one method until it has spent its budget (compilation not counted)."""
        return SystemRun(self, contender, budget, stopped)


class SystemRun:
    """One method on the system, and afterwards its pace alone on the machine."""

    def __init__(self, race: SystemRace, contender: Contender, budget: Budget, stopped: Callable[[], bool]):
        self.race, self.contender, self.setting = race, contender, contender.setting({})
        self.stop = Optimality(race.tol) | MaxSteps(budget.steps)
        with TURN.taken():
            method, problem = self._ready()
            carry = driver.start(method, problem, race.start, self.stop, None, ("f", "work"), budget.steps + 1, False)
            carry = driver.advance(method, problem, carry, self.stop, 1)
            k, deadline = 1, time.perf_counter() + budget.seconds
            while not self._ended(carry, budget) and not stopped() and time.perf_counter() <= deadline:
                t = time.perf_counter()
                carry = jax.block_until_ready(driver.advance(method, problem, carry, self.stop, k))
                k = next_chunk(k, time.perf_counter() - t)
        self.cut = stopped() and not self._ended(carry, budget)
        n = int(carry.nit)
        self.loss = np.asarray(carry.history["f"], np.float64)[: n + 1] / race.norm_of_b
        # A residual within the tolerance was recomputed; the last one is in any case.
        self.loss[-1] = float(true_residual(problem, method.point(carry.state))) / race.norm_of_b
        self.products = _products(np.asarray(carry.history["work"], np.float64)[: n + 1])
        self.status = Status(int(carry.status) or Status.MAX_SECONDS).name
        within = int(np.searchsorted(self.products, budget.work, side="right"))
        if within <= n or (not int(carry.status) and np.isfinite(budget.work)):
            self.loss, self.products, self.status = self.loss[:within], self.products[:within], MAX_WORK
        self.remark = method.inner.diagnosis(problem, carry.state.inner, n + 1)[0]
        self.setups: list[float] = []
        self.pace: list[float] = []

    @property
    def first_losses(self) -> np.ndarray:
        """Those of the run."""
        return self.loss

    @staticmethod
    def _ended(carry: Any, budget: Budget) -> bool:
        """Whether the run has come to an end, or has done all the products that it may."""
        return bool(int(carry.status)) or bool(_products(np.asarray(carry.work, np.float64)) >= budget.work)

    def _ready(self) -> tuple[Certified, LinearSystem]:
        fit = fitted(self.contender.given, self.race.system.A, None)
        jax.block_until_ready((fit.A, fit.method))
        A: Operator = fit.A
        return Certified(fit.method, self.race.tol), LinearSystem(A, self.race.system.b, self.race.norm_of_A)

    @property
    def words(self) -> str:
        """How it went, for the line of progress."""
        return f"residual {self.loss[-1]:.3g} after {len(self.loss) - 1} steps"

    def prepare_timing(self) -> None:
        """Compiles a run without history, as the front door would."""
        most = max(1, len(self.loss) - 1)
        self.steps = min(most, 8)
        with Clock() as clock:
            self.once()
        self.seconds_compile = clock.seconds.compile
        self.steps = max(1, min(most, int(SECONDS / self.once())))
        self.setups.clear()

    def once(self) -> float:
        """Seconds of one iteration of a fresh run; those of setting up are kept beside."""
        began = time.perf_counter()
        method, problem = self._ready()
        ready = time.perf_counter()
        self.setups.append(ready - began)
        carry = driver.start(method, problem, self.race.start, self.stop, None, (), 0, True)
        self.memory = held(carry.state, self.race.start)
        carry = jax.block_until_ready(driver.advance(method, problem, carry, self.stop, self.steps))
        return (time.perf_counter() - ready) / max(int(carry.nit), 1)

    def entry(self) -> Entry:
        """The outcome, once the pace is known."""
        pace, setup = min(self.pace), min(self.setups)
        keep = sampled(self.loss, self.race.problem.target)
        curve = Curve(0, keep, self.products[keep], setup + keep * pace, self.loss[keep], {}, self.status)
        none = np.zeros(0)
        remark = f"{setup:.2g} s to set up" if setup > 0.1 * pace * len(self.loss) else ""
        return Entry(
            name=self.contender.name,
            setting=self.setting,
            step_size=None,
            grid=none,
            grid_loss=none,
            edge="",
            curves=(curve,),
            seconds_per_iteration=pace,
            seconds_compile=self.seconds_compile,
            remark=" ".join(filter(None, (self.remark, remark))),
            cut=self.cut,
            memory=self.memory,
            spec=self.contender.spec({}),
        )


def _products(counts: np.ndarray) -> np.ndarray:
    """Products with A and Aᵀ in work vectors (…, kinds)."""
    return np.asarray(counts[..., work.NAMES.index("av")] + counts[..., work.NAMES.index("atv")])
