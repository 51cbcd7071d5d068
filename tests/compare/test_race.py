"""The race itself: fair, reproducible, truthful about what it measured; and what a wrong call is told."""

import ast
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.compare.contenders import contenders, grid
from ravine.compare.load import UserError, load_problem
from ravine.compare.race_training import TrainingRace
from ravine.compare.turn import CHUNK, SECONDS, Turn, compiled, next_chunk
from ravine.core.codegen import Compiled

SMALL = "digits_mlp[width=8]"


@pytest.fixture(scope="module")
def training():
    return rv.compare(SMALL, ["sgd", "adam"], budget="2epochs", seeds=2, trials=4, target=1.0)


def test_every_method_starts_at_the_same_points(training):
    first = [[c.loss[0] for c in e.curves] for e in training.entries]
    np.testing.assert_allclose(first[0], first[1], rtol=1e-5)
    assert len(set(first[0])) == 2


def test_the_budget_is_the_same_for_all(training):
    lengths = {tuple(c.iteration) for e in training.entries for c in e.curves}
    assert len(lengths) == 1
    for e in training.entries:
        for c in e.curves:
            assert c.iteration[-1] == round(c.work[-1] * c.iteration[1])
            np.testing.assert_allclose(c.seconds, c.iteration * e.seconds_per_iteration)


def test_step_sizes_come_from_one_grid_and_the_chosen_one_is_its_best(training):
    for e in training.entries:
        np.testing.assert_allclose(e.grid, grid(4), rtol=1e-6)
        assert e.step_size in e.grid
        assert set(training.seeds).isdisjoint(training.tuning_seeds)


def test_a_race_is_reproducible(training):
    again = rv.compare(SMALL, ["sgd", "adam"], budget="2epochs", seeds=2, trials=4, target=1.0)
    for e in training.entries:
        same = next(f for f in again.entries if f.name == e.name)
        assert same.step_size == e.step_size
        for a, b in zip(e.curves, same.curves, strict=True):
            assert a.loss.tolist() == b.loss.tolist()


def test_the_race_shows_what_train_does(training):
    """The same rule, step size, start and order of batches through a plain loop ends at the same loss."""
    entry = next(e for e in training.entries if e.name == "sgd")
    problem = load_problem(SMALL)
    race = TrainingRace(problem, training.seeds, training.tuning_seeds, grid(4))
    x = race.first_start()
    gradient = jax.jit(jax.grad(problem.loss))
    for epoch in range(2):
        for rows in np.asarray(race.order(epoch))[len(training.tuning_seeds)]:
            batch = jax.tree.map(lambda v, rows=rows: jnp.asarray(v)[rows], problem.data)
            g = gradient(x, batch)
            x = jax.tree.map(lambda p, d: p - jnp.asarray(entry.step_size, p.dtype) * d, x, g)
    np.testing.assert_allclose(entry.curves[0].loss[-1], problem.loss(x, problem.data), rtol=1e-4)


def test_gradient_descent_takes_one_step_an_epoch_along_the_gradient_of_all_batches():
    race = rv.compare(SMALL, ["gradient_descent", "sgd"], budget="3epochs", seeds=1, trials=3, target=1.0)
    entry = next(e for e in race.entries if e.name == "gradient_descent")
    problem = load_problem(SMALL)
    whole = TrainingRace(problem, race.seeds, race.tuning_seeds, grid(3))
    x = whole.first_start()
    for epoch in range(3):
        rows = np.asarray(whole.order(epoch))[len(race.tuning_seeds)].ravel()
        g = jax.grad(problem.loss)(x, jax.tree.map(lambda v, rows=rows: jnp.asarray(v)[rows], problem.data))
        x = jax.tree.map(lambda p, d: p - jnp.asarray(entry.step_size, p.dtype) * d, x, g)
        np.testing.assert_allclose(entry.curves[0].loss[epoch + 1], problem.loss(x, problem.data), rtol=1e-5)
    assert any("one step an epoch" in w for w in race.warnings)
    assert next(e for e in race.entries if e.name == "sgd").final < entry.final
    assert "sgd" not in race.paths  # it would be drawn twice


@pytest.mark.parametrize("kind", ["fun", "batch", "residual"])
def test_sgd_does_not_race_against_itself_where_there_are_no_minibatches(kind):
    racing = {c.name for c in contenders(None, kind, 10)}
    assert "gradient_descent" in racing
    assert "sgd" not in racing
    assert [c.name for c in contenders("sgd", kind)] == ["sgd"]


