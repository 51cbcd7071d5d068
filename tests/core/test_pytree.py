"""Records: frozen, pytrees, validated."""

import jax
import jax.numpy as jnp
import pytest

import ravine as rv
from ravine.core.pytree import Record, cast, hyper, largest, part, static


class Knob(Record):
    a: float = hyper(0.5, 0.0, 1.0, valid="[0,1]", doc="mixing a")
    inner: object = part(None)
    kind: str = static("plain", choices=("plain", "fancy"))


def test_hyperparameters_are_leaves_and_constants_are_not():
    leaves, form = jax.tree.flatten(Knob(0.25, jnp.ones(2)))
    assert len(leaves) == 2
    again = jax.tree.unflatten(form, leaves)
    assert again.a == 0.25
    assert form == jax.tree.structure(Knob(0.75, jnp.zeros(2)))
    assert form != jax.tree.structure(Knob(0.25, jnp.ones(2), "fancy"))


def test_a_record_is_frozen_and_replaced_with_validation():
    knob = Knob()
    with pytest.raises(AttributeError):
        knob.a = 0.1
    assert knob.replace(a=0.1).a == 0.1
    with pytest.raises(ValueError, match=r"Knob: a must be between 0 and 1, got a=2"):
        knob.replace(a=2)


def test_a_subclass_may_declare_a_field_anew():
    class Wide(Knob):
        a: float = hyper(2.0, 0.0, 10.0, valid=">=0", doc="mixing a")
        kind: str = static("plain", choices=("plain", "strange"))

    assert [h.high for h in Wide.hypers()] == [10.0]
    assert [h.high for h in Knob.hypers()] == [1.0]
    assert Wide(3.0, kind="strange").a == 3.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        Knob(3.0)
    with pytest.raises(ValueError, match="'strange'"):
        Wide(kind="fancy")
    with pytest.raises(ValueError, match="0 or greater, got a=nan"):
        Wide(float("nan"))


def test_a_static_field_names_its_choices():
    with pytest.raises(ValueError, match=r"Knob: kind must be one of 'plain', 'fancy', got 'odd'"):
        Knob(kind="odd")


def test_a_number_is_a_number():
    with pytest.raises(TypeError, match=r"Knob: a must be a number, got 'half' of type str"):
        Knob("half")
    with pytest.raises(TypeError, match=r"got True of type bool"):
        Knob(True)
    with pytest.raises(ValueError, match="a must be between 0 and 1"):
        Knob(float("nan"))


def test_a_schedule_stands_for_step_sizes_only():
    assert rv.Adam(lambda t: 0.1).b1 == 0.9
    with pytest.raises(TypeError, match="schedules can stand for step sizes only"):
        rv.Adam(0.1, lambda t: 0.9)


def test_records_pass_through_jit_and_vmap():
    assert jax.jit(lambda k: k.a * 2)(Knob(0.25)) == 0.5
    swept = jax.vmap(Knob)(jnp.linspace(0, 1, 3))
    assert jax.vmap(lambda k: k.a)(swept).tolist() == [0.0, 0.5, 1.0]


def test_an_array_of_values_is_checked_element_by_element():
    with pytest.raises(ValueError, match="lr must be greater than 0"):
        rv.Adam(jnp.array([0.1, -0.1]))


def test_cast_and_largest():
    assert cast({"a": 1.0, "n": 3}, jnp.float32)["a"].dtype == jnp.float32
    assert cast({"n": 3}, jnp.float32)["n"] == 3
    assert largest({"a": jnp.array([1.0, -4.0]), "b": jnp.zeros(0)}) == 4.0


def test_every_hyperparameter_declares_a_range_that_holds_its_default():
    for name in rv.__all__:
        cls = getattr(rv, name)
        if isinstance(cls, type) and issubclass(cls, Record):
            for h in cls.hypers():
                # A weight decay of 0 is none at all; the range on a logarithmic axis begins above it.
                assert h.low <= h.default <= h.high or (h.log and h.default == 0), (name, h.name)
                assert h.doc, (name, h.name)
