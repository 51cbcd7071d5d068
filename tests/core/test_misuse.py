"""Misuse of the front doors: one sentence that names the cure, before anything is compiled."""

import jax.numpy as jnp
import pytest

import ravine as rv


def f(x):
    return jnp.sum(x**2)


def minimize(*args, **options):
    return rv.minimize(options.pop("fun", f), jnp.ones(2), *args, **{"method": "bfgs", **options})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: minimize(fun=lambda x: None), TypeError, "<lambda> returned None in place of a number: is its `return` missing"),
        (lambda: minimize(fun=lambda x: (f(x), x)), TypeError, "<lambda> must return one number, got a tuple"),
        (lambda: minimize(fun=lambda x: {"loss": f(x)}), TypeError, "<lambda> must return one number, got a dict"),
        (lambda: minimize(fun=lambda x: "low"), TypeError, "<lambda> must return one number, got a str"),
        (
            lambda: rv.minimize(f, jnp.ones(2), "bfgs"),
            TypeError,
            "args are further arguments of fun, got 'bfgs': write method='bfgs'",
        ),
        (lambda: rv.minimize(f, jnp.ones(2), rv.Adam(0.1)), TypeError, r"write method=Adam\(lr=0.1"),
        (lambda: minimize(("fast",)), TypeError, "args are arrays and numbers.* got 'fast': bind it with functools.partial"),
        (lambda: minimize(stop=100), TypeError, r"a stop criterion was expected, got 100; write for example Optimality"),
        (lambda: minimize(stop=rv.MaxSteps), TypeError, "a stop criterion was expected, got <class"),
        (lambda: rv.minimize_batch(f, jnp.ones((0, 2))), ValueError, "x0s has no problem in it"),
        (lambda: rv.minimize_batch(f, jnp.ones((3, 2)), stop=100), TypeError, "a stop criterion was expected, got 100"),
        (lambda: rv.linear_solve(jnp.eye(2), jnp.ones(2), "cg", stop=100), TypeError, "a stop criterion was expected, got 100"),
        (lambda: rv.least_squares(lambda x: x, jnp.ones(2), stop=100), TypeError, "a stop criterion was expected, got 100"),
        (
            lambda: rv.least_squares(lambda x: None, jnp.ones(2)),
            TypeError,
            "must return the residuals.*got nothing .is its `return`",
        ),
        (lambda: rv.least_squares(lambda x: "r", jnp.ones(2)), TypeError, "<lambda> must return the residuals.*got 'r'"),
        (lambda: rv.is_convex(f, (jnp.zeros(2), jnp.ones(2)), "seed"), TypeError, "key must be a seed"),
        (lambda: minimize(callback="print"), TypeError, "callback must be a function of a Result, got 'print'"),
        (lambda: minimize(key="seed"), TypeError, r"key must be a seed \(a whole number\) or a JAX key, got 'seed'"),
        (lambda: minimize(history="loss"), ValueError, "history: BFGS does not record 'loss'; it has f, optimality, x"),
        (lambda: minimize(resume=3), TypeError, "resume must be the Result of an earlier call, got int"),
    ],
)
def test_a_front_door_names_the_cure(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_run_is_gone_on_from_by_the_same_method_on_the_same_shapes_only():
    half = minimize(fun=lambda x: jnp.sum((x - 1) ** 4), stop=rv.MaxSteps(1))
    for wrong in (
        lambda: minimize(resume=half, method="lbfgs"),
        lambda: rv.minimize(f, jnp.ones(3), method="bfgs", resume=half),
        lambda: minimize(method=rv.Adam(), resume=half),
    ):
        with pytest.raises(ValueError, match="resume has the result of another method, or of parameters of another shape"):
            wrong()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rv.LBFGS(memory=0), ValueError, "LBFGS: memory must be a whole number of at least 1, got 0"),
        (lambda: rv.LBFGSB(memory=2.5), ValueError, "LBFGSB: memory must be a whole number of at least 1, got 2.5"),
        (lambda: rv.GMRES(restart=True), ValueError, "GMRES: restart must be a whole number of at least 1, got True"),
        (lambda: rv.Armijo(trials=0), ValueError, "Armijo: trials must be a whole number of at least 1, got 0"),
        (lambda: rv.BFGS(search="wolfe"), TypeError, r"BFGS: search must be a LineSearch such as StrongWolfe\(.*, got 'wolfe'"),
        (lambda: rv.BFGS(search=rv.Armijo), TypeError, "BFGS: search must be a LineSearch such as"),
        (lambda: rv.LevenbergMarquardt(linear="qr"), TypeError, r"linear must be a LinearStep such as AutoStep\(\), got 'qr'"),
        (lambda: rv.Dogleg(damping=1.0), TypeError, "Dogleg: damping must be a Damping such as TrustRadius"),
        (lambda: rv.StrongWolfe(0.9, 0.1), ValueError, "c1 must be less than c2, or no step may exist; got c1=0.9, c2=0.1"),
    ],
)
def test_a_method_s_parts_and_constants_are_checked_when_it_is_made(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_start_that_is_not_finite_is_said_to_be_none():
    r = rv.minimize(f, jnp.array([jnp.nan, 1.0]), method="bfgs")
    assert r.status is rv.Status.NONFINITE
    assert r.message.endswith("x0 itself is not finite: there is no finite point to return.")
    assert "the start is returned, where there is none either" in r.message
    assert "x0 itself" not in rv.minimize(lambda x: jnp.log(x[0]), -jnp.ones(2), method="bfgs").message
