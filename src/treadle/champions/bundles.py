"""Bundles by digest: of a champion its files, wherever they are."""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from treadle.champions.ledger import History, list_models, read_history
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.dvc_lock import LOCK
from treadle.experiment.run_folder import CACHE, RUNS, RunFolder

CHAMPION = "champion"  # as MLflow has it: `champion`, or `<name>@champion` where there are several models
CHALLENGER = "challenger"  # the same for the bundle on trial
CARD = "bundle.json"  # lists the digest of each other file of a bundle
ARTIFACT = "wandb:"  # begins the name of an artifact, `wandb:entity/project/name:version`
CARDS = (CARD, "learner.json")  # of a table's model, and of a learner of the user's own
RESTORED = f"{RUNS}/.champions"  # bundles that were taken from DVC's cache, by digest
UPLOADED = "artifact"  # in the evidence of a promotion: the artifact of W&B that the bundle was uploaded as
REGISTRY = "registry"  # the same of the registry of W&B that follows the ledger
_OUTPUT = "bundle"  # name of the folder that the pipeline writes
_REFERENCE = re.compile(rf"(?:(?P<name>[^@/]+)@)?(?P<role>{CHAMPION}|{CHALLENGER})")


def digest_bundle(run: Path) -> str:
    """The digest of the bundle of a run's folder, or of a bundle's own: that of its card.

    Raises:
        TreadleError: there is no bundle.
    """
    for card in list_cards(run):
        if card.is_file():
            return hashlib.sha256(card.read_bytes()).hexdigest()
    raise TreadleError(f"no bundle in {run}; `treadle ls` lists the runs, `treadle run` makes one")


def list_cards(folder: Path) -> Iterator[Path]:
    """Where the card of a bundle may lie: in that of a run, or in the folder itself."""
    yield from (place / name for place in (RunFolder(folder).bundle, folder) for name in CARDS)


def is_reference(text: str) -> bool:
    """Whether a text names a champion or a challenger, and no folder that exists."""
    return _REFERENCE.fullmatch(text) is not None and not Path(text).exists()


def find_folder(name: str, *, root: Path) -> Path:
    """The folder of a run or of a bundle, by its path, of a champion, or of an artifact of W&B.

    Raises:
        TreadleError: there is no such champion, or its bundle is nowhere.
    """
    if name.startswith(ARTIFACT):
        return fetch_artifact(name, root=root)
    return find_bundle(name, root=root) if is_reference(name) else Path(name)


def find_bundle(reference: str, *, root: Path) -> Path:
    """The folder of a champion's or a challenger's run or bundle.

    Args:
        reference: `champion` or `challenger`, or `flights@champion` where there are several models.
        root: the project.

    Raises:
        TreadleError: there is no such champion or challenger, or its bundle is nowhere.
    """
    history = find_history(reference, root=root)
    if not reference.endswith(CHALLENGER):
        assert history.champion is not None, "a history has one"
        return find_by_digest(history.champion, history, root=root)
    if history.challenger is None:
        raise TreadleError(f"{history.name!r} has no challenger; `treadle rollout start RUN` names one")
    return find_by_digest(history.challenger, history, root=root)


def find_digest(reference: str, *, root: Path) -> str | None:
    """The digest of the bundle that a reference names; None: `challenger`, and none is on trial now.

    Raises:
        TreadleError: there is no such run or champion.
    """
    if is_reference(reference) and reference.endswith(CHALLENGER):
        return find_history(reference, root=root).challenger
    return digest_bundle(find_folder(reference, root=root))


def find_history(reference: str, *, root: Path) -> History:
    """The ledger of a champion.

    Raises:
        TreadleError: nothing was promoted, or there are several models.
    """
    found = _REFERENCE.fullmatch(reference)
    names = list_models(root)
    if found is None or found["name"] is None:
        if len(names) != 1:
            listed = ", ".join(f"{name}@{CHAMPION}" for name in names)
            fix = f"say which: {listed}" if names else "`treadle promote RUN` makes one"
            raise TreadleError(f"there is {'more than one' if names else 'no'} champion in models/; {fix}")
        return _require(read_history(names[0], root=root))
    return _require(read_history(found["name"], root=root))


def _require(history: History) -> History:
    if not history.decisions:
        raise TreadleError(f"{history.name!r} has no champion; `treadle promote RUN` makes one")
    return history


