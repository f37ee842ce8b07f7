"""A blend whose members are trained on every fold: it weighs them by what each predicts out of its fold."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from filelock import FileLock

import treadle as package
from runs import QUICK, treadle
from treadle.bundle import load_judged
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.pipeline import side_by_side
from treadle.pipeline.side_by_side import make_side_by_side
from treadle.schema import LABEL, ROW
from treadle.training.blend import read_classes

pytestmark = pytest.mark.slow
FOLDS, REPEATS = 2, 2
RUNS = FOLDS * REPEATS
REST = [
    *(override for override in QUICK if not override.startswith("model")),
    "tracker=disabled",
    "trainer.precision=32-true",
]
MEMBERS = ["model=blend", "model.members.mlp.model.width=16", "~model.members.tabm", "~model.members.lightgbm"]
CONFORMAL = ["evaluation.conformal={coverage: 0.8}"]
BLEND = [*REST, *MEMBERS, *CONFORMAL, "model.folds=all"]
SPLIT = f"split: {{by: kfold, folds: {FOLDS}, repeats: {REPEATS}, fold: 1, test: 0.2, seed: 0}}\n"


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    """The run of a blend of a linear model and a small network, each trained on two folds, drawn twice."""
    project = tmp_path_factory.mktemp("folds")
    shutil.copytree(root / "conf", project / "conf")
    (project / "data").symlink_to(root / "data")
    drawn = (project / "conf/data/california.yaml").read_text()
    (project / "conf/data/drawn.yaml").write_text(drawn)
    (project / "conf/data/california.yaml").write_text(drawn.partition("split:")[0] + SPLIT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert treadle("run", *BLEND) == 0
    (folder,) = [path.parent.parent for path in project.glob("runs/*/bundle/members")]
    return RunFolder(folder)


def find_runs(made):
    """The folders of the members' runs, by the kind of model and the fold."""
    found = {}
    for path in made.path.parent.glob("california-*"):
        values = json.loads((path / "bundle/experiment.json").read_text())
        if "members" not in values["model"]:
            kind = values["model"]["_target_"].rpartition(".")[2]
            found[kind, values["data"]["split"]["fold"]] = RunFolder(path)
    return found


def test_each_member_is_the_run_of_its_model_on_each_fold(made, monkeypatch, capsys):
    runs = find_runs(made)
    assert runs.keys() == {(kind, fold) for kind in ("Linear", "Mlp") for fold in range(RUNS)}

    monkeypatch.chdir(made.path.parents[1])
    capsys.readouterr()
    assert treadle("train", *REST, *CONFORMAL, "model=linear", "data.split.fold=2") == 0
    assert capsys.readouterr().out.startswith("unchanged")


def test_the_report_says_that_the_weights_come_from_out_of_fold_predictions(made):
    report = made.report.read_text()

    assert f"Each member is the mean of its models on {RUNS} folds." in report
    assert "Weights by greedy selection on the out-of-fold predictions" in report
    assert '<th scope="col">out-of-fold loss</th>' in report
    assert " rounds by out-of-fold loss " in report
    assert "best epoch " not in report.replace('<th scope="col">best epoch, median</th>', "")


def test_a_process_beside_others_makes_the_run_that_this_one_makes(made, tmp_path, monkeypatch):
    project = made.path.parents[1]
    for name in ("conf", "data"):
        (tmp_path / name).symlink_to(project / name)
    monkeypatch.chdir(tmp_path)
    one = resolve(overrides=[*REST, *CONFORMAL, "model=linear", "data.split.fold=2"], root=tmp_path)

    make_side_by_side({"one": one}, num_processes=1, root=tmp_path, keeps_unsplit=True, notify=print)

    (made_beside,) = tmp_path.glob("runs/*/bundle/network.pt")
    alone = find_runs(made)["Linear", 2].path
    assert made_beside.parents[1].name == alone.name
    assert made_beside.read_bytes() == (alone / "bundle/network.pt").read_bytes()


def test_what_a_process_could_not_make_is_told_and_left_to_be_made(tmp_path, monkeypatch):
    lines = []
    (tmp_path / "argparse.py").write_text("raise SystemExit(7)")  # a file of the project hides no library
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    make_side_by_side({}, num_processes=1, root=tmp_path, keeps_unsplit=False, notify=lines.append)

    assert lines == ["  one process: ended with exit code 2; what it has not made is made by this one"]


