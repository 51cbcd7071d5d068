"""`ravine check`: each thing that may be wrong with a problem is told in its line, and what is right is called so."""

import re

import pytest

from ravine.cli import run

MINE = """
import jax
import jax.numpy as jnp
import numpy as np
import ravine as rv


@jax.custom_jvp
def cube(x):
    return x**3


cube.defjvp(lambda p, t: (cube(p[0]), 2 * p[0] ** 2 * t[0]))  # 2 in the place of 3


@jax.custom_vjp
def once(x):
    return x**2


once.defvjp(lambda x: (x**2, x), lambda x, g: (2 * g * jax.pure_callback(np.copy, x, x),))


def loss(w, batch):
    return jnp.mean((batch @ w) ** 2)


def problem(of, x0=(1.0, 2.0), **more):
    return rv.Problem(fun=of, x0=np.array(x0), **more)


data = np.random.default_rng(0).normal(size=(30, 3))
training = {"loss": loss, "x0": np.ones(3), "data": data}
bowl = problem(lambda x: jnp.sum(x**2), target=1e-3)
many = problem(lambda x: jnp.sum(x**4), x0=np.ones(300), target=1e-3)
rule = problem(lambda x: jnp.sum(cube(x)))
long_rule = problem(lambda x: jnp.sum(cube(x)), x0=np.ones(300))
corner = problem(lambda x: jnp.sqrt(jnp.sum(x**2)), x0=np.zeros(2))
solved = problem(lambda x: jnp.sum(x**2), x0=np.zeros(2), target=1.0)
kink = problem(lambda x: jnp.sum(x**2) + 0.03 * jnp.abs(x[1] - 2.0), target=1e-3)
unused = rv.Problem(fun=lambda p: jnp.sum(p["a"] ** 2), x0={"a": np.ones(2), "b": np.ones(3)})
once_only = problem(lambda x: jnp.sum(once(x)))
ill = problem(lambda x: x[0] ** 2 + 1e8 * x[1] ** 2)
unlike = rv.Problem(fun=lambda p: jnp.sum(p["a"] ** 2) + 1e6 * jnp.sum(p["b"] ** 2), x0={"a": np.ones(200), "b": np.ones(3)})
nowhere = problem(lambda x: jnp.log(-x[0]))
vector = problem(lambda x: x)
whole = problem(lambda x: jnp.sum(x), x0=(1, 2))
outside = problem(lambda x: jnp.sum(jnp.log(x)), x0=(-1.0, 2.0), bounds=(0.1, None))
at_the_edge = problem(lambda x: jnp.sum(x - jnp.log(x - 1)), x0=(1.1, 2.0), bounds=(1.1, None))
crossed = problem(lambda x: jnp.sum(x), bounds=(2.0, 1.0))
fit = rv.Problem(residual=lambda p: p[0] * jnp.arange(5.0) + p[1] - 1, x0=np.zeros(2), target=1e-3)
blind = rv.Problem(residual=lambda p: (p[0] + p[1]) * jnp.arange(5.0) - 1, x0=np.zeros(2))
idle = rv.Problem(residual=lambda p: p[0] * jnp.arange(5.0) - 1, x0=np.zeros(2))
fit_outside = rv.Problem(residual=lambda p: p - 1, x0=np.zeros(2), bounds=(0.5, None))
train = rv.Problem(**training, batch_size=7, target=1e-3)
large_batch = rv.Problem(**training, batch_size=64)
misfit = rv.Problem(loss=loss, x0=np.ones(2), data=data)
measured = rv.Problem(**training, validation=data[:9], metrics={"size": lambda w, b: jnp.sum(w)}, target=1e-3)
rows = rv.Problem(**training, validation=data[:9], metrics={"rows": lambda w, b: b @ w})
lost = rv.Problem(**training, validation=data[:9], metrics={"lost": lambda w, b: jnp.log(-jnp.sum(w**2))})
raising = rv.Problem(**training, validation=data[:9], metrics={"raising": lambda w, b: b.nothing})
system = rv.Problem(A=np.diag([1.0, 2.0, 4.0]), b=np.ones(3))
holes = rv.Problem(A=np.array([[0.0, 1.0], [1.0, 0.0]]), b=np.ones(2))
tall = rv.Problem(A=np.ones((4, 2)), b=np.ones(4))
short = rv.Problem(A=np.ones((4, 2)), b=np.ones(3))


def raises(x):
    return x.nothing


x0 = np.ones(2)
"""


