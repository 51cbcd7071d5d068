"""`train` against loops written by hand, and all that its result says."""

import math
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.training.batches import orders, permutation


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def by_hand(loss, params, data, transformation, batches):
    """Optax's own loop, and the loss of each step."""
    state, losses = transformation.init(params), []

    @jax.jit
    def step(params, state, rows):
        batch = jax.tree.map(lambda v: jnp.asarray(v)[rows], data)
        f, g = jax.value_and_grad(loss)(params, batch)
        u, state = transformation.update(g, state, params)
        return optax.apply_updates(params, u), state, f

    with jax.numpy_dtype_promotion("standard"):
        for rows in batches:
            params, state, f = step(params, state, rows)
            losses.append(float(f))
    return params, losses


@pytest.mark.parametrize("n", [1, 2, 64, 1625, 1626, 12_800])
def test_the_order_of_an_epoch_is_jaxs_permutation(n):
    """Up to 1,625 examples are sorted once, more twice."""
    key = jax.random.key(7)
    for epoch in (0, 3):
        np.testing.assert_array_equal(permutation(key, epoch, n), jax.random.permutation(jax.random.fold_in(key, epoch), n))


@pytest.mark.parametrize("method", [rv.Adam(0.05), optax.adam(0.05), optax.chain(optax.clip(0.5), rv.Adam(0.05))])
def test_train_is_the_loop_written_by_hand(loss, start, line, method):
    result = rv.train(loss, start, line, method, batch_size=10, epochs=7, key=3)
    batches = np.asarray(orders(jax.random.key(3), 0, n=64, steps=6, size=10, epochs=7, wanted=7))
    params, losses = by_hand(loss, start, line, optax.adam(0.05) if isinstance(method, rv.Adam) else method, batches)
    assert int(result.nit) == 42
    np.testing.assert_allclose(result.history["step_loss"], losses, rtol=2e-6)
    for name in ("w", "b"):
        np.testing.assert_allclose(result.x[name], params[name], rtol=1e-5)


def test_the_same_key_gives_the_same_bits_and_another_key_others(loss, start, line):
    one, same, other = (rv.train(loss, start, line, "adam", batch_size=8, epochs=5, key=k) for k in (1, 1, 2))
    assert equal(one.x, same.x)
    np.testing.assert_array_equal(one.history["step_loss"], same.history["step_loss"])
    assert not equal(one.x, other.x)
    assert equal(one.x, rv.train(loss, start, line, "adam", batch_size=8, epochs=5, key=jax.random.key(1)).x)


def test_looking_at_each_epoch_changes_no_bit(loss, start, line):
    plain = rv.train(loss, start, line, "adam", batch_size=8, epochs=5)
    watched = rv.train(loss, start, line, "adam", batch_size=8, epochs=5, callback=lambda row: None, validation=line)
    assert equal(plain.x, watched.x)


def test_iterations_are_told_from_epochs(loss, start, line):
    result = rv.train(loss, start, line, "sgd", batch_size=16, epochs=3, key=0)
    assert result.status is rv.Status.MAX_STEPS
    assert (int(result.nit), result.njev) == (12, 12)
    assert result.history["epoch"].tolist() == [1, 2, 3]
    assert result.history["iteration"].tolist() == [4, 8, 12]
    means = result.history["step_loss"].reshape(3, 4).mean(1)
    np.testing.assert_allclose(result.history["loss"], means, rtol=1e-6)
    np.testing.assert_allclose(result.fun, means[-1], rtol=1e-6)
    assert (np.diff(result.history["seconds"]) >= 0).all()


def test_steps_end_a_run_within_an_epoch(loss, start, line):
    result = rv.train(loss, start, line, "sgd", batch_size=16, steps=6)
    assert int(result.nit) == 6
    assert result.history["epoch"].tolist() == [1]
    assert len(result.history["step_loss"]) == 6
    assert int(rv.train(loss, start, line, "sgd", batch_size=16, steps=6, epochs=1).nit) == 4


@pytest.mark.parametrize(("ragged", "nit"), [("drop", 12), ("keep", 14)])
def test_the_last_batch_of_an_epoch(loss, start, line, ragged, nit):
    assert int(rv.train(loss, start, line, "sgd", batch_size=10, epochs=2, ragged=ragged).nit) == nit


