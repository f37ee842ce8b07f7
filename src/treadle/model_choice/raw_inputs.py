"""Features that suit the model: trees take numbers as they are, so what scales and imputes for networks is left out.

It is done when an experiment is frozen, so that `resolved.yaml` says what runs, and all such models share the stage
`featurize`.
"""

from __future__ import annotations

from typing import Any

from treadle.experiment.spec import RAW, Blend, Block, Experiment, Features, Member
from treadle.targets.signatures import read_constant


def takes_raw_inputs(model: dict[str, Any]) -> bool:
    """Whether a model takes numbers in their own units, with missing ones."""
    return read_constant(model["_target_"], "RAW_INPUTS") is True


def suit_features(experiment: Experiment) -> Experiment:
    """The experiment with the features that its model takes, or those that each member of a blend takes."""
    if isinstance(experiment.model, Blend):
        members = {name: _suit_member(member, experiment) for name, member in experiment.model.members.items()}
        return experiment.model_copy(update={"model": experiment.model.model_copy(update={"members": members})})
    if not takes_raw_inputs(experiment.network):
        return experiment
    return experiment.model_copy(update={"features": strip_features(experiment.features)})


def find_features(member: Member, experiment: Experiment) -> Features:
    """What a member of a blend, or a candidate of a rule, is given."""
    features = member.features or experiment.features
    return strip_features(features) if takes_raw_inputs(member.model) else features


def _suit_member(member: Member, experiment: Experiment) -> Member:
    own = find_features(member, experiment)
    return member if own == experiment.features else member.model_copy(update={"features": own})


def strip_features(features: Features) -> Features:
    """The features without steps that are for networks; each block of numbers ends with a step `raw`.

    A column that several blocks would give as it is comes once.
    """
    blocks: dict[str, Block] = {}
    given: set[str] = set()
    for name, block in features.blocks.items():
        if _gives_ids(block):
            blocks[name] = block
            continue
        steps = {step: node for step, node in block.steps.items() if not _is_for_networks(node)}
        columns = block.columns
        if not steps:
            columns = [column for column in columns if column not in given]
            given.update(columns)
        if columns:
            blocks[name] = Block(columns=columns, steps={**steps, _name(steps): {"_target_": RAW}})
    return features.model_copy(update={"blocks": blocks})


def list_left_out(features: Features) -> list[str]:
    """The keys of the steps that `strip_features` leaves out."""
    kept = strip_features(features).blocks
    return [
        f"features.blocks.{name}.steps.{step}"
        for name, block in features.blocks.items()
        for step in block.steps
        if name not in kept or step not in kept[name].steps
    ]


def describe_raw_inputs(experiment: Experiment) -> str | None:
    """What a model gets that takes numbers as they are; None for another."""
    if not experiment.features.is_raw:
        return None
    model = experiment.network["_target_"].rpartition(".")[2]
    return f"for {model}: numbers in their own units, missing ones too; steps that scale or impute are left out"


def _gives_ids(block: Block) -> bool:
    first = next(iter(block.steps.values()), None)
    return first is not None and read_constant(first["_target_"], "GIVES") == "ids"


def _is_for_networks(node: dict[str, Any]) -> bool:
    return node["_target_"] == RAW or read_constant(node["_target_"], "FOR_NETWORKS") is True


def _name(steps: dict[str, Any]) -> str:
    name = "raw"
    while name in steps:
        name += "_"
    return name
