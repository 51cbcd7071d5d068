"""Every rule is an optax transformation as it stands, and every optax transformation trains."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.core.registry import method_class, names

RULES = names("first_order")
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.1, -0.2])}


def loss(p):
    return jnp.sum((p["w"] - 0.5) ** 2) + jnp.sum(jnp.abs(p["b"]) ** 1.5)


def run(transformation, steps=10):
    params, state = PARAMS, transformation.init(PARAMS)
    update = jax.jit(transformation.update)
    for _ in range(steps):
        updates, state = update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", RULES)
def test_in_a_chain_after_clipping(name):
    rule = method_class(name)()
    chained = run(optax.chain(optax.clip(0.1), rule))
    by_hand, state = PARAMS, rule.init(PARAMS)
    for _ in range(10):
        g = jax.tree.map(lambda v: jnp.clip(v, -0.1, 0.1), jax.grad(loss)(by_hand))
        updates, state = rule.update(g, state, by_hand)
        by_hand = optax.apply_updates(by_hand, updates)
    for a, b in zip(jax.tree.leaves(chained), jax.tree.leaves(by_hand), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_under_a_mask(name):
    if method_class(name).scope == "tree":
        pytest.skip("sees all parameters at once: a mask hands it a tree with holes, whose parts have no vector")
    masked = optax.chain(
        optax.masked(method_class(name)(), {"w": True, "b": False}), optax.masked(optax.set_to_zero(), {"w": False, "b": True})
    )
    params = run(masked)
    assert params["b"].tolist() == PARAMS["b"].tolist()
    assert not np.allclose(params["w"], PARAMS["w"])


@pytest.mark.parametrize("name", [n for n in RULES if any(h.schedule for h in method_class(n).hypers())])
def test_with_a_schedule(name):
    cls = method_class(name)
    scheduled = run(cls(optax.piecewise_constant_schedule(0.01, {5: 0.0})))
    stopped = run(cls(0.01), steps=5)
    same = all(np.allclose(a, b, rtol=1e-6) for a, b in zip(jax.tree.leaves(scheduled), jax.tree.leaves(stopped), strict=True))
    # A step size of 0 from the sixth step on leaves the parameters, except where a rule's velocity holds earlier step sizes.
    assert same or name in ("momentum", "nesterov", "schedule_free", "prodigy")


def test_the_state_is_a_pytree_that_optax_can_look_into():
    state = optax.chain(optax.clip_by_global_norm(1.0), rv.Adam(1e-3)).init(PARAMS)
    assert optax.tree_utils.tree_get(state, "t") == 0


@pytest.mark.parametrize(
    "transformation",
    [
        optax.adamw(5e-2),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
        optax.chain(optax.add_decayed_weights(1e-3), rv.Momentum(0.05, 0.9)),
        optax.adam(optax.cosine_decay_schedule(0.2, 60)),
        # These ask for the value, the gradient or the function itself.
        optax.lbfgs(),
        optax.polyak_sgd(1.0),
        optax.chain(rv.Adam(5e-2), optax.contrib.reduce_on_plateau(cooldown=10)),
    ],
)
def test_any_optax_transformation_trains(transformation):
    x = np.random.default_rng(0).normal(size=(128, 3))
    y = x @ np.array([1.0, -2.0, 0.5])

    def fit(p, batch):
        a, b = batch
        return jnp.mean((a @ p - b) ** 2)

    r = rv.train(fit, jnp.zeros(3), (x, y), transformation, batch_size=32, epochs=15, key=0)
    assert r.fun < 0.5 * np.mean(y**2)


def test_a_line_search_of_optax_asks_the_function():
    def quartic(x):
        return jnp.sum((x - 1.0) ** 4)

    r = rv.minimize(quartic, jnp.zeros(3), method=optax.lbfgs(), stop=rv.MaxSteps(5))
    theirs, state = jnp.zeros(3), optax.lbfgs().init(jnp.zeros(3))
    for _ in range(5):
        f, g = jax.value_and_grad(quartic)(theirs)
        with jax.numpy_dtype_promotion("standard"):
            u, state = optax.lbfgs().update(g, state, theirs, value=f, grad=g, value_fn=quartic)
        theirs = optax.apply_updates(theirs, u)
    np.testing.assert_allclose(r.x, theirs, rtol=1e-12)


def test_train_with_optax_s_adam_is_train_with_ours():
    x = np.random.default_rng(0).normal(size=(64, 3))
    y = x @ np.array([1.0, -2.0, 0.5])

    def fit(p, batch):
        a, b = batch
        return jnp.mean((a @ p - b) ** 2)

    ours = rv.train(fit, jnp.zeros(3), (x, y), rv.Adam(1e-2), batch_size=16, epochs=5, key=0)
    theirs = rv.train(fit, jnp.zeros(3), (x, y), optax.adam(1e-2), batch_size=16, epochs=5, key=0)
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in RULES if method_class(n).needs_params])
def test_a_rule_that_reads_the_parameters_says_so(name):
    rule = method_class(name)()
    with pytest.raises(ValueError, match=r"reads the parameters: call update\(grads, state, params\)"):
        rule.update(PARAMS, rule.init(PARAMS))
