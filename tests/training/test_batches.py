"""Batches: drawn without replacement, the same for the same key, epochs told from iterations, the ragged rest as documented."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.function import Function
from ravine.training.batches import SECONDS_TO_STACK, Held, Streamed


def nothing(params, batch):
    return jnp.zeros(())


def held(n, size, *, ragged="drop", key=0, whole_epochs=False):
    data = {"number": np.arange(n, dtype=np.int32)}
    return Held(Function(nothing), data, None, size=size, key=jax.random.key(key), ragged=ragged, whole_epochs=whole_epochs)


def drawn(feed, steps):
    """The examples of each step, as the driver would get them."""
    out, k = [], 0
    while k < steps:
        problem, good_for = feed(k)
        for j in range(k, min(k + good_for, steps)):
            out.append(np.asarray(problem.batch(jnp.int32(j))["number"]))
        k += good_for
    return out


@pytest.mark.parametrize("whole_epochs", [True, False])
def test_an_epoch_draws_every_example_once_in_an_order_of_its_own(whole_epochs):
    epochs = np.reshape(drawn(held(24, 4, whole_epochs=whole_epochs), 600), (100, 24))
    assert (np.sort(epochs, axis=1) == np.arange(24)).all()
    assert len({tuple(e) for e in epochs}) == 100


def test_orders_depend_on_the_key_and_the_epoch_alone():
    one = drawn(held(24, 4), 60)
    # Whether the host looks at each epoch or not, and wherever a run is taken up, the batches are the same.
    np.testing.assert_array_equal(one, drawn(held(24, 4, whole_epochs=True), 60))
    problem, _ = held(24, 4)(37)
    np.testing.assert_array_equal(problem.batch(jnp.int32(37))["number"], one[37])
    assert not np.array_equal(one, drawn(held(24, 4, key=1), 60))


def test_dropping_the_rest_leaves_out_others_in_each_epoch():
    feed = held(10, 4)
    assert feed.steps_per_epoch == 2
    batches = drawn(feed, 40)
    assert {len(b) for b in batches} == {4}
    left_out = {frozenset(range(10)) - set(np.concatenate(batches[i : i + 2]).tolist()) for i in range(0, 40, 2)}
    assert all(len(rest) == 2 for rest in left_out)
    assert len(left_out) > 5


def test_keeping_the_rest_ends_each_epoch_with_a_smaller_batch():
    feed = held(10, 4, ragged="keep")
    assert feed.steps_per_epoch == 3
    batches = drawn(feed, 12)
    assert [len(b) for b in batches] == [4, 4, 2] * 4
    for i in range(0, 12, 3):
        assert sorted(np.concatenate(batches[i : i + 3]).tolist()) == list(range(10))


def test_no_batch_size_means_all_the_data_in_order():
    feed = held(10, None)
    problem, good_for = feed(0)
    assert feed.steps_per_epoch == 1
    assert good_for > 10**9
    np.testing.assert_array_equal(problem.batch(jnp.int32(5))["number"], np.arange(10))


def every(batch, name):
    """Every batch is right."""


def streamed(source, **keywords):
    keywords = {"epochs": None, "steps": None, **keywords}
    return Streamed(Function(nothing), source, None, every, **keywords)


def stacks(feed):
    """Each stack's problem, its first step and how many steps it is good for, until there are no batches any more."""
    k = 0
    while True:
        problem, good_for = feed(k)
        if not good_for:
            return
        yield problem, k, good_for
        k += good_for


def taken(feed):
    """The batches that come."""
    steps = ((problem, j) for problem, k, good_for in stacks(feed) for j in range(k, k + good_for))
    return [np.asarray(problem.batch(jnp.int32(j))["number"]).tolist() for problem, j in steps]


def batches_of(*sizes):
    ends = np.cumsum(sizes)
    return [{"number": np.arange(e - n, e, dtype=np.int32)} for n, e in zip(sizes, ends, strict=True)]


def test_batches_of_other_shapes_come_in_the_given_order():
    source = batches_of(4, 4, 4, 2, 4)
    assert taken(streamed(iter(source))) == [b["number"].tolist() for b in source]


def test_a_list_is_read_again_and_its_epochs_are_known():
    feed = streamed(batches_of(4, 4, 4), epochs=3)
    assert taken(feed) == [b["number"].tolist() for b in batches_of(4, 4, 4)] * 3
    assert feed.epoch_ends == [3, 6, 9]
    assert feed.steps_per_epoch == 3


def test_the_end_of_an_epoch_is_known_when_its_last_stack_is_full(monkeypatch):
    monkeypatch.setattr("ravine.training.batches.STACKED_BYTES", 2 * 16)  # two batches of four int32
    feed = streamed(batches_of(4, 4, 4, 4), epochs=2)
    feed(0)
    assert feed.epoch_ends == []
    feed(2)
    assert feed.epoch_ends == [4]


def test_a_function_of_the_epoch_makes_each_epoch_anew():
    feed = streamed(lambda epoch: ({"number": np.full(2, epoch, np.int32)} for _ in range(2)), epochs=3)
    assert taken(feed) == [[0, 0], [0, 0], [1, 1], [1, 1], [2, 2], [2, 2]]


def test_a_generator_is_not_read_beyond_the_steps_that_were_asked_for():
    read = []

    def endless():
        while True:
            read.append(None)
            yield {"number": np.zeros(2, np.int32)}

    feed = streamed(endless(), steps=10)
    feed.example()
    assert feed(0)[1] == 10
    assert len(read) == 10


