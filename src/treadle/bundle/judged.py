"""The bundle of a run with the weights that were validated, where those that it predicts with were trained on more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from treadle.bundle.blend import BlendBundle
from treadle.bundle.bundle import Bundle
from treadle.bundle.model import TARGETS
from treadle.bundle.predictor import Predictor
from treadle.bundle.store import load
from treadle.experiment.members import name_folds
from treadle.experiment.run_folder import BEST, JUDGED, RunFolder
from treadle.experiment.spec import Blend, RandomFolds
from treadle.models.estimator import Estimator


def load_judged(run: Path, *, targets: Sequence[str] = TARGETS) -> Predictor:
    """The bundle as the validation split has judged it: whatever is learned from that split must ask this one.

    After `schedule.refit=all` the model of the bundle has seen the validation split, and the one of its best epoch, or
    the blend of those, lies beside it; else the two are the same.

    Args:
        run: its folder.
        targets: prefixes of dotted paths that a `_target_` may come from.

    Raises:
        TreadleError: as `load`.
    """
    bundle = load(run, targets=targets)
    if "valid" not in bundle.card.trained_on:
        return bundle
    if not isinstance(bundle, Bundle):
        assert isinstance(bundle, BlendBundle)
        return _take_fold(bundle) or load(RunFolder(run).model / JUDGED, targets=targets)
    if isinstance(bundle.model, Estimator):
        bundle.model.load(RunFolder(run).model / bundle.model.FILE)
        return _take_judged(bundle)
    saved = torch.load(RunFolder(run).model / BEST, weights_only=True, map_location="cpu")["state_dict"]
    prefix = "network."
    weights = {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}
    bundle.model.load_state_dict(weights)
    return _take_judged(bundle)


def _take_judged(bundle: Bundle) -> Bundle:
    return replace(bundle, card=bundle.card.model_copy(update={"trained_on": ["train"]}))


def _take_fold(bundle: BlendBundle) -> BlendBundle | None:
    """The models of a blend that were trained on its own fold; None where its members have no folds."""
    model, split = bundle.recipe.model, bundle.recipe.data.split
    if not isinstance(model, Blend) or model.folds == "one" or not isinstance(split, RandomFolds):
        return None
    own = {name_folds(member, split.num_folds)[split.fold] for member in model.members}
    weights = {name: weight * split.num_folds for name, weight in bundle.card.members.items() if name in own}
    card = bundle.card.model_copy(update={"members": weights, "trained_on": ["train"]})
    return replace(bundle, card=card, members={name: bundle.members[name] for name in weights})
