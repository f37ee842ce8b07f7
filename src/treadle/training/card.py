"""The card of a bundle as its training writes it; what the validation split teaches comes later: `learn_from_valid`."""

from __future__ import annotations

from collections.abc import Mapping

from treadle.bundle import Card, Standard
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.json_files import read_json
from treadle.schema import Split
from treadle.training.losses import Loss
from treadle.training.scaling import Scaling, find_levels, find_link


def make_card(
    experiment: Experiment,
    *,
    folder: RunFolder,
    classes: list[str],
    scaling: Scaling,
    loss: Loss,
    trained_on: list[Split],
    code: Mapping[str, str],
    optimizer: str | None = None,
    members: Mapping[str, float] | None = None,
) -> Card:
    """The card of the model of a run.

    Args:
        experiment: checked.
        folder: of the run, with its examples.
        classes: of a multiclass task, or names of several labels; else empty.
        scaling: of the targets.
        loss: that was minimised.
        trained_on: the splits whose rows the weights have seen.
        code: that a prediction needs.
        optimizer: digest of its state; None: it keeps none.
        members: weights of a blend's members, by the names of their runs; None: it is none.
    """
    return Card(
        task=experiment.data.answer,
        classes=classes,
        columns=read_json(folder.examples / "schema.json"),
        target=Standard(mean=scaling.mean, scale=scaling.scale, link=find_link(loss), levels=find_levels(loss)),
        trained_on=trained_on,
        code=dict(code),
        optimizer=optimizer,
        members=dict(members or {}),
    )
