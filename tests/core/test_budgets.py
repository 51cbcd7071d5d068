"""Budgets: seconds and Ctrl-C end a run with its best point so far, and it can be resumed."""

import os
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import driver


def valley(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


START = jnp.array([-1.2, 1.0])
SLOW = rv.GradientDescent(1e-6)


def test_seconds():
    rv.minimize(valley, START, method=SLOW, stop=rv.MaxSteps(10))
    began = time.perf_counter()
    r = rv.minimize(valley, START, method=SLOW, stop=rv.MaxSeconds(0.3) | rv.MaxSteps(10**9))
    assert time.perf_counter() - began < 30
    assert r.status.name == "MAX_SECONDS"
    assert "0.3 s used" in r.message
    assert r.nit > 0
    assert r.fun < valley(START)
    assert r.seconds.total >= 0.3


def test_control_c_returns_a_result():
    rv.minimize(valley, START, method=SLOW, stop=rv.MaxSteps(10))
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
    r = rv.minimize(valley, START, method=SLOW, stop=rv.MaxSteps(10**9))
    assert r.status.name == "INTERRUPTED"
    assert not r.success
    assert np.isfinite(r.fun)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_run_goes_on_where_it_was():
    seen = []

    def stop_at_seven(now):
        seen.append(int(now.nit))
        return now.nit == 7

    method = rv.Adam(0.05)
    half = rv.minimize(valley, START, method=method, stop=rv.MaxSteps(30), callback=stop_at_seven)
    assert half.status.name == "INTERRUPTED"
    assert "callback asked to stop" in half.message
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    rest = rv.minimize(valley, START, method=method, stop=rv.MaxSteps(30), resume=half)
    whole = rv.minimize(valley, START, method=method, stop=rv.MaxSteps(30))
    assert rest.nit == whole.nit == 30
    assert rest.x.tolist() == whole.x.tolist()
    assert rest.work == whole.work


def test_a_result_that_ran_out_of_steps_is_resumed_with_more():
    method = rv.Momentum(1e-4, 0.9)
    first = rv.minimize(valley, START, method=method, stop=rv.MaxSteps(10), history=("f", "k"))
    second = rv.minimize(valley, START, method=method, stop=rv.MaxSteps(25), history=("f", "k"), resume=first)
    whole = rv.minimize(valley, START, method=method, stop=rv.MaxSteps(25), history=("f", "k"))
    assert second.x.tolist() == whole.x.tolist()
    assert second.history["f"].tolist() == whole.history["f"].tolist()
    assert len(whole.history["f"]) == 26
    with pytest.raises(ValueError, match="ask for the same"):
        rv.minimize(valley, START, method=method, stop=rv.MaxSteps(25), resume=first)


def test_the_best_point_is_kept_while_the_run_goes_elsewhere():
    r = rv.minimize(valley, START, method=rv.GradientDescent(5e-3), stop=rv.MaxSteps(30))
    assert r.best.fun <= valley(START)
    np.testing.assert_allclose(valley(r.best.x), r.best.fun, rtol=1e-12)


def test_history_has_the_start_first_and_a_row_an_iteration():
    r = rv.minimize(valley, START, method=rv.GradientDescent(1e-4), stop=rv.MaxSteps(1100), history=("f", "x", "optimality"))
    assert r.history["x"].shape == (1101, 2)
    assert r.history["x"][0].tolist() == START.tolist()
    np.testing.assert_allclose(r.history["f"], [valley(x) for x in r.history["x"]], rtol=1e-12)
    assert r.history["x"][-1].tolist() == r.x.tolist()


def test_history_inside_jit_needs_room():
    with pytest.raises(ValueError, match=r"add \| MaxSteps"):
        jax.jit(lambda x: rv.minimize(valley, x, method=SLOW, stop=rv.Optimality(1e-3), history=("f",)))(START)
    r = jax.jit(lambda x: rv.minimize(valley, x, method=SLOW, stop=rv.MaxSteps(5), history=("f",)))(START)
    assert r.history["f"].shape == (6,)


def test_a_callback_inside_jit_is_refused():
    with pytest.raises(ValueError, match="record with history"):
        jax.jit(lambda x: rv.minimize(valley, x, method=SLOW, callback=print))(START)


def test_a_traced_run_cannot_see_the_clock_and_says_so():
    for stop in (rv.MaxSeconds(1.0), rv.MaxSteps(5) | rv.MaxSeconds(1.0)):
        with pytest.raises(
            ValueError, match="MaxSeconds looks at the host's clock, which a traced run cannot see: stop by MaxSteps"
        ):
            jax.jit(lambda x, stop=stop: rv.minimize(valley, x, method="bfgs", stop=stop).x)(START)


def test_a_few_quick_steps_among_slow_ones_do_not_break_a_budget_of_seconds(monkeypatch):
    """Of every 100 steps 30 take a microsecond, the others 0.05 s, by a clock of the test's own."""
    clock, advance = [0.0], driver.advance

    def timed(method, problem, carry, stop, n, seconds, **how):
        k = int(carry.k)
        carry = advance(method, problem, carry, stop, n, seconds, **how)
        clock[0] += sum(1e-6 if i % 100 < 30 else 0.05 for i in range(k, int(carry.k)))
        return carry

    monkeypatch.setattr(driver, "advance", timed)
    monkeypatch.setattr(driver.time, "perf_counter", lambda: clock[0])
    for _ in range(2):  # the second run begins with the pace that the first one ended with
        began = clock[0]
        r = rv.minimize(valley, START, method=rv.GradientDescent(2e-6), stop=rv.MaxSeconds(25.0) | rv.MaxSteps(10**6))
        assert r.status is rv.Status.MAX_SECONDS
        assert 25 <= clock[0] - began < 28


def test_after_an_error_in_a_callback_ctrl_c_is_the_user_s_again():
    def callback(result):
        raise RuntimeError("mine")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="mine") as caught:  # whose traceback holds the run
        rv.minimize(lambda x: jnp.sum(x**2), jnp.ones(2), method="bfgs", callback=callback)
    assert caught.traceback
    assert signal.getsignal(signal.SIGINT) is before
