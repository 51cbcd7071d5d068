"""Every mistake gets one sentence that says what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv


class Loader:
    """An iterable of batches."""

    def __iter__(self):
        return iter(())


def refused(error, match, *args, **keywords):
    with pytest.raises(error, match=match) as caught:
        rv.train(*args, **keywords)
    assert "\n" not in str(caught.value)


def test_data(loss, start, line):
    x, y = line
    given = {"batch_size": 16, "epochs": 1}
    refused(ValueError, r"disagree on the number of examples: data\[0\] has 64, data\[1\] has 63", loss, start, (x, y[1:]), **given)
    refused(ValueError, "empty: it has no examples", loss, start, (x[:0], y[:0]), **given)
    refused(ValueError, "holds no arrays", loss, start, (), **given)
    refused(ValueError, r"data\[1\] is a scalar", loss, start, (x, np.float32(1)), **given)
    refused(TypeError, "data must be arrays, an iterable of batches", loss, start, 3.0, **given)
    refused(ValueError, "batch_size=65 must be between 1 and the 64 examples", loss, start, line, batch_size=65, epochs=1)
    refused(ValueError, "batch_size=0", loss, start, line, batch_size=0, epochs=1)
    refused(ValueError, "batch_size=8.5 must be .* a whole number", loss, start, line, batch_size=8.5, epochs=1)
    refused(ValueError, "batch_size=True must be .* a whole number", loss, start, line, batch_size=True, epochs=1)
    refused(ValueError, "batch_size='all' must be .* a whole number", loss, start, line, batch_size="all", epochs=1)
    lists = (x.tolist(), y.tolist())
    refused(ValueError, r"data\[0\]\[0\]\[0\] is of type float; data must be arrays: make them with", loss, start, lists, **given)
    refused(ValueError, "data is of type str; data must be arrays", loss, start, "digits", **given)
    refused(TypeError, "key must be a seed .* or a JAX key, got 'one'", loss, start, line, key="one", **given)
    as_objects, words = x.astype(object), y.astype(str)
    refused(ValueError, r"data\[0\] has dtype object; data must be numbers", loss, start, (as_objects, y), **given)
    refused(ValueError, r"data\[1\] has dtype <U32; data must be numbers", loss, start, (x, words), **given)
    refused(ValueError, 'ragged must be "drop" or "keep"', loss, start, line, ragged="pad", **given)


def test_iterables(loss, start, line):
    refused(ValueError, "empty: the iterable yielded no batch", loss, start, iter(()), steps=3)
    refused(ValueError, "batch_size is for data held in arrays", loss, start, iter([line]), batch_size=4, steps=3)
    refused(ValueError, "how long to train", loss, start, [line, line])
    x, y = line
    fails = r"loss\(params, batch\) fails on batch 2 of \('float32\[64, 2\]', 'float32\[64\]'\): "
    refused(ValueError, fails, loss, start, iter([line, (x[:, :2], y)]), steps=3)
    refused(ValueError, "batch 3 is empty: it has no examples", loss, start, iter([line, line, (x[:0], y[:0])]), steps=3)
    forms = r"batch 2 must have the form of batch 1: it has batch 2\[0\], batch 2\[1\], batch 2\[2\], and batch 1 has"
    refused(ValueError, forms, lambda p, b: jnp.mean(b[0] @ p["w"]), start, iter([line, (x, y, y)]), steps=3)
    words = (x, y.astype(str))
    refused(ValueError, r"batch 1\[1\] has dtype <U32; batch 1 must be numbers", loss, start, iter([words]), steps=3)


def test_how_long(loss, start, line):
    refused(ValueError, "how long to train: epochs=10", loss, start, line)
    refused(ValueError, "epochs must be a whole number of at least 1, got 0", loss, start, line, epochs=0)
    refused(ValueError, "steps must be a whole number of at least 1, got 1.5", loss, start, line, steps=1.5)


def test_methods(loss, start, line):
    refused(ValueError, "adam", loss, start, line, "adma", epochs=1)
    refused(TypeError, "method must be a name", loss, start, line, 3, epochs=1)
    refused(TypeError, "Adam is a class; write Adam", loss, start, line, rv.Adam, epochs=1)
    refused(ValueError, "call minimize", loss, start, line, "bfgs", epochs=1)
    with pytest.raises(ValueError, match=r"lr must be greater than 0, got lr=-0\.1"):
        rv.Adam(-0.1)
    with pytest.raises(ValueError, match="lr must be finite, got lr=inf"):
        rv.SGD(np.inf)


def test_schedules(loss, start, line):
    """They are asked for their first and their last value before anything runs."""
    words = "SGD: the schedule of lr must return one finite number, 0 or greater; at "
    refused(ValueError, words + r"0 it is -0\.1", loss, start, line, rv.SGD(lambda k: -0.1), epochs=1)
    refused(ValueError, words + r"29 it is -28\.9", loss, start, line, rv.SGD(lambda k: 0.1 - k), epochs=30)
    refused(ValueError, words + "0 it is nan", loss, start, line, rv.SGD(lambda k: np.nan), epochs=1)
    refused(ValueError, words + "0 it is 'fast'", loss, start, line, rv.SGD(lambda k: "fast"), epochs=1)
    refused(ValueError, words + r"0 it is Array\(\[1\., 1\.\]", loss, start, line, rv.SGD(lambda k: jnp.ones(2)), epochs=1)
    refused(
        ValueError,
        r"SGD: lr must be one number, got an array of shape \(3,\): sweep",
        loss,
        start,
        line,
        rv.SGD(np.ones(3)),
        epochs=1,
    )
    with pytest.raises(ValueError, match=words + "0 it is -1"):
        rv.minimize(lambda x: jnp.sum(x**2), jnp.ones(2), method=rv.SGD(lambda k: -1))
    assert rv.train(loss, start, line, rv.SGD(lambda k: 0.1 * k), epochs=2).status is rv.Status.MAX_STEPS  # a warm-up begins at 0


def test_losses(loss, start, line):
    x, y = line
    refused(TypeError, "loss must be a function, got dict; did you mean to swap", start, loss, line, epochs=1)
    refused(ValueError, r"loss must return a scalar.*\(64,\): average it", lambda p, b: b[0] @ p["w"], start, line, epochs=1)
    refused(ValueError, "<lambda> returned None in place of a number", lambda p, b: None, start, line, epochs=1)
    refused(ValueError, "<lambda> must return one number, got a tuple", lambda p, b: (p["b"], p), start, line, epochs=1)
    refused(TypeError, "floating-point number, got dtype int", lambda p, b: jnp.int32(3), start, line, epochs=1)
    fails = r"loss\(params, batch\) fails on a batch of \('float32\[16, 2\]', 'float32\[16\]'\)"
    refused(ValueError, fails, loss, start, (x[:, :2], y), batch_size=16, epochs=1)


def test_parameters(loss, line):
    refused(
        TypeError, r"params\['w'\] has dtype int.*astype\(float\)", loss, {"w": np.arange(3), "b": np.float32(0)}, line, epochs=1
    )
    refused(ValueError, "params has no parameters", loss, {}, line, epochs=1)
    refused(TypeError, r"params\['b'\] is the integer 0; .* write 0\.0, or leave it out", loss, {"w": 1.0, "b": 0}, line, epochs=1)
    refused(TypeError, "params holds no array to be trained, only str", loss, {"w": "a"}, line, epochs=1)


def test_validation_and_metrics(loss, start, line):
    x, y = line
    refused(ValueError, "pass validation=", loss, start, line, epochs=1, metrics=loss)
    refused(TypeError, "metrics must be a function", loss, start, line, epochs=1, metrics=3, validation=line)
    refused(ValueError, "validation is empty", loss, start, line, epochs=1, validation=(x[:0], y[:0]))
    refused(
        ValueError,
        r"loss\(params, batch\) fails on validation of \('float32\[64, 2\]', 'float32\[64\]'\): ",
        loss,
        start,
        line,
        epochs=1,
        validation=(x[:, :2], y),
    )
    refused(ValueError, r"validation\[0\] has 64", loss, start, line, epochs=1, validation=(x, y[1:]))
    forms = r"validation must have the form of data: it has validation\[0\], and data has data\[0\], data\[1\]"
    refused(ValueError, forms, loss, start, line, epochs=1, validation=(x,))
    forms = r"validation must have the form of data: it has validation\['x'\], validation\['y'\], and data"
    refused(ValueError, forms, lambda params, batch: params["b"], start, line, epochs=1, validation={"x": x, "y": y})
    assert rv.train(loss, start, line, epochs=1, validation=[x, y]).status is rv.Status.MAX_STEPS  # a list is as good as a tuple
    wide = {"wide": lambda params, batch: batch[0] @ params["w"]}
    refused(ValueError, "metric wide must be a scalar", loss, start, line, epochs=1, validation=line, metrics=wide)
    refused(ValueError, "validation is of type Loader; validation must be", loss, start, line, epochs=1, validation=Loader())
    for name in ("loss", "epoch"):
        words = f"a metric cannot be called '{name}', which is a column of the history"
        refused(ValueError, words, loss, start, line, epochs=1, validation=line, metrics={name: loss})
        refused(ValueError, words, loss, start, line, epochs=1, validation=line, metrics=lambda p, b, name=name: {name: p["b"]})


def test_stop_and_callback(loss, start, line):
    refused(TypeError, "a stop criterion was expected, got 3", loss, start, line, epochs=1, stop=3)
    refused(ValueError, "no optimality is measured in training: stop by", loss, start, line, epochs=1, stop=rv.Optimality(0.1))
    refused(ValueError, "no step is measured", loss, start, line, epochs=1, stop=rv.SmallStep(0.1) | rv.Target(0.1))
    refused(TypeError, "callback must be a function of the row of an epoch, got 3", loss, start, line, epochs=1, callback=3)


def test_inside_of_a_transformation_the_host_is_said_to_be_missing(loss, start, line):
    for transform in (jax.jit, jax.grad):
        with pytest.raises(
            TypeError, match="train runs on the host and cannot be called inside jit, vmap or grad: call it outside"
        ):
            transform(lambda s: rv.train(loss, start, line, batch_size=4, epochs=1).fun * s)(1.0)
    with pytest.raises(TypeError, match="gradient_noise runs on the host"):
        jax.jit(lambda s: rv.gradient_noise(loss, start, line).signal * s)(1.0)


def test_what_is_said_of_a_loss_that_is_not_finite_is_so(loss, start, line):
    x, y = line
    batches = [(x[i : i + 8].copy(), y[i : i + 8]) for i in range(0, 48, 8)]
    batches[4][0][0, 0] = np.nan
    r = rv.train(loss, start, batches, "sgd", epochs=1)
    assert r.message.startswith(
        "NONFINITE: no point with a finite value and gradient could be found from here; the best one is returned"
    )
    assert r.message.endswith("after 5 iterations. The loss of a batch was not finite; x are the parameters at the start.")
    np.testing.assert_array_equal(r.x["w"], start["w"])
    assert np.isfinite(r.best.fun)
