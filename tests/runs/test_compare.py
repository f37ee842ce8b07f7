"""Runs side by side: what sets each apart, their order, and how that looks in a terminal and on a page."""

import io
import re
import shutil
from dataclasses import replace

import pytest
from rich.console import Console

from runs import run_quick, treadle
from treadle.metrics.registry import METRICS
from treadle.runs.compare import compare_runs
from treadle.runs.comparison_views import print_comparison
from treadle.runs.read import read_run

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second


@pytest.fixture
def two_runs(project, run_once):
    for overrides in ((), ("model.width=64", "schedule.max_epochs=3")):
        shutil.copytree(run_once("tracker=disabled", *overrides), project / "runs", dirs_exist_ok=True)
    return sorted(path.parent for path in project.glob("runs/*/stages.json"))


@pytest.fixture
def vary(two_runs):
    """Makes a run from a real one, with other values of the configuration and other epochs."""
    run = read_run(two_runs[0])

    def make(name, rmse=0.5, **changes):
        values = {key: value for key, value in {**run.values, **changes}.items() if value is not None}
        epochs = [
            {"epoch": 1.0, "valid/loss": rmse + 1, "train/loss": 1.0},
            {"epoch": 2.0, "valid/loss": rmse, "train/loss": 0.5},
        ]
        return replace(run, folder=run.folder.with_name(name), values=values, epochs=epochs)

    return make


def label(*runs):
    by_name = {ranked.run.name: ranked.label for ranked in compare_runs(runs).runs}
    return [by_name[run.name] for run in runs]


def show(runs, width):
    text = io.StringIO()
    print_comparison(compare_runs(runs), Console(file=text, width=width))
    return text.getvalue()


def test_runs_are_rows_that_show_what_differs(two_runs, capsys):
    capsys.readouterr()

    assert treadle("compare") == 0

    out = capsys.readouterr().out
    rows = {folder.name: next(line for line in out.splitlines() if folder.name in line) for folder in two_runs}
    labels = {re.sub(r"\s+", " ", row.split("│")[2]).strip() for row in rows.values()}
    assert labels == {"width=16 max_epochs=2", "width=64 max_epochs=3"}
    assert out.count(" *") == 3 + 1  # of each metric, and in the explanation
    assert "sorted by" in out


def test_the_best_by_the_monitored_metric_comes_first(vary):
    runs = [vary("a", 0.7), vary("b", 0.5), vary("c", 0.6)]

    comparison = compare_runs(runs)

    assert [(ranked.run.name, ranked.score) for ranked in comparison.runs] == [("b", 0.5), ("c", 0.6), ("a", 0.7)]


def test_a_run_without_the_monitored_metric_comes_last(vary):
    other = replace(vary("other"), epochs=[])

    assert [ranked.run.name for ranked in compare_runs([vary("a"), other, vary("b", 0.4)]).runs] == ["b", "a", "other"]


def test_another_class_is_reported_by_its_name_and_not_by_all_its_arguments(vary):
    plain = vary("mlp", **{"model.width": 16})
    wide = vary("wide", **{"model.width": 64})
    linear = vary(
        "linear", **{"model._target_": "treadle.models.linear.Linear", "model.width": None, "model.dropout": None}
    )

    assert label(plain, wide, linear) == ["model=Mlp  width=16", "model=Mlp  width=64", "model=Linear"]


def test_a_blend_beside_a_model_is_one_word(vary):
    members = {f"model.members.{name}.model.width": width for name, width in (("a", 8), ("b", 16))}
    targets = {key.replace("width", "_target_"): "treadle.models.mlp.Mlp" for key in members}
    none = dict.fromkeys([key for key in vary("a").values if key.startswith("model.")])

    blend = vary("b", **none, **members, **targets, **{"model.rounds": 25})
    other = vary("c", **none, **members, **targets, **{"model.rounds": 9})

    assert label(vary("a"), blend) == ["model=Mlp", "model=Blend"]
    assert label(blend, other) == ["rounds=25", "rounds=9"]


def test_names_are_as_short_as_they_differ(vary):
    first = vary("a", **{"data.split.seed": 0, "seed": 0, "schedule.optimizer.lr": 0.001})
    second = vary("b", **{"data.split.seed": 1, "seed": 1, "schedule.optimizer.lr": 0.01})

    assert label(first, second) == ["seed=0  split.seed=0  lr=0.001", "seed=1  split.seed=1  lr=0.01"]


def test_a_section_with_many_values_is_named_as_a_whole(vary):
    many = {f"features.derive.x{index}": "a + 1" for index in range(9)}

    assert label(vary("a"), vary("b", **many)) == ["the same configuration", "features.derive: 9 values"]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_twelve_runs_are_readable_at_any_width(vary, width):
    runs = [vary(f"california-{index:08x}", 0.5 + index / 100, **{"model.width": 2**index}) for index in range(12)]

    out = show(runs, width)

    assert max(map(len, out.splitlines())) <= width
    for index, run in enumerate(runs):
        assert any(run.name in line and f"width={2**index}" in line for line in out.splitlines())
    assert ("not shown" in out) == (width == 80)


@pytest.mark.parametrize("width", [100, 130, 160])
def test_seven_metrics_stand_whole_beside_each_other_or_are_left_out(vary, width):
    values = {metric.name: 0.123456 for metric in METRICS["binary"]}
    runs = [
        replace(vary(name, **{"model.width": size}), metrics=values) for name, size in (("a" * 22, 1), ("b" * 22, 2))
    ]
    text = io.StringIO()

    print_comparison(replace(compare_runs(runs), metrics=list(METRICS["binary"])), Console(file=text, width=width))

    lines = text.getvalue().splitlines()
    rows = [line for line in lines if "0.1235" in line]
    assert max(map(len, lines)) <= width
    assert all(row.rstrip().endswith("│") for row in rows)
    left_out = [line for line in lines if line.startswith("not shown")]
    assert rows[0].count("0.1235") + sum(line.count(", ") + 1 for line in left_out) >= len(METRICS["binary"])


def test_what_is_known_elsewhere_is_no_label(project, run_once):
    """The question of an experiment is long, and cannot change a result."""
    shutil.copytree(run_once("tracker=disabled"), project / "runs", dirs_exist_ok=True)

    run = read_run(next(path.parent for path in project.glob("runs/*/stages.json")))

    assert not {"name", "question"} & run.values.keys()


def test_the_best_of_comparable_runs_only_is_marked(two_runs, project, capsys):
    run_quick("experiment=california", "tracker=disabled", "data.split.seed=1")
    capsys.readouterr()

    treadle("compare")

    assert capsys.readouterr().out.count("*") == 1  # in the explanation


def test_a_page_holds_everything_itself(two_runs, project):
    assert treadle("compare", *map(str, two_runs), "--html", "out/page.html") == 0

    page = (project / "out" / "page.html").read_text()
    assert not re.search(r'(src|href)="(?!#)', page)
    assert page.count("<svg") >= 3
    assert "model.width" in page
    assert all(f'<th scope="row">{folder.name}</th>' in page for folder in two_runs)
