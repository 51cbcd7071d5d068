"""Parts of a batch in threads: the same rows in the same order, one thread where a trace or a setting would be lost."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import side_by_side as module
from ravine.core.side_by_side import side_by_side


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 3)


def noting(seen):
    def run(rows, ready):
        seen.append((threading.get_ident(), len(rows["a"])))
        return {"b": 2 * rows["a"], "nothing": rows["nothing"]}

    return run


def test_every_row_once_and_in_order(three_cores):
    seen, rows = [], {"a": jnp.arange(10.0), "nothing": None}
    out = side_by_side(noting(seen), rows, 2)
    np.testing.assert_array_equal(out["b"], 2 * np.arange(10.0))
    assert [n for _, n in seen] == [4, 4, 4]
    assert threading.get_ident() not in {thread for thread, _ in seen}


def test_few_rows_stay_together(three_cores):
    seen = []
    side_by_side(noting(seen), {"a": jnp.arange(10.0), "nothing": None}, 6)
    assert seen == [(threading.get_ident(), 10)]


@pytest.mark.parametrize("how", ["jit", "grad", "setting"])
def test_a_trace_or_a_setting_keeps_it_in_its_thread(three_cores, how):
    seen = []

    def together(x):
        return jnp.sum(side_by_side(noting(seen), {"a": x, "nothing": None}, 2)["b"])

    if how == "setting":
        with jax.enable_x64(False):
            together(jnp.arange(10.0))
    else:
        (jax.jit if how == "jit" else jax.grad)(together)(jnp.arange(10.0))
    assert seen == [(threading.get_ident(), 10)]


def test_an_error_of_a_part_is_raised_and_the_others_do_not_begin(three_cores):
    begun = []

    def run(rows, ready):
        begun.append(len(rows))
        raise ValueError("of a part")

    with pytest.raises(ValueError, match="of a part"):
        side_by_side(run, jnp.arange(10.0), 2)
    assert len(begun) == 1


def test_parts_run_at_the_same_time(three_cores):
    meeting = threading.Barrier(3, timeout=30)

    def run(rows, ready):
        ready()
        meeting.wait()  # broken, unless all three are here
        return rows

    np.testing.assert_array_equal(side_by_side(run, jnp.arange(9.0), 3), np.arange(9.0))


def test_a_batch_in_parts_is_the_batch(monkeypatch):
    x0s, targets = jnp.linspace(0.5, 2.0, 2 * 4000).reshape(4000, 2), jnp.linspace(1.0, 2.0, 4000)

    def quartic(x, a):
        return jnp.sum((x - a) ** 2 + 0.1 * (x - a) ** 4)

    def run(n):
        monkeypatch.setattr(module, "cores", lambda: n)
        r = rv.minimize_batch(quartic, x0s, (targets,), method="lbfgs")
        return np.asarray(r.x), np.asarray(r.status), np.asarray(r.nit)

    for parts, alone in zip(run(3), run(1), strict=True):
        np.testing.assert_allclose(parts, alone, rtol=1e-13)
