"""Races on several problems, and races that are read back."""

import dataclasses
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.compare.saved import merged, read, together
from ravine.compare.suite import LIMIT, Suite, file_name, score
from tests.compare.conftest import HOSTILE, comparison, curve, entry
from tests.compare.test_report import Page


def problem(name, **steps):
    """A comparison in which each method reaches the target after so many evaluations, or never."""
    entries = [entry(m, [curve([2.0] * n + [0.01] if n else [2.0, 1.0])]) for m, n in steps.items()]
    return comparison(entries, problem=name)


@pytest.fixture
def suite():
    return Suite((problem("a", adam=2, bfgs=1, lion=0), problem("b", adam=1, bfgs=3, lion=0), problem("c", adam=8, bfgs=2, lion=4)))


def test_ratios_profiles_and_scores_by_hand(suite):
    standings = {s.name: s for s in suite.standings()}
    np.testing.assert_allclose(standings["adam"].ratios, [2, 1, 4])
    np.testing.assert_allclose(standings["bfgs"].ratios, [1, 3, 1])
    np.testing.assert_allclose(standings["lion"].ratios, [np.inf, np.inf, 2])
    # The area under the profile between 1 and 4, divided by 3: bfgs has 2/3 from 1 to 3, and 3/3 from there.
    assert standings["bfgs"].score == pytest.approx((2 / 3 * 2 + 1) / 3)
    assert standings["adam"].score == pytest.approx((1 / 3 * 1 + 2 / 3 * 2) / 3)
    assert standings["lion"].score == pytest.approx((1 / 3 * 2) / 3)
    ratios, parts = standings["adam"].profile()
    assert ratios.tolist() == [1, 2, 4]
    np.testing.assert_allclose(parts, [1 / 3, 2 / 3, 1])
    assert [s.name for s in suite.standings()] == ["bfgs", "adam", "lion"]
    assert (standings["bfgs"].solved, standings["bfgs"].best, standings["lion"].solved) == (3, 2, 1)


def test_the_score_is_the_area_under_the_profile():
    ratios = np.random.default_rng(0).uniform(1, 8, 50)
    taus = np.linspace(1, LIMIT, 100_001)
    profile = (ratios[:, None] <= taus).mean(0)
    assert score(ratios) == pytest.approx(np.trapezoid(profile, taus) / (LIMIT - 1), rel=1e-4)


def test_the_speed_up_is_a_geometric_mean_over_problems_that_both_solved(suite):
    standings = {s.name: s for s in suite.standings()}
    assert suite.reference == "adam"
    assert standings["adam"].speed_up is None
    assert standings["bfgs"].speed_up == pytest.approx((2 * (1 / 3) * 4) ** (1 / 3))
    assert standings["lion"].speed_up == pytest.approx(2.0)


def test_the_verdict_and_the_warnings(suite):
    assert suite.verdict.startswith("Take bfgs: it solved 3 of 3 problems and was the quickest on 2, score 0.78; next is adam")
    assert "With 3 problems a profile says little" in suite.warnings[0]
    nobody = Suite((problem("a", adam=0), problem("b", adam=0)))
    assert nobody.verdict.startswith("No method reached the target of any of the 2 problems")
    assert any("Solved by nobody: a, b." in w for w in nobody.warnings)
    aimless = Suite((dataclasses.replace(problem("a", adam=1), target=None),))
    assert aimless.standings() == ()
    assert aimless.verdict.startswith("No problem has a target")
    assert aimless.table() == aimless.verdict
    apart = Suite((problem("a", adam=1, lion=2), problem("b", adam=1)))
    assert any("Did not race on all problems, which counts as not solved: lion." in w for w in apart.warnings)


def test_who_ends_above_the_target_has_not_solved_the_problem():
    through = comparison([entry("lion", [curve([2, 0.05, 0.5])]), entry("adam", [curve([2, 1, 0.05])])], problem="a")
    standings = {s.name: s for s in Suite((through,)).standings()}
    assert standings["lion"].solved == 0
    assert standings["adam"].solved == 1


def test_a_narrow_table_leaves_problems_out_and_says_so(suite):
    text = suite.table(width=44)
    assert max(map(len, text.splitlines()[:5])) <= 44
    assert "without room here" in text
    assert "without room" not in suite.table(120)


