"""Tell a registry who is champion: the ledger decides, and the registry of the tracker follows it."""

from __future__ import annotations

from pathlib import Path

from treadle.champions.bundles import ARTIFACT, REGISTRY, UPLOADED, find_by_digest, list_cards
from treadle.champions.ledger import History
from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import WandbTracker
from treadle.tracking.wandb_artifacts import link_champion, name_artifact


def describe_upload(run: Path) -> dict[str, str]:
    """For the ledger: the artifact that the bundle of a run was uploaded as, as `find_folder` takes it.

    With the registry that the experiment names; empty where nothing was uploaded.
    """
    settings = _read_settings(run)
    name = None if settings is None else name_artifact(run.name, settings=settings)
    if settings is None or name is None:
        return {}
    return {UPLOADED: f"{ARTIFACT}{name}", **({REGISTRY: settings.registry} if settings.registry else {})}


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
    run = history.find_run(history.champion) or ""
    told = [decision.evidence for decision in history.decisions if decision.bundle == history.champion]
    upload = next((one for one in reversed(told) if REGISTRY in one), None) or describe_upload(root / run)
    if REGISTRY not in upload:
        return None
    artifact = str(upload[UPLOADED]).removeprefix(ARTIFACT)
    folder = find_by_digest(history.champion, history, root=root)
    card = next(card for card in list_cards(folder) if card.is_file())
    try:
        return link_champion(artifact, card=card, registry=str(upload[REGISTRY]), model=history.name)
    except TreadleError as error:
        retry = f"`treadle promote {run}` tries again"
        raise TreadleError(f"{history.path} has the decision, and the registry does not: {error}\n{retry}") from error


def _read_settings(run: Path) -> WandbTracker | None:
    folder = RunFolder(run)
    if not folder.resolved.is_file():
        return None
    settings = read(folder.resolved).experiment.tracker
    return settings if isinstance(settings, WandbTracker) else None
