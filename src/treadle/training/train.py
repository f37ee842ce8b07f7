"""The stage `train`: from tensors to a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from treadle.bundle import (
    Bundle,
    Predictor,
    Recipe,
    build_model,
    compute_raw,
    fingerprint_code,
    load_judged,
    save,
)
from treadle.errors import TreadleError
from treadle.experiment.run_folder import OPTIMIZER, RunFolder
from treadle.experiment.source_bundles import digest_file
from treadle.experiment.spec import Experiment
from treadle.features.featurizer import Featurizer
from treadle.models.estimator import Estimator
from treadle.schema import ImageSpan, Split, TokenSpan
from treadle.training.blend import blend
from treadle.training.calibrate import learn_from_valid, learns_from_valid, open_valid
from treadle.training.card import make_card
from treadle.training.epochs import EpochLog
from treadle.training.losses import build_loss
from treadle.training.optimizer_state import State
from treadle.training.randomness import seed_generators
from treadle.training.requirements import require_rows
from treadle.training.rows import Rows, open_rows
from treadle.training.scaling import find_levels
from treadle.training.start import start_from


def train(
    experiment: Experiment,
    *,
    folder: RunFolder,
    signature: str,
    log: EpochLog,
    start: Path | None,
    teacher: Path | None,
    members: Mapping[str, RunFolder],
) -> None:
    """Train on `folder.features`, and write the outputs of the stage into it.

    The members of a blend have been trained in runs of their own, `members`; they are weighed here.

    An interrupted training of a network of the same signature goes on from its last epoch, or from within a long one:
    its state stands in `folder.checkpoints`, outside of the stage's outputs, and is for the caller to remove. An
    estimator begins again.

    Raises:
        TreadleError: the machine lacks what `trainer` asks for, or the loss is not a number.
    """
    _require_machine(experiment)
    if members:
        blend(experiment, folder=folder, members=members, log=log)
        return
    torch.set_num_threads(experiment.trainer.threads)
    seed_generators(experiment.seed)
    features = folder.features
    inputs = json.loads((features / "inputs.json").read_text(encoding="utf-8"))
    rows, scaling = open_rows(features, experiment, classes=inputs["classes"])
    loss = build_loss(experiment)
    model = _build(experiment, inputs, levels=find_levels(loss))
    if teacher is not None:
        from treadle.training.distillation import teach  # as below

        given = {"experiment": experiment, "classes": inputs["classes"], "scaling": scaling}
        rows = teach(rows, teacher, examples=folder.examples, **given)
    featurizer = Featurizer.load(features, spec=experiment.features, targets=experiment.targets)
    require_rows(rows, experiment=experiment)
    begin = None
    if start is not None:
        given = {"experiment": experiment, "classes": inputs["classes"], "featurizer": featurizer}
        begin = partial(start_from, start, **given)
    around = {"scaling": scaling, "featurizer": featurizer, "folder": folder, "log": log}
    trained_on = _fit(model, rows, experiment, signature=signature, begin=begin, **around)
    recipe = Recipe.take(experiment)
    card = make_card(
        experiment,
        folder=folder,
        classes=inputs["classes"],
        scaling=scaling,
        loss=loss,
        trained_on=trained_on,
        code=fingerprint_code(recipe),
        optimizer=_digest_optimizer(folder),
    )
    save(_finish(Bundle(card, recipe, featurizer, model), experiment, folder=folder), folder.bundle)


def _fit(
    model: nn.Module | Estimator,
    rows: Mapping[str, Rows],
    experiment: Experiment,
    *,
    signature: str,
    begin: Callable[[nn.Module], State] | None,
    **around: Any,
) -> list[Split]:
    """Train in place, by Lightning or by itself; the splits whose rows it has seen."""
    if isinstance(model, Estimator):
        from treadle.training.estimators import train_estimator

        return train_estimator(model, rows, experiment, **around)
    from treadle.training.networks import train_network  # Lightning takes seconds to import

    return train_network(model, rows, experiment, signature=signature, begin=begin, **around)


def _digest_optimizer(folder: RunFolder) -> str | None:
    """Of the state that the training has left; None: it left none."""
    file = folder.model / OPTIMIZER
    return digest_file(file) if file.is_file() else None


def _finish(bundle: Bundle, experiment: Experiment, *, folder: RunFolder) -> Bundle:
    """The bundle with what the validation split teaches, by weights that have not seen it."""
    if not learns_from_valid(experiment):
        return bundle
    judged: Predictor = bundle
    if "valid" in bundle.card.trained_on:
        save(bundle, folder.bundle)
        judged = load_judged(folder.path, targets=experiment.targets)
    rows = open_valid(experiment, folder)
    raw = compute_raw(judged, rows)
    return replace(bundle, card=learn_from_valid(bundle.card, raw, rows, experiment))


def _require_machine(experiment: Experiment) -> None:
    if experiment.trainer.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise TreadleError(
            "trainer.accelerator: 'gpu' is asked for, and torch sees no GPU on this machine; "
            "add the override trainer=cpu or, under DVC, compose anew: `dvc repro --force compose`"
        )


def _build(experiment: Experiment, inputs: Mapping[str, Any], *, levels: Sequence[float]) -> nn.Module | Estimator:
    """The model of the experiment, before training, for the inputs that `featurize` wrote."""
    return build_model(
        experiment.network,
        targets=experiment.targets,
        num_numeric=len(inputs["numeric"]),
        cardinalities=inputs["cardinalities"],
        num_classes=len(inputs["classes"]),
        labels=inputs["classes"] if experiment.data.answer == "multilabel" else (),
        texts=[TokenSpan(*span) for span in inputs.get("texts", [])],
        offsets=inputs.get("offsets", []),
        images=[ImageSpan(*span) for span in inputs.get("images", [])],
        levels=levels,
    )
