"""Every built-in problem can be made, starts at a finite value, and says what it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.problems import datasets, registry
from ravine.problems.functions import FUNCTIONS
from ravine.problems.networks import MLP, squared_loss

_DOWNLOADED = {"cifar10_convnet", "cifar10_mlp", "fashion_mnist_mlp", "mnist_mlp"}


@pytest.fixture
def small_sets(monkeypatch):
    """Ten images in the place of each downloaded set."""

    def stand_in(name, shape):
        split = datasets.Split(np.zeros((10, *shape), np.float32), np.arange(10, dtype=np.int32))
        return lambda: datasets.Dataset(split, split, split, tuple("0123456789"), name, "none")

    monkeypatch.setattr(datasets, "cifar10", stand_in("cifar10", (32, 32, 3)))
    monkeypatch.setattr(datasets, "mnist", stand_in("mnist", (28, 28, 1)))
    monkeypatch.setattr(datasets, "fashion_mnist", stand_in("fashion-mnist", (28, 28, 1)))


@pytest.mark.parametrize("name", registry.names())
def test_every_problem_starts_at_a_finite_value(name, small_sets, tmp_path):
    file = tmp_path / "matrix_market.mtx"
    file.write_text("%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 2.0\n2 2 4.0\n")
    settings = {"cifar10_mlp": {"widths": "20-10"}, "matrix_market": {"path": str(file)}}
    problem = registry.make(name, **settings.get(name, {}))
    assert problem.name.split("[")[0] == name
    assert problem.doc
    x0 = jax.eval_shape(problem.start, jax.random.key(0)) if problem.init else problem.x0
    if problem.kind == "loss":
        batch = jax.tree.map(lambda a: a[:2], problem.data)
        assert jax.eval_shape(problem.loss, x0, batch).shape == ()
        assert jax.eval_shape(problem.metrics["accuracy"], x0, problem.validation).shape == ()
        return
    if problem.A is not None:
        assert problem.A.shape == (problem.b.size, problem.b.size)
        assert np.isfinite(problem.b).all()
        return
    x0 = problem.start(jax.random.key(0))
    value = jax.jit(problem.fun or problem.residual)(jax.tree.map(jnp.asarray, x0), *problem.args)
    assert np.isfinite(value).all()
    if problem.minimum is not None:
        start = value if problem.fun else 0.5 * jnp.sum(value**2)
        assert start > problem.target > problem.minimum


@pytest.mark.parametrize("name", registry.names())
def test_every_problem_says_what_it_is(name):
    assert 15 < len(registry.summary(name)) < 125


def test_all_functions_are_registered():
    assert set(FUNCTIONS) < set(registry.names())
    assert set(registry.names()) > _DOWNLOADED


def test_parameters_reach_the_factory():
    assert registry.parameters("digits_mlp")["width"] == 32
    problem = registry.make("digits_mlp", width=7, depth=3, batch_size=None, loss="squared", start="he")
    shapes = [layer.W.shape for layer in problem.start(jax.random.key(0))]
    assert shapes == [(64, 7), (7, 7), (7, 7), (7, 10)]
    assert problem.batch_size is None
    assert registry.make("nist", name="Rat43", start=2).x0.tolist() == [700, 5, 0.75, 1.3]
    assert registry.make("more_garbow_hillstrom", number=50).x0.shape == (30,)
    assert registry.make("bundle_adjustment", cameras=2, points=5).x0.points.shape == (5, 3)


def test_squares_are_the_squared_loss():
    problem = registry.make("digits_mlp_squares", width=5, examples=20)
    params = problem.start(jax.random.key(0))
    r = problem.residual(params, *problem.args)
    assert r.shape == (20, 10)
    net = MLP((64, 5, 10), "tanh")
    np.testing.assert_allclose(0.5 * jnp.sum(r**2), squared_loss(net)(params, problem.args), rtol=1e-6)


def test_widths_are_read_from_text_and_tuples(small_sets):
    for widths in ("30-20", (30, 20)):
        problem = registry.make("mnist_mlp", widths=widths)
        assert [layer.b.shape[0] for layer in jax.eval_shape(problem.start, jax.random.key(0))] == [30, 20, 10]
    assert len(jax.eval_shape(registry.make("mnist_mlp", widths=30).start, jax.random.key(0))) == 2


@pytest.mark.parametrize(
    ("name", "given", "cure"),
    [
        ("rosenbrok", {}, "did you mean 'rosenbrock'"),
        ("rosenbrock", {"m": 3}, r"no parameter 'm'.*n"),
        ("digits_mlp", {"widht": 3}, "did you mean 'width'"),
        ("himmelblau", {"n": 3}, "it has none"),
        ("nist", {"start": 3}, "1 .far. or 2 .near."),
        ("nist", {"name": "misra1"}, "did you mean"),
        ("more_garbow_hillstrom", {"number": 54}, "between 1 and 53"),
        ("digits_mlp", {"loss": "hinge"}, "cross_entropy, squared"),
        ("mnist_mlp", {"widths": "a-b"}, "128-64"),
        ("digits_mlp_squares", {"examples": 10**6}, "between 1 and"),
    ],
)
def test_misuse_names_the_cure(name, given, cure, small_sets):
    with pytest.raises(ValueError, match=cure):
        registry.make(name, **given)