@pytest.mark.parametrize(
    "name", ["rosenbrock", "digits_mlp", "poisson[n=8]", "mine.py:bowl", "mine.py:many", "mine.py:fit", "mine.py:measured"]
)
def test_nothing_is_said_against_what_is_right(name, mine, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["check", name]) == 0
    text = capsys.readouterr().out
    assert "nothing stands in the way" in text
    for line in text.splitlines()[1:-1]:
        assert line.startswith("  ok ")
    assert "speed" in text


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("rule", r"gradient +in x\[1\] it is 8 by autodiff and 12"),
        ("long_rule", r"gradient +in one direction it is"),
        ("corner", r"gradient +not finite in x"),
        ("nowhere", r"start +problem 'problem' is nan at its start"),
        ("vector", r"start +<lambda> must return a scalar"),
        ("whole", r"start +x0 has dtype int64"),
        ("crossed", r"start +the bounds of x0\[0\] cross"),
        ("fit_outside", r"bounds +the start is outside, and a fit"),
        ("misfit", r"start +loss\(params, batch\) fails on a batch of .*mine.py:\d+\)"),
        ("large_batch", r"data +batch_size is 64, and there are 30 examples"),
        ("rows", r"rows +a metric must be a scalar"),
        ("short", r"system +A is 4×2, so b must have length 4"),
    ],
)
def test_what_is_wrong_is_exit_code_1_with_the_cure(name, line, mine, capsys):
    assert run(["check", f"{mine}:{name}"]) == 1
    captured = capsys.readouterr()
    assert re.search(rf"^  wrong +{line}", captured.out, re.MULTILINE), captured.out
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("solved", r"gradient +zero at the start"),
        ("solved", r"target +1, where the start is already"),
        ("unused", r"gradient +zero in x\['b'\]"),
        ("kink", r"gradient +in x\[1\] it is .* are there kinks"),
        ("once_only", r"scaling +not measured: the problem has no second derivative"),
        ("once_only", r"target +none"),
        ("ill", r"scaling +eigenvalues .* ill-conditioned"),
        ("unused", r"scaling +eigenvalues .* singular to rounding"),
        ("unlike", r"scaling +largest curvature about 2e\+06 .* scale them alike"),
        ("outside", r"bounds +the start is outside, so runs begin"),
        ("blind", r"scaling +.* rank 1 of 2"),
        ("idle", r"scaling +there is one parameter without effect"),
        ("train", r"validation +none"),
        ("lost", r"lost +nan over"),
        ("holes", r"scaling +diagonal from 0 to 0"),
    ],
)
def test_what_is_doubtful_is_a_warning(name, line, mine, capsys):
    assert run(["check", f"{mine}:{name}"]) == 0
    text = capsys.readouterr().out
    assert re.search(rf"^  warning +{line}", text, re.MULTILINE), text
    assert re.search(r"^\d+ warnings?; \d+ ok$", text, re.MULTILINE)


def test_nothing_is_evaluated_outside_of_the_bounds(mine, capsys):
    assert run(["check", f"{mine}:at_the_edge"]) == 0
    assert "ok       gradient" in capsys.readouterr().out


def test_numbers_of_the_data_are_told(mine, capsys):
    run(["check", f"{mine}:train"])
    assert "30 examples: 4 batches of 7 an epoch, 2 left out of each" in capsys.readouterr().out
    run(["check", f"{mine}:tall"])
    assert "4×2, not square, so least squares" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["raises", "raising"])
def test_an_error_in_the_user_s_code_is_exit_code_1_with_its_line(name, mine, capsys):
    assert run(["check", f"{mine}:{name}"]) == 1
    assert ".nothing" in capsys.readouterr().err


def test_another_start_is_looked_at(capsys):
    assert run(["check", "rosenbrock", "--x0=1,1"]) == 0
    assert "the value is 0" in capsys.readouterr().out
    assert run(["check", "rosenbrock", "--x0=1,b"]) == 2
    assert run(["check", "rosenbruck"]) == 2
    assert "did you mean 'rosenbrock'" in capsys.readouterr().err