def test_a_suite_is_saved_with_its_problems_and_read_back(suite, tmp_path):
    page = suite.save(tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b", "c", "profile.csv", "report.html", "result.json", "summary.md"]
    assert 'href="a/report.html"' in page.read_text("utf-8")
    again = together([tmp_path / "out"])
    assert again.to_dict()["rows"] == suite.to_dict()["rows"]
    parts = together([tmp_path / "out" / name for name in "abc"])
    assert parts.verdict == suite.verdict
    assert (tmp_path / "out" / "profile.csv").read_text().splitlines()[0] == "method,axis,ratio,solved"
    with pytest.raises(ValueError, match="has races on 3 problems; name the folder of one of them"):
        read(tmp_path / "out")


def test_the_page_of_a_suite_is_well_formed_offline_and_safe(suite):
    hostile = Suite((problem(HOSTILE, adam=1, bfgs=2), *suite.comparisons), command=HOSTILE)
    page = hostile.to_html()
    parsed = Page(page)
    assert parsed.open == []
    assert "default-src 'none'" in page
    assert HOSTILE not in page
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert "src" not in attributes
        href = attributes.get("href", "#")
        assert href.startswith("#") or (href.endswith("/report.html") and ".." not in href and ":" not in href)


def test_names_of_folders_are_harmless():
    assert file_name("../../etc/passwd") == "etc-passwd"
    assert file_name("rosenbrock[n=2]") == "rosenbrock-n-2"
    assert file_name("///") == "problem"
    twice = Suite((problem("a b", adam=1), problem("a.b", adam=1)))
    assert len(set(twice.folders())) == 2


def test_the_same_problem_with_other_values_is_told_apart():
    suite = rv.compare_suite(["sphere[n=2|3]"], ["bfgs", "gradient_descent"], budget="50steps", trials=6)
    assert [c.problem for c in suite.comparisons] == ["sphere[n=2]", "sphere[n=3]"]
    assert {s.solved for s in suite.standings()} == {2}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rv.compare_suite([]), "no problems to race on"),
        (lambda: rv.compare_suite(["sphere", "sfere"], ["bfgs"]), "did you mean 'sphere'"),
        (lambda: rv.compare_suite(["sphere", "poisson[n=4]"], ["bfgs"]), "BFGS needs a scalar function"),
        (lambda: rv.compare_suite(["sphere"], ["bfgs"], resume="."), "resume is for the race on one problem"),
        (lambda: rv.compare_suite(["digits_mlp", "sphere"], ["sgd"], budget="3epochs"), "has no data, so no epochs"),
        (lambda: Suite((problem("a", adam=1),)).standings("minutes"), "axis must be one of iteration, work, seconds"),
    ],
)
def test_a_wrong_call_is_told_before_the_first_race(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_comparison_comes_back_as_it_was(tmp_path):
    race = rv.compare("digits_mlp[width=8]", ["sgd", "lion"], budget="2epochs", seeds=2, trials=3)
    race.save(tmp_path)
    again = read(tmp_path)
    assert again.to_json() == race.to_json()
    assert again.table() == race.table()
    assert again.to_html() == race.to_html()
    assert json.loads((tmp_path / "config.json").read_text())["methods"] == {"sgd": "sgd", "lion": "lion"}


def test_a_race_goes_on_where_it_was_stopped(tmp_path):
    whole = rv.compare("digits_mlp[width=8]", ["sgd", "lion", "adam"], budget="2epochs", seeds=2, trials=3)
    rv.compare("digits_mlp[width=8]", ["sgd", "lion"], budget="2epochs", seeds=2, trials=3).save(tmp_path)
    lines = []
    more = rv.compare(
        "digits_mlp[width=8]", ["sgd", "lion", "adam"], budget="2epochs", seeds=2, trials=3, resume=tmp_path, tell=lines.append
    )
    assert lines[0].startswith("racing 1 method")
    finals = ({e.name: [c.loss.tolist() for c in e.curves] for e in race.entries} for race in (whole, more))
    assert next(finals) == next(finals)
    assert any(w.startswith("Of an earlier run, and timed then: ") for w in more.warnings)
    more.save(tmp_path)
    same = rv.compare("digits_mlp[width=8]", ["sgd", "lion", "adam"], budget="2epochs", seeds=2, trials=3, resume=tmp_path)
    assert [e.name for e in same.entries] == [e.name for e in more.entries]


def test_what_was_cut_short_runs_again(tmp_path, monkeypatch):
    race = rv.compare("sphere", ["bfgs", "lbfgs"], budget="20steps")
    cut = dataclasses.replace(race, entries=tuple(dataclasses.replace(e, cut=e.name == "bfgs") for e in race.entries))
    cut.save(tmp_path)
    lines = []
    rv.compare("sphere", ["bfgs", "lbfgs"], budget="20steps", resume=tmp_path, tell=lines.append)
    assert any("BFGS(): final" in line for line in lines)
    assert not any("LBFGS()" in line for line in lines)


def test_another_race_is_not_gone_on_with(tmp_path):
    rv.compare("sphere", ["bfgs"], budget="20steps").save(tmp_path)
    with pytest.raises(ValueError, match="was another race: budget was '20 iterations' there, and is '30 iterations' now"):
        rv.compare("sphere", ["bfgs"], budget="30steps", resume=tmp_path)
    with pytest.raises(ValueError, match="a target of 1% depends on all methods"):
        rv.compare("sphere", ["bfgs"], budget="20steps", target="1%", resume=tmp_path)
    with pytest.raises(ValueError, match="there is no"):
        rv.compare("sphere", ["bfgs"], budget="20steps", resume=tmp_path / "nowhere")


def valley(curvature, start=1.0):
    return rv.Problem(name="own", fun=lambda x: curvature * jnp.sum(x**2), x0=start * jnp.ones(2), target=1e-6)


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ((valley(1.0), ["adam"]), (valley(2.0), ["adam"]), "own has another start, other data or another function now"),
        ((valley(1.0), ["adam"]), (valley(1.0, 2.0), ["adam"]), "own has another start"),
        ((valley(1.0), ["adam[b1=0.8]"]), (valley(1.0), ["adam[b1=0.3]"]), r"adam was adam\[b1=0.8\] there, and is adam\[b1=0.3\]"),
        ((valley(1.0), ["bfgs"], "3s"), (valley(1.0), ["bfgs", "lbfgs"], "3s"), "the seconds were shared by bfgs"),
    ],
)
def test_a_race_that_only_looks_the_same_is_not_gone_on_with(tmp_path, before, now, words):
    problem_, methods, *budget = before
    rv.compare(problem_, methods, budget=budget[0] if budget else "20steps", trials=2).save(tmp_path)
    problem_, methods, *budget = now
    with pytest.raises(ValueError, match=words):
        rv.compare(problem_, methods, budget=budget[0] if budget else "20steps", trials=2, resume=tmp_path)


