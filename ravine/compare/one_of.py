"""Rules for the race: many rules in one compiled program, and gradient descent on the whole loss.

With a program for each rule, two thirds of a sweep went into compiling the same loss and gradient again and again
(`benchmarks/sweep.py`). `OneOf` holds all rules and a number that says which of them moves, so that the loss is compiled once and
each rule is one small branch.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.hyperparameters import with_values
from ravine.core.pytree import part, select, static, step_size
from ravine.core.rule import Rule


class Slots(NamedTuple):
    """Room for what any of the rules remembers of one array: arrays of its shape, and numbers."""

    arrays: tuple[Any, ...]
    numbers: tuple[Any, ...]


class OneOf(Rule):
    """Rule number `which` of `rules`, all element by element, with the step size `lr`. The choice is data."""

    looks_ahead: ClassVar[bool] = True
    needs_params: ClassVar[bool] = True

    lr: float = step_size(0.1, 1e-4, 10.0)
    which: Any = part(0)
    rules: tuple[Any, ...] = part(())

    def start(self, x: Any) -> Slots:
        made = [_split(rule.start(x), x) for rule in self._tuned()]
        arrays, numbers = (max(len(m[i]) for m in made) for i in (0, 1))
        blank = Slots((jnp.zeros_like(x),) * arrays, (jnp.zeros((), x.dtype),) * numbers)
        return self._switch(lambda rule: _written(rule.start(x), blank, x))

    def look(self, s: Slots, x: Any) -> Any:
        return self._switch(lambda rule: rule.look(_read(rule, s, x), x))

    def ahead(self, g: Any, s: Slots, x: Any, t: Any) -> tuple[Any, Slots]:
        def moved(rule: Rule) -> tuple[Any, Slots]:
            u, memory = rule.ahead(g, _read(rule, s, x), x, t)
            return u, _written(memory, s, x)

        return self._switch(moved)

    def _tuned(self) -> list[Rule]:
        return [with_values(rule, {"lr": self.lr}) for rule in self.rules]

    def _switch(self, act: Any) -> Any:
        return jax.lax.switch(self.which, [lambda rule=rule: act(rule) for rule in self._tuned()])


def _split(memory: Any, x: Any) -> tuple[list[Any], list[Any]]:
    """The arrays of the shape of x, and the numbers, that a rule remembers."""
    leaves = jax.tree.leaves(memory)
    return [v for v in leaves if v.shape == x.shape], [v for v in leaves if v.shape != x.shape]


def _written(memory: Any, s: Slots, x: Any) -> Slots:
    """What a rule remembers, in the first slots."""
    arrays, numbers = _split(memory, x)
    return Slots((*arrays, *s.arrays[len(arrays) :]), (*numbers, *s.numbers[len(numbers) :]))


def _read(rule: Rule, s: Slots, x: Any) -> Any:
    """What the rule remembers, from the first slots."""
    leaves, structure = jax.tree.flatten(jax.eval_shape(rule.start, x))
    arrays, numbers = iter(s.arrays), iter(s.numbers)
    return jax.tree.unflatten(structure, [next(arrays if v.shape == x.shape else numbers) for v in leaves])


class WholeState(NamedTuple):
    """The sum of the gradients since the last step, and what the rule remembers."""

    total: Any
    memory: Any


class WholeGradient(Rule):
    """`inner` on the gradient of the whole loss: one step every `batches` steps, along the mean of their gradients.

    So gradient descent takes part in a race over minibatches as what it is, with the same gradients as the others and no more
    memory: one step an epoch.
    """

    needs_params: ClassVar[bool] = True

    inner: Any = part()
    batches: int = static(1)

    def start(self, x: Any) -> WholeState:
        return WholeState(jnp.zeros_like(x), self.inner.start(x))

    def move(self, g: Any, s: WholeState, x: Any, t: Any) -> tuple[Any, WholeState]:
        total = s.total + g
        u, memory = self.inner.move(total / self.batches, s.memory, x, t / self.batches)
        last = t % self.batches == 0
        stepped, waiting = (u, WholeState(jnp.zeros_like(x), memory)), (jnp.zeros_like(x), WholeState(total, s.memory))
        return select(last, stepped, waiting)
