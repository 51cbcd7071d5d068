"""Two problems of your own: change them, and ask which method to take.

ravine check problem.py                              is anything wrong with it?
ravine minimize problem.py                           one method
ravine compare --config ravine.toml                  many methods; the flags stand in ravine.toml
ravine compare "problem.py:network[width=24]"        the network below
"""

import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv


def fun(x):
    """Any function of any arrays to a number, written with jax.numpy: here a long bent valley with its floor at (1, …, 1)."""
    return jnp.sum((1 - x[:-1]) ** 2 + 50 * (x[1:] - x[:-1] ** 2) ** 2)


problem = rv.Problem(name="valley", fun=fun, x0=np.zeros(6), target=1e-6, doc="A long bent valley.")


def network(width=16):
    """Training: a small network that tells points within a ring from those outside of it."""
    points = np.random.default_rng(0).uniform(-1, 1, (600, 2)).astype(np.float32)
    labels = (np.abs(np.linalg.norm(points, axis=1) - 0.6) < 0.2).astype(np.float32)

    def init(key):
        first, second = jax.random.split(key)
        return {
            "W1": jax.random.normal(first, (2, width)),
            "b1": jnp.zeros(width),
            "W2": jax.random.normal(second, (width,)) / width**0.5,
            "b2": jnp.zeros(()),
        }

    def logits(params, points):
        return jnp.tanh(points @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"]

    def loss(params, batch):  # the mean over a batch
        x, y = batch
        z = logits(params, x)
        return jnp.mean(jax.nn.softplus(z) - y * z)

    def accuracy(params, batch):
        x, y = batch
        return jnp.mean((logits(params, x) > 0) == (y > 0.5))

    return rv.Problem(
        name="ring",
        loss=loss,
        init=init,
        data=(points[:500], labels[:500]),
        batch_size=50,
        validation=(points[500:], labels[500:]),
        metrics={"accuracy": accuracy},
        target=0.2,
        doc="A ring in the plane.",
    )
