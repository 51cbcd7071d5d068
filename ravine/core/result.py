"""What a run returns, in SciPy's words and more; always with every field."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

import jax
import numpy as np

from ravine.core import work as counts
from ravine.core.status import NOWHERE, SENTENCES, Status
from ravine.core.stop import Stop, View


class BestPoint(NamedTuple):
    """The best finite point seen, in the user's structure."""

    x: Any
    fun: Any
    nit: Any


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of a run: `compile` (tracing included), `run`, and their sum `total`."""

    compile: float = 0.0
    run: float = 0.0

    @property
    def total(self) -> float:
        return self.compile + self.run


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a run. Under `jit` and `vmap` it is a pytree of arrays, and `status` an integer array.

    Attributes:
        x: the solution, in the structure of x0.
        fun: the value there.
        jac: the gradient there (None where the method has none).
        code: the status as an integer.
        nit: iterations: accepted steps.
        counts: work in the order of `ravine.core.work.NAMES`.
        optimality: zero exactly at a solution; `scale` is what the tolerance was relative to.
        best: the best point seen: `.x .fun .nit`.
        history: recorded columns by name, one row an iteration, the start first.
        aux: what the family adds (covariance, eigenvalues …).
        carry: where the run can be resumed from, or None.
        stop: the criterion in force; gauge: the numbers it looked at.
        method: as used; given: as asked for; why: the reason of a choice by "auto".
        remark: a sentence that the method adds to the message.
        seconds: see `Seconds`; zeros under `jit`.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(2), method="bfgs", history="f")
        >>> r.success, r.status.name, r["x"].round(6).tolist(), len(r.history["f"]), r.work
        (True, 'CONVERGED', [3.0, 3.0], 2, {'f': 3, 'g': 3})
    """

    x: Any
    fun: Any
    jac: Any
    code: Any
    nit: Any
    counts: Any
    optimality: Any
    scale: Any
    best: Any
    history: dict[str, Any]
    aux: Any = None
    carry: Any = None
    stop: Stop | None = None
    gauge: Any = None
    method: Any = None
    given: Any = dataclasses.field(default=None, metadata={"static": True})
    why: str = dataclasses.field(default="", metadata={"static": True})
    remark: str = dataclasses.field(default="", metadata={"static": True})
    seconds: Seconds = dataclasses.field(default=Seconds(), metadata={"static": True})

    @property
    def status(self) -> Any:
        """A `Status`; an integer array under `vmap` or `jit`."""
        if isinstance(self.code, jax.core.Tracer) or np.ndim(self.code):
            return self.code
        return Status(int(self.code))

    @property
    def success(self) -> Any:
        """Whether x is what was asked for: CONVERGED, PRECISION or TARGET."""
        if isinstance(self.code, jax.core.Tracer) or np.ndim(self.code):
            return (self.code >= Status.CONVERGED) & (self.code <= Status.TARGET)
        return self.status.success

    @property
    def message(self) -> str:
        """Why the run ended, with the numbers that decided it."""
        if isinstance(self.code, jax.core.Tracer):
            return "not known while tracing"
        if np.ndim(self.code):
            names, n = np.unique(np.asarray(self.code), return_counts=True)
            text = ", ".join(f"{Status(int(s)).name}: {int(c)}" for s, c in zip(names, n, strict=True))
            return f"{text}. {self.remark}" if self.remark else text
        status = Status(int(self.code))
        nowhere = status is Status.NONFINITE and not np.isfinite(self.fun) and not np.isfinite(self.best.fun)
        text = f"{status.name}: {NOWHERE if nowhere else SENTENCES[status]}"
        reason = self._reason(status)
        if reason:
            text += f" ({reason})"
        text += f", after {int(self.nit)} iteration{'' if int(self.nit) == 1 else 's'}"
        if status in (Status.PRECISION, Status.STALLED, Status.BREAKDOWN) and np.isfinite(self.optimality):
            text += f"; optimality {float(self.optimality):.3g}, relative {float(self.optimality / self.scale):.3g}"
        return f"{text}. {self.remark}" if self.remark else f"{text}."

    def _reason(self, status: Status) -> str:
        if self.stop is None or self.gauge is None:
            return ""
        number = {name: float(v) for name, v in self.gauge._asdict().items() if name in View._fields}
        evaluations = max(self._count("f"), self._count("g"))
        view = View(
            k=0,
            nit=int(self.nit),
            f=float(self.fun),
            accepted=True,
            seconds=self.seconds.total,
            evaluations=evaluations,
            **number,
        )
        return self.stop.reason(view) if int(self.stop.code(view)) == status else ""

    def _count(self, name: str) -> Any:
        table = self.counts if isinstance(self.counts, jax.core.Tracer) else np.asarray(self.counts)
        v = table[..., counts.NAMES.index(name)]
        return v if isinstance(v, jax.core.Tracer) or np.ndim(v) else int(v)

    @property
    def work(self) -> dict[str, Any]:
        """Counts of the oracles called, by name (see `ravine.core.work.KINDS`)."""
        return counts.as_dict(self.counts)

    @property
    def nfev(self) -> Any:
        """Evaluations of f (of residuals, for least squares), line searches included."""
        return self._count("f") + self._count("r")

    @property
    def njev(self) -> Any:
        """Gradients (Jacobians, for least squares)."""
        return self._count("g") + self._count("jac")

    @property
    def nhev(self) -> Any:
        """Hessians and Hessian-vector products."""
        return self._count("h") + self._count("hv")

    def __getitem__(self, name: str | int) -> Any:
        """`result["x"]`, as SciPy's results allow; of many problems, `result[3]` is the result of one."""
        if isinstance(name, int | np.integer):
            if not np.ndim(self.code):
                raise KeyError(name)
            many = len(self.code)
            if not -many <= name < many:
                raise IndexError(f"there are {many} results, and no {name}")
            return jax.tree.map(lambda v: v[name] if np.ndim(v) and len(v) == many else v, self)
        if name.startswith("_") or not hasattr(self, name):
            raise KeyError(name)
        return getattr(self, name)

    def summary(self) -> str:
        """One line: method, value, iterations, evaluations, time, and why it stopped."""
        used = type(getattr(self.method, "rule", self.method)).__name__
        if isinstance(self.code, jax.core.Tracer) or np.ndim(self.code):
            return f"{used}: {self.message}"
        return (
            f"{used}: f = {np.asarray(self.fun):.6g} after {int(self.nit)} iterations, {self.nfev} values and "
            f"{self.njev} gradients{f' in {self.seconds.total:.3g} s' if self.seconds.total else ''}; {self.message}"
        )

    def report(self) -> str:
        """The whole story as text: problem, method, value, iterations, work, seconds, a small solution, and why it stopped.

        What is not known is left out: the initial value where no history of "f" was recorded, seconds inside `jit`. Of many
        problems at once it says how many ended with which status, and the spread of values and iterations.

        Example:
            >>> import jax.numpy as jnp, ravine as rv
            >>> r = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(2), method="newton", history="f")
            >>> print(r.report())  # doctest: +ELLIPSIS
            Problem
              parameters      2 in 1 array
            ...
            Value
              initial         18
              final           0
              change          -18
            ...
            Work
              values of f     2
              gradients       2
              Hessians        2
            ...
            Solution
              x               [3, 3]
            Termination
              status          CONVERGED: ...
        """
        from ravine.core.report import report  # no run needs it

        return report(self)

    def _repr_html_(self) -> str:
        from ravine.core.report import as_html

        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the carry and `aux`, as JSON can hold it: arrays as nested lists, numbers that are not finite as None.

        Raises:
            ValueError: inside `jit`, where there are no numbers yet.

        Example:
            >>> import jax.numpy as jnp, ravine as rv
            >>> d = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(2), method="newton").to_dict()
            >>> d["status"], d["x"], d["best"]["nit"]
            ('CONVERGED', [3.0, 3.0], 1)
        """
        from ravine.core.plain import as_dict

        return as_dict(self)

    def to_json(self) -> str:
        """`to_dict` as text.

        Raises:
            ValueError: inside `jit`.
        """
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def plot(self, columns: str | tuple[str, ...] = (), axes: Any = None) -> Any:
        """Draws what was recorded against the iterations, one column below the other.

        Args:
            columns: which of `history`; all that hold one number an iteration if not given.
            axes: matplotlib axes, one for each column; a new figure if None.

        Returns:
            The axes; `axes[0].figure.savefig("run.svg")` saves the picture.

        Raises:
            ImportError: matplotlib is missing; the message says how to get it.
            ValueError: nothing was recorded, no such column, or results of many problems at once.

        Example:
            >>> import jax.numpy as jnp, ravine as rv
            >>> r = rv.minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(2), history=("f", "optimality"))
            >>> [axis.get_ylabel() for axis in r.plot()]
            ['f', 'optimality']
        """
        from ravine.core.plot import plot_history

        return plot_history(self, columns, axes)

    def __repr__(self) -> str:
        if isinstance(self.code, jax.core.Tracer):
            return "Result(traced)"
        names = ("x", "fun", "status", "success", "message", "nit", "nfev", "njev", "nhev", "optimality", "work")
        return "\n".join(f"{name:>10}: {_shown(getattr(self, name))!r}" for name in names)


def _shown(value: Any) -> Any:
    """A number without the word Array around it."""
    return value.item() if isinstance(value, jax.Array) and not value.ndim else value


_fields = dataclasses.fields(Result)
jax.tree_util.register_dataclass(
    Result,
    [f.name for f in _fields if not f.metadata.get("static")],
    [f.name for f in _fields if f.metadata.get("static")],
)
