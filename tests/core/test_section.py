"""A section computes and counts what its part does, and stays one part when it is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.core import work
from ravine.core.section import section


def part(x, tree):
    work.count("f")
    x = work.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, asked(c[1])), (jnp.int32(0), x))[1]
    return {"x": jnp.sin(x), "none": None, "tree": tree}


def asked(x):
    work.count("g")
    return 2 * x


def run(x, tree, sections):
    with work.tallied() as tally:
        made = (section(part, 512) if sections else part)(x, tree)
    return made, tally.vector()


@pytest.mark.parametrize("transformed", [lambda f: f, jax.jit, lambda f: jax.vmap(f, (0, None))], ids=["eager", "jit", "vmap"])
def test_it_computes_and_counts_the_same(transformed):
    x, tree = jnp.linspace(0.0, 1.0, 5), (jnp.ones(3), jnp.bool_(True))
    (got, got_work), (want, want_work) = (
        transformed(lambda x, tree, s=sections: run(x, tree, s))(x, tree) for sections in (True, False)
    )
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(got_work, want_work)
    assert work.as_dict(np.reshape(got_work, (-1, len(work.NAMES)))[0]) == {"f": 1, "g": 3}


def test_it_sees_tracers_that_it_closes_over():
    def f(x, a):
        return section(lambda x: a * x, 16)(x)

    np.testing.assert_array_equal(jax.jit(f)(jnp.ones(2), 3.0), [3.0, 3.0])
    assert jax.jvp(lambda a: f(jnp.ones(()), a), (3.0,), (1.0,))[1] == 1.0


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="sections are for processors")
def test_it_stays_one_call_in_what_xla_compiles():
    compiled = jax.jit(lambda x: jnp.cos(run(x, None, True)[0]["x"])).lower(jnp.ones(200)).compile().as_text()
    assert " call(" in compiled
    assert " call(" not in jax.jit(lambda x: jnp.cos(run(x, None, False)[0]["x"])).lower(jnp.ones(200)).compile().as_text()
