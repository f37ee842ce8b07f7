"""Training that starts from a bundle: its weights, its optimizer, its identity, and what does not fit."""

import json
import shutil

import pytest

import treadle
from runs import QUICK
from treadle.cli.main import main
from treadle.config.selection import quote
from treadle.errors import TreadleError
from treadle.experiment.identity import sign_stages
from treadle.experiment.source_bundles import list_member_bundles
from treadle.pipeline import run as run_stages
from treadle.problems import ConfigError
from treadle.tensor_files import read_tensors

pytestmark = [pytest.mark.usefixtures("project"), pytest.mark.slow]
SCALE = "{_target_: treadle.features.transforms.Standardize}"
OVERRIDES = [*QUICK, "tracker=disabled", "evaluation.baselines=[]"]
CONTINUE = "schedule.start_optimizer=continue"
SCALED = [*OVERRIDES, "~features.blocks.numbers.steps.bins", f"+features.blocks.numbers.steps.scale={SCALE}"]


def count_steps(run):
    """The steps that the optimizer has taken by its own count, those of the bundle that it goes on from included."""
    (count,) = {int(value) for name, value in read_tensors(run.path / "model/optimizer.pt").items() if "/step" in name}
    return count


def test_training_goes_on_from_the_weights_of_a_run_wherever_it_lies(project, capsys):
    first = treadle.run(OVERRIDES, upto="train")
    place = first.path.relative_to(project)

    second = treadle.run([*OVERRIDES, f"schedule.start_from={place}"], upto="train")
    shutil.copytree(first.path / "bundle", project / "elsewhere")
    third = treadle.run([*OVERRIDES, "schedule.start_from=elsewhere"], upto="train")
    going_on = [*OVERRIDES, f"schedule.start_from={place}", CONTINUE]
    continued = treadle.run([*going_on, "schedule.refit=all"], upto="train")
    with pytest.raises(ConfigError, match=r"elsewhere has no state of its optimizer beside the bundle"):
        treadle.compose([*OVERRIDES, "schedule.start_from=elsewhere", CONTINUE])
    with pytest.raises(TreadleError) as caught:
        treadle.run([*OVERRIDES, "model.width=8", "schedule.start_from=elsewhere"], upto="train")

    assert second.history["valid/loss"][0] < first.history["valid/loss"][0]
    assert second.path != first.path
    assert "the optimizer goes on from its state" in capsys.readouterr().out
    on, anew = (sign_stages(treadle.compose(words), root=project) for words in (going_on, going_on[:-1]))
    assert on["featurize"] == anew["featurize"]
    assert on["train"] != anew["train"]
    assert continued.history["valid/loss"][0] != second.history["valid/loss"][0]
    summary = json.loads((continued.path / "model/summary.json").read_text())
    assert count_steps(continued) == count_steps(first) + summary["refit"]["num_steps"], "not of the first training"
    assert third.path == second.path, "the content of the bundle counts, not its place"
    assert str(caught.value).startswith("schedule.start_from: the bundle of elsewhere does not fit this experiment:\n")
    assert "shapes: " in str(caught.value)
    assert str(caught.value).endswith("\n  model.width: 16 -> 8"), "its features are the same"

    resolved = treadle.compose([*OVERRIDES, "seed=5", "schedule.start_from=elsewhere"])
    shutil.rmtree(project / "elsewhere")
    with pytest.raises(TreadleError, match=r"no bundle in 'elsewhere' any more"):
        run_stages(resolved, root=project, upto="train", notify=print)


def test_transforms_of_a_champion_are_kept_or_fitted_anew(project, capsys):
    first = treadle.run(SCALED)
    assert main(["promote", str(first.path), "--override", "there is no other"]) == 0
    other = [*SCALED, "data.split.seed=7", "schedule.start_from=champion"]

    refitted = treadle.run(other, upto="train")
    kept = treadle.run([*other, "+features.start_from=champion"], upto="train")

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("start ")]
    place = first.path.relative_to(project)
    assert ["fitted anew on these rows: " in line for line in told] == [True, False]
    assert told[1] == f"start      from the weights of {place}; the optimizer begins anew; transforms are as they were"
    same = [(run.path / "bundle/featurizer.pt").read_bytes() for run in (first, refitted, kept)]
    assert same[0] == same[2] != same[1]


def test_a_run_without_a_bundle_is_reported_by_the_check(project):
    with pytest.raises(ConfigError, match=r"no bundle in 'runs/none'"):
        treadle.compose([*OVERRIDES, "schedule.start_from=runs/none"])


def test_a_blend_to_start_from_is_reported_by_the_check(project):
    bundle = project / "elsewhere"
    bundle.mkdir()
    (bundle / "bundle.json").write_text('{"members": {"linear": 0.4, "mlp": 0.6}}')

    with pytest.raises(ConfigError, match=r"the bundle of elsewhere is a blend"):
        treadle.compose([*OVERRIDES, "schedule.start_from=elsewhere"])


def test_an_optimizer_that_cannot_continue_is_reported_by_the_check(project):
    with pytest.raises(ConfigError, match=r"and schedule\.start_from names none"):
        treadle.compose([*OVERRIDES, CONTINUE])

    bundle, card = project / "elsewhere", {"optimizer": "0" * 64}
    bundle.mkdir()
    (bundle / "bundle.json").write_text(json.dumps(card))
    (bundle / "experiment.json").write_text('{"schedule": {"optimizer": {"_target_": "torch.optim.SGD"}}}')
    started = [*OVERRIDES, "schedule.start_from=elsewhere", CONTINUE]
    with pytest.raises(ConfigError, match=r"by torch\.optim\.SGD, whose state is of no use to torch\.optim\.AdamW"):
        treadle.compose(started)

    (bundle / "bundle.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"training of elsewhere kept no state of its optimizer, torch\.optim\.SGD"):
        treadle.compose(started)


def test_a_member_of_a_blend_may_start_from_a_bundle_of_its_own(project):
    rest = [word for word in OVERRIDES if not word.startswith("model")]
    schedule = treadle.compose(OVERRIDES).values["schedule"]
    for place in ("here", "there"):
        (project / place).mkdir()
        (project / place / "bundle.json").write_text("{}")

    def compose(place):
        own = quote({**schedule, "start_from": place})
        return treadle.compose([*rest, "model=blend", f"+model.members.mlp.schedule={own}"])

    here, there = compose("here"), compose("there")

    start = here.experiment.model.members["mlp"].schedule.start_from
    assert start.startswith("here@")
    assert list(list_member_bundles(here.experiment)) == [("model.members.mlp.schedule.start_from", start)]
    assert sign_stages(here, root=project) == sign_stages(there, root=project)
    with pytest.raises(ConfigError, match=r"(?s)model\.members\.mlp\.schedule\.start_from .*no bundle in 'nowhere'"):
        compose("nowhere")
