"""A result as text, table, JSON and picture: it says what is known, and nothing that is not."""

import builtins
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv


def valley(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def lines(result):
    """The rows of a report by name."""
    rows = [line.strip().split("  ", 1) for line in result.report().splitlines() if line.startswith("  ")]
    return {name: value.strip() for name, value in rows}


def test_a_report_has_every_number_of_the_run():
    r = rv.minimize(valley, jnp.zeros(4), history="f")
    said = lines(r)
    assert said["parameters"] == "4 in 1 array"
    assert said["dtype"] == "float64"
    assert said["given"] == "auto"
    assert said["used"].startswith("TrustRegion(radius=1, ")
    assert said["why"] == r.why
    assert said["initial"] == "3"
    assert float(said["change"]) == pytest.approx(float(r.fun) - 3)
    assert int(said["accepted steps"]) == r.nit
    assert int(said["rejected steps"].split()[0]) == int(r.carry.k) - r.nit
    assert (int(said["values of f"]), int(said["Hessians"])) == (r.work["f"], r.work["h"])
    assert {"compile", "run", "total"} <= said.keys()
    assert said["status"] == r.message
    assert said["x"] == "[1, 1, 1, 1]"


def test_what_is_not_known_is_left_out():
    said = lines(rv.minimize(valley, jnp.zeros(12), method=rv.BFGS()))
    assert "initial" not in said
    assert "why" not in said
    assert "x" not in said  # too long to be read
    assert said["given"] == said["used"]
    inside = jax.jit(lambda x: rv.minimize(valley, x, method="bfgs"))(jnp.zeros(4))
    assert "run" not in lines(inside)


def test_many_problems_are_counted_by_status():
    stop = rv.MaxSteps(4) | rv.Optimality(1e-8)
    r = jax.vmap(lambda x: rv.minimize(valley, x, method="bfgs", stop=stop))(jnp.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    said = lines(r)
    assert (said["CONVERGED"], said["MAX_STEPS"]) == ("1", "2")
    assert said["parameters"] == "2 in 1 array in each of 3 problems"
    assert said["accepted steps"] == "0 to 4, median 4"
    assert "c1=0.0001" in said["used"]
    assert r.summary() == "BFGS: CONVERGED: 1, MAX_STEPS: 2"
    assert json.loads(r.to_json())["status"].count("MAX_STEPS") == 2
    with pytest.raises(ValueError, match="draws one run"):
        r.plot()


def test_right_hand_sides_along_the_second_axis_are_problems_too():
    r = rv.linear_solve(jnp.array([[4.0, 1.0], [1.0, 2.0]]), jnp.ones((2, 3)), "cg")
    assert lines(r)["parameters"] == "2 in 1 array in each of 3 problems"


def test_values_that_are_not_finite_are_said_to_be_so():
    r = rv.minimize(lambda x: jnp.sum(jnp.log(x)), -jnp.ones(2), method="bfgs")
    assert lines(r)["final"] == "nan"
    assert json.loads(r.to_json())["fun"] is None
    many = jax.vmap(lambda x: rv.minimize(lambda v: jnp.sum(jnp.log(v) ** 2), x, method="bfgs"))(jnp.array([[-1.0], [2.0]]))
    assert lines(many)["final"].endswith("; 1 not finite")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: rv.least_squares(lambda p: p["a"] * jnp.arange(5.0) - 1, {"a": jnp.zeros(())}), ["residuals", "x['a']"]),
        (lambda: rv.curve_fit(lambda t, a: a * t, jnp.arange(5.0), jnp.ones(5)).result, ["residuals", "Jacobians"]),
        (lambda: rv.linear_solve(jnp.eye(3) * 2, jnp.ones(3)), ["Cholesky(precision='same')", "products Av"]),
        (lambda: rv.minimize(lambda x: jnp.sum((x - 1) ** 2), jnp.zeros(3), g=rv.prox.L1(0.1)), ["ADMM(", "proximal operators"]),
        (
            lambda: rv.train(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(()), jnp.ones(8), optax.sgd(0.1), epochs=2),
            ["optax transformation", "MAX_STEPS"],
        ),
        (lambda: rv.minimize(valley, jnp.zeros(2), method=rv.Adam(optax.constant_schedule(0.1))), ["Adam(lr=…, b1=0.9"]),
    ],
)
def test_results_of_every_door_report(made, words):
    r = made()
    for word in words:
        assert word in r.report()
    assert json.loads(r.to_json())["message"] == r.message


