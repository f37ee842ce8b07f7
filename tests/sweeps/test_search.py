import json
import math

import pytest

from treadle.sweeps.axes import Choices, Interval
from treadle.sweeps.search import Point, Search

AXES = (
    Choices("model", ("mlp", "tabm")),
    Interval("lr", 1e-4, 1e-1, is_log=True, is_integer=False),
    Interval("width", 8, 64, is_log=False, is_integer=True),
)


def make(sampler="tpe", pruner="none", maximize=(False,)):
    return Search(AXES, applies, sampler, pruner, maximize, seed=0, max_epochs=9)


def applies(axis, setting):
    return axis.key != "width" or setting["model"] == "mlp"


def measure(setting):
    """Best at a rate of 0.003, and with tabm."""
    return abs(math.log10(float(setting["lr"])) + 2.5) + (setting["model"] == "mlp") * 0.2


def search_on(search, points, count):
    for _ in range(count):
        setting, suggestion = search.suggest(points)
        points = [*points, Point(suggestion, "done", [measure(setting)], {1: 2.0, 2: measure(setting)})]
    return points


def reload(point):
    return Point(json.loads(json.dumps(point.suggestion)), point.state, point.values, dict(point.epochs))


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "gp", "nsga2", "qmc"])
def test_a_search_that_is_read_from_its_ledger_suggests_the_same(sampler):
    search = make(sampler)
    points = search_on(search, [], 13)
    for upto in (0, 5, 12):
        _, suggestion = make(sampler).suggest([reload(point) for point in points[:upto]])
        assert suggestion["params"] == points[upto].suggestion["params"]


def test_values_lie_in_the_space_and_depend_on_the_model():
    settings = [point.suggestion["params"] for point in search_on(make("random"), [], 20)]
    assert all(("width" in s) == (s["model"] == "mlp") for s in settings)
    assert all(1e-4 <= s["lr"] <= 1e-1 for s in settings)
    assert {type(s["width"]) for s in settings if "width" in s} == {int}


def test_points_of_qmc_fill_each_axis_evenly():
    axes = tuple(Interval(key, 0.0, 1.0, is_log=False, is_integer=False) for key in ("a", "b"))
    points = []
    for number in range(17):
        search = Search(axes, lambda *_: True, "qmc", "none", (False,), seed=0, max_epochs=9)
        points.append(Point(search.suggest(points)[1], "done", [float(number)]))
    for key in ("a", "b"):
        assert {int(16 * point.suggestion["params"][key]) for point in points[1:]} == set(range(16))


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "gp", "nsga2", "qmc"])
def test_no_setting_is_suggested_twice(sampler):
    axes = (AXES[0], Interval("width", 1, 3, is_log=False, is_integer=True))
    search = Search(axes, applies, sampler, "none", (False,), seed=0, max_epochs=9)
    points = []
    for _ in range(4):
        setting, suggestion = search.suggest(points)
        points.append(Point(suggestion, "done", [float(setting["model"] == "mlp")]))
    widths = [point.suggestion["params"].get("width", 0) for point in points]
    assert sorted(widths) == [0, 1, 2, 3]


def test_tpe_finds_the_better_region():
    tail = [measure({k: str(v) for k, v in p.suggestion["params"].items()}) for p in search_on(make(), [], 40)[30:]]
    assert sum(tail) / len(tail) < 0.5


def test_what_moves_the_objective_is_important():
    importance = make().measure_importance(search_on(make("random"), [], 40))
    assert importance["lr"] > importance["model"]
    assert make().measure_importance([]) == {}


def test_what_moves_nothing_is_unimportant_after_ten_settings():
    axes = (AXES[1], Interval("noise", 0.0, 1.0, is_log=False, is_integer=False))
    shares = []
    for seed in range(8):
        search = Search(axes, lambda *_: True, "random", "none", (False,), seed=seed, max_epochs=9)
        points = []
        for _ in range(10):
            setting, suggestion = search.suggest(points)
            points = [*points, Point(suggestion, "done", [measure({"model": "mlp", **setting})])]
        shares.append(search.measure_importance(points)["noise"])
    assert sum(shares) / len(shares) < 0.3


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_a_hopeless_trial_is_pruned_and_a_good_one_is_not(pruner):
    search = make("random", pruner)
    points, ends = [], []
    for value in [0.5] * 16 + [9.0, 0.1]:
        points.append(Point(search.suggest(points)[1], "running"))
        for epoch in range(1, 10):
            points[-1].epochs[epoch] = value
            is_hopeless, points[-1].suggestion = search.should_prune([*map(reload, points)], len(points) - 1)
            if is_hopeless:
                break
        points[-1].state, points[-1].values = ("pruned", None) if is_hopeless else ("done", [value])
        ends.append(points[-1].state)
    assert ends[-2:] == ["pruned", "done"]


def test_nothing_is_pruned_by_what_is_not_a_number():
    search = make("random", "median")
    points = search_on(search, [], 6)
    running = Point(points[0].suggestion, "running", epochs={1: math.nan, 2: math.nan})
    assert search.should_prune([*points, running], 6) == (False, running.suggestion)


def test_two_objectives():
    search = make("nsga2", maximize=(False, True))
    setting, suggestion = search.suggest([])
    points = [Point(suggestion, "done", [measure(setting), 1.0])]
    assert search.suggest(points)[0].keys() >= {"model", "lr"}


def test_failed_running_and_pruned_points_count():
    search = make()
    points = search_on(search, [], 3)
    points[0].state, points[1].state, points[2].state = "failed", "pruned", "running"
    assert search.suggest(points)[0].keys() >= {"model", "lr"}
