"""A problem to be raced, listed and shown: what is minimised, where it starts, and what counts as solved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

EXAMPLE = """
    import jax.numpy as jnp
    import ravine as rv

    def fun(x):
        return jnp.sum((x - 3.0) ** 2)

    problem = rv.Problem(name="bowl", fun=fun, x0=jnp.zeros(2), target=1e-6)

or, for training,

    problem = rv.Problem(name="mine", loss=loss, init=init, data=(inputs, labels), batch_size=64, target=0.1)

with loss(params, batch) a scalar and init(key) the starting parameters"""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is minimised, from where, and what counts as solved. Give exactly one of `fun`, `residual`, `loss` and `A`.

    Attributes:
        name: what tables call it.
        fun: f(x, *args), a scalar.
        residual: r(x, *args), an array or tree; ½‖r‖² is minimised.
        residual_loss: what is made of the residuals instead of ½‖r‖²: `loss` of `least_squares`, such as "huber" or
            `SoftmaxCrossEntropy(labels)`, with which `residual` returns logits.
        loss: loss(params, batch), the mean over a batch of `data`.
        A, b: the linear system A x = b, as `linear_solve` takes it; its value is ‖b − A x‖ / ‖b‖, and x0 is zero if not given.
        x0: the start, any pytree.
        init: init(key), a random start, instead of `x0`; each seed then starts elsewhere, and all methods at the same points.
        args: further arguments of `fun` or `residual`.
        bounds: (lower, upper) of x, each None, a number or a tree like x.
        data: a tree of arrays with the examples along the first axis.
        batch_size: examples a step; None for all of them.
        validation: data of the same structure that is not trained on.
        metrics: functions (params, batch) → number by name, averaged over `validation`: {"accuracy": accuracy}.
        target: the value (for `loss`, the mean training loss) that counts as solved.
        minimum: the best value known, None if it is not known.
        window: ((x_low, x_high), (y_low, y_high)) of a picture, for two parameters.
        doc: one sentence: what it is and where it is from.

    Raises:
        ValueError: a field is missing or does not fit the others; the message shows a right one.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> bowl = rv.Problem(name="bowl", fun=lambda x: jnp.sum(x**2), x0=jnp.ones(2), target=1e-6)
        >>> bowl.kind
        'fun'
    """

    name: str = "problem"
    fun: Callable[..., Any] | None = None
    residual: Callable[..., Any] | None = None
    residual_loss: Any = "linear"
    loss: Callable[..., Any] | None = None
    A: Any = None
    b: Any = None
    x0: Any = None
    init: Callable[[Any], Any] | None = None
    args: tuple[Any, ...] = ()
    bounds: Any = None
    data: Any = None
    batch_size: int | None = None
    validation: Any = None
    metrics: dict[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    target: float | None = None
    minimum: float | None = None
    window: Any = None
    doc: str = ""

    def __post_init__(self) -> None:
        given = [n for n in ("fun", "residual", "loss", "A") if getattr(self, n) is not None]
        if len(given) != 1:
            self._refuse(f"give exactly one of fun, residual, loss and A, not {' and '.join(given) or 'none'}")
        if (self.A is None) != (self.b is None):
            self._refuse("A and b belong together: a linear system is A x = b")
        if self.A is None and not callable(getattr(self, given[0])):
            self._refuse(f"{given[0]} must be a function, not {type(getattr(self, given[0])).__name__}")
        if self.A is not None and self.init is not None:
            self._refuse("a linear system starts at x0, or at zero; init is for random starts")
        if self.A is None and (self.x0 is None) == (self.init is None):
            self._refuse("give a start: either x0 or init(key)")
        if self.init is not None and not callable(self.init):
            self._refuse("init must be a function of a key")
        if (self.loss is not None) != (self.data is not None):
            self._refuse("loss and data belong together: loss(params, batch) is called with batches of data")
        size = self.batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1):
            self._refuse(f"batch_size must be a whole number of at least 1, or None for all examples, got {size!r}")
        if self.residual is None and self.residual_loss != "linear":
            self._refuse("residual_loss is made of residuals, which are missing")
        if self.metrics and self.validation is None:
            self._refuse("metrics are averaged over validation data, which is missing")

    def _refuse(self, what: str) -> None:
        raise ValueError(f"problem {self.name!r}: {what}. A right one:\n{EXAMPLE}")

    @property
    def kind(self) -> str:
        """Which of "fun", "residual" and "loss" is given; "system" for A and b."""
        if self.A is not None:
            return "system"
        return "fun" if self.fun is not None else "residual" if self.residual is not None else "loss"

    @property
    def batched(self) -> bool:
        """Whether there are minibatches."""
        return self.loss is not None and self.batch_size is not None

    def start(self, key: Any) -> Any:
        """The starting point for a key."""
        return self.x0 if self.init is None else self.init(key)