def test_functions_race_without_spread_and_say_so():
    race = rv.compare("rosenbrock", ["gradient_descent", "adam", "lbfgs"], budget="300steps", target=1e-3, trials=6)
    assert race.winner.name == "lbfgs"
    assert any("no spread" in w for w in race.warnings)
    alone = rv.minimize(load_problem("rosenbrock").fun, load_problem("rosenbrock").x0, method="lbfgs", stop=rv.Target(1e-3))
    assert race.winner.expected("iteration", 1e-3) == alone.nit


def test_methods_that_form_a_matrix_race_by_default_where_it_is_small():
    matrix = {"newton", "bfgs", "ssbroyden"}
    small, large = ({c.name for c in contenders(None, "batch", size)} for size in (100, 5000))
    assert small - large == matrix
    assert {"lbfgs", "newton_cg", "trust_region", "nonlinear_cg", "adam"} <= large


def test_second_order_methods_race_and_win_on_rosenbrock():
    methods = ["trust_region", "bfgs", "lbfgs", "adam"]
    result = rv.compare("rosenbrock", methods=methods, budget="500 steps", seeds=1, trials=3)
    assert {e.name for e in result.entries} == set(methods)
    assert {c.status for e in result.entries if e.name != "adam" for c in e.curves} == {"CONVERGED"}


def test_an_object_races_as_it_is_beside_an_optax_transformation():
    race = rv.compare("sphere", [rv.Momentum(0.05, 0.8), optax.sgd(0.1)], budget="100steps", target=1e-6)
    names = {e.name: e for e in race.entries}
    assert names["momentum"].step_size is None
    assert names["momentum"].setting == "Momentum(0.05, beta=0.8)"
    assert "optax" in names
    assert "rv.Momentum" in race.code or race.winner.name == "optax"


def test_without_tuning_each_method_races_with_its_default_step_size():
    race = rv.compare("sphere", ["momentum", "adam", "bfgs", "sgd[lr=0.3]"], budget="20steps", tune=False)
    raced = {e.name: e for e in race.entries}
    assert raced["momentum"].step_size == pytest.approx(rv.Momentum().lr)
    assert raced["adam"].step_size == pytest.approx(rv.Adam().lr)
    assert raced["sgd"].setting == "SGD(0.3)"
    assert race.tuning_seeds == ()
    assert any("Step sizes were not tuned" in w for w in race.warnings)
    assert not any("edge of the grid" in w for w in race.warnings)
    path = rv.minimize(load_problem("sphere").fun, load_problem("sphere").x0, method="adam", stop=rv.MaxSteps(20), history="f")
    np.testing.assert_allclose(raced["adam"].curves[0].loss, path.history["f"], rtol=1e-5)


def test_without_tuning_in_training():
    race = rv.compare(SMALL, ["adam", "sgd"], budget="2epochs", seeds=1, tune=False)
    assert {e.name: e.step_size for e in race.entries} == {"adam": pytest.approx(1e-3), "sgd": pytest.approx(rv.SGD().lr)}


LOGS = rv.Problem(name="logs", fun=lambda x: jnp.sum(jnp.log(x)), x0=-np.ones(2))
ROOTS = rv.Problem(name="roots", residual=jnp.sqrt, init=lambda key: -jnp.ones(2))


def of_loss(loss, **more):
    data = (np.ones((8, 3), np.float32), np.ones(8, np.float32))
    return rv.Problem(name="own", loss=loss, x0={"w": np.ones(3, np.float32)}, data=data, **{"batch_size": 4} | more)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (LOGS, "problem 'logs' is nan at its start: give x0 where it is finite"),
        (ROOTS, r"problem 'roots' is nan at its start: give init\(key\) where it is finite"),
        (of_loss(lambda p, b: jnp.log(-jnp.sum(p["w"]))), "problem 'own' is nan at its start on its first batch"),
        (of_loss(lambda p, b: jnp.mean(b[0] @ p["w"][1:])), r"fails on a batch of \('float32\[4, 3\]', 'float32\[4\]'\): "),
        (of_loss(lambda p, b: b[0] @ p["w"]), r"loss must return a scalar, the mean over the batch, got \(4,\)"),
        (
            of_loss(lambda p, b: jnp.mean(b[0] @ p["w"]), validation=(np.ones((8, 2), np.float32), np.ones(8, np.float32))),
            r"fails on validation of \('float32\[8, 2\]', 'float32\[8\]'\): ",
        ),
        (
            of_loss(lambda p, b: jnp.mean(b[0] @ p["w"]), validation=(np.ones((8, 3), np.float32),)),
            r"validation must have the form of data: it has validation\[0\], and data has data\[0\], data\[1\]",
        ),
    ],
)
def test_what_is_wrong_with_a_problem_is_said_before_anything_is_tuned(problem, words):
    lines = []
    with pytest.raises(ValueError, match=words):
        rv.compare(problem, ["adam"], budget="4steps", tell=lines.append)
    assert lines == []


