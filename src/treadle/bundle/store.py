"""The bundle on disk: features, weights, schema and the experiment that made them, in one folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import yaml

from treadle.bundle.bundle import Bundle
from treadle.bundle.network import TARGETS, build_network
from treadle.features.featurizer import STATE_FILE, WEIGHTS_FILE, Featurizer
from treadle.schema import TreadleError

_CARD, _NETWORK, _EXPERIMENT = "bundle.json", "network.pt", "experiment.yaml"


def save(bundle: Bundle, folder: Path) -> None:
    """Write the bundle; the card lists each file with its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle.featurizer.save(folder)
    torch.save(bundle.network.state_dict(), folder / _NETWORK)
    (folder / _EXPERIMENT).write_text(yaml.safe_dump(bundle.experiment, sort_keys=False, allow_unicode=True))
    card = {
        "task": bundle.task,
        "classes": bundle.classes,
        "schema": bundle.schema,
        "num_numeric": len(bundle.featurizer.numeric_names),
        "cardinalities": bundle.featurizer.cardinalities,
        "target": {"mean": bundle.target_mean, "scale": bundle.target_scale},
        "files": {name: _digest(folder / name) for name in (STATE_FILE, WEIGHTS_FILE, _NETWORK, _EXPERIMENT)},
    }
    (folder / _CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: str | Path, *, targets: Sequence[str] = TARGETS) -> Bundle:
    """Load the bundle of a run: `treadle.load("runs/flights-1a2b3c4d").predict(frame)`.

    Args:
        path: the run's folder, or the bundle's own.
        targets: prefixes of the classes that may be built. Classes of your own need their package here: a bundle
            cannot allow itself anything.

    Raises:
        TreadleError: there is no bundle, a file is damaged or leads out of its folder, or a target is not allowed.
    """
    folder = _find_folder(Path(path))
    card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    _verify_files(folder, card["files"])
    experiment = yaml.safe_load((folder / _EXPERIMENT).read_text(encoding="utf-8"))
    featurizer = Featurizer.load(folder, targets=targets)
    network = build_network(
        experiment["model"],
        targets=targets,
        num_numeric=card["num_numeric"],
        cardinalities=card["cardinalities"],
        num_classes=len(card["classes"]),
    )
    network.load_state_dict(torch.load(folder / _NETWORK, weights_only=True))
    return Bundle(
        task=card["task"],
        classes=card["classes"],
        schema=card["schema"],
        featurizer=featurizer,
        network=network.eval(),
        target_mean=card["target"]["mean"],
        target_scale=card["target"]["scale"],
        experiment=experiment,
    )


def _find_folder(path: Path) -> Path:
    for folder in (path / "bundle", path):
        if (folder / _CARD).is_file():
            return folder
    raise TreadleError(f"no bundle in {path}: expected {path / 'bundle' / _CARD}; `treadle train` writes one")


def _verify_files(folder: Path, files: Mapping[str, str]) -> None:
    expected = {STATE_FILE, WEIGHTS_FILE, _NETWORK, _EXPERIMENT}
    if set(files) != expected:
        raise TreadleError(f"{folder / _CARD}: must list the files {sorted(expected)}, found {sorted(files)}")
    for name in (_CARD, *files):
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise TreadleError(f"{file} leads out of its bundle, to {file.resolve()}; a bundle's files are its own")
        if not file.is_file():
            raise TreadleError(f"{file} is missing from the bundle")
        if name in files and _digest(file) != files[name]:
            raise TreadleError(f"{file} is damaged: its digest is not the one in {_CARD}")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