def test_what_is_not_named_again_stays_and_another_machine_is_told(tmp_path):
    race = rv.compare("sphere", ["bfgs"], budget="20steps")
    dataclasses.replace(race, environment={"jax": "0.1"}).save(tmp_path)
    more = rv.compare("sphere", ["lbfgs"], budget="20steps", resume=tmp_path)
    assert {e.name for e in more.entries} == {"bfgs", "lbfgs"}
    assert more.options["methods"] == {"bfgs": "bfgs", "lbfgs": "lbfgs"}
    assert any("on other versions or another machine" in w for w in more.warnings)


def test_ctrl_c_in_a_later_problem_keeps_the_finished_ones(monkeypatch):
    from ravine.compare import several

    def once(planned, **how):
        if planned.options["problem"] == "booth":
            raise KeyboardInterrupt
        return race(planned, **how)

    race = several.race
    monkeypatch.setattr(several, "race", once)
    suite = rv.compare_suite(["sphere", "booth"], ["bfgs"], budget="20steps")
    assert [c.problem for c in suite.comparisons] == ["sphere"]
    assert suite.interrupted
    assert any("interrupted" in w for w in suite.warnings)
    with pytest.raises(KeyboardInterrupt):
        rv.compare_suite(["booth", "sphere"], ["bfgs"], budget="20steps")


def test_a_problem_whose_code_raises_is_left_out_and_said_to_be():
    @jax.custom_jvp
    def broken(x):
        return jnp.sum(x**2)

    @broken.defjvp
    def derivative(at, along):  # asked for in the race, not when the problem is looked at
        raise RuntimeError("no such table")

    wrong = rv.Problem(name="wrong", fun=broken, x0=jnp.ones(2))
    told = []
    suite = rv.compare_suite(["sphere", wrong, "booth"], ["bfgs"], budget="20steps", tell=told.append)
    assert [c.problem for c in suite.comparisons] == ["sphere", "booth"]
    assert suite.broken == ("wrong: RuntimeError: no such table",)
    assert "Left out, because its own code raised: wrong: RuntimeError: no such table" in suite.warnings
    assert "wrong broke: RuntimeError: no such table" in told
    assert suite.to_dict()["broken"] == [*suite.broken]
    assert "no such table" in suite.to_html()
    with pytest.raises(RuntimeError, match="no such table"):
        rv.compare_suite([wrong, wrong], ["bfgs"], budget="20steps")


