"""Bundles that a run reads, to start from, to learn from or to be compared with: identified by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError
from treadle.experiment.file_states import FileState, read_state
from treadle.experiment.fingerprint import hash_content
from treadle.experiment.members import list_members, list_parts
from treadle.experiment.run_folder import OPTIMIZER, RunFolder
from treadle.experiment.spec import AnyExperiment, Experiment
from treadle.experiment.stages import DIGEST_MARK, SOURCE_BUNDLES
from treadle.json_files import read_json
from treadle.keys import ABSENT, get

_CARD = "bundle.json"  # of a bundle; it lists every other file with its digest


def list_source_bundles(experiment: AnyExperiment) -> Iterator[tuple[str, str]]:
    """The dotted key and the text of each that an experiment names."""
    values: dict[str, Any] = experiment.model_dump(mode="json", include=set(SOURCE_BUNDLES))
    for section, name in SOURCE_BUNDLES.items():
        if (text := get(values, f"{section}.{name}")) not in (ABSENT, None):
            yield f"{section}.{name}", str(text)


def list_member_bundles(experiment: AnyExperiment) -> Iterator[tuple[str, str]]:
    """The same of the sections that members of a blend have of their own."""
    if not isinstance(experiment, Experiment):
        return
    parts = list_parts(experiment)
    for name, member in list_members(experiment).items():
        for key, text in list_source_bundles(member):
            if key.partition(".")[0] in parts[name].given:
                yield f"model.members.{name}.{key}", text


def split_source(text: str) -> tuple[str, str]:
    """The place, and the digest that a resolved.yaml adds to it; empty where it is not settled."""
    place, _, digest = text.rpartition(DIGEST_MARK)
    return (place, digest) if place else (text, "")


def find_source(text: str, *, root: Path) -> Path | None:
    """The folder of the bundle at a place, a run's or its own, relative to the project; None where there is none."""
    path = root / split_source(text)[0]
    return next((folder for folder in (RunFolder(path).bundle, path) if (folder / _CARD).is_file()), None)


def take_source(text: str, *, root: Path, key: str) -> Path:
    """The same, where a stage needs it.

    Raises:
        TreadleError: there is none any more.
    """
    bundle = find_source(text, root=root)
    if bundle is None:
        raise TreadleError(
            f"{key}: no bundle in {split_source(text)[0]!r} any more, which the experiment was composed with; put it "
            "back, or compose anew with another one"
        )
    return bundle


def digest_source(bundle: Path) -> str:
    """What identifies a bundle."""
    return hash_content(bundle / _CARD)


def settle_source(place: str, bundle: Path) -> str:
    """The place with the digest beside it: another content is another run, another place is not."""
    return f"{place}{DIGEST_MARK}{digest_source(bundle)}"


def require_source(text: str, bundle: Path, *, key: str) -> None:
    """Refuse another content than the one that the experiment was composed with.

    Raises:
        TreadleError: it is another bundle now.
    """
    place, digest = split_source(text)
    if digest_source(bundle) != digest:
        raise TreadleError(
            f"{key}: {place} is not the bundle any more that the experiment was composed with; compose it anew"
        )


def find_optimizer(bundle: Path) -> Path | None:
    """The state of the optimizer that the training of a bundle left in its run; None: it is not there.

    It is no file of the bundle, which is for predictions. The bundle's card has its digest, so that who names the
    bundle names the state, too.
    """
    file = RunFolder(bundle.parent).model / OPTIMIZER
    digest, state = read_json(bundle / _CARD).get("optimizer"), read_state(file)
    if digest is None or state is None:
        return None
    return file if _digest_as(file, state) == digest else None


@lru_cache
def _digest_as(file: Path, state: FileState) -> str:  # noqa: ARG001 - another state is another content
    """The digest of a large file, which a sweep asks for at each of its compositions."""
    return digest_file(file)


def digest_file(file: Path) -> str:
    """SHA-256, in full, as the card of a bundle has it."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
