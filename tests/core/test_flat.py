"""Trees become vectors and come back."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.flat import FUSED, GROUP_BELOW, Layout, as_arrays, end_to_end

TREE = {"b": jnp.arange(3.0), "w": jnp.arange(6.0).reshape(2, 3), "s": jnp.float64(7.0)}


@pytest.mark.parametrize("kind", [Layout.vector, Layout.grouped, Layout.leafwise])
def test_there_and_back(kind):
    layout = kind(TREE)
    again = layout.unpack(layout.pack(TREE))
    assert jax.tree.structure(again) == jax.tree.structure(TREE)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(TREE), strict=True):
        assert a.shape == b.shape
        assert np.array_equal(a, b)
    assert layout.size == 10


def test_a_vector_takes_the_widest_dtype_and_gives_each_leaf_its_own_back():
    mixed = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(3, jnp.float32)}
    layout = Layout.vector(mixed)
    assert layout.pack(mixed).dtype == jnp.float32
    assert layout.unpack(layout.pack(mixed))["a"].dtype == jnp.bfloat16


def test_many_small_leaves_are_joined_by_dtype_and_large_ones_stand_alone():
    tree = [jnp.ones(3), jnp.ones(GROUP_BELOW), *[jnp.ones(2)] * FUSED, *[jnp.ones(4, jnp.float32)] * (FUSED + 1)]
    packed = Layout.grouped(tree).pack(tree)
    assert sorted((v.shape, str(v.dtype)) for v in packed) == [
        ((3 + 2 * FUSED,), "float64"),
        ((4 * (FUSED + 1),), "float32"),
        ((GROUP_BELOW,), "float64"),
    ]


def test_a_few_small_leaves_are_joined_only_where_there_are_no_large_ones():
    small = [jnp.ones(3), jnp.ones(2)]
    assert [v.shape for v in Layout.grouped(small).pack(small)] == [(5,)]
    narrow = [jnp.ones(2, jnp.float32)] * 2
    assert [v.shape for v in Layout.grouped([*small, *narrow]).pack([*small, *narrow])] == [(5,), (4,)]
    tree = [small[0], jnp.ones(GROUP_BELOW), small[1]]
    assert [v.shape for v in Layout.grouped(tree).pack(tree)] == [(3,), (GROUP_BELOW,), (2,)]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="how XLA lays arrays end to end on a processor")
@pytest.mark.parametrize("lanes", [None, 3])
def test_arrays_laid_end_to_end_are_copied_and_not_read_beyond_their_ends(lanes):
    def joined(arrays):
        return 2 * end_to_end([jnp.sum(arrays[0], 0), *arrays[1:]])

    def loops_over_pieces(join):
        arrays = [np.ones((5, 7), np.float32), np.ones(3000, np.float32), np.ones((40, 30), np.float32)]
        if lanes is not None:
            join, arrays = jax.vmap(join), [np.stack([v] * lanes) for v in arrays]
        text = jax.jit(join).lower(arrays).compile().as_text()
        loops = [c for c in re.split(r"\n(?=%|ENTRY)", text) if c.startswith(("%fused", "%wrapped"))]
        return any(re.search(r"= \S+ concatenate\(", c) for c in loops)

    assert not loops_over_pieces(joined)
    # What this guards against: if XLA no longer makes such loops, `end_to_end` can go.
    assert lanes is not None or loops_over_pieces(lambda v: 2 * jnp.concatenate([jnp.sum(v[0], 0), v[1], v[2].ravel()]))


def test_another_tree_is_refused():
    layout = Layout.vector(TREE)
    with pytest.raises(ValueError, match="does not match the parameters"):
        layout.pack({"b": jnp.arange(3.0)})
    with pytest.raises(ValueError, match="does not match the parameters"):
        layout.pack({**TREE, "b": jnp.arange(4.0)})


def test_what_are_no_parameters_is_refused_by_name():
    with pytest.raises(TypeError, match=r"x0\['n'\] has dtype int64; parameters must be floating point: convert it with"):
        rv.minimize(lambda p: p["n"].sum(), {"n": jnp.arange(3)})
    with pytest.raises(TypeError, match="split it into real and imaginary parts"):
        rv.minimize(lambda x: jnp.sum(jnp.abs(x)), jnp.ones(2, complex))
    with pytest.raises(ValueError, match="empty tree"):
        rv.minimize(lambda x: 0.0, {})


def test_numbers_and_lists_of_numbers_are_taken_as_scipy_takes_them():
    assert as_arrays([1, 2.5]).tolist() == [1.0, 2.5]
    assert as_arrays(3.0).shape == ()
    assert as_arrays({"a": 1.0})["a"].dtype == jnp.float64
    r = rv.minimize(lambda x: jnp.sum((x - 2.0) ** 2), [1.0, 5.0], method=rv.GradientDescent(0.1))
    np.testing.assert_allclose(r.x, [2.0, 2.0], atol=1e-6)


def test_the_result_has_the_structure_of_the_start():
    r = rv.minimize(lambda p: jnp.sum((p["w"] - 1.0) ** 2) + p["s"] ** 2 + jnp.sum(p["b"] ** 2), TREE, method=rv.Adam(0.3))
    assert jax.tree.structure(r.x) == jax.tree.structure(TREE)
    assert r.x["w"].shape == (2, 3)
    assert r.x["s"].shape == ()
    assert jax.tree.structure(r.best.x) == jax.tree.structure(r.jac) == jax.tree.structure(TREE)