def test_the_table_of_a_notebook_is_escaped():
    r = rv.minimize(lambda p: jnp.sum((p["<script>"] - 1) ** 2), {"<script>": jnp.zeros(2)})
    table = r._repr_html_()
    assert "&lt;script&gt;" in table
    assert "<script" not in table
    assert table.count("<tr>") == table.count("</tr>") == len(r.report().splitlines())


def test_inside_a_trace_there_is_a_sentence():
    seen = {}

    def inner(x):
        r = rv.minimize(valley, x, method="bfgs")
        seen["report"], seen["summary"], seen["html"] = r.report(), r.summary(), r._repr_html_()
        with pytest.raises(ValueError, match="no numbers yet"):
            r.to_dict()
        return r.x

    jax.jit(inner)(jnp.zeros(2))
    assert "not known while tracing" in seen["report"]
    assert "not known while tracing" in seen["summary"]
    assert "not known while tracing" in seen["html"]


def test_json_has_plain_values_only():
    from ravine.core.plain import plain

    tree = {"w": jnp.ones((2, 1), jnp.bfloat16), "own": rv.Adam(0.5), "pair": (np.float32(np.inf), None), "f": print}
    said = plain(tree)
    assert said["w"] == [[1.0], [1.0]]
    assert said["own"][".lr"] == 0.5
    assert said["pair"] == [None, None]
    assert "print" in said["f"]
    json.dumps(said, allow_nan=False)
    d = json.loads(rv.minimize(valley, jnp.zeros(2), history=("f", "x")).to_json())
    assert len(d["history"]["x"]) == d["nit"] + 1
    assert d["history"]["f"][0] == 1.0
    assert d["best"]["fun"] == d["fun"]


def test_a_picture_has_what_was_recorded(tmp_path):
    r = rv.minimize(valley, jnp.zeros(4), history=("f", "optimality", "x"))
    value, optimality = r.plot()
    np.testing.assert_array_equal(value.get_lines()[0].get_ydata(), r.history["f"])
    assert value.get_yscale() == "log"
    assert optimality.get_xlabel() == "iteration"
    value.figure.savefig(tmp_path / "run.svg")
    assert len(r.plot("f")) == 1
    r.plot("f", axes=value)
    with pytest.raises(ValueError, match="one for each of f, optimality"):
        r.plot(axes=value)


def test_rows_that_were_never_written_are_not_drawn():
    stop = rv.MaxSteps(50) | rv.Optimality(1e-6)
    r = jax.jit(lambda x: rv.minimize(valley, x, method="bfgs", stop=stop, history="f"))(jnp.zeros(2))
    assert len(r.plot()[0].get_lines()[0].get_ydata()) == r.nit + 1


def test_a_training_run_is_drawn_against_its_iterations():
    r = rv.train(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(()), jnp.ones(8), "sgd", batch_size=2, epochs=3)
    loss, step_loss = r.plot()
    assert loss.get_lines()[0].get_xdata().tolist() == [4, 8, 12]
    assert step_loss.get_lines()[0].get_xdata().tolist() == list(range(1, 13))


def test_a_picture_of_nothing_says_what_to_record(monkeypatch):
    r = rv.minimize(valley, jnp.zeros(2))
    with pytest.raises(ValueError, match='history="f"'):
        r.plot()
    with pytest.raises(ValueError, match='history="optimality"'):
        r.plot("optimality")
    r = rv.minimize(valley, jnp.zeros(2), history=("f", "x"))
    with pytest.raises(ValueError, match="no column 'g' was recorded; there are: f, x"):
        r.plot("g")
    with pytest.raises(ValueError, match="one number an iteration"):
        r.plot("x")
    there = builtins.__import__

    def missing(name, *more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return there(name, *more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"pip install 'ravine\[plot\]'"):
        r.plot()


def test_a_fit_that_ends_exactly_has_no_relative_optimality():
    fit = rv.least_squares(lambda x: x - 1.0, jnp.zeros(3))
    assert float(fit.scale) == 0
    assert "relative optimality" not in fit.report()
    assert "CONVERGED" in fit._repr_html_()


def test_rows_that_were_not_written_are_not_in_the_dict():
    result = jax.jit(lambda x: rv.minimize(lambda v: jnp.sum((v - 3.0) ** 2), x, method="newton", history="f"))(jnp.zeros(2))
    assert len(result.to_dict()["history"]["f"]) == int(result.nit) + 1
