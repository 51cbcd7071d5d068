"""`compare`: race methods on one problem under equal budgets and say which one to take."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from ravine.compare.budget import Budget, many
from ravine.compare.comparison import Comparison, Entry, ranked
from ravine.compare.contenders import Contender, grid
from ravine.compare.plan import TUNING, Plan, plan, require_count
from ravine.compare.race_functions import FunctionRace
from ravine.compare.race_systems import SystemRace
from ravine.compare.race_training import TrainingRace
from ravine.compare.saved import read
from ravine.core.driver import Interrupt
from ravine.core.keywords import with_cures
from ravine.core.plain import plain
from ravine.core.pytree import Record
from ravine.core.rule import Rule
from ravine.problems.problem import Problem

Watch = Callable[[str, str, str, Any], None]
"""What is told of a method: its name, its stage, how it went, and losses."""
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
    watch: Watch | None = None,
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
        watch: called as watch(name, stage, words, losses) where a method comes to another stage: "waiting", "running", "timing",
            and "done", "diverged" or "cut short", with how it went and the losses of its first seed.
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
    given = {"budget": budget, "seeds": seeds, "seed": seed, "target": target, "trials": trials, "tune": tune, "space": space}
    return race(plan(problem, methods, x0=x0, **given), jobs=jobs, resume=resume, tell=tell, watch=watch, command=command)


def race(
    planned: Plan,
    *,
    jobs: int = 2,
    resume: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] | None = None,
    watch: Watch | None = None,
    command: str = "",
) -> Comparison:
    """Runs a race; see `compare`."""
    began = time.perf_counter()
    say, show = tell or (lambda line: None), watch or (lambda *seen: None)
    require_count("jobs", jobs)
    described, racing, spend = planned.problem, planned.racing, planned.budget
    earlier, remarks, before = _Earlier() if resume is None else _finished(resume, planned)
    left = [c for c in racing if c.name not in {e.name for e in earlier}]
    share = dataclasses.replace(spend, seconds=spend.seconds / len(racing))
    say(f"racing {many(len(left), 'method')} on {described.name}: {spend.words}, {many(len(planned.seeds), 'seed')}")
    races = _Races(planned, left)
    run = _Sweep(races, share, say, show)
    for c in left:
        show(c.name, "waiting", "", None)
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
        if planned.part is not None:
            described = races.aim(planned.part, finished)
        if finished:
            say(f"timing {many(len(finished), 'method')}, each alone, interleaved")
            _time(finished, show)
        interrupted = interrupt.asked
    entries = ranked([*earlier, *(r.entry() for r in finished)], described.target)
    said = [
        _interruption(interrupted, len(left) - len(whole), bool(whole or earlier)),
        *remarks,
        f"Of an earlier run, and timed then: {', '.join(e.name for e in earlier)}." if earlier and left else "",
        *_warnings(entries, described, planned, races),
    ]
    return Comparison(
        problem=described.name,
        doc=described.doc,
        kind=described.kind,
        target=described.target,
        entries=entries,
        seeds=races.seeds if races.random else (0,),
        tuning_seeds=races.tuning if planned.tune else (),
        budget=spend.words,
        work_unit={"loss": "epochs", "system": "products"}.get(described.kind, "gradients"),
        spacing=races.spacing,
        warnings=tuple(filter(None, said)),
        paths=_paths(racing, described),
        environment=environment(),
        command=command or f"ravine.compare({planned.options['problem']!r}, …)",
        seconds=time.perf_counter() - began,
        interrupted=interrupted,
        batch_size=described.batch_size,
        options={**planned.options, "methods": {**before, **planned.options["methods"]}},
    )


class _Earlier(NamedTuple):
    """What an earlier run of the same race has finished, what a reader must know of it, and the settings of its methods."""

    entries: tuple[Entry, ...] = ()
    remarks: Sequence[str] = ()
    methods: Mapping[str, str] = {}


def _finished(folder: str | os.PathLike[str], planned: Plan) -> _Earlier:
    """That of the run in a folder.

    Raises:
        ValueError: it was another race.
    """
    earlier, asked, where = read(folder), planned.options, f"resume={str(folder)!r}"
    if planned.part is not None:
        raise ValueError(f"{where}: a target of {asked['target']} depends on all methods; give it as a number")
    for name, value in asked.items():
        before = earlier.options.get(name)
        if name not in ("methods", "fingerprint") and before != plain(value):
            raise ValueError(f"{where} was another race: {name} was {before!r} there, and is {value!r} now")
    if earlier.options.get("fingerprint") != asked["fingerprint"]:
        raise ValueError(f"{where} was another race: {asked['problem']} has another start, other data or another function now")
    before, now = earlier.options["methods"], asked["methods"]
    for name in before.keys() & now.keys():
        if before[name] != now[name]:
            raise ValueError(f"{where} was another race: {name} was {before[name]} there, and is {now[name]} now")
    if np.isfinite(planned.budget.seconds) and before != now:
        raise ValueError(f"{where}: the seconds were shared by {', '.join(before)}; race the same methods, or give steps")
    remarks = []
    if earlier.environment != environment():
        remarks.append("The earlier run was on other versions or another machine, so its seconds cannot be compared.")
    # Of an optax transformation nothing tells whether it is the same.
    again = [c.name for c in planned.racing if not isinstance(c.given, Record)]
    return _Earlier(tuple(e for e in earlier.entries if not e.cut and e.name not in again), remarks, before)


def _time(finished: list[Any], show: Watch) -> None:
    """Seconds of an iteration of each, one after the other and again."""
    for r in finished:
        show(r.contender.name, "timing", "", None)
        r.prepare_timing()
    began = time.perf_counter()
    for i in range(MOST_TIMINGS):
        if i >= TIMINGS and time.perf_counter() > began + 1:
            break
        for r in finished:
            r.pace.append(r.once())


class _Races:
    """The kinds of race on one problem, made when the first contender needs one."""

    def __init__(self, planned: Plan, racing: list[Contender]):
        self.planned, self.problem, self.grid = planned, planned.problem, grid(planned.trials)
        self.random = self.problem.init is not None or self.problem.batched
        # Tuning has other seeds than the race. A fixed start without batches has nothing random in it.
        self.seeds, first = tuple(planned.seeds), planned.seeds[0] + TUNING
        self.tuning: tuple[int, ...] = (first, first + 1) if self.random else (0,)
        self._training: TrainingRace | None = None
        self._functions: FunctionRace | None = None
        self._systems = SystemRace(self.problem) if self.problem.kind == "system" else None
        if self.problem.batched:
            self._training = TrainingRace(self.problem, self.seeds, self.tuning, self.grid, racing, shipped=True)

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
            seeds = self.seeds if self.random else (0,)
            self._functions = FunctionRace(self.problem, seeds, self.tuning, self.grid, shipped=True)
        return self._functions

    @property
    def spacing(self) -> int:
        """Iterations between two evaluations."""
        return 1 if self._training is None else self._training.steps

    def aim(self, part: float, finished: list[Any]) -> Problem:
        """The problem with its target so far back from the least value that was seen to the start, and step sizes chosen for it."""
        seen = [r.losses[len(self.tuning) :] for r in finished]
        least, start = min(np.nanmin(v, initial=np.inf) for v in seen), np.median(seen[0][..., 0])
        target = float(least + part * (start - least)) if least < start else np.nan  # where nobody falls there is no way to go
        self.problem = dataclasses.replace(self.problem, target=target if np.isfinite(target) else None)
        races: list[Any] = [self._training, self._functions]
        for race in filter(None, races):
            race.problem = self.problem
        for r in finished:
            r.choose(self.problem.target)
        return self.problem

    def shares(self, contender: Contender) -> bool:
        return self._training is not None and self._training.shares(contender)


class _Sweep:
    """Runs one contender; called from two threads."""

    def __init__(self, races: _Races, budget: Budget, say: Callable[[str], None], show: Watch):
        self.races, self.budget, self.say, self.show = races, budget, say, show
        self.stopped: Callable[[], bool] = lambda: False

    def __call__(self, contender: Contender) -> Any:
        if self.stopped():
            return None
        t = time.perf_counter()
        self.show(contender.name, "running", "", None)
        race: Any = self.races.training if self.races.planned.is_minibatch(contender) else self.races.plain
        running = race.run(contender, self.budget, self.stopped)
        words = "cut short" if running.cut else running.words
        self.say(f"  {running.setting}: {words} [{time.perf_counter() - t:.1f} s]")
        losses = running.first_losses
        stage = "cut short" if running.cut else "done" if np.isfinite(losses[-1]) else "diverged"
        self.show(contender.name, stage, f"{running.setting}: {running.words}", losses)
        return running


def _interruption(interrupted: bool, unfinished: int, some: bool) -> str:
    if not interrupted or not unfinished:
        return ""
    rest = (
        f"what had not finished is left out ({many(unfinished, 'method')})" if some else "no method had finished, so budgets differ"
    )
    return f"The race was interrupted: {rest}."


def _warnings(entries: tuple[Entry, ...], problem: Problem, planned: Plan, races: _Races) -> list[str]:
    out, part, spacing = list(planned.warnings), planned.part, races.spacing
    if part is not None and problem.target is not None:
        out.append(
            f"The target {problem.target:.6g} is the least value that any run saw, and {part:.3g} of the way back to the start."
        )
    elif part is not None:
        out.append("No run came below the start, so there is no way of which a part could be the target.")
    edge = [f"{e.name} ({e.edge} tried, {e.step_size:.3g})" for e in entries if e.edge]
    if edge:
        out.append(f"The best step size lies on the edge of the grid, so a better one may lie outside: {', '.join(edge)}.")
    ends = [f"{e.name} ({', '.join(e.ends)})" for e in entries if e.ends]
    if ends:
        out.append(f"The best setting lies at an end of its space, so a better one may lie outside: {'; '.join(ends)}.")
    if problem.target is None:
        out.append("There is no target: methods are ranked by the final value alone. Set one with target=….")
    if not planned.tune and problem.kind != "system":
        out.append("Step sizes were not tuned: every method raced with its default one, which says little about what it could do.")
    if problem.kind == "system":
        out.append(
            "The system and the start are fixed, so there is one run a method and no spread; the time to set a method up "
            "(factors, triangles, preconditioner) is in its seconds."
        )
    elif not races.random:
        tuned = "; step sizes were tuned on that run" if planned.tune and any(e.tuned for e in entries) else ""
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


def _paths(racing: Sequence[Contender], problem: Problem) -> dict[str, np.ndarray]:
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
