"""What can stand where a method is asked for, and what the errors say."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv


def bowl(x):
    return jnp.sum((x - 1.0) ** 2)


@pytest.mark.parametrize("method", ["adam", rv.Adam(0.1), optax.adam(0.1), optax.chain(optax.clip(0.5), rv.Adam(0.1))])
def test_names_objects_and_optax_transformations(method):
    r = rv.minimize(bowl, jnp.zeros(3), method=method, stop=rv.MaxSteps(60))
    assert r.fun < bowl(jnp.zeros(3))


def test_ravine_and_optax_agree_through_the_front_door():
    ours = rv.minimize(bowl, jnp.zeros(3), method=rv.Adam(0.1), stop=rv.MaxSteps(30))
    theirs = rv.minimize(bowl, jnp.zeros(3), method=optax.adam(0.1), stop=rv.MaxSteps(30))
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-12)


def test_errors_name_the_cure():
    with pytest.raises(ValueError, match=r"unknown method 'adma'; did you mean 'adam'\?"):
        rv.minimize(bowl, jnp.zeros(2), method="adma")
    # What is proposed can solve the problem; what another library calls a method is told by its name here.
    with pytest.raises(ValueError, match=r"unknown method 'adm'; did you mean 'adam'\?"):
        rv.minimize(bowl, jnp.zeros(2), method="adm")
    with pytest.raises(ValueError, match=r"unknown method 'adm'; there are: dogleg, gauss_newton, levenberg, levenberg_marquardt$"):
        rv.least_squares(jnp.sin, jnp.zeros(2), method="adm")
    with pytest.raises(ValueError, match=r"unknown method 'lm'; did you mean 'levenberg_marquardt'\?"):
        rv.minimize(bowl, jnp.zeros(2), method="lm")
    with pytest.raises(TypeError, match=r"Adam is a class; write Adam\(…\)"):
        rv.minimize(bowl, jnp.zeros(2), method=rv.Adam)
    with pytest.raises(TypeError, match=r"method must be a name, a method such as Adam\(1e-3\)"):
        rv.minimize(bowl, jnp.zeros(2), method=3)
    with pytest.raises(ValueError, match=r"must return a scalar, got an array of shape \(2,\): sum or average it"):
        rv.minimize(lambda x: x, jnp.zeros(2))
    with pytest.raises(TypeError, match="f must be a function, got"):
        rv.minimize(jnp.zeros(2), bowl)
    with pytest.raises(TypeError, match="must return a real floating-point number"):
        rv.minimize(lambda x: jnp.sum(x).astype(int), jnp.zeros(2))


def test_a_callable_record_with_arrays_compiles_once(traces):
    counter = traces(lambda scale, x: jnp.sum(scale * (x - 1.0) ** 2))

    def go(scale):
        return rv.minimize(
            jax.tree_util.Partial(counter, scale), jnp.zeros(2), method=rv.GradientDescent(0.01), stop=rv.MaxSteps(5)
        )

    a, n = go(jnp.array([1.0, 2.0])), counter.count
    b = go(jnp.array([3.0, 4.0]))
    assert counter.count == n
    assert not np.allclose(a.x, b.x)


def test_a_constant_that_cannot_be_hashed_is_refused():
    with pytest.raises(TypeError, match="cannot be hashed; pass it through args"):
        rv.minimize(jax.tree_util.Partial(lambda box, x: jnp.sum(x), {1, 2}), jnp.zeros(2))
