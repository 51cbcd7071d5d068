"""`compare`: race methods on one problem under equal budgets and say which one to take."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ravine.compare.budget import Budget, many, read_budget, with_target
from ravine.compare.check import check_problem
from ravine.compare.comparison import Comparison, Entry, ranked
from ravine.compare.contenders import Contender, contenders, grid
from ravine.compare.load import load_problem
from ravine.compare.race_functions import FunctionRace
from ravine.compare.race_systems import SystemRace, suitable
from ravine.compare.race_training import TrainingRace
from ravine.compare.saved import read
from ravine.compare.space import in_space, read_space
from ravine.core.driver import Interrupt
from ravine.core.flat import Layout, as_arrays
from ravine.core.keywords import with_cures
from ravine.core.plain import plain
from ravine.core.rule import Rule
from ravine.problems.problem import Problem

TUNING = 1000
"""How far the seeds of tuning are from those of the race."""
TIMINGS, MOST_TIMINGS = 5, 40
"""Repeats of each timing: at least so many, and more up to a second, because short ones are disturbed by other work."""


@with_cures
def compare(
    problem: Any = "digits_mlp",
    methods: Any = None,
    *,
    budget: Any = None,
    seeds: int = 3,
    seed: int = 0,
    target: float | str | None = None,
    trials: int = 16,
    tune: bool = True,
    space: Any = None,
    x0: Any = None,
    jobs: int = 2,
    resume: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] | None = None,
    command: str = "",
) -> Comparison:
    """Races methods on one problem under equal budgets and says which one to take.

    Every method sees the same starts and, for training, the same order of batches. One with a step size is tuned on one grid of
    `trials` step sizes, on seeds of their own, and scored on `seeds` others. All its step sizes and seeds run side by side in one
    compiled program; seconds are measured afterwards, for each method alone, interleaved.

    Args:
        problem: a `Problem`, a built-in name such as "digits_mlp" or "rosenbrock[n=10]", "module:attr" or "file.py:attr".
        methods: names ("adam", "adam[b1=0.8]", "cg[preconditioner=ssor]"), families ("first_order") or objects. A name is tuned; a
            name with `lr=` in its brackets, or an object, races as it is. None takes all that fit.
        budget: the same for each method: "20epochs", "1000steps", "5000gradients" (of batches, where there are; a Hessian-vector
            product counts 2, a Hessian of n parameters n; "products" for a linear system), or "60s" for the whole race (an equal
            share of the seconds each).
        seeds: how many starts (and orders of batches) are scored, 1,000 at most.
        seed: the first of them; the others follow.
        target: the value that counts as solved (for training the mean training loss); the problem's own if None. "1%" is that part
            of the way from the least value that any run saw back to the start, for problems whose least value nobody knows; "auto"
            is the problem's own, or "1%" where it has none.
        trials: step sizes tried for each method.
        tune: whether step sizes are chosen; if not, each method races with its default one.
        space: hyperparameters to tune beside the step size, a TOML file or a dict such as
            `{"adam": {"one_minus_b1": {"min": 1e-3, "max": 0.5, "scaling": "log"}}}`; see `ravine.compare.space`. Such a method
            tries `trials` points of its space.
        x0: the start, in place of the problem's own.
        jobs: how many methods are compiled and run beside each other; what is timed runs alone in any case.
        resume: the folder of the same race, interrupted or with fewer methods: what has finished there is not run again.
        tell: called with a line of progress now and then.
        command: what to print as the way to repeat it.

    Returns:
        A `Comparison`: `.table() .verdict .winner .code .save(folder)`.

    Raises:
        ValueError: an unknown name (with the nearest right one), a budget that cannot be read, or a method that does not fit.

    Example:
        >>> import ravine as rv
        >>> race = rv.compare("sphere", ["gradient_descent", "momentum"], budget="50steps", target=1e-3)
        >>> race.winner.reached(race.target)
        1
    """
    began = time.perf_counter()
    say = tell or (lambda line: None)
    described = load_problem(problem, x0)
    described, part = with_target(described, target)
    for name, value in (("seeds", seeds), ("trials", trials), ("jobs", jobs)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31 - 2000:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
    if seeds > TUNING:
        raise ValueError(f"seeds must be {TUNING:,} at most, got {seeds:,}")
    if not isinstance(tune, bool):
        raise ValueError(f"tune must be True or False, got {tune!r}")
    if space is not None and not tune:
        raise ValueError("a space is for tuning: leave out space or tune=False")
    batched = described.loss is not None and described.batch_size is not None
    kind = described.kind if described.kind != "loss" or batched else "batch"
    if methods is None and kind == "system":
        methods = suitable(described)
    start = () if kind == "system" else as_arrays(described.start(jax.random.key(0)))
    if kind != "system":
        Layout.leafwise(start, "x0" if described.init is None else "init(key)")  # refuses what are no parameters
    racing = contenders(methods, kind, sum(np.size(v) for v in jax.tree.leaves(start)), tune)
    ranges = {} if space is None else read_space(space)
    racing = in_space(racing, ranges)
    if kind != "system":
        check_problem(described, start)
    spend = read_budget(budget, described)
    asked = {
        "problem": problem if isinstance(problem, str) else described.name,
        "methods": [c.name for c in racing],
        "budget": spend.words,
        "seeds": seeds,
        "seed": seed,
        "target": target,
        "trials": trials,
        "tune": tune,
        "space": {name: [dataclasses.asdict(r) for r in its] for name, its in ranges.items()},
        "x64": jax.dtypes.canonicalize_dtype(float) == np.float64,
        "x0": None if x0 is None else jax.tree.map(lambda v: np.asarray(v).tolist(), x0),
    }
    earlier = () if resume is None else _finished(resume, asked)
    left = [c for c in racing if c.name not in {e.name for e in earlier}]
    share = dataclasses.replace(spend, seconds=spend.seconds / len(racing))
    say(f"racing {many(len(left), 'method')} on {described.name}: {spend.words}, {many(seeds, 'seed')}")
    races = _Races(described, range(seed, seed + seeds), grid(trials), left)
    run = _Sweep(races, share, say)
    with Interrupt(lambda: say("interrupted: what has finished is still timed and ranked; Ctrl-C again ends at once")) as interrupt:
        run.stopped = lambda: interrupt.asked
        with ThreadPoolExecutor(jobs) as pool:
            # Beside each other: one compiles (on one core) while the other runs. Seconds are measured later. First come those that
            # compile a program of their own: the others would only wait for the one that they share.
            finished = [r for r in pool.map(run, sorted(left, key=races.shares)) if r is not None]
        # What Ctrl-C has cut short had a smaller budget than the others; it counts only where nothing else is left.
        whole = [r for r in finished if not r.cut]
        finished = whole or ([] if earlier else finished)
        if not finished and not earlier:
            raise KeyboardInterrupt
        if part is not None:
            described = races.aim(part, finished)
        if finished:
            say(f"timing {many(len(finished), 'method')}, each alone, interleaved")
            _time(finished)
        interrupted = interrupt.asked
    entries = ranked([*earlier, *(r.entry() for r in finished)], described.target)
    drawn = races.seeds if races.random else (0,)
    spacing = races.training.steps if batched else 1
    said = [
        _interruption(interrupted, len(left) - len(whole), bool(whole or earlier)),
        f"Of an earlier run, and timed then: {', '.join(e.name for e in earlier)}." if earlier and left else "",
        *_warnings(entries, described, part, races.random, spacing, tune),
    ]
    return Comparison(
        problem=described.name,
        doc=described.doc,
        kind=described.kind,
        target=described.target,
        entries=entries,
        seeds=drawn,
        tuning_seeds=races.tuning if tune else (),
        budget=spend.words,
        work_unit={"loss": "epochs", "system": "products"}.get(described.kind, "gradients"),
        spacing=spacing,
        warnings=tuple(filter(None, said)),
        paths=_paths(racing, described),
        environment=environment(),
        command=command or f"ravine.compare({problem if isinstance(problem, str) else described.name!r}, …)",
        seconds=time.perf_counter() - began,
        interrupted=interrupted,
        batch_size=described.batch_size,
        options=asked,
    )


def _finished(folder: str | os.PathLike[str], asked: dict[str, Any]) -> tuple[Entry, ...]:
    """The methods that an earlier run of the same race has finished."""
    earlier = read(folder)
    if isinstance(asked["target"], str) and asked["target"].endswith("%"):
        raise ValueError(f"resume={str(folder)!r}: a target of {asked['target']} depends on all methods; give it as a number")
    for name, value in asked.items():
        before = earlier.options.get(name)
        if name != "methods" and before != plain(value):
            raise ValueError(f"resume={str(folder)!r} was another race: {name} was {before!r} there, and is {value!r} now")
    return tuple(e for e in earlier.entries if not e.cut and e.name in asked["methods"])


def _time(finished: list[Any]) -> None:
    """Seconds of an iteration of each, one after the other and again."""
    for r in finished:
        r.prepare_timing()
    began = time.perf_counter()
    for i in range(MOST_TIMINGS):
        if i >= TIMINGS and time.perf_counter() > began + 1:
            break
        for r in finished:
            r.pace.append(r.once())


class _Races:
    """The kinds of race on one problem, made when the first contender needs one."""

    def __init__(self, problem: Problem, seeds: range, steps: np.ndarray, racing: list[Contender]):
        self.problem, self.grid = problem, steps
        batched = problem.loss is not None and problem.batch_size is not None
        self.random = problem.init is not None or batched
        # Tuning has other seeds than the race. A fixed start without batches has nothing random in it.
        self.seeds = tuple(seeds)
        self.tuning: tuple[int, ...] = (seeds[0] + TUNING, seeds[0] + TUNING + 1) if self.random else (0,)
        self._training: TrainingRace | None = None
        self._functions: FunctionRace | None = None
        self._systems = SystemRace(problem) if problem.kind == "system" else None
        if batched:
            self._training = TrainingRace(problem, self.seeds, self.tuning, steps, racing, shipped=True)
        elif self._systems is None:
            self._functions = FunctionRace(problem, self.seeds if self.random else (0,), self.tuning, steps, shipped=True)

    @property
    def plain(self) -> FunctionRace | SystemRace:
        """The race without minibatches."""
        return self.functions if self._systems is None else self._systems

    @property
    def training(self) -> TrainingRace:
        assert self._training is not None
        return self._training

    @property
    def functions(self) -> FunctionRace:
        if self._functions is None:
            self._functions = FunctionRace(self.problem, self.seeds, self.tuning, self.grid, shipped=True)
        return self._functions

    def aim(self, part: float, finished: list[Any]) -> Problem:
        """The problem with its target so far back from the least value that was seen to the start, and step sizes chosen for it."""
        seen = [r.losses[len(self.tuning) :] for r in finished]
        least, start = min(np.nanmin(v, initial=np.inf) for v in seen), np.median(seen[0][..., 0])
        target = float(least + part * (start - least))
        self.problem = dataclasses.replace(self.problem, target=target if np.isfinite(target) else None)
        races: list[Any] = [self._training, self._functions]
        for race in filter(None, races):
            race.problem = self.problem
        for r in finished:
            r.choose(self.problem.target)
        return self.problem

    def shares(self, contender: Contender) -> bool:
        return self._training is not None and self._training.shares(contender)

    def is_minibatch(self, contender: Contender) -> bool:
        from ravine.core.problem import Training

        given = contender.given
        takes = isinstance(given, Rule) or getattr(given, "solves", None) is Training or not hasattr(given, "solves")
        return self._training is not None and takes


class _Sweep:
    """Runs one contender; called from two threads."""

    def __init__(self, races: _Races, budget: Budget, say: Callable[[str], None]):
        self.races, self.budget, self.say = races, budget, say
        self.stopped: Callable[[], bool] = lambda: False

    def __call__(self, contender: Contender) -> Any:
        if self.stopped():
            return None
        t = time.perf_counter()
        race: Any = self.races.training if self.races.is_minibatch(contender) else self.races.plain
        running = race.run(contender, self.budget, self.stopped)
        words = "cut short" if running.cut else running.words
        self.say(f"  {running.setting}: {words} [{time.perf_counter() - t:.1f} s]")
        return running


def _interruption(interrupted: bool, unfinished: int, some: bool) -> str:
    if not interrupted or not unfinished:
        return ""
    rest = (
        f"what had not finished is left out ({many(unfinished, 'method')})" if some else "no method had finished, so budgets differ"
    )
    return f"The race was interrupted: {rest}."


def _warnings(entries: Any, problem: Problem, part: float | None, random: bool, spacing: int, tune: bool) -> list[str]:
    out = []
    if part is not None and problem.target is not None:
        out.append(
            f"The target {problem.target:.6g} is the least value that any run saw, and {part:.3g} of the way back to the start."
        )
    edge = [f"{e.name} ({e.edge} tried, {e.step_size:.3g})" for e in entries if e.edge]
    if edge:
        out.append(f"The best step size lies on the edge of the grid, so a better one may lie outside: {', '.join(edge)}.")
    ends = [f"{e.name} ({', '.join(e.ends)})" for e in entries if e.ends]
    if ends:
        out.append(f"The best setting lies at an end of its space, so a better one may lie outside: {'; '.join(ends)}.")
    if problem.target is None:
        out.append("There is no target: methods are ranked by the final value alone. Set one with target=….")
    if not tune and problem.kind != "system":
        out.append("Step sizes were not tuned: every method raced with its default one, which says little about what it could do.")
    if problem.kind == "system":
        out.append(
            "The system and the start are fixed, so there is one run a method and no spread; the time to set a method up "
            "(factors, triangles, preconditioner) is in its seconds."
        )
    elif not random:
        tuned = "; step sizes were tuned on that run" if tune else ""
        out.append(f"Start and gradients are fixed, so there is one run a method and no spread{tuned}.")
    if spacing > 1:
        if any(e.name == "gradient_descent" for e in entries):
            out.append(
                "gradient_descent takes one step an epoch, along the mean gradient of all its batches: the same gradients as the "
                "others within the same budget. Its iterations are counted in batches too."
            )
        out.append(f"Losses were evaluated every {spacing} iterations, once an epoch: costs to the target are rounded up to that.")
    lost = [e.name for e in entries if problem.target is not None and e.held(problem.target) < e.reached(problem.target)]
    if lost:
        out.append(f"Reached the target and left it again on some seeds: {', '.join(lost)}.")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > (os.cpu_count() or 1) + 1:
        out.append(f"The machine was busy (load {load:.1f} on {os.cpu_count()} cores): seconds may be off.")
    return out


def _paths(racing: list[Contender], problem: Problem) -> dict[str, np.ndarray]:
    """Paths on the lecture's two-dimensional ravine, for the report."""
    try:
        from ravine.compare.ravine2d import paths
    except ImportError:
        return {}
    rules = {c.name: c.given for c in racing if isinstance(c.given, Rule)}
    if "gradient_descent" in rules:
        rules.pop("sgd", None)  # the same path, since nothing is random here
    return paths(rules) if rules else {}


def environment() -> dict[str, Any]:
    """Versions and device, for reports; no host names."""
    from importlib.metadata import version

    device = jax.devices()[0]
    return {
        "ravine": version("ravine") if _installed() else "from source",
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _installed() -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("ravine")
    except PackageNotFoundError:
        return False
    return True
