"""Which memory is written after the parameters, and that no copy of it is made."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Var

import ravine as rv
from ravine.core.flat import GROUP_BELOW
from ravine.core.registry import method_class, names
from ravine.core.rule import Rule, add, stepped

RULES = [n for n in names() if isinstance(method_class(n), type) and issubclass(method_class(n), Rule)]


def read_as_it_was(rule):
    """The names in the memory that reach the change by another way than through what is remembered next."""
    x = jnp.ones(4)
    s = rule.start(x)
    jaxpr = jax.make_jaxpr(lambda g, s, x: rule.ahead(g, s, x, x[0]))(x, s, x).jaxpr
    u, *following = jaxpr.outvars
    made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    reached, waiting = set(), {u} - set(following)
    while waiting:
        v = waiting.pop()
        reached.add(v)
        waiting |= {i for i in (made[v].invars if v in made else ()) if isinstance(i, Var)} - set(following) - reached
    remembered = zip(getattr(s, "_fields", ()), jaxpr.invars[1:-1], strict=True)
    return {name for name, v in remembered if v in reached and v.aval.ndim}


@pytest.mark.parametrize("name", [n for n in RULES if method_class(n).scope == "element"])
def test_what_a_rule_reads_as_it_was_is_what_it_says(name):
    rule = method_class(name)()
    assert read_as_it_was(rule) == set(rule.written_last)


@pytest.mark.parametrize("rule", [rv.Lion(0.1), rv.Adadelta(1.0)])
def test_a_large_array_is_not_copied(rule):
    x, g = jnp.ones(GROUP_BELOW, jnp.float32), jnp.full(GROUP_BELOW, 0.1, jnp.float32)

    def copies(step):
        compiled = jax.jit(step, donate_argnums=(0, 1)).lower(x, jax.jit(rule.init)(x), g).compile().as_text()
        return len(re.findall(rf"f32\[{GROUP_BELOW}\]\S* copy\(", compiled))

    def plainly(x, s, g):
        u, s = rule.update(g, s, x)
        return add(x, u), s

    assert copies(plainly) == 1
    assert copies(lambda x, s, g: stepped(rule, x, rule.update(g, s, x))) == 0


@pytest.mark.parametrize("rule", [rv.Lion(0.1), rv.Adadelta(1.0)])
def test_the_order_of_writing_changes_no_bit(rule):
    rng = np.random.default_rng(0)
    x, g = (jnp.asarray(rng.normal(size=GROUP_BELOW), jnp.float32) for _ in range(2))
    g = g.at[:4].set(jnp.array([0.0, -0.0, jnp.nan, jnp.inf], jnp.float32))
    s = rule.init(x)
    plainly = jax.jit(lambda x, s, g: (lambda u, s: (add(x, u), s))(*rule.update(g, s, x)))
    for _ in range(3):
        expected, got = plainly(x, s, g), jax.jit(lambda x, s, g: stepped(rule, x, rule.update(g, s, x)))(x, s, g)
        for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(got), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
        x, s = got