def test_a_resumed_run_skips_what_it_has_seen():
    source = batches_of(4, 4, 4, 2, 4, 4)
    whole = taken(streamed(iter(source)))
    for seen in range(len(source)):
        feed = streamed(iter(source))
        feed.example()
        feed(0)
        feed.skip(seen)
        problem, good_for = feed(seen)
        assert good_for >= 1
        assert np.asarray(problem.batch(jnp.int32(seen))["number"]).tolist() == whole[seen]


def test_slow_batches_are_stacked_for_a_quarter_of_a_second_only(monkeypatch):
    """In powers of two, so that few lengths compile; the batches are those of the iterable."""
    clock = [0.0]
    monkeypatch.setattr("ravine.training.batches.time.perf_counter", lambda: clock[0])

    def slow():
        for i in range(100):
            clock[0] += SECONDS_TO_STACK / 5
            yield {"number": np.full(3, i, np.int32)}

    feed = Streamed(Function(nothing), slow(), None, every, epochs=None, steps=100)
    feed.example()
    counts, k = [], 0
    while k < 100:
        counts.append(feed(k)[1])
        k += counts[-1]
    assert counts == [8] * 12 + [4]


def test_the_next_stack_is_made_ahead_and_no_step_is_lost():
    read = []

    def source(epoch):
        for b in batches_of(4, 4, 4):
            read.append(epoch)
            yield b

    feed = streamed(source, epochs=2)
    problem, good_for = feed(0)
    assert (good_for, read.count(1)) == (3, 1)  # one of the next epoch, which tells that this one has ended
    feed.prepare(2)  # a step of the stack that is in use
    assert read.count(1) == 1
    feed.prepare(3)
    assert read.count(1) == 3
    assert feed(0)[0] is problem  # still what the steps before see
    assert taken(feed) == [b["number"].tolist() for b in batches_of(4, 4, 4)] * 2


def test_what_the_iterable_raises_waits_for_the_steps_before_it():
    def source():
        yield from batches_of(4, 4)
        raise OSError("the disk is gone")

    rows = []

    def data(epoch):
        return batches_of(4, 4) if epoch == 0 else source()

    def loss(params, batch):
        return jnp.sum(params**2)

    with pytest.raises(OSError, match="the disk is gone"):
        rv.train(loss, jnp.ones(2), data, "sgd", epochs=3, callback=lambda row: rows.append(row["epoch"]))
    assert rows == [1]


def lengths_of(feed):
    """How many batches each stack has, and room for how many."""
    return [(good_for, problem.data["number"].shape[0]) for problem, _, good_for in stacks(feed)]


def test_a_shorter_stack_has_the_room_of_a_longer_one_so_that_it_does_not_compile():
    feed = streamed(lambda epoch: batches_of(*[4] * (5 - epoch)), epochs=4)
    assert lengths_of(feed) == [(5, 5), (4, 5), (3, 5), (2, 2)]


def test_longer_and_longer_stacks_have_the_room_of_a_power_of_two():
    feed = streamed(lambda epoch: batches_of(*[4] * (epoch + 3)), epochs=8)
    assert lengths_of(feed) == [(3, 3), (4, 4), (5, 8), (6, 8), (7, 8), (8, 8), (9, 16), (10, 16)]


def test_a_generator_is_exhausted_when_its_last_batch_has_been_asked_for():
    feed = streamed(iter(batches_of(4, 4, 2)))
    feed.example()
    feed(0)
    feed.prepare(2)
    assert feed.ended
    assert not feed.exhausted
    feed(2)
    feed.prepare(3)
    assert feed.exhausted


def test_nothing_is_read_where_all_steps_have_been_done(tmp_path):
    read = []

    def endless():
        while True:
            read.append(None)
            yield (np.ones((4, 2)),)

    def loss(params, batch):
        return jnp.mean((batch[0] @ params) ** 2)

    file = tmp_path / "run.npz"
    rv.train(loss, jnp.ones(2), endless(), "sgd", steps=12, checkpoint=file)
    read.clear()
    result = rv.train(loss, jnp.ones(2), endless(), "sgd", steps=5, checkpoint=file)
    assert result.nit == 12
    assert len(read) <= 14


def test_a_loss_that_is_not_finite_is_not_an_exhausted_generator():
    def source():
        for i in range(20):
            yield (np.full((4, 2), np.nan if i == 3 else 1.0),)

    result = rv.train(lambda p, b: jnp.mean(b[0] @ p), jnp.ones(2), source(), "sgd", epochs=1)
    assert result.status.name == "NONFINITE"
    assert "exhausted" not in result.message


def test_a_loader_may_hand_out_the_same_memory_again_and_again():
    memory = np.zeros(4, np.int32)

    def source():
        for b in batches_of(4, 4, 4, 4):
            memory[:] = b["number"]
            yield {"number": memory}

    assert taken(streamed(source())) == [b["number"].tolist() for b in batches_of(4, 4, 4, 4)]
    memory[:] = 0
    feed = streamed(lambda epoch: source(), epochs=2)
    assert taken(feed) == [b["number"].tolist() for b in batches_of(4, 4, 4, 4)] * 2


def test_a_callback_may_change_the_data_of_the_next_epoch():
    x = np.zeros((4, 2))
    seen = []

    def loss(params, batch):
        return jnp.mean(batch[0]) + 0 * params

    def callback(row):
        seen.append(row["loss"])
        x[:] = row["epoch"]

    rv.train(loss, jnp.ones(()), [(x[:2],), (x[2:],)], "sgd", epochs=4, callback=callback)
    assert seen == [0, 1, 2, 3]