def test_the_loss_falls_to_the_least_squares_solution_on_all_the_data(loss, start, line):
    x, y = line
    result = rv.train(loss, start, line, rv.GradientDescent(0.2), epochs=300)
    exact = np.linalg.lstsq(np.c_[x, np.ones(64)], y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[result.x["w"], result.x["b"]], exact, atol=1e-5)


def test_held_arrays_and_batches_of_them_are_the_same_run(loss, start, line):
    x, y = line
    batches = np.asarray(orders(jax.random.key(0), 0, n=64, steps=4, size=16, epochs=3, wanted=3))
    held = rv.train(loss, start, line, "adam", batch_size=16, epochs=3, key=0)
    as_list = [(x[rows], y[rows]) for rows in batches]
    for source in (as_list, (b for b in as_list), lambda epoch: as_list[4 * epoch : 4 * epoch + 4]):
        streamed = rv.train(loss, start, source, "adam", epochs=3 if callable(source) else 1)
        assert int(streamed.nit) == 12
        np.testing.assert_allclose(streamed.history["step_loss"], held.history["step_loss"], rtol=1e-5)


def test_a_generator_is_read_to_its_end(loss, start, line):
    result = rv.train(loss, start, (line for _ in range(5)), "sgd")
    assert (int(result.nit), result.status.name) == (5, "MAX_STEPS")
    result = rv.train(loss, start, (line for _ in range(5)), "sgd", epochs=2)
    assert int(result.nit) == 5
    assert "exhausted" in result.message


def test_a_torch_loader_is_an_iterable_of_batches(loss, start, line):
    torch = pytest.importorskip("torch")
    x, y = line
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=24, shuffle=False
    )
    from_torch = rv.train(loss, start, loader, "adam", epochs=4)
    by_slices = [(x[i : i + 24], y[i : i + 24]) for i in (0, 24, 48)]
    from_arrays = rv.train(loss, start, by_slices, "adam", epochs=4)
    assert int(from_torch.nit) == 12
    assert equal(from_torch.x, from_arrays.x)


def test_validation_and_metrics_have_a_row_an_epoch(loss, start, line):
    def close(params, batch):
        x, y = batch
        return jnp.mean(jnp.abs(x @ params["w"] + params["b"] - y) < 0.5, dtype=jnp.float32)

    held_out = jax.tree.map(lambda v: v[:20], line)
    result = rv.train(
        loss, start, line, rv.Adam(0.1), batch_size=16, epochs=20, validation=held_out, metrics={"close": close}, key=0
    )
    assert len(result.history["validation_loss"]) == len(result.history["close"]) == 20
    np.testing.assert_allclose(result.history["validation_loss"][-1], loss(result.x, held_out), rtol=1e-5)
    np.testing.assert_allclose(result.history["close"][-1], close(result.x, held_out), rtol=1e-6)
    best = int(np.argmin(result.history["validation_loss"]))
    assert int(result.best.nit) == result.history["iteration"][best]
    np.testing.assert_allclose(loss(result.best.x, held_out), result.history["validation_loss"][best], rtol=1e-5)


def test_target_stops_after_the_epoch_that_meets_it(loss, start, line):
    result = rv.train(loss, start, line, rv.Adam(0.1), batch_size=16, epochs=200, stop=rv.Target(0.1))
    assert result.status is rv.Status.TARGET
    assert result.success
    assert result.history["loss"][-1] <= 0.1 < result.history["loss"][-2]
    assert int(result.nit) == 4 * len(result.history["loss"])
    assert "target 0.1" in result.message


def test_seconds_stop_a_run_that_would_never_end(loss, start, line):
    result = rv.train(loss, start, line, "sgd", batch_size=16, epochs=10**7, stop=rv.MaxSeconds(0.3))
    assert result.status is rv.Status.MAX_SECONDS
    assert "0.3" in result.message
    assert np.isfinite(result.x["w"]).all()