def test_races_on_problems_of_one_name_are_no_race_on_one_problem(tmp_path):
    for n in (2, 4):
        rv.compare(f"rosenbrock[n={n}]", ["bfgs"], budget="50steps").save(tmp_path / str(n))
    both = together([tmp_path / "2", tmp_path / "4"])
    assert isinstance(both, Suite)
    assert [c.problem for c in both.comparisons] == ["rosenbrock[n=2]", "rosenbrock[n=4]"]
    same = rv.compare_suite([valley(1.0), valley(2.0)], ["bfgs"], budget="50steps")
    assert [c.problem for c in same.comparisons] == ["own (1)", "own (2)"]
    assert set(same.rows()[0]["ratio"]) == {"own (1)", "own (2)"}


def test_each_problem_of_a_suite_has_what_it_knows_of_a_space():
    space = {"adam": {"lr": {"min": 0.01, "max": 1.0}}, "levenberg_marquardt": {}}
    suite = rv.compare_suite([valley(1.0), "sphere"], ["adam"], budget="20steps", trials=3, space={"adam": space["adam"]})
    assert all(c.winner.step_size >= 0.01 for c in suite.comparisons)
    with pytest.raises(ValueError, match="the space has levenberg_marquardt, which does not race"):
        rv.compare_suite(["sphere", "beale"], ["adam"], space=space)


def test_where_nobody_falls_there_is_no_part_of_the_way():
    flat = rv.Problem(name="flat", fun=lambda x: 3.0 + 0.0 * jnp.sum(x), x0=jnp.ones(2))
    race = rv.compare(flat, ["bfgs", "adam"], budget="5steps", trials=2, target="1%")
    assert race.target is None
    assert any("No run came below the start" in w for w in race.warnings)


def test_races_on_one_problem_become_one_ranking(three):
    other = dataclasses.replace(three, entries=(entry("muon", [curve([2, 0.05], s) for s in (0, 1)]), three.entries[0]))
    both = merged([three, dataclasses.replace(other, budget="9 epochs", environment={"jax": "1.0"})])
    assert [e.name for e in both.entries] == ["muon", "adam", "adam (2)", "sgd", "lion"]
    assert any(w.startswith("Made of 2 races") for w in both.warnings)
    assert any("Budgets differ: 3 epochs; 9 epochs." in w for w in both.warnings)
    assert any("Machines or versions differ" in w for w in both.warnings)
    with pytest.raises(ValueError, match=r"different target have no common ranking: 0.1 and 0.2"):
        merged([three, dataclasses.replace(three, target=0.2)])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"problems": 3}', '{"problems": []}', '{"problem": "a", "entries": [3]}', "null"]
)
def test_a_file_that_is_no_result_is_refused_in_words(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match="is no result of `ravine compare`"):
        read(tmp_path)


def test_the_interval_of_an_expected_cost():
    same = entry("adam", [curve([2, 1, 0.05], s) for s in range(3)])
    assert same.interval("iteration", 0.1) == (20.0, 20.0)
    mixed = entry("adam", [curve([2, 0.05], 0), curve([2, 1, 1, 0.05], 1), curve([2, 1, 1, 1], 2)])
    low, high = mixed.interval("iteration", 0.1)
    assert low == 10.0
    assert high == np.inf  # one draw in 27 has no seed that got there
    assert low < mixed.expected("iteration", 0.1) < high
    assert "10 ms – ∞" in comparison([mixed]).to_html()
    assert entry("adam", [curve([2, 0.05])]).interval("iteration", 0.1) is None
    assert mixed.interval("iteration", 1e-9) is None


def test_a_system_cut_short_is_not_called_finished():
    from ravine.compare.budget import Budget
    from ravine.compare.contenders import contenders
    from ravine.compare.load import load_problem
    from ravine.compare.race_systems import SystemRace

    (jacobi,) = contenders(["jacobi"], "system")
    for stopped in (True, False):
        run = SystemRace(load_problem("poisson[n=8]")).run(
            jacobi, Budget(3000, 1, "3,000 iterations"), lambda stopped=stopped: stopped
        )
        run.prepare_timing()
        run.pace.append(run.once())
        assert run.entry().cut == stopped


def test_a_measure_with_a_slash_in_its_name_is_saved(tmp_path):
    data = (np.ones((8, 2), np.float32), np.ones(8, np.float32))

    def loss(p, batch):
        return jnp.mean((batch[0] @ p - batch[1]) ** 2)

    own = rv.Problem(
        name="own", loss=loss, x0=np.zeros(2, np.float32), data=data, batch_size=4, validation=data, metrics={"acc/top1": loss}
    )
    rv.compare(own, ["sgd"], budget="2epochs", seeds=1, trials=2).save(tmp_path)
    assert "validation_acc-top1.svg" in os.listdir(tmp_path)
