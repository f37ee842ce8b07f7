"""Tell a registry who is champion: the ledger decides, and the registry of the tracker follows it."""

from __future__ import annotations

from pathlib import Path

from treadle.champions.bundles import ARTIFACT, find_by_digest, list_cards
from treadle.champions.ledger import History
from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import WandbTracker
from treadle.tracking.wandb_artifacts import link_champion, name_artifact


def find_artifact_name(run: Path) -> str | None:
    """The artifact that the bundle of a run was uploaded as, as `find_folder` takes it; None where it was not."""
    settings = _read_settings(run)
    name = None if settings is None else name_artifact(run.name, settings=settings)
    return None if name is None else f"{ARTIFACT}{name}"


def announce(history: History, *, root: Path) -> str | None:
    """Link the champion's artifact in the registry that its experiment names (`tracker.registry`), as `champion`.

    Args:
        history: of the model, after the decision.
        root: the project.

    Returns:
        The collection of the registry; None where the experiment names no registry, or nothing was uploaded.

    Raises:
        TreadleError: W&B cannot be reached, or does not have the bundle; the decision stands nevertheless.
    """
    assert history.champion is not None, "decided"
    run = root / (history.find_run(history.champion) or "")
    settings = _read_settings(run)
    artifact = None if settings is None else name_artifact(run.name, settings=settings)
    if settings is None or settings.registry is None or artifact is None:
        return None
    folder = find_by_digest(history.champion, history, root=root)
    card = next(card for card in list_cards(folder) if card.is_file())
    try:
        return link_champion(artifact, card=card, registry=settings.registry, model=history.name)
    except TreadleError as error:
        retry = f"`treadle promote {run.name and run.relative_to(root)}` tries again"
        raise TreadleError(f"{history.path} has the decision, and the registry does not: {error}\n{retry}") from error


def _read_settings(run: Path) -> WandbTracker | None:
    folder = RunFolder(run)
    if not folder.resolved.is_file():
        return None
    settings = read(folder.resolved).experiment.tracker
    return settings if isinstance(settings, WandbTracker) else None
