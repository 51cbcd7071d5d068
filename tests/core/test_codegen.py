"""Which programs are compiled with quick kernels, and that the way makes no difference but in time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import codegen


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.fixture
def ways(monkeypatch):
    """Whether each call of a compiled program was quick."""
    seen = []
    original = codegen.Compiled.__call__

    def watched(self, *args, quick=False, **named):
        seen.append(quick)
        return original(self, *args, quick=quick, **named)

    monkeypatch.setattr(codegen.Compiled, "__call__", watched)
    return seen


def test_small_programs_are_compiled_quickly(ways):
    r = rv.minimize(lambda x: rosenbrock(x) + 0.25, jnp.zeros(3), method="bfgs")
    assert r.success
    assert set(ways) == {True}


def test_programs_that_make_large_arrays_are_not(ways):
    r = rv.minimize(lambda x: jnp.sum(jnp.outer(x, x) ** 2) + rosenbrock(x), jnp.zeros(70), method="lbfgs", stop=rv.MaxSteps(3))
    assert int(r.nit) == 3
    assert set(ways) == {False}


def test_data_may_be_large_where_what_is_made_of_it_is_small(ways):
    A = np.random.default_rng(0).normal(size=(100, 60))
    assert A.size > codegen.SMALL
    assert rv.minimize(lambda x: jnp.sum((A @ x - 1) ** 2), jnp.zeros(60), method="lbfgs").success
    assert set(ways) == {True}


def test_inside_of_another_program_nothing_is_asked_for(ways):
    x = jax.jit(lambda x: rv.minimize(rosenbrock, x, method="bfgs").x)(jnp.zeros(4))
    np.testing.assert_allclose(x, 1, atol=1e-6)
    slope = jax.vmap(lambda a: rv.minimize(lambda x: jnp.sum((x - a) ** 2), jnp.zeros(2), method="bfgs").x)(jnp.arange(3.0))
    np.testing.assert_allclose(slope, np.arange(3.0)[:, None] * np.ones(2), atol=1e-6)
    assert set(ways) == {False}


def test_where_the_options_are_refused_programs_are_compiled_as_usual(monkeypatch):
    monkeypatch.setattr(codegen, "_refused", [])
    unknown = jax.jit(lambda x: x + 1, compiler_options={"xla_no_such_option": True})
    program = codegen.Compiled(lambda x: x + 1)
    monkeypatch.setattr(program, "quick", unknown)
    assert float(program(jnp.float32(1), quick=True)) == 2
    assert len(codegen._refused) == 1
    assert float(program(jnp.float32(2), quick=True)) == 3


def test_other_errors_of_a_quick_program_are_not_swallowed(monkeypatch):
    monkeypatch.setattr(codegen, "_refused", [])
    program = codegen.Compiled(lambda x: x + jax.pure_callback(lambda: 1 / 0, jax.ShapeDtypeStruct((), jnp.float32)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="ZeroDivisionError"):
        jax.block_until_ready(program(jnp.float32(1), quick=True))
    assert not codegen._refused


def test_what_is_recorded_changes_no_bit_of_a_run(ways):
    plain = rv.minimize(rosenbrock, jnp.zeros(11), method="bfgs")
    recorded = rv.minimize(rosenbrock, jnp.zeros(11), method="bfgs", history=("x", "f"))
    np.testing.assert_array_equal(plain.x, recorded.x)
    assert set(ways) == {True}


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "newton", "trust_region"])
def test_both_ways_end_at_the_same_point(monkeypatch, method):
    quickly = rv.minimize(rosenbrock, jnp.zeros(5), method=method)
    codegen._small.clear()
    monkeypatch.setattr(codegen, "SMALL", -1)
    usual = rv.minimize(rosenbrock, jnp.zeros(5), method=method)
    codegen._small.clear()
    assert usual.status == quickly.status
    np.testing.assert_allclose(usual.x, quickly.x, atol=1e-6)
