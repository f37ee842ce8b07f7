"""Another bundle, such as the champion, as a baseline of the report."""

import json
import shutil

import pytest

from runs import QUICK, treadle
from treadle.evaluation.judge import read_findings
from treadle.experiment.run_folder import RunFolder

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second

COMMON = [*(override for override in QUICK if not override.startswith("model")), "tracker=disabled"]
BETTER = (
    "+evaluation.checks.better_than_champion={severity: blocker, function: "
    "{_target_: treadle.evaluation.checks.baselines.beat_baselines, baselines: [champion]}}"
)


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    """A run of a linear model, and one of a network that is compared with it."""
    project = tmp_path_factory.mktemp("champion")
    shutil.copytree(root / "conf", project / "conf")
    (project / "data").symlink_to(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert treadle("run", *COMMON, "model=linear") == 0
        (first,) = project.glob("runs/california-*")
        first.rename(project / "runs/first")
        assert treadle("run", *COMMON, "model=mlp", "model.width=16", "evaluation.champion=runs/first", BETTER) == 0
    return project


def find_second(project):
    (folder,) = project.glob("runs/california-*")
    return RunFolder(folder)


def test_it_has_the_metrics_of_its_own_evaluation_and_a_lead_with_an_interval(project):
    second, first = find_second(project), RunFolder(project / "runs/first")
    results = json.loads(second.metrics.read_text())

    assert results["champion"] == pytest.approx(json.loads(first.metrics.read_text())["model"])
    assert json.loads(second.intervals.read_text())["differences"]["champion"]["rmse"]["high"] is not None
    (found,) = [one for one in read_findings(second.checks) if one.code == "better_than_champion"]
    assert "than champion (gain" in found.outcome.sentence
    assert '<th scope="col">champion</th>' in second.report.read_text()


def test_the_same_bundle_in_another_place_is_the_same_run_and_another_one_is_another(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    shutil.copytree("runs/first/bundle", "kept")
    again = [*COMMON, "model=mlp", "model.width=16", BETTER]

    assert treadle("run", *again, "evaluation.champion=kept", "--why") == 0
    assert "would run" not in capsys.readouterr().out
    shutil.copytree(find_second(project).bundle, "other")
    assert treadle("run", *again, "evaluation.champion=other", "--why") == 0
    told = capsys.readouterr().out
    assert "evaluate   would run" in told
    assert "train      would run" not in told


def test_a_champion_of_another_question_is_refused(project, monkeypatch, capsys, root):
    monkeypatch.chdir(project)
    shutil.copytree(root / "tests/golden/teacher", "flights")

    assert treadle("check", *COMMON, "evaluation.champion=flights") == 2
    assert "the champion is for the task 'binary'; data.task is 'regression'" in capsys.readouterr().err
    assert treadle("check", *COMMON, "evaluation.champion=runs/none") == 2
    assert "evaluation.champion" in capsys.readouterr().err


def test_a_bundle_that_has_seen_the_test_rows_is_warned_of(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    champion = [*COMMON, "evaluation.champion=runs/first"]

    assert treadle("check", *champion) == 0
    assert "was trained on rows" not in capsys.readouterr().out
    assert treadle("check", *champion, "data.split.seed=1") == 0
    assert "this bundle was trained on rows that validate or test this model" in capsys.readouterr().out
