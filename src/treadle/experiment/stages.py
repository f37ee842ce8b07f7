"""The stages of the pipeline as data: what each does, reads, runs and writes."""

from __future__ import annotations

from typing import Any, NamedTuple  # no dataclass: the command line lists the stages, and should import little

from treadle.experiment.kinds import Kind, get_kind, takes_raw
from treadle.keys import ABSENT, get

Values = dict[str, Any]  # plain, of a resolved.yaml


class Stage(NamedTuple):
    """One step of the pipeline."""

    name: str
    purpose: str  # one sentence, for the help
    module: str  # its code: this module and what it imports
    slices: tuple[str, ...]  # keys of the experiment that can change its result
    reads: tuple[str, ...]  # the stages whose outputs it reads; none: the data
    outputs: tuple[str, ...]  # its outputs, by their names in the run folder
    scratch: tuple[str, ...] = ()  # what it keeps there until its outputs are safe


STAGES = (
    Stage(
        name="prepare",
        purpose="Read the data and write the examples of each split.",
        module="treadle.data.prepare",
        slices=("data",),
        reads=(),
        outputs=("examples",),
        scratch=("unsplit",),
    ),
    Stage(
        name="featurize",
        purpose="Fit the transforms, and write the features.",
        module="treadle.features.featurize",
        slices=("features",),
        reads=("prepare",),
        outputs=("features",),
    ),
    Stage(
        name="train",
        purpose="Train the model, and write its bundle.",
        module="treadle.training.train",
        slices=(
            "seed",
            "model",
            "schedule",
            "loss",
            "augmentation",
            "trainer",
            "callbacks",
            "metrics",
            "evaluation.calibrate",
            "evaluation.decide_by",
            "evaluation.conformal",
        ),
        reads=("featurize",),
        outputs=("model", "bundle", "metrics.csv", "validation.json"),
        scratch=("checkpoints",),
    ),
    Stage(
        name="baseline",
        purpose="Fit the baselines; runs on the same features share them.",
        module="treadle.evaluation.baselines",
        slices=("evaluation.baselines",),
        reads=("featurize",),
        outputs=("baselines",),
    ),
    Stage(
        name="evaluate",
        purpose="Evaluate the model and its baselines on the test split.",
        module="treadle.evaluation.evaluate",
        slices=("evaluation", "metrics", "card"),
        reads=("train", "baseline"),
        outputs=("evaluation",),
    ),
)

# What the cache may keep beside the outputs of stages: examples before they are split, for runs whose split alone
# differs.
UNSPLIT = Stage(
    name="examples",
    purpose="Examples before they are split.",
    module=STAGES[0].module,
    slices=STAGES[0].slices,
    reads=STAGES[0].reads,
    outputs=STAGES[0].scratch,
)
CACHED = (*STAGES, UNSPLIT)

# Of a learner of the user's own: the same verbs and outputs. Its data are its datamodule's, which `train` reads; three
# stages have nothing to do. They belong to no run, and where DVC calls them they write an output that says so.
_IDLE = "treadle.learners.idle"
_PREPARE, _FEATURIZE, _TRAIN, _BASELINE, _EVALUATE = STAGES
LEARNER_STAGES = (
    _PREPARE._replace(module=_IDLE, slices=("depends",)),
    _FEATURIZE._replace(module=_IDLE, slices=()),
    _TRAIN._replace(
        module="treadle.learners.train",
        slices=(
            "seed",
            "learner",
            "datamodule",
            "fit.max_epochs",
            "fit.monitor",
            "fit.mode",
            "fit.early_stopping",
            "trainer",
            "callbacks",
        ),
        reads=(),
    ),
    _BASELINE._replace(module=_IDLE, slices=()),
    _EVALUATE._replace(module="treadle.learners.evaluate", slices=("learner", "datamodule"), reads=("train",)),
)

_BY_KIND: dict[Kind, tuple[Stage, ...]] = {"table": STAGES, "learner": LEARNER_STAGES}

# How it is searched for, served, and trained again: sections that no run reads.
NO_PART_OF_A_RUN = ("sweep", "serving", "replay", "retrain")
# Keys that cannot change a result: the name, what is allowed, what is recorded. Tests check that every key of an
# experiment is either in a stage's slices or here, and that those here change no number.
#
# Where training runs is in the slice of `train`: processes share the rows of a step and draw their own dropout, and a
# GPU rounds in another way than a CPU. The kind and the number of devices count (`auto` is settled when the experiment
# is composed), their make does not: two processors, or two GPUs, may differ in the last digits under one identity, as
# may two versions of torch; `environment.json` records them.
WITHOUT_EFFECT = (*NO_PART_OF_A_RUN, "name", "targets", "model_choice", "question", "tracker", "logger", "fit.metrics")

