"""Search spaces: what they say, the points that they give, and a race that tunes over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.compare.contenders import contenders
from ravine.compare.space import Range, declared, in_space, read_space, trials
from ravine.core.hyperparameters import with_values

ADAM = {
    "adam": {
        "lr": {"min": 1e-3, "max": 1.0, "scaling": "log"},
        "one_minus_b1": {"min": 1e-3, "max": 0.5, "scaling": "log"},
        "eps": {"feasible_points": [1e-8, 1e-5]},
    }
}


def test_values_of_a_range():
    u = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(Range("lr", 1e-4, 1.0, True).at(u), [1e-4, 1e-2, 1.0])
    np.testing.assert_allclose(Range("beta", 0.2, 0.6).at(u), [0.2, 0.4, 0.6])
    np.testing.assert_allclose(Range("b1", 1e-3, 0.1, True, minus=True).at(u), [0.999, 0.99, 0.9])
    np.testing.assert_allclose(Range("eps", points=(1e-8, 1e-5)).at(u), [1e-8, 1e-5, 1e-5])


def test_trials_lie_in_the_space_spread_over_each_range_and_come_again():
    ranges = read_space(ADAM)["adam"]
    points = trials(ranges, 32)
    assert set(points) == {"lr", "b1", "eps"}
    assert points["lr"].min() >= 1e-3
    assert points["lr"].max() <= 1.0
    assert points["b1"].min() >= 0.5
    assert points["b1"].max() <= 0.999
    assert set(points["eps"]) == {1e-8, 1e-5}
    # A Halton sequence in base 2 has one point in each half, quarter, … of its range.
    decades = np.histogram(np.log10(points["lr"]), np.linspace(-3, 0, 5))[0]
    assert decades.tolist() == [8, 8, 8, 8]
    for name, values in trials(ranges, 48).items():
        np.testing.assert_array_equal(values[:32], points[name], err_msg=name)


def test_a_range_alone_is_walked_evenly():
    np.testing.assert_allclose(trials((Range("lr", 1e-4, 10.0, True),), 6)["lr"], np.geomspace(1e-4, 10, 6))


def test_what_came_with_a_name_keeps_its_value():
    space = read_space({"adam": {"one_minus_b1": {"min": 0.01, "max": 0.5}, "eps": {"feasible_points": [1e-8, 1e-6]}}})
    racing = contenders(["adam", "adam[b1=0.8]", "adam[lr=0.1]", rv.Adam()], "loss")
    made, ignored = in_space(racing, space)
    assert [[r.name for r in c.space] for c in made] == [["lr", "b1", "eps"], ["lr", "eps"], [], []]
    assert ignored == ["The space is not used by what races as it was given: adam (3), adam (4)."]
    assert [c.tuned for c in made] == [True, True, False, False]


@pytest.mark.parametrize(
    "given", ["adam", "adam[b1=0.8]", "adam[lr=0.1]", "bfgs", "momentum[beta=0.5]", "proxprop", "lbfgs[memory=5]"]
)
def test_a_setting_comes_back_from_its_name(given):
    (contender,) = contenders([given], "loss" if given == "proxprop" else "fun")
    point = {"lr": 0.021544346585869789, "b2": 0.99999684} if given.startswith("adam") and contender.tuned else {}
    written = contender.spec(point)
    (again,) = contenders([written], "loss" if given == "proxprop" else "fun")
    theirs, ours = (jax.tree.map(np.float32, jax.tree.leaves(m)) for m in (again.given, contender.at(point)))
    assert theirs == ours
    assert jax.tree.structure(again.given) == jax.tree.structure(contender.given)


def test_values_go_to_whoever_has_the_hyperparameter():
    method = rv.ProxProp(inner=rv.Momentum(0.1, 0.5), tau=1.0)
    changed = with_values(method, {"lr": 0.2, "beta": 0.7, "tau": 2.0})
    assert (changed.inner.lr, changed.inner.beta, changed.tau) == (0.2, 0.7, 2.0)
    assert (method.inner.lr, method.inner.beta, method.tau) == (0.1, 0.5, 1.0)


def test_declared_ranges_are_legal_for_their_methods():
    for name in ("adam", "momentum", "nesterov", "muon", "schedule_free", "prodigy", "levenberg_marquardt"):
        given = contenders(name, "residual")[0].given
        for r in declared(given):
            for value in r.at(np.array([0.0, 0.5, 1.0])):
                given.replace(**{r.name: float(value)})


def test_a_race_over_a_space_is_scored_as_any_other():
    race = rv.compare("digits_mlp[width=8]", ["adam", "sgd"], budget="2epochs", seeds=2, trials=5, space=ADAM)
    adam = next(e for e in race.entries if e.name == "adam")
    assert set(adam.tuned) == {"lr", "b1", "eps"}
    assert all(len(v) == 5 for v in adam.trials.values())
    for name, value in adam.tuned.items():
        assert np.isclose(adam.trials[name], value).sum() >= 1
    chosen = rv.compare("digits_mlp[width=8]", [with_values(rv.Adam(), adam.tuned)], budget="2epochs", seeds=2).winner
    np.testing.assert_allclose([c.final for c in chosen.curves], [c.final for c in adam.curves], rtol=1e-4)
    shipped = rv.compare("digits_mlp[width=8]", [rv.Adam()], budget="2epochs", seeds=2).winner
    np.testing.assert_allclose(adam.shipped.final, shipped.final, rtol=1e-4)
    assert adam.shipped.setting == "Adam(0.001)"


def test_what_is_to_be_expected_of_k_settings():
    """Of one setting their mean, of all of them what the best one on the tuning seeds does."""
    race = rv.compare("sphere", ["gradient_descent"], budget="3steps", trials=6, target=1e-30)
    expected = race.winner.by_trials
    assert len(expected) == 6
    start = race.winner.curves[0].loss[0]
    finals = [
        min(rv.compare("sphere", [rv.GradientDescent(float(lr))], budget="3steps").winner.final, start) for lr in race.winner.grid
    ]
    np.testing.assert_allclose(expected[0], np.mean(finals), rtol=1e-4)
    np.testing.assert_allclose(expected[-1], race.winner.final, atol=1e-12)


def test_a_best_value_at_an_end_of_its_range_is_told():
    space = {"gradient_descent": {"lr": {"min": 1e-4, "max": 1e-3, "scaling": "log"}}}
    race = rv.compare("sphere", ["gradient_descent"], budget="20steps", trials=4, space=space)
    assert any("gradient_descent (lr = 0.001 lies at the end of its range)" in w for w in race.warnings)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"adma": {}}, "unknown method 'adma'; did you mean 'adam'"),
        ({"adam": {"b3": {"min": 0, "max": 1}}}, "adam has no hyperparameter 'b3'"),
        ({"adam": {"lr": 0.1}}, "the range of adam.lr cannot be read: write { min"),
        ({"adam": {"lr": {"min": 1.0, "max": 0.1}}}, "the range of adam.lr: min must be less than max"),
        ({"adam": {"lr": {"min": 0, "max": 0.1, "scaling": "log"}}}, "greater than 0 where scaling is log"),
        ({"adam": {"lr": {"min": 0.1, "max": 1, "scale": "log"}}}, "cannot be read"),
        ({"adam": {"b1": {"min": 0.5, "max": 1.5}}}, "Adam: b1 must be at least 0 and less than 1, got b1=1.5"),
        ({"adam": {"eps": {"feasible_points": []}}}, "feasible_points must be a list of numbers"),
        ({"adam": 3}, "the space of adam must be a table"),
        (3, "space must be a TOML file or a dict"),
        ({"adam": {"b1": {"feasible_points": [0.9, 1.5, 0.99]}}}, "Adam: b1 must be at least 0 and less than 1, got b1=1.5"),
        ({"adam": {"b1": {"min": 0.1, "max": 0.5}, "one_minus_b1": {"min": 0.1, "max": 0.5}}}, "has both b1 and one_minus_b1"),
        ("nowhere.toml", "space nowhere.toml cannot be read: No such file or directory; name a TOML file"),
        ("/tmp", "space /tmp cannot be read: Is a directory"),
        ({"lion": {"lr": {"min": 0.1, "max": 1.0}}}, "the space has lion, which does not race; racing are adam"),
    ],
)
def test_a_wrong_space_is_told_the_right_one(space, words):
    with pytest.raises(ValueError, match=words):
        rv.compare("sphere", ["adam"], space=space)


def test_a_space_from_a_file(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text("[ravine.space.adam]\none_minus_b1 = { min = 1e-3, max = 0.5, scaling = 'log' }\n")
    assert read_space(file)["adam"][0] == Range("b1", 1e-3, 0.5, True, minus=True)
    file.write_text("[adam]\n")
    with pytest.raises(ValueError, match=r"has no table such as \[ravine.space.adam\]"):
        read_space(file)
    file.write_text("adam = ")
    with pytest.raises(ValueError, match="is no TOML"):
        read_space(file)
    with pytest.raises(ValueError, match="leave out space or tune=False"):
        rv.compare("sphere", ["adam"], space=ADAM, tune=False)


def test_tuning_finds_no_worse_than_its_sweep():
    sweep = rv.compare("rosenbrock", ["momentum"], budget="100steps", trials=16).winner
    tuned = rv.tune("rosenbrock", ["momentum", "bfgs"], budget="100steps", trials=24)
    momentum = next(e for e in tuned.entries if e.name == "momentum")
    assert momentum.final <= sweep.final
    assert {name.split("[")[0] for name in tuned.settings} == {"momentum", "bfgs"}
    again = rv.compare("rosenbrock", tuned.settings, budget="100steps")
    np.testing.assert_allclose(next(e for e in again.entries if e.name == "momentum").final, momentum.final, rtol=0.02)


def test_tuning_where_there_is_nothing_to_tune_is_a_race():
    assert rv.tune("sphere", ["bfgs"], budget="20steps").winner.name == "bfgs"


def test_tuning_keeps_what_came_with_a_name_and_two_of_one_name_apart():
    tuned = rv.tune("beale", ["adam[b1=0.8]", "adam", "adam[lr=0.1]", rv.BFGS()], budget="60steps", trials=6)
    by_name = {e.name: e for e in tuned.entries}
    assert set(by_name) == {"adam", "adam (2)", "adam (3)", "bfgs"}
    assert set(by_name["adam"].tuned) == {"lr", "b2", "eps"}
    assert "b1=0.8" in by_name["adam"].spec
    assert set(by_name["adam (2)"].tuned) == {"lr", "b1", "b2", "eps"}
    assert by_name["adam (3)"].spec == "adam[lr=0.1]"
    again = rv.compare("beale", tuned.settings, budget="60steps")
    for e, f in zip(sorted(again.entries, key=lambda e: e.final), sorted(tuned.entries, key=lambda e: e.final), strict=True):
        np.testing.assert_allclose(e.final, f.final, rtol=1e-4, atol=1e-9)


def test_tuning_aims_at_one_target_in_both_rounds():
    bowl = rv.Problem(name="bowl", fun=lambda x: jnp.sum((x - 3.0) ** 2) - 5, x0=jnp.zeros(2))
    tuned = rv.tune(bowl, ["momentum"], budget="20steps", trials=6, target="1%")
    assert sum(w.startswith("The target") for w in tuned.warnings) == 1
    assert f"{tuned.target:.6g}" in next(w for w in tuned.warnings if w.startswith("The target"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rv.tune("poisson[n=4]"), "is a linear system, whose methods have nothing that is tuned"),
        (lambda: rv.compare("poisson[n=4]", ["sor"], space={"sor": {"weight": {"min": 1.0, "max": 1.9}}}), "race as they are"),
        (lambda: rv.tune("sphere", ["adam"], trials=0), "trials must be a whole number of at least 1"),
        (lambda: rv.tune("sphere", ["adam"], resume="."), "tune takes neither resume nor tune"),
    ],
)
def test_what_cannot_be_tuned_is_told(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_points_have_no_edge_and_a_range_that_ends_at_one_is_legal():
    space = {"gradient_descent": {"lr": {"feasible_points": [0.01, 0.001]}}}
    race = rv.compare("sphere", ["gradient_descent"], budget="20steps", trials=4, space=space)
    assert race.winner.edge == ""
    assert race.winner.step_size == pytest.approx(0.01)
    assert not any("edge" in w or "end of" in w for w in race.warnings)
    (whole,) = read_space({"momentum": {"one_minus_beta": {"min": 0.01, "max": 1.0, "scaling": "log"}}})["momentum"]
    assert whole.at(np.array([0.0, 1.0])).tolist() == [0.99, 0.0]
