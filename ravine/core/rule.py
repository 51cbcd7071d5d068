"""Gradient rules, written for ONE array; lifted over trees once, here.

A rule is an optax transformation as it stands: it has `init(params)` and `update(grads, state, params)`, so `optax.chain`, masks,
schedules and clipping take it. `Descent` and `MinibatchDescent` make a method of any such transformation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.codegen import apart
from ravine.core.flat import GROUP_BELOW, Layout
from ravine.core.method import Method
from ravine.core.problem import Objective, Oracles, Training
from ravine.core.pytree import Record, cast, computing, largest, part, static, substitute


class RuleState(NamedTuple):
    """How often the rule has moved, and what it remembers of each array."""

    t: Any
    memory: Any


class Rule(Record):
    """Base of the gradient rules. A subclass writes `start` and `move` for one array.

    Class attributes:
        scope: what one `move` must see at once: each "element" alone, a whole "array" (its shape), or the whole "tree" as one
            vector.
        needs_params: `move` reads x, so `update` must be given params.
        looks_ahead: the gradient is taken at `look(s, x)` and applied by `ahead`, where the problem is there to be asked.
        written_last: what is remembered whose old value the change itself is made of (`stepped`).
    """

    scope: ClassVar[Literal["element", "array", "tree"]] = "element"
    needs_params: ClassVar[bool] = False
    looks_ahead: ClassVar[bool] = False
    written_last: ClassVar[tuple[str, ...]] = ()

    def start(self, x: Any) -> Any:
        """What is remembered of one array at the start: a NamedTuple of arrays, or ()."""
        return ()

    def move(self, g: Any, s: Any, x: Any, t: Any) -> tuple[Any, Any]:
        """The change of one array and what is remembered then; t counts from 1."""
        raise NotImplementedError

    def look(self, s: Any, x: Any) -> Any:
        """Where the gradient is to be taken."""
        return x

    def ahead(self, g: Any, s: Any, x: Any, t: Any) -> tuple[Any, Any]:
        """`move`, for the gradient taken at `look(s, x)`."""
        return self.move(g, s, x, t)

    def init(self, params: Any) -> RuleState:
        """The state for a tree of parameters (optax's `init`)."""
        if self.scope == "tree":
            memory: Any = self.start(computing(Layout.vector(params, "params").pack(params)))
        else:
            memory = jax.tree.map(lambda x: self.start(computing(x)), params)
        return RuleState(jnp.zeros((), jnp.int32), memory)

    def update(self, grads: Any, state: RuleState, params: Any = None) -> tuple[Any, RuleState]:
        """The change of a tree of parameters and the next state (optax's `update`).

        Raises:
            ValueError: the rule reads the parameters and `params` was not given.
        """
        return self._lift("move", grads, state, params)

    def update_ahead(self, grads: Any, state: RuleState, params: Any) -> tuple[Any, RuleState]:
        """`update`, for gradients taken at `look_at(state, params)`."""
        return self._lift("ahead", grads, state, params)

    def look_at(self, state: RuleState, params: Any) -> Any:
        """Where the gradient of a tree is to be taken."""
        if not self.looks_ahead:
            return params
        if self.scope == "tree":
            layout = Layout.vector(params, "params")
            return layout.unpack(self.look(state.memory, layout.pack(params)))

        def one(x: Any, s: Any) -> Any:
            wide = computing(x)
            return cast(self, wide.dtype).look(s, wide).astype(x.dtype)

        return _map_with_memory(one, params, state.memory)

    def _lift(self, form: str, grads: Any, state: RuleState, params: Any) -> tuple[Any, RuleState]:
        if params is None and self.needs_params:
            raise ValueError(f"{type(self).__name__} reads the parameters: call update(grads, state, params)")
        t = state.t + 1
        rule = self.at_count(state.t)
        if self.scope == "tree":
            layout = Layout.vector(grads, "grads")
            g = computing(layout.pack(grads))
            x = None if params is None else computing(layout.pack(params))
            rule = cast(rule, g.dtype)
            u, memory = getattr(rule, form)(g, state.memory, x, t.astype(g.dtype))
            return layout.unpack(u), RuleState(t, memory)

        def one(g: Any, s: Any, x: Any) -> Any:
            wide = computing(g)
            tuned = cast(rule, wide.dtype)
            u, s = getattr(tuned, form)(wide, s, None if x is None else computing(x), t.astype(wide.dtype))
            return u.astype(g.dtype), s

        leaves, treedef = _flatten(grads)
        memories = treedef.flatten_up_to(state.memory)
        points = [None] * len(leaves) if params is None else treedef.flatten_up_to(params)
        moved = [one(g, s, x) for g, s, x in zip(leaves, memories, points, strict=True)]
        updates = treedef.unflatten([u for u, _ in moved])
        return updates, RuleState(t, treedef.unflatten([s for _, s in moved]))

    def at_count(self, count: Any) -> Any:
        """The rule with each schedule replaced by its value at the 0-based count."""
        values = {h.name: getattr(self, h.name) for h in self.hypers()}
        with jax.numpy_dtype_promotion("standard"):  # optax's schedules divide counts by counts
            scheduled = {name: v(count) for name, v in values.items() if callable(v)}
        return substitute(self, **scheduled) if scheduled else self

    def __iter__(self) -> Iterator[Any]:
        """`init, update = rule`, as an optax transformation unpacks."""
        return iter((self.init, self.update))


def _flatten(tree: Any) -> tuple[list[Any], Any]:
    return jax.tree.flatten(tree)


def _map_with_memory(one: Any, tree: Any, memory: Any) -> Any:
    leaves, treedef = _flatten(tree)
    return treedef.unflatten([one(x, s) for x, s in zip(leaves, treedef.flatten_up_to(memory), strict=True)])


def add(params: Any, updates: Any) -> Any:
    """θ + u, each leaf in its own dtype."""
    return jax.tree.map(lambda x, u: x + u.astype(x.dtype), params, updates)


def stepped(rule: Any, x: Any, moved: tuple[Any, Any], taken: Any = None) -> tuple[Any, Any]:
    """θ⁺ = θ + u and the next state, from the change and the state of an update; θ itself where `taken` is given and false.

    Where θ⁺ and a memory m⁺ are both made of the old m, XLA on a processor does not see that θ⁺ can come first and m⁺ then take m's
    place: it copies m, all of it, at each step. So what is `written_last` waits for an element of θ⁺, where arrays are large. On
    20.3 M parameters Lion takes 0.4 of the time of optax, which has that copy (`benchmarks/first_order.py big --rules lion`).
    """
    u, s = moved
    new = add(x, u)
    if taken is not None:
        new = jax.tree.map(lambda new, old: jnp.where(taken, new, old), new, x)
    if not (isinstance(rule, Rule) and rule.written_last) or jax.default_backend() != "cpu":
        return new, s
    leaves, treedef = _flatten(new)

    def late(x: Any, m: Any) -> Any:
        return m._replace(**{name: _after(x, getattr(m, name), s.t) for name in rule.written_last}) if x.size >= GROUP_BELOW else m

    memories = zip(leaves, treedef.flatten_up_to(s.memory), strict=True)
    return new, s._replace(memory=treedef.unflatten([late(x, m) for x, m in memories]))


def _after(x: Any, m: Any, t: Any) -> Any:
    """m to the bit, for a compiler that cannot know it before x is written: t is never negative."""
    element = apart(lambda x: x[(0,) * x.ndim], x)
    return m * jnp.where(jnp.isnan(element) & (t < 0), 0, 1).astype(m.dtype)


class Transformation(Record):
    """An optax transformation, as a record that can stand where a rule stands. It sees the user's own tree.

    What it evaluates in loops of its own (line searches) is counted once a loop, so `work` is then a lower bound.
    """

    pair: Any = static()

    def init(self, params: Any) -> Any:
        return self.pair.init(params)

    def update(self, grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """The change; `extra` (value, grad, value_fn) reaches those that ask for it: line searches, plateaus, Polyak's step."""
        import optax

        # optax raises Python floats to integer powers, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            return optax.with_extra_args_support(self.pair).update(grads, state, params, **extra)


class DescentState(NamedTuple):
    """The point, its value and gradient, the gradient that the next step uses where that is another, and the rule's state."""

    x: Any
    f: Any
    g: Any
    ahead: Any
    rule: Any


class Descent(Method):
    """x⁺ = x + u(∇f(x)) for a rule or any optax transformation, on a function without noise.

    Value and gradient are those of the point itself, so a rule that looks ahead pays for two points a step.
    """

    solves: ClassVar[type[Oracles]] = Objective
    layout: ClassVar[Any] = "groups"
    rule: Any = part()

    def init(self, problem: Objective, x: Any) -> DescentState:
        s = self.rule.init(x)
        return DescentState(x, *self._evaluate(problem, x, s), s)

    def step(self, problem: Objective, s: DescentState) -> DescentState:
        g = s.g if s.ahead is None else s.ahead
        x, rule = stepped(self.rule, s.x, _moved(self.rule, problem, s.x, s.f, g, s.rule))
        return DescentState(x, *self._evaluate(problem, x, rule), rule)

    def _evaluate(self, problem: Objective, x: Any, s: Any) -> tuple[Any, Any, Any]:
        return *problem.value_and_grad(x), problem.gradient(self.rule.look_at(s, x)) if looks_ahead(self.rule) else None

    def optimality(self, problem: Any, s: DescentState) -> Any:
        return largest(s.g)


class MinibatchState(NamedTuple):
    """The parameters, the loss of the batch that led to them, and the rule's state."""

    x: Any
    f: Any
    rule: Any


class MinibatchDescent(Method):
    """θ⁺ = θ + u(∇L_batch(θ)): the same rules on a training loss; the value is the minibatch loss before the step."""

    solves: ClassVar[type[Oracles]] = Training
    layout: ClassVar[Any] = "groups"
    rule: Any = part()

    def init(self, problem: Any, x: Any) -> MinibatchState:
        return MinibatchState(x, jnp.zeros((), jnp.float32), self.rule.init(x))

    def step(self, problem: Objective, s: MinibatchState) -> MinibatchState:
        at = self.rule.look_at(s.rule, s.x) if looks_ahead(self.rule) else s.x
        f, g = problem.value_and_grad(at)
        # A step from a loss that is not finite is not taken, so that the parameters that are returned are numbers.
        x, rule = stepped(self.rule, s.x, _moved(self.rule, problem, s.x, f, g, s.rule), jnp.isfinite(f))
        return MinibatchState(x, f.astype(jnp.float32), rule)

    def optimality(self, problem: Any, s: MinibatchState) -> Any:
        return jnp.float32(jnp.nan)


def looks_ahead(rule: Any) -> bool:
    """Whether the gradient is to be taken elsewhere than at the parameters."""
    return isinstance(rule, Rule) and rule.looks_ahead


def _moved(rule: Any, problem: Objective, x: Any, f: Any, g: Any, s: Any) -> tuple[Any, Any]:
    """The change that a rule or a transformation makes of f and g, and its next state."""
    if isinstance(rule, Transformation):
        return rule.update(g, s, x, value=f, grad=g, value_fn=problem.value)
    return rule.update_ahead(g, s, x) if looks_ahead(rule) else rule.update(g, s, x)


def layout_for(method: Method, params: Any, name: str = "x0") -> Layout | None:
    """The layout in which `method` wants to see these parameters."""
    rule = getattr(method, "rule", getattr(method, "inner", None))
    if method.layout == "tree" or isinstance(rule, Transformation):
        Layout.leafwise(params, name)  # refuses what are no parameters
        return None
    if method.layout == "vector" or (isinstance(rule, Rule) and rule.scope == "tree"):
        return Layout.vector(params, name)
    if method.layout == "groups" and isinstance(rule, Rule) and rule.scope == "element":
        return Layout.grouped(params, name)
    return Layout.leafwise(params, name)
