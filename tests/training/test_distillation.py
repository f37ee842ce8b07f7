"""A student learns what a teacher predicts: the loss by hand, then trainings, their identity, and what does not fit."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import treadle
from runs import QUICK
from treadle.champions.bundles import digest_bundle
from treadle.champions.ledger import Decision, append
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.experiment.source_bundles import require_source
from treadle.problems import ConfigError
from treadle.schema import TaughtBatch
from treadle.training.distillation import require_classes
from treadle.training.learner import compute_taught_loss
from treadle.training.losses import DistillationLoss, TaskLoss

OVERRIDES = [*QUICK, "tracker=disabled", "evaluation.baselines=[]"]


def make(task, *, alpha=0.0, temperature=1.0):
    return DistillationLoss(task=task, alpha=alpha, temperature=temperature)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


# --- the loss ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_probability_is_compared_by_cross_entropy_at_the_temperature(temperature):
    loss = make("binary", temperature=temperature)

    found = loss.learn(torch.tensor([[1.5]]), torch.tensor([1.0]), torch.tensor([0.3]))

    wanted = sigmoid(math.log(0.3 / 0.7) / temperature)
    own = sigmoid(1.5 / temperature)
    assert float(found) == pytest.approx(
        -(temperature**2) * (wanted * math.log(own) + (1 - wanted) * math.log(1 - own))
    )


def test_several_labels_are_compared_as_the_mean_of_each_alone():
    labels, alone = (make(task, alpha=0.3, temperature=2.0) for task in ("multilabel", "binary"))
    output, target, taught = (torch.tensor([values]) for values in ([1.5, -0.5], [1.0, 0.0], [0.3, 0.6]))

    found = labels.learn(output, target, taught)

    each = [alone.learn(output[:, [k]], target[:, k], taught[:, k]) for k in (0, 1)]
    assert float(found) == pytest.approx(float(sum(each)) / 2)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_probabilities_of_classes_are_compared_at_the_temperature(temperature):
    loss, taught = make("multiclass", temperature=temperature), torch.tensor([[0.7, 0.2, 0.1]])
    output = torch.tensor([[0.5, 0.1, -1.0]])

    found = loss.learn(output, torch.tensor([2]), taught)

    wanted = (taught.log() / temperature).softmax(dim=1)
    expected = -(temperature**2) * (wanted * (output / temperature).log_softmax(dim=1)).sum()
    assert float(found) == pytest.approx(float(expected))


def test_labels_and_teacher_share_the_loss_by_alpha():
    output, target, taught = torch.tensor([[0.5]]), torch.tensor([2.0]), torch.tensor([1.0])

    losses = [float(make("regression", alpha=alpha).learn(output, target, taught)) for alpha in (0, 0.25, 1)]

    assert losses == [0.25, 0.25 * 2.25 + 0.75 * 0.25, 2.25]
    assert float(make("regression")(output, target)) == 2.25


def test_a_count_is_compared_by_its_deviance_and_keeps_its_link():
    loss, output = make("count"), torch.tensor([[0.2], [1.0]])

    found = loss.learn(output, torch.tensor([3.0, 0.0]), torch.tensor([1.5, 0.5]))

    means = output[:, 0].exp()
    wanted = [1.5 * math.log(1.5 / means[0]) - 1.5 + means[0], 0.5 * math.log(0.5 / means[1]) - 0.5 + means[1]]
    assert found.tolist() == pytest.approx([float(value) for value in wanted])
    assert loss.link == TaskLoss(task="count").link == "log"


def test_each_member_of_an_ensemble_learns_from_the_teacher_and_rows_count_by_their_weight():
    none, loss = torch.empty(2, 0), make("multiclass", alpha=0.5)
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 4, 3, generator=generator)
    taught = torch.randn(2, 3, generator=generator).softmax(dim=1)
    batch = TaughtBatch(none, none.long(), torch.tensor([0, 2]), torch.tensor([1.0, 3.0]), none.byte(), taught)

    found = compute_taught_loss(output, batch, loss=loss, weighted=True)

    rows = [loss.learn(output[i], batch.target[i].expand(4), taught[i].expand(4, 3)).mean() for i in (0, 1)]
    assert float(found) == pytest.approx(float(rows[0] + 3 * rows[1]) / 4)


def test_a_prediction_is_judged_by_its_label_alone():
    output, target = torch.tensor([[0.3], [-2.0]]), torch.tensor([1.0, 0.0])

    assert torch.equal(make("binary")(output, target), TaskLoss(task="binary")(output, target))


# --- trainings -----------------------------------------------------------------------------------------


def run(*overrides):
    return treadle.run([*OVERRIDES, *overrides], upto="train")


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_a_student_learns_from_its_teacher_and_its_identity_names_what_the_teacher_is(project):
    teacher, other = run("model.width=64", "schedule.max_epochs=6"), run("model.width=32")
    place = teacher.path.relative_to(project)
    shutil.copytree(teacher.path / "bundle", project / "elsewhere")

    plain = run()
    student = run("loss=distill", f"loss.teacher={place}")
    same = run("loss=distill", "loss.teacher=elsewhere")
    second = run("loss=distill", f"loss.teacher={other.path.relative_to(project)}")
    of_labels = run("loss=distill", f"loss.teacher={place}", "loss.function.alpha=1.0")
    refitted = run("loss=distill", f"loss.teacher={place}", "schedule.refit=all")

    rows = pl.read_parquet(student.path / "examples/train.parquet").head(2_000)
    wanted, found, before = (
        treadle.load(made.path).predict(rows)["prediction"].to_numpy() for made in (teacher, student, plain)
    )
    assert np.square(found - wanted).mean() < np.square(before - wanted).mean()
    assert same.path == student.path, "the content of the bundle counts, not its place"
    assert len({made.path for made in (plain, student, second, of_labels, refitted)}) == 5
    assert of_labels.history.equals(plain.history), "to the last digit"
    assert not student.history.equals(plain.history)
    assert json.loads((refitted.path / "model/summary.json").read_text())["refit"]["num_rows"] > 13_210

    assert f"teacher: {place}@" in (of_labels.path / "resolved.yaml").read_text()
    assert "teacher" not in (plain.path / "resolved.yaml").read_text()


# --- what does not fit ---------------------------------------------------------------------------------


def write_teacher(folder, *, task="regression", label="MedHouseVal", columns=("MedInc",)):
    """What composing reads of a bundle."""
    folder.mkdir()
    card = {"task": task, "columns": dict.fromkeys(columns, "Float64")}
    (folder / "bundle.json").write_text(json.dumps(card))
    (folder / "experiment.json").write_text(json.dumps({"data": {"examples": {"label": label}}}))


def compose(project, *overrides):
    model = [] if any(text.startswith("model=") for text in overrides) else ["model=mlp"]
    return resolve(overrides=["experiment=california", *model, *overrides], root=project)


TAUGHT = ["loss=distill", "loss.teacher=teacher"]
BAD = {
    "no teacher": (["loss=distill"], {}, "learns from a teacher: a bundle must be named"),
    "no loss for it": (["loss.teacher=teacher"], {}, "TaskLoss asks no teacher\n *add the override loss=distill"),
    "no run": (["loss=distill", "loss.teacher=runs/none"], {}, "no bundle in 'runs/none'"),
    "no champion": (["loss=distill", "loss.teacher=x@champion"], {}, "'x' has no champion"),
    "another task": (TAUGHT, {"task": "binary"}, "the teacher is for the task 'binary'; data.task is 'regression'"),
    "another label": (TAUGHT, {"label": "MedInc > 3"}, "the teacher predicts 'MedInc > 3'; data.examples.label is"),
    "other columns": (TAUGHT, {"columns": ["MedInk", "b", "c", "d"]}, "does not give: MedInk, b, c and 1 more"),
    "trees": ([*TAUGHT, "model=lightgbm"], {}, "LightGBM does not minimise .*DistillationLoss, which is for networks"),
    "mixed rows": ([*TAUGHT, "augmentation=mixup"], {}, "not about mixed ones\n *add augmentation=none"),
    "streamed rows": ([*TAUGHT, "schedule.shuffle_buffer=100"], {}, "rows are streamed from disk\n *set it to null"),
}


@pytest.mark.parametrize(("overrides", "change", "told"), BAD.values(), ids=BAD)
def test_a_teacher_that_does_not_fit_is_refused_with_what_does(project, overrides, change, told):
    write_teacher(project / "teacher", **change)

    with pytest.raises(ConfigError, match=told) as caught:
        compose(project, *overrides)
    assert len(str(caught.value).split("\n\n")) == 2, "one problem"


def test_a_teacher_that_has_changed_since_is_refused(project):
    write_teacher(project / "teacher")
    settled = compose(project, *TAUGHT).experiment.loss.teacher
    (project / "teacher/bundle.json").write_text('{"task": "regression"}')

    with pytest.raises(ConfigError, match=r"the bundle in 'teacher' is another one now\n *loss.teacher=teacher"):
        compose(project, "loss=distill", f"loss.teacher={settled}")
    with pytest.raises(TreadleError, match="teacher is not the bundle any more that the experiment was composed with"):
        require_source(settled, project / "teacher", key="loss.teacher")


def test_a_champion_is_settled_as_its_run_with_its_digest(project):
    (project / "runs/first").mkdir(parents=True)
    write_teacher(project / "runs/first/bundle")
    decision = Decision("2026-01-01T00:00:00Z", "promote", "", "runs/first", {}, {}, None, "me")
    decision = replace(decision, bundle=digest_bundle(project / "runs/first"))
    append("blocks", decision, expected=None, root=project)
    append("others", decision, expected=None, root=project)

    settled = compose(project, "loss=distill", "loss.teacher=blocks@champion").experiment.loss.teacher

    assert settled.startswith("runs/first@")
    assert compose(project, "loss=distill", f"loss.teacher={settled}").experiment.loss.teacher == settled
    with pytest.raises(ConfigError, match="there is more than one champion in models/; say which: blocks@champion"):
        compose(project, "loss=distill", "loss.teacher=champion")


def test_a_teacher_of_other_classes_is_refused_before_the_first_step(project):
    class Other:
        classes = ("a", "b")

    with pytest.raises(TreadleError, match="the classes of teacher are a, b; those of the training rows are b, c"):
        require_classes(Other(), ["b", "c"], place="teacher")
