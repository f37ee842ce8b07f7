"""The bundle of a learner: its weights as plain values, and the nodes that build its class again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from treadle.bundle import TARGETS
from treadle.errors import TreadleError
from treadle.experiment.fingerprint import fingerprint_again, fingerprint_modules, hash_content
from treadle.experiment.modules import TREADLE
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import LearnerExperiment
from treadle.json_files import read_json, write_json
from treadle.keys import find_targets
from treadle.schema import UsableCode
from treadle.targets.validate import check_target
from treadle.tensor_files import save_whole
from treadle.validation import describe_first

CARD, WEIGHTS = "learner.json", "learner.ckpt"
_OPTIMIZERS = ("torch.optim.",)  # what many a learner takes as an argument
_OF_TRAINING = ("optimizer_states", "lr_schedulers", "loops", "callbacks")  # what only a training goes on from


class _Card(pydantic.BaseModel):
    """What builds the learner again."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)

    experiment: LearnerExperiment
    code: dict[str, str]  # module: fingerprint
    weights: str  # digest of their file


@dataclass(frozen=True)
class LearnerBundle:
    """A learner that can be built again."""

    experiment: LearnerExperiment
    weights: Path  # a checkpoint of Lightning, of plain values


def save_bundle(experiment: LearnerExperiment, checkpoint: dict[str, Any], *, folder: Path) -> None:
    """Write the weights of a checkpoint, and what builds the learner."""
    folder.mkdir(parents=True, exist_ok=True)
    save_whole({name: value for name, value in checkpoint.items() if name not in _OF_TRAINING}, folder / WEIGHTS)
    plain = experiment.model_copy(update={"callbacks": {}, "logger": {}})
    card = _Card(experiment=plain, code=_list_code(experiment), weights=hash_content(folder / WEIGHTS))
    write_json(card.model_dump(mode="json"), folder / CARD)


def holds_learner(path: Path) -> bool:
    """Whether a run's folder, or a bundle's own, is of a learner."""
    return _find_folder(path) is not None


def load_bundle(path: Path, *, targets: Sequence[str] = TARGETS, code: UsableCode = "same") -> LearnerBundle:
    """Read the bundle of a learner; nothing is built yet.

    Args:
        path: the run's folder, or the bundle's own.
        targets: prefixes of the classes that may be built: a bundle cannot extend them itself.
        code: "same" refuses code that differs from that of the training.

    Raises:
        TreadleError: a file is damaged, a target is not allowed, or the code differs.
    """
    folder = _find_folder(path)
    if folder is None:
        raise TreadleError(f"no bundle of a learner in {path}; `treadle train` writes one")
    try:
        card = _Card.model_validate(read_json(folder / CARD))
    except pydantic.ValidationError as error:
        raise TreadleError(f"{folder / CARD} is no card of a learner: {describe_first(error)}") from error
    if not (folder / WEIGHTS).is_file() or hash_content(folder / WEIGHTS) != card.weights:
        raise TreadleError(f"{folder / WEIGHTS} is damaged: its digest differs from the one in {CARD}")
    experiment = card.experiment.model_copy(update={"targets": [*targets, *_OPTIMIZERS]})
    require_targets(experiment)
    if code == "same":
        _require_same_code(card.code)
    return LearnerBundle(experiment, folder / WEIGHTS)


def require_targets(experiment: LearnerExperiment) -> None:
    """Refuse classes that are not allowed, and arguments that do not fit them.

    Raises:
        TreadleError: with the first that is wrong.
    """
    for key, node in find_targets(_list_nodes(experiment)):
        for problem in check_target(key, node, experiment.targets):
            own = (
                f"; --allow {node['_target_'].partition('.')[0]}. allows it" if problem.key.endswith("_target_") else ""
            )
            raise TreadleError(f"{problem.key}: {problem.rule}{own}")


def _list_nodes(experiment: LearnerExperiment) -> dict[str, Any]:
    return {"learner": experiment.learner, "datamodule": experiment.datamodule}


def _list_code(experiment: LearnerExperiment) -> dict[str, str]:
    """A hash for each module that learner and datamodule need, other than Treadle's; of a library its version."""
    modules = {node["_target_"].rpartition(".")[0] for _, node in find_targets(_list_nodes(experiment))}
    found = fingerprint_modules(modules)
    return {name: known for name, known in sorted(found.items()) if name.partition(".")[0] != TREADLE}


def _require_same_code(code: dict[str, str]) -> None:
    differing = [name for name, known in code.items() if fingerprint_again(name, known) != known]
    if differing:
        raise TreadleError(
            f"the learner was trained with other code than the installed: {', '.join(differing)}; train it again, or "
            "accept the installed code: --any-code"
        )


def _find_folder(path: Path) -> Path | None:
    folders = (RunFolder(path).bundle, path)
    return next((folder for folder in folders if (folder / CARD).is_file()), None)