def find_by_digest(digest: str, history: History, *, root: Path) -> Path:
    """The folder that holds the bundle of a digest: a run, an output in the cache of stages, or one that DVC keeps.

    Raises:
        TreadleError: it is nowhere.
    """
    named = [decision.run for decision in history.decisions if decision.bundle == digest]
    trials = [d.evidence for d in history.decisions if d.action == "challenge"]
    named += [trial["run"] for trial in trials if trial[CHALLENGER] == digest]
    folders = [
        *(root / run for run in named),
        root / "artifacts",
        *(root / RUNS).glob("[!.]*"),
        root / RESTORED / digest,
    ]
    folders += (root / CACHE / "train").glob("*")
    for folder in folders:
        if any(_holds(card, digest) for card in list_cards(folder)):
            return folder
    for folder in _list_dvc_caches(root):
        if (restored := _restore(digest, cache=folder, into=root / RESTORED / digest)) is not None:
            return restored
    decided = [decision.evidence for decision in history.decisions if decision.bundle == digest]
    failed = []
    for artifact in dict.fromkeys(str(found[UPLOADED]) for found in decided if UPLOADED in found):
        try:
            folder = fetch_artifact(artifact, root=root)
        except TreadleError as error:
            failed.append(str(error))
            continue
        if any(_holds(card, digest) for card in list_cards(folder)):
            return folder
        failed.append(f"{artifact} is another bundle")
    where = ", ".join(sorted(set(named)))
    fix = "Make that run again"
    fix += f", or `treadle rollback {history.name}`" if digest == history.champion else ""
    raise TreadleError(
        f"the bundle {digest[:12]} of {history.name!r} is nowhere: not in {RUNS}/, artifacts/ or DVC's cache; it came "
        f"from {where}. {fix}" + "".join(f"; {why}" for why in failed)
    )


def _holds(card: Path, digest: str) -> bool:
    return card.is_file() and hashlib.sha256(card.read_bytes()).hexdigest() == digest


def _list_dvc_caches(root: Path) -> Iterator[Path]:
    """DVC's cache, and the one that its configuration names."""
    yield root / ".dvc" / "cache" / "files" / "md5"
    for name in ("config", "config.local"):
        parser = configparser.ConfigParser(interpolation=None)
        file = root / ".dvc" / name
        if file.is_file():
            parser.read_string(re.sub(r"(?m)^\s+", "", read_text(file)))
            if folder := parser.get("cache", "dir", fallback=""):
                yield root / ".dvc" / folder / "files" / "md5"


def find_revision(revision: str, *, root: Path) -> Path:
    """The bundle that DVC's pipeline made at a git revision, restored from DVC's cache.

    Raises:
        TreadleError: the revision has no bundle, or the cache does not hold it.
    """
    command = ["git", "show", "--end-of-options", f"{revision}:./{LOCK}"]
    shown = subprocess.run(command, cwd=root, capture_output=True, check=False)  # noqa: S603 - git alone
    if shown.returncode:
        raise TreadleError(f"{revision!r} is no run, no bundle, and no git revision that has a {LOCK}")
    stages = (yaml.load(shown.stdout, Loader=yaml.CSafeLoader) or {}).get("stages") or {}
    outputs = [out for stage in stages.values() for out in stage.get("outs", []) if Path(out["path"]).name == _OUTPUT]
    if not outputs:
        raise TreadleError(f"{LOCK} of {revision} has no bundle; `dvc repro` makes one")
    wanted = outputs[0]["md5"]
    for cache in _list_dvc_caches(root):
        listing = cache / wanted[:2] / wanted[2:]
        if listing.is_file() and (found := _copy(listing, cache, into=root / RESTORED / wanted)) is not None:
            return found
    raise TreadleError(f"the bundle of {revision} is not in DVC's cache; check the revision out and run `dvc repro`")


def fetch_artifact(name: str, *, root: Path) -> Path:
    """The bundle that is an artifact of W&B, downloaded whole.

    Raises:
        TreadleError: W&B cannot be reached, has no such artifact, or it is no bundle.
    """
    from treadle.tracking.wandb_artifacts import download_artifact

    place = root / RESTORED
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=place, ignore_cleanup_errors=True) as aside:
        part = Path(aside) / _OUTPUT
        download_artifact(name.removeprefix(ARTIFACT), into=part)
        return _move(part, place / digest_bundle(part))


def _restore(digest: str, *, cache: Path, into: Path) -> Path | None:
    """Copy a bundle that DVC keeps as the output of a stage; None where this cache has none of the digest."""
    for listing in cache.glob("??/*.dir"):
        files = _list_files(listing, cache)
        cards = [files[name] for name in CARDS if name in files]
        if any(_holds(card, digest) for card in cards) and (found := _copy(listing, cache, into=into)) is not None:
            return found
    return None


def _list_files(listing: Path, cache: Path) -> dict[str, Path]:
    """The files of a folder in DVC's cache, by their names in it."""
    entries = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
    return {name: cache / md5[:2] / md5[2:] for name, md5 in entries.items()}


def _copy(listing: Path, cache: Path, *, into: Path) -> Path | None:
    """Copy a folder out of DVC's cache, whole or not at all; None where a file is missing."""
    if into.is_dir():
        return into
    files = _list_files(listing, cache)
    if not all(file.is_file() for file in files.values()):
        return None
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=into.parent, ignore_cleanup_errors=True) as aside:
        part = Path(aside) / into.name
        for name, file in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)  # of a blend's member
            shutil.copyfile(file, part / name)
        return _move(part, into)


def _move(part: Path, into: Path) -> Path:
    """Move a whole folder to its place, unless another process was quicker, with the same files."""
    try:
        part.replace(into)
    except OSError:
        if not into.is_dir():
            raise
    return into