def test_nobody_reaches_an_impossible_target():
    race = rv.compare("sphere", ["sgd"], budget="5steps", target=-1.0, trials=3)
    assert race.verdict.startswith("No method reached -1 in 5 iterations")


def test_without_a_target_the_lowest_wins():
    problem = rv.Problem(name="bowl", fun=lambda x: jnp.sum((x - 3.0) ** 2), x0=jnp.zeros(2))
    race = rv.compare(problem, ["gradient_descent", "momentum"], budget="20steps", trials=4)
    finals = [e.final for e in race.entries]
    assert finals == sorted(finals)
    assert any("There is no target" in w for w in race.warnings)


def test_a_target_may_be_a_part_of_the_way():
    problem = rv.Problem(name="bowl", fun=lambda x: jnp.sum((x - 3.0) ** 2) - 5, x0=jnp.zeros(2), target=1e-3)
    race = rv.compare(problem, ["gradient_descent", "bfgs", "adam"], budget="200steps", trials=4, target="1%")
    assert race.target == pytest.approx(-5 + 0.01 * 18, abs=1e-5)
    assert all(e.reached(race.target) for e in race.entries)
    assert any("The target -4.82 is the least value that any run saw, and 0.01 of the way" in w for w in race.warnings)
    training = rv.compare(SMALL, ["sgd", "lbfgs"], budget="2epochs", seeds=2, trials=4, target="50%")
    least, start = min(c.loss.min() for e in training.entries for c in e.curves), training.entries[0].curves[0].loss[0]
    assert least < training.target < start


def test_auto_is_the_problems_own_target_or_one_per_cent():
    assert rv.compare("sphere", ["bfgs"], budget="20steps", target="auto").target == load_problem("sphere").target
    bowl = rv.Problem(name="bowl", fun=lambda x: jnp.sum((x - 3.0) ** 2) - 5, x0=jnp.zeros(2))
    assert rv.compare(bowl, ["bfgs"], budget="20steps", target="auto").target == pytest.approx(-5 + 0.01 * 18, abs=1e-5)