def test_the_callback_sees_each_epoch_and_can_end_the_run(loss, start, line):
    rows = []
    result = rv.train(loss, start, line, "sgd", batch_size=16, epochs=9, callback=lambda row: rows.append(row) or row["epoch"] == 3)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert result.status is rv.Status.INTERRUPTED
    assert "callback" in result.message
    assert int(result.nit) == 12


def test_a_batch_that_is_not_finite_ends_the_run_with_the_best_epoch(loss, start, line):
    x, y = line
    bad = [(x[:16], y[:16])] * 4 + [(x[:16] * np.nan, y[:16])]
    source = [bad[:4], bad[:4], bad[3:]]
    result = rv.train(loss, start, lambda epoch: source[epoch], rv.Adam(0.1), epochs=3)
    assert result.status is rv.Status.NONFINITE
    assert not result.success
    assert int(result.nit) == 10
    assert int(result.best.nit) == 8
    kept = rv.train(loss, start, lambda epoch: source[epoch], rv.Adam(0.1), epochs=2)
    assert equal(result.x, kept.x)
    assert "best epoch" in result.message


def test_a_bad_batch_in_the_first_epoch_leaves_the_parameters_before_it(loss, start, line):
    x, y = line
    result = rv.train(loss, start, [line] * 5 + [(x * np.nan, y)], rv.Adam(0.1), epochs=1)
    assert equal(result.x, rv.train(loss, start, [line] * 5, rv.Adam(0.1), epochs=1).x)
    assert "before that batch" in result.message


def test_a_run_that_diverges_at_once_gives_back_the_start(loss, start, line):
    result = rv.train(loss, start, line, rv.SGD(1e18), batch_size=16, epochs=500)
    assert result.status is rv.Status.NONFINITE
    assert equal(result.x, start)
    assert math.isclose(result.best.fun, result.history["step_loss"][0])


def test_a_start_that_is_not_finite_is_said_to_be(loss, start, line):
    result = rv.train(loss, {**start, "b": jnp.float32(np.nan)}, line, "adam", epochs=3)
    assert result.status is rv.Status.NONFINITE
    assert int(result.nit) == 1


def test_a_second_run_compiles_nothing(loss, start, line, traces):
    counted = traces(loss)
    keywords = {"batch_size": 16, "validation": line}
    rv.train(counted, start, line, rv.Adam(0.1), epochs=2, **keywords)
    seen = counted.count
    rv.train(counted, start, line, rv.Adam(0.2), epochs=3, key=5, **keywords)
    assert counted.count == seen


@pytest.mark.parametrize("name", ["adam", "sgd", "muon", "nesterov", "prodigy"])
def test_bfloat16_parameters_train(line, name):
    def loss(params, batch):
        x, y = (v.astype(jnp.bfloat16) for v in batch)
        return jnp.mean((x @ params["w"] - y) ** 2)

    rule = {"adam": rv.Adam(0.05), "sgd": rv.SGD(0.05), "muon": rv.Muon(0.05), "nesterov": rv.Nesterov(0.05)}.get(name, name)
    begin = {"w": jnp.zeros(3, jnp.bfloat16)}
    result = rv.train(loss, begin, line, rule, batch_size=16, epochs=60, key=0)
    assert result.x["w"].dtype == jnp.bfloat16
    assert result.history["loss"][-1] < 0.2 * result.history["loss"][0]


def test_a_run_of_another_length_compiles_nothing_at_all(loss, start, line):
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )

    def fresh(params, batch):
        return loss(params, batch)

    rv.train(fresh, start, line, rv.Adam(0.1), batch_size=16, epochs=3)
    seen = len(compiled)
    assert seen > 0
    for steps in (1, 7, 30, 401):
        rv.train(fresh, start, line, rv.Adam(0.1), batch_size=16, steps=steps)
    assert len(compiled) == seen


def test_after_an_error_in_a_callback_ctrl_c_is_the_user_s_again(loss, start, line):
    def callback(row):
        raise RuntimeError("mine")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="mine") as caught:  # whose traceback holds the run
        rv.train(loss, start, line, "adam", batch_size=16, epochs=9, callback=callback)
    assert caught.traceback
    assert signal.getsignal(signal.SIGINT) is before
