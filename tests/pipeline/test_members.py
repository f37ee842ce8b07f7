"""A blend: its members are runs of their own, which it takes over and weighs."""

import json
import shutil

import polars as pl
import pytest

import treadle as package
from runs import QUICK, treadle
from treadle.bundle import load_judged
from treadle.check.resolve import resolve
from treadle.experiment.changes import find_reruns
from treadle.experiment.identity import sign_stages
from treadle.experiment.members import resolve_members
from treadle.experiment.resolved import Resolved, read
from treadle.experiment.run_folder import RunFolder

pytestmark = pytest.mark.slow
REST = [override for override in QUICK if not override.startswith("model")] + [
    "tracker=disabled",
    "trainer.precision=32-true",
]
BLEND = [*REST, "model=blend", "model.members.mlp.model.width=16", "~model.members.tabm", "~model.members.lightgbm"]
MLP = [*REST, "model=mlp", "model.width=16"]
LINEAR = [*REST, "model=linear"]


def find_blend(project):
    found = [path.parent.parent for path in project.glob("runs/*/bundle/members")]
    assert len(found) == 1
    return RunFolder(found[0])


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    """A project with the run of a blend of a linear model and a small network."""
    project = tmp_path_factory.mktemp("blend")
    shutil.copytree(root / "conf", project / "conf")
    (project / "data").symlink_to(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert treadle("run", *BLEND) == 0
    return project


@pytest.fixture
def project(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def test_a_member_is_the_run_that_the_same_model_has_by_itself(project, capsys):
    assert treadle("train", *MLP) == 0
    assert treadle("train", *LINEAR) == 0

    assert capsys.readouterr().out.count("unchanged  runs/") == 2


@pytest.mark.parametrize("name", ["linear", "lightgbm", "mlp"])
def test_a_member_has_the_signatures_that_it_has_by_itself_trees_and_their_features_too(root, name):
    blend = resolve(overrides=["experiment=california", "model=blend"], root=root)
    alone = resolve(overrides=["experiment=california", f"model={name}"], root=root)

    member = resolve_members(blend)[name]

    assert member == alone
    assert sign_stages(member, root=root, remember=False) == sign_stages(alone, root=root, remember=False)


def test_the_order_of_the_members_is_part_of_the_identity_and_of_no_members_own(root):
    blend = resolve(overrides=["experiment=california", "model=blend"], root=root)
    model = blend.experiment.model
    turned = model.model_copy(update={"members": dict(reversed(model.members.items()))})
    other = Resolved(blend.experiment.model_copy(update={"model": turned}), blend.code)

    before, after = (sign_stages(each, root=root, remember=False) for each in (blend, other))

    assert [stage for stage in before if before[stage] != after[stage]] == ["train", "evaluate"]
    assert find_reruns(blend.values, other.values)["train"] == ["model.members (order)"]
    assert resolve_members(other) == resolve_members(blend)


def test_it_is_no_worse_on_valid_than_its_best_member(project):
    summary = json.loads((find_blend(project).model / "summary.json").read_text())

    weights = {name: member["weight"] for name, member in summary["members"].items()}
    assert weights.keys() == {"linear", "mlp"}
    assert sum(weights.values()) == pytest.approx(1)
    assert summary["score"] <= min(member["loss"] for member in summary["members"].values())
    for member in summary["members"].values():
        assert member["score"] == pytest.approx(member["loss"])
        assert 0 < member["loss_spread"] < member["loss"]


def test_the_losses_of_members_are_those_that_their_trainings_had(project):
    folder = find_blend(project)
    summary = json.loads((folder.model / "summary.json").read_text())["members"]
    others = [RunFolder(path) for path in project.glob("runs/california-*") if path != folder.path]

    scores = sorted(json.loads((other.model / "summary.json").read_text())["score"] for other in others)

    assert sorted(member["loss"] for member in summary.values()) == pytest.approx(scores, rel=1e-5)


def test_the_bundle_predicts_the_mean_by_weight_and_is_evaluated_and_reported(project):
    folder = find_blend(project)
    bundle = package.load(folder.path)
    rows = pl.read_parquet(folder.examples / "test.parquet").head(50)

    predicted = bundle.predict(rows)["prediction"]

    expected = sum(
        weight * bundle.members[name].predict(rows)["prediction"] for name, weight in bundle.card.members.items()
    )
    assert predicted.to_list() == pytest.approx(expected.to_list(), rel=1e-9)
    evaluated = pl.read_parquet(folder.evaluation / "predictions.parquet").head(50)["prediction"]
    assert predicted.to_list() == pytest.approx(evaluated.to_list(), rel=1e-6)
    report = folder.report.read_text()
    assert "Members of the blend" in report
    assert '<th scope="row">mlp</th>' in report


def test_the_resolved_experiment_holds_every_member_and_reads_back(project):
    resolved = read(find_blend(project).resolved)

    members = resolved.values["model"]["members"]
    assert members["mlp"]["model"]["width"] == 16
    assert {"train@linear", "train@mlp"} <= resolved.code.keys()


def test_the_same_again_is_unchanged_and_another_value_of_a_member_is_another_run(project, capsys):
    assert treadle("run", *BLEND) == 0
    assert capsys.readouterr().out.startswith("unchanged")

    assert treadle("run", *BLEND, "model.members.mlp.model.dropout=0.1", "--why") == 0
    assert "train      would run: model.members.mlp.model.dropout" in capsys.readouterr().out


def test_the_stage_alone_gives_the_same_bundle_as_dvc_calls_it(project, tmp_path):
    folder, alone = find_blend(project), RunFolder(tmp_path / "artifacts")
    alone.path.mkdir()
    shutil.copyfile(folder.resolved, alone.resolved)

    for stage in ("prepare", "featurize", "train"):
        assert treadle(stage, "--folder", str(alone.path)) == 0

    assert (alone.bundle / "bundle.json").read_bytes() == (folder.bundle / "bundle.json").read_bytes()
    assert alone.metrics_log.read_bytes() == folder.metrics_log.read_bytes()


def test_a_damaged_member_of_the_bundle_is_found_and_made_again(project, capsys):
    folder = find_blend(project)
    file = next((folder.bundle / "members").glob("*/network.pt"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    file.write_bytes(content)

    assert treadle("verify", str(folder.path)) == 1
    assert "network.pt" in capsys.readouterr().out
    assert treadle("run", *BLEND) == 0
    assert package.load(folder.path) is not None


def test_refitted_members_are_weighed_as_they_were_before_and_predict_as_they_are_now(made, tmp_path, monkeypatch):
    folder = shutil.copytree(made, tmp_path / "refitted", symlinks=True)
    monkeypatch.chdir(folder)
    before = find_blend(folder)
    once, summary = package.load(before.path), json.loads((before.model / "summary.json").read_text())
    validation = before.validation.read_bytes()
    shutil.rmtree(before.path)

    assert treadle("train", *BLEND, "schedule.refit=all") == 0

    after = find_blend(folder)
    again = package.load(after.path)
    assert json.loads((after.model / "summary.json").read_text())["members"] == summary["members"]
    assert after.validation.read_bytes() == validation
    assert (once.card.trained_on, again.card.trained_on) == (["train"], ["train", "valid"])
    assert again.members.keys() == once.members.keys()
    assert [member.card.trained_on for member in again.members.values()] == [["train", "valid"]] * len(once.members)
    rows = pl.read_parquet(after.examples / "test.parquet").head(50)
    predicted = again.predict(rows)["prediction"]
    assert not predicted.equals(once.predict(rows)["prediction"])
    weights = again.card.members
    mean = sum(weight * again.members[name].predict(rows)["prediction"] for name, weight in weights.items())
    assert predicted.to_list() == pytest.approx(mean.to_list())
    assert load_judged(after.path).predict(rows).equals(once.predict(rows))


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["model.members.mlp.model.widht=3"], ["model.members.mlp.model.width"]),
        (["+model@model.members.best.model=mpl"], ["mpl"]),
        (
            ["+schedule@model.members.mlp.schedule=cosine", "model.members.mlp.schedule.monitor=rsme"],
            ["model.members.mlp.schedule.monitor", "'rmse'"],
        ),
        (["+loss@model.members.mlp.loss=focal"], ["model.members.mlp.loss.function._target_", "task"]),
        (
            [
                "loss=quantiles",
                "+loss@model.members.mlp.loss=quantiles",
                "model.members.mlp.loss.function.levels=[0.5]",
            ],
            ["model.members.mlp.loss.function", "the same quantiles, here [0.05, 0.5, 0.95]; found [0.5]"],
        ),
        (["trainer.devices=2"], ["one after another"]),
        (["~model.members.linear", "~model.members.mlp"], ["model.members"]),
    ],
    ids=["argument", "option", "metric", "loss", "levels", "processes", "none left"],
)
def test_mistakes_in_members_are_found_before_anything_runs(project, capsys, overrides, messages):
    assert treadle("check", *BLEND, *overrides) == 2

    told = capsys.readouterr().err
    assert all(message in told for message in messages), told