def test_other_seeds_are_other_starts_and_overlapping_ones_the_same():
    def starts(**more):
        race = rv.compare(SMALL, ["sgd"], budget="1epochs", trials=2, **more)
        assert set(race.seeds).isdisjoint(race.tuning_seeds)
        return {c.seed: c.loss[0] for c in race.winner.curves}

    first, later = starts(seeds=3), starts(seed=2, seeds=2)
    assert list(later) == [2, 3]
    assert later[2] == first[2]
    assert later[3] not in first.values()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rv.compare("digts_mlp"), r"unknown problem 'digts_mlp'; did you mean 'digits_mlp'\?"),
        (lambda: rv.compare("sphere", ["adma"]), r"unknown method 'adma'; did you mean 'adam'\?"),
        (lambda: rv.compare("sphere", ["adm"]), r"unknown method 'adm'; did you mean 'adam'\?"),
        (lambda: rv.compare("sphere", ["adam[b3=1]"]), r"adam has no hyperparameter 'b3'; it has lr, b1, b2, eps"),
        (lambda: rv.compare("sphere", ["adam[lr=-1]"]), r"Adam: lr must be greater than 0, got lr=-1"),
        (
            lambda: rv.compare("sphere", budget="soon"),
            r'budget \'soon\' cannot be read; write "20epochs", "1000steps", "5000gradients" or "60s"',
        ),
        (lambda: rv.compare("sphere", budget="3epochs"), r"has no data, so no epochs; write steps"),
        (lambda: rv.compare("sphere", budget="1..2s"), r"budget '1..2s' cannot be read"),
        (
            lambda: rv.compare("sphere", target="low"),
            r"""target must be a finite number, the value that counts as solved, or a part of the way such as "1%", got 'low'""",
        ),
        (lambda: rv.compare("sphere", target="0%"), r"""target must be a finite number.*such as "1%", got '0%'"""),
        (lambda: rv.compare("poisson[n=4]", target="1%"), r"the least residual of a system is 0; write a number, such as 1e-8"),
        (lambda: rv.compare("sphere", target=float("nan")), r"target must be a finite number.*got nan"),
        (lambda: rv.compare("sphere", ["first_ordr"]), r"unknown method 'first_ordr'; did you mean 'first_order'\?"),
        (lambda: rv.compare("sphere[n=2.5]"), r"'sphere': n must be a whole number, such as 2; got 2.5"),
        (lambda: rv.compare("digits_mlp[target=low]"), r"target must be a number, such as 0.05; got 'low'"),
        (
            lambda: rv.compare("sphere", [rv.SGD(lambda k: -0.1)]),
            r"SGD: the schedule of lr must return one finite number.*it is -0.1",
        ),
        (lambda: rv.compare("sphere", tune="no"), r"tune must be True or False, got 'no'"),
        (lambda: rv.compare("sphere", seed=-1), r"seed must be a whole number of at least 0, got -1"),
        (lambda: rv.compare("sphere", seeds=1001), r"seeds must be 1,000 at most, got 1,001"),
        (lambda: rv.compare("sphere", jobs=0), r"jobs must be a whole number of at least 1, got 0"),
        (lambda: rv.compare("sphere", seeds=0), r"seeds must be a whole number of at least 1, got 0"),
        (lambda: rv.compare("sphere[n=0]"), r"n"),
        (lambda: rv.compare(rv.Problem(fun=len, x0={})), r"x0 has no parameters: it is an empty tree"),
        (lambda: rv.compare("rosenbrock[m=3]"), r"problem 'rosenbrock' has no parameter 'm'"),
        (lambda: rv.compare("sphere", []), r"no methods to race"),
        (lambda: rv.Problem(name="p", x0=0.0), r"give exactly one of fun, residual, loss and A, not none.*problem = rv.Problem\("),
        (lambda: rv.Problem(fun=len), r"give a start: either x0 or init"),
        (lambda: rv.Problem(fun=3, x0=0.0), r"fun must be a function, not int"),
        (lambda: rv.Problem(loss=len, x0=0.0), r"loss and data belong together"),
        (lambda: rv.compare("digits_mlp[batch_size=0]"), r"batch_size must be a whole number of at least 1, or None.*got 0"),
        (lambda: contenders("sphere", "fun"), r"unknown method 'sphere'"),
    ],
)
def test_a_wrong_call_is_told_the_right_one(call, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        call()


FILE = """
import jax.numpy as jnp
import ravine as rv

x0 = jnp.zeros(2)

def bowl(x):
    '''A bowl with its floor at 3.'''
    return jnp.sum((x - 3.0) ** 2)

def made(shift=1.0, *, power=2):
    return rv.Problem(name=f"made{power}", fun=lambda x: jnp.sum(jnp.abs(x - shift) ** power), x0=x0)

def broken():
    return 1 / 0

problem = rv.Problem(name="whole", fun=bowl, x0=x0, target=1e-3)
number = 3
"""
FREE = "def free(x):\n    return (x * x).sum()\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "own_problem.py"
    path.write_text(FILE)
    (tmp_path / "free_problem.py").write_text(FREE)
    monkeypatch.chdir(tmp_path)
    return path


def test_a_problem_of_one_s_own(file):
    assert load_problem("own_problem.py").name == "whole"
    assert load_problem(f"{file}:problem").target == 1e-3
    assert load_problem("own_problem.py:bowl").doc == "A bowl with its floor at 3."
    assert load_problem("own_problem:made[shift=2.0, power=4]").name == "made4"


def test_a_start_may_be_given_with_the_problem(file):
    assert load_problem("free_problem.py:free", [1.0, 2.0]).x0.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"free is a function without a start: define x0 beside it, give one as in --x0=1,2"):
        load_problem("free_problem.py:free")
    assert load_problem("rosenbrock", [0.5, 0.5]).x0.tolist() == [0.5, 0.5]
    drawn = rv.Problem(fun=jnp.sum, init=lambda key: jax.random.normal(key, (2,)))
    assert load_problem(drawn, [0.5, 0.5]).init is None
    with pytest.raises(ValueError, match=r"x0 must be like the start of 'rosenbrock', which is float64\[2\]; got float64\[3\]"):
        load_problem("rosenbrock", [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("own_problem.py:bowls", "has no attribute 'bowls'; did you mean 'bowl'"),
        ("own_problm.py", "there is no file own_problm.py; did you mean 'own_problem.py'"),
        ("no_such_module:problem", "there is no module 'no_such_module'"),
        ("own_problem.py:number", r"number is of type int, not a problem. A right one:"),
        ("own_problem.py:made[colour=1]", "made has no argument 'colour'; it has shift, power"),
        ("own_problem.py:problem[n=1]", "problem is a problem already"),
        ("rosenbrock[n=2", "the bracket does not close"),
        ("rosenbrock[n=__import__('os')]", "n must be a number, a word"),
        ("rosenbrock[2]", "inside the brackets write key=value"),
        ("rosenbrock[n=2, n=3]", "each key once"),
    ],
)
def test_a_bad_problem_is_told_the_cure(file, given, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        load_problem(given)


def test_an_error_in_the_user_s_code_is_the_user_s(file):
    with pytest.raises(UserError, match="calling broken failed") as info:
        load_problem("own_problem.py:broken")
    assert isinstance(info.value.__cause__, ZeroDivisionError)


def test_what_is_no_problem_at_all():
    with pytest.raises(TypeError, match=r"problem must be a name or a ravine.Problem, got int"):
        rv.compare(3)


def test_one_program_runs_at_a_time(monkeypatch):
    """Two that call LAPACK at once have waited for each other for ever."""
    counted, inside, most = threading.Lock(), [0], [0]

    def visit():
        with counted:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        with counted:
            inside[0] -= 1

    def visited(x):
        jax.debug.callback(visit)
        return jnp.sum(x**4)

    rv.compare(rv.Problem(fun=visited, x0=np.ones(3)), ["bfgs", "lbfgs", "nonlinear_cg"], budget="20steps")
    assert most[0] == 1


def test_programs_that_call_no_library_run_two_at_a_time_and_others_alone():
    turn, held, together = Turn(), [], []

    def hold(alone):
        with turn.taken(alone):
            held.append(alone)
            together.append(sorted(held))
            time.sleep(0.02)
            held.remove(alone)

    threads = [threading.Thread(target=hold, args=(alone,)) for alone in (False, False, True, False, True, True, False, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(together) == len(threads)
    assert [False, False] in together
    assert all(alone in ([False], [False, False], [True]) for alone in together)


@pytest.mark.parametrize(
    ("f", "alone"),
    [
        (lambda x: jnp.tanh(x @ x), False),
        (lambda x: jnp.linalg.cholesky(x @ x.T), True),
        (lambda x: jnp.linalg.solve(x, x), True),
        (lambda x: jax.pure_callback(lambda x: x, x, x), True),
        (lambda x: jax.lax.conv(x[None, None], x[None, None], (1, 1), "SAME"), True),
        (lambda x: jnp.fft.fft(x).real, True),
    ],
)
def test_what_calls_a_library_is_known_by_its_program(f, alone):
    assert compiled(Compiled(f), jnp.eye(4, dtype=jnp.float32))[1] is alone


def test_the_clock_is_looked_at_more_often_where_steps_are_slow():
    assert next_chunk(1, 60.0) == 1
    assert next_chunk(16, 10 * SECONDS) == 1
    assert next_chunk(16, 2 * SECONDS) == 8
    assert next_chunk(16, SECONDS / 1000) == 32
    assert next_chunk(CHUNK, 0.0) == CHUNK


def test_the_lines_that_use_the_winner_are_python_with_the_numbers_of_the_race():
    race = rv.compare("digits_mlp[width=8]", ["adam"], budget="2epochs", seeds=1, trials=3)
    ast.parse(race.code)
    assert "batch_size=64, epochs=2, key=0" in race.code


def test_a_gradient_of_residuals_counts_once_for_a_method_that_asks_for_the_cost():
    problem = rv.Problem(name="line", residual=lambda x: x - 1.0, init=lambda key: jnp.zeros(3), target=-1.0)
    race = rv.compare(problem, ["adam[lr=0.1]"], budget="5steps", seeds=1)
    assert race.entries[0].curves[0].work.tolist() == [1, 2, 3, 4, 5, 6]
