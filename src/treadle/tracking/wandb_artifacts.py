"""Bundles as artifacts of W&B: a registry names the champion, and a bundle that is nowhere else is taken from there."""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import TreadleError
from treadle.experiment.spec import WandbTracker
from treadle.tracking.wandb_account import find_account, reporting_errors
from treadle.tracking.wandb_environment import choose_mode

if TYPE_CHECKING:
    from wandb import Artifact

_NEWEST = "latest"
_CHAMPION = "champion"  # alias of the version that is champion


def name_artifact(run: str, *, settings: WandbTracker) -> str | None:
    """`project/run`, after the entity where one is named; None where the bundle of a run is not uploaded."""
    if not settings.upload_bundle or choose_mode(settings) != "online":
        return None
    entity = os.environ.get("WANDB_ENTITY") or settings.entity
    project = os.environ.get("WANDB_PROJECT") or settings.project
    return "/".join(filter(None, (entity, project, run)))


def link_champion(artifact: str, *, card: Path, registry: str, model: str) -> str:
    """Link the artifact of a champion in a registry, where it takes the alias `champion` from the one before.

    Args:
        artifact: its name; without a version the newest.
        card: of the champion's bundle, by which the artifact is recognised.
        registry: of W&B, without its prefix `wandb-registry-`.
        model: name of the model, and of the collection in the registry.

    Returns:
        The collection.

    Raises:
        TreadleError: there is no account, no such artifact or registry; or the artifact is another bundle.
    """
    collection = f"wandb-registry-{registry}/{model}"
    with reporting_errors(f"W&B: {artifact} cannot become champion of {collection}"):
        found = _find(artifact)
        entry = found.manifest.entries.get(card.name)
        if entry is None or entry.digest != b64encode(md5(card.read_bytes(), usedforsecurity=False).digest()).decode():
            raise TreadleError(f"{artifact}: its newest version, {found.name}, is not the bundle {card.parent}")
        found.link(collection, aliases=[_CHAMPION])
    return collection


def download_artifact(name: str, *, into: Path) -> None:
    """Download the files of an artifact, such as `team/project/flights-1a2b3c4d:v0`, into an empty folder.

    Raises:
        TreadleError: there is no account, or no such artifact.
    """
    with reporting_errors(f"W&B: {name} cannot be downloaded"):
        _find(name).download(root=str(into), skip_cache=True)


def _find(name: str) -> Artifact:
    account = find_account()
    if account is None:
        raise TreadleError(f"{name}: this machine has no account at W&B, or WANDB_MODE is offline: `wandb login`")
    found: Artifact = account.api.artifact(name if ":" in name else f"{name}:{_NEWEST}")
    return found
