"""The stage `train`: from tensors to a bundle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import torch

from treadle.bundle import Bundle, Card, Recipe, Standard, build_network, fingerprint_code, save
from treadle.disk import write_json
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import NO_AUGMENTATION, Experiment
from treadle.features.featurizer import Featurizer
from treadle.metrics.log import read_metrics_log
from treadle.schema import FitsInputs
from treadle.targets.build import build
from treadle.tensor_files import save_whole
from treadle.training.additions import build_additions
from treadle.training.augmentation import Augment
from treadle.training.fit import fit
from treadle.training.lightning_internals import raising_interrupts
from treadle.training.losses import build_loss
from treadle.training.metrics_log import EpochLog, MetricsLog
from treadle.training.requirements import explain_failure, require_rows
from treadle.training.resume import BEST, claim_checkpoints
from treadle.training.rows import Rows, open_rows
from treadle.training.scaling import find_link


def train(experiment: Experiment, *, folder: RunFolder, signature: str, log: EpochLog) -> None:
    """Train on `folder.features`, and write the outputs of the stage into it.

    An interrupted training of the same signature goes on from its last epoch, or from within a long one: its
    state stands in `folder.checkpoints`, outside of the stage's outputs, and is for the caller to remove.

    Raises:
        TreadleError: the machine lacks what `trainer` asks for, or the loss is not a number.
    """
    _require_machine(experiment)
    torch.set_num_threads(experiment.trainer.threads)
    torch.manual_seed(experiment.seed)
    features = folder.features
    inputs = json.loads((features / "inputs.json").read_text(encoding="utf-8"))
    rows, scaling = open_rows(features, experiment, classes=inputs["classes"])
    network = build_network(
        experiment.network,
        targets=experiment.targets,
        num_numeric=len(inputs["numeric"]),
        cardinalities=inputs["cardinalities"],
        num_classes=len(inputs["classes"]),
    )
    if isinstance(network, FitsInputs):
        network.fit_inputs(rows["train"].sample_numeric())
    featurizer = Featurizer.load(features, spec=experiment.features, targets=experiment.targets)
    augment = _build_augmentation(experiment, featurizer)
    require_rows(rows, experiment=experiment)
    additions = build_additions(experiment, folder=folder)
    with raising_interrupts():
        fit(
            network,
            rows,
            experiment,
            scaling=scaling,
            checkpoints=claim_checkpoints(folder.checkpoints, signature),
            callbacks=[MetricsLog(folder.metrics_log, log=log)],
            additions=additions,
            augment=augment,
        )
    best = _publish(folder, rows, monitor=experiment.schedule.monitor, numeric=inputs["numeric"])
    network.load_state_dict(best)
    recipe = Recipe.take(experiment)
    card = Card(
        task=experiment.data.task,
        classes=inputs["classes"],
        columns=json.loads((folder.examples / "schema.json").read_text(encoding="utf-8")),
        target=Standard(mean=scaling.mean, scale=scaling.scale, link=find_link(build_loss(experiment))),
        code=fingerprint_code(recipe),
    )
    save(Bundle(card, recipe, featurizer, network.eval()), folder.bundle)


def _build_augmentation(experiment: Experiment, featurizer: Featurizer) -> Augment | None:
    if experiment.augmentation["_target_"] == NO_AUGMENTATION:
        return None
    columns = {"numeric_columns": featurizer.numeric_columns, "id_columns": featurizer.id_columns}
    augment: Augment = build(experiment.augmentation, key="augmentation", targets=experiment.targets, **columns)
    return augment


def _require_machine(experiment: Experiment) -> None:
    if experiment.trainer.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise TreadleError(
            "trainer.accelerator: 'gpu' is asked for, and torch sees no GPU on this machine; "
            "add the override trainer=cpu or, under DVC, compose anew: `dvc repro --force compose`"
        )


def _publish(
    folder: RunFolder, rows: Mapping[str, Rows], *, monitor: str, numeric: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Put the best epoch into the stage's output, beside a summary of the training; return its weights.

    Raises:
        TreadleError: no epoch's score is a number.
    """
    checkpoints, model, epochs = folder.checkpoints, folder.model, read_metrics_log(folder.metrics_log)
    saved = torch.load(checkpoints / BEST, weights_only=True)
    kept = epochs[saved["epoch"]]
    score = kept[f"valid/{monitor}"]
    if not math.isfinite(score):
        raise TreadleError(explain_failure(rows, epochs=epochs, monitor=monitor, numeric=numeric))
    # A loss of the user's may have state of its own.
    own = {name: value for name, value in saved["state_dict"].items() if name.startswith("network.")}
    weights = {name.removeprefix("network."): value for name, value in own.items()}
    model.mkdir(parents=True, exist_ok=True)
    # Without what the callbacks remember: paths of this machine, which would make two equal trainings differ.
    save_whole({**saved, "callbacks": {}}, model / BEST)
    summary = {
        "best_epoch": saved["epoch"] + 1,
        "num_epochs": len(epochs),
        "num_steps": int(epochs[-1]["step"]),
        "num_parameters": sum(value.numel() for value in weights.values()),
        "monitor": monitor,
        "score": score,
        **saved["execution"],
    }
    write_json(model / "summary.json", summary)
    write_json(folder.validation, {"best_epoch": saved["epoch"] + 1, "valid": _select_validation(kept)})
    return weights


def _select_validation(epoch: Mapping[str, float]) -> dict[str, float | None]:
    """The metrics on the validation split, as DVC reads them: JSON knows no NaN."""
    found = {key.removeprefix("valid/"): value for key, value in epoch.items() if key.startswith("valid/")}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}