def test_a_process_ends_with_the_one_that_needs_its_runs(made):
    member = find_runs(made)["Linear", 0]
    command = [sys.executable, "-m", side_by_side.__name__, f"--root={made.path.parents[1]}", str(member.resolved)]
    with FileLock(member.lock):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        told = process.stdout.readline()

        process.stdin.close()  # as the system does where the other one is killed

        try:
            assert (told.strip()[-14:], process.wait(timeout=60)) == ("waiting for it", -signal.SIGINT)
        finally:
            process.kill()
            process.stdout.close()


def test_every_row_outside_of_the_test_set_weighs_and_its_own_models_have_not_seen_it(made):
    runs, bundle = find_runs(made), package.load(made.path)
    summary = json.loads((made.model / "summary.json").read_text())["members"]
    frames = [pl.read_parquet(runs["Mlp", fold].examples / "valid.parquet") for fold in range(RUNS)]
    rows, once = pl.concat(frames), pl.concat(frames[:FOLDS])
    assert set(rows[ROW].value_counts()["count"]) == {REPEATS}
    assert once[ROW].n_unique() == len(once) == len(pl.read_parquet(made.examples / "train.parquet")) + len(frames[1])

    label, predicted = rows[LABEL].to_numpy(), {}
    scale = package.load(runs["Linear", 0].path).card.target.scale
    for name, kind in (("linear", "Linear"), ("mlp", "Mlp")):
        each = [package.load(runs[kind, fold].path).predict(frame) for fold, frame in enumerate(frames)]
        predicted[name] = pl.concat(each)["prediction"].to_numpy()
        assert summary[name]["loss"] == pytest.approx(np.mean(((predicted[name] - label) / scale) ** 2), rel=1e-4)

    weights = {name: member["weight"] for name, member in summary.items()}
    assert bundle.card.members == pytest.approx(
        {f"{name}-fold{fold}": weight / RUNS for name, weight in weights.items() if weight for fold in range(RUNS)}
    )
    assert bundle.card.trained_on == ["train", "valid"]
    mixed = sum(weight * predicted[name] for name, weight in weights.items())
    low, high = bundle.card.conformal.bound(mixed[: len(once)])
    within = np.mean((low <= label[: len(once)]) & (label[: len(once)] <= high))
    assert within == pytest.approx(0.8, abs=0.01)


def test_what_learns_from_the_validation_rows_asks_the_models_of_their_fold(made):
    judged = load_judged(made.path)

    assert {name.rpartition("-")[2] for name in judged.members} == {"fold1"}
    assert sum(judged.card.members.values()) == pytest.approx(1)
    assert judged.card.trained_on == ["train"]


def test_the_blend_predicts_the_mean_and_is_evaluated(made):
    bundle, rows = package.load(made.path), pl.read_parquet(made.examples / "test.parquet").head(50)

    mean = sum(w * bundle.members[name].predict(rows)["prediction"] for name, w in bundle.card.members.items())

    assert bundle.predict(rows)["prediction"].to_list() == pytest.approx(mean.to_list())
    assert json.loads(made.metrics.read_text())["model"]["rmse"] > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data=drawn", "data.split.by is 'random'"),
        ("schedule.refit=all", "schedule.refit would do so again"),
    ],
    ids=["no folds", "refit"],
)
def test_folds_that_cannot_be_are_refused(made, monkeypatch, capsys, override, message):
    monkeypatch.chdir(made.path.parents[1])
    assert treadle("check", *BLEND, override) == 2
    assert message in capsys.readouterr().err


def test_folds_that_hold_other_classes_are_refused(tmp_path):
    for fold, classes in enumerate((["a", "b", "c"], ["a", "b"])):
        folder = RunFolder(tmp_path / str(fold))
        folder.features.mkdir(parents=True)
        (folder.features / "inputs.json").write_text(json.dumps({"classes": classes}))

    with pytest.raises(TreadleError, match=r"fold 0 and of fold 1 .*: c; split by stratified_kfold"):
        read_classes([RunFolder(tmp_path / "0"), RunFolder(tmp_path / "1")])
