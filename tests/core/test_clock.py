"""Seconds of compilation are told apart from others, and from those of other threads."""

import threading

import jax
import jax.numpy as jnp

from ravine.core.clock import Clock


def compile_something(salt):
    jax.jit(lambda x: jnp.sin(x) * salt + jnp.cos(x) ** salt)(jnp.ones(3)).block_until_ready()


def test_what_is_compiled_counts_and_is_no_more_than_what_passed():
    with Clock() as clock:
        compile_something(2)
    assert 0 < clock.seconds.compile <= clock.seconds.total


def test_what_another_thread_compiles_does_not_count():
    with Clock() as clock:
        other = threading.Thread(target=compile_something, args=(3,))
        other.start()
        other.join()
    assert clock.seconds.compile == 0


def test_seconds_stand_still_once_the_block_has_ended():
    with Clock() as clock:
        pass
    before = clock.seconds
    compile_something(5)
    assert clock.seconds == before