# Keys, by section, that name a bundle.
SOURCE_BUNDLES = {"features": "start_from", "schedule": "start_from", "loss": "teacher", "evaluation": "champion"}
DIGEST_MARK = "@"  # in their values in a resolved.yaml: before the digest of the bundle
# Of `schedule`, what a model reads that trains itself on numbers as they are, such as trees; and what it reads only
# where `trainer` limits batches.
READ_BY_TREES, READ_IN_BATCHES = ("monitor", "refit"), ("batch_size",)
ORDER = " (order)"  # ends the key of what stands for the order of a section
CODE = "code"  # key of resolved.yaml: the fingerprint of each stage's code


def list_stages(values: Values) -> tuple[Stage, ...]:
    """The stages of an experiment of these values."""
    return _BY_KIND[get_kind(values)]


def name_member_code(stage: str, member: str) -> str:
    """The key, below CODE, of a stage's code in the run of a blend's member."""
    return f"{stage}@{member}"


def get_stage(name: str, values: Values) -> Stage:
    """The stage of that name, for an experiment of these values."""
    return next(stage for stage in list_stages(values) if stage.name == name)


def list_needed(upto: str, values: Values) -> list[Stage]:
    """The stage of that name after all that it depends on, in the order in which they run."""
    stages, needed = list_stages(values), {upto}
    for stage in reversed(stages):
        if stage.name in needed:
            needed.update(stage.reads)
    return [stage for stage in stages if stage.name in needed]


def find_reader(values: Values) -> Stage:
    """The stage that reads the data."""
    return list_needed(STAGES[-1].name, values)[0]


def take_slice(values: Values, stage: Stage) -> dict[str, Any]:
    """The part of an experiment that the stage depends on, by dotted key; an optional key may be absent."""
    found = ((key, get(values, key)) for key in stage.slices)
    taken = {key: _identify(key, value) for key, value in found if value is not ABSENT}
    if "schedule" in taken and takes_raw(values):
        taken["schedule"] = _take_read(taken["schedule"], values["trainer"])
    return taken


def _take_read(schedule: dict[str, Any], trainer: dict[str, Any]) -> dict[str, Any]:
    """Of the schedule, what trees read: two runs that differ in nothing else are the same."""
    is_limited = any(trainer.get(key) is not None for key in ("limit_batches", "overfit_batches"))
    read = (*READ_BY_TREES, *(READ_IN_BATCHES if is_limited else ()))
    return {key: value for key, value in schedule.items() if key in read}


def identify_data(section: dict[str, Any]) -> dict[str, Any]:
    """The data, with the order of several labels: it is that of the outputs, and sections have none."""
    label = get(section, "examples.label")
    if not isinstance(label, dict):
        return section
    return {**section, "examples": {**section["examples"], "label": [[name, text] for name, text in label.items()]}}


def _identify_order(features: dict[str, Any]) -> dict[str, Any]:
    """The features, with the order of blocks, which is that of a model's inputs, and of steps: sections have none."""
    order = [[name, *block["steps"]] for name, block in features["blocks"].items()]
    return {**features, f"blocks{ORDER}": order}


def _identify(key: str, section: Any) -> Any:
    """A section, or that of each member of a blend, with what it has beside its values.

    That is the order of what it holds, where it counts, and of a bundle that it names the digest alone, not its place.
    """
    if key == "data":
        return identify_data(section)
    if key == "features" and isinstance(section, dict):
        section = _identify_order(section)
    if key == "model" and isinstance(section, dict) and isinstance(section.get("members"), dict):
        members = section["members"]
        identified = {name: {k: _identify(k, v) for k, v in own.items()} for name, own in members.items()}
        # Of members that are alike, the first is picked.
        return {**section, "members": identified, f"members{ORDER}": list(members)}
    name = SOURCE_BUNDLES.get(key)
    text = section.get(name) if name is not None and isinstance(section, dict) else None
    return section if text is None else {**section, name: text.rpartition(DIGEST_MARK)[2]}
