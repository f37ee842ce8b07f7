"""Runs as experiments of DVC: `dvc exp show` lists them, and `dvc exp apply` puts one's choices into the workspace.

DVC keeps an experiment as a commit on top of the one that it began with, under `refs/exps/<commit>/<name>`. Git alone
writes it here: DVC would run the pipeline for it, or take the outputs from the workspace.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from treadle.check.resolve import resolve
from treadle.config.compose import list_options
from treadle.config.overrides import is_choice, key_of, parse
from treadle.config.selection import FILE, read_selection
from treadle.disk import read_record, read_text, write_text
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RESOLVED, RunFolder
from treadle.runs.adopt import EXPERIMENT, put, read_overrides, require_same, select
from treadle.runs.marks import EXPERIMENTS

_PIPELINE = "dvc.yaml"
_COMMAND = re.compile(r"\btreadle\s+(?P<verb>[a-z]+)\b.*--folder[ =](?P<folder>\S+)")
_NEW = "0" * 40  # in place of the commit that a ref had
_NOBODY = {f"GIT_{who}_{what}": "treadle" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def find_ref(name: str, *, root: Path) -> str | None:
    """Where DVC keeps an experiment of that name; None where the project is not under DVC, or has no commit.

    Raises:
        TreadleError: git refuses the name.
    """
    head = _try_git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if head is None or not all((root / file).is_file() for file in (_PIPELINE, FILE)):
        return None
    ref = f"refs/exps/{head[:2]}/{head[2:]}/{name}"
    if _try_git(root, "check-ref-format", ref) is None:
        raise TreadleError(f"{name!r} is no name of an experiment of DVC; give another")
    return ref


def require_free(name: str, *, root: Path) -> None:
    """Refuse a name that an experiment of DVC has.

    Raises:
        TreadleError: it has.
    """
    if is_recorded(name, root=root):
        raise TreadleError(
            f"DVC has an experiment {name} on this commit; give another name, or `dvc exp remove {name}`"
        )


def is_recorded(name: str, *, root: Path) -> bool:
    """Whether an experiment of that name began with the project's commit."""
    ref = find_ref(name, root=root)
    return ref is not None and _try_git(root, "rev-parse", "--verify", "--quiet", ref) is not None


def record(run: Path, *, name: str, root: Path) -> bool:
    """Record a run as an experiment of DVC on the project's commit.

    It holds the files that git tracks as they are now, and conf/; in params.yaml the choices of the run; and those of
    its outputs that dvc.yaml leaves to git, such as metrics. Its other outputs are made by `dvc repro`.

    Args:
        run: a run folder.
        name: of the experiment; no other of this commit has it.
        root: the project.

    Returns:
        Whether there is one now: not where the project is not under DVC, or the run has not been trained.

    Raises:
        TreadleError: the choices do not compose to the run any more, or git refuses.
    """
    folder, ref = RunFolder(run), find_ref(name, root=root)
    done = read_record(folder.signatures) or {}
    if ref is None or "train" not in done:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        params = Path(scratch, FILE)
        write_text(params, _write_params(folder, name=name, root=root))
        resolved = resolve(overrides=list(read_selection(params, root=root)), root=root)
        require_same(folder, resolved, root=root)
        index = _Index.copy(root, Path(scratch, "index"))
        index.put(FILE, params.read_bytes())
        index.put(RESOLVED, resolved.dump().encode())
        for verb, path, source in _list_results(folder, root):
            index.replace(path, source if verb in done else None)
        index.commit(ref, f"treadle: {run.resolve().name} as {name}")
    return True


def _write_params(folder: RunFolder, *, name: str, root: Path) -> str:
    """The selection of a run: its groups and its single values, so that DVC's table has a column for each.

    What only adds or removes, such as `+key=value`, cannot stand there: then the adopted experiment is selected.
    """
    overrides, options = read_overrides(folder), list_options(root)
    text = read_text(root / FILE)
    unfit = next((text for text in overrides if text.startswith(("+", "~")) or "@" in text.partition("=")[0]), None)
    if unfit is not None:
        if not (root / EXPERIMENTS / f"{name}.yaml").is_file():
            raise TreadleError(f"{folder.path}: {unfit!r} cannot stand in {FILE}; `treadle adopt` makes a file of it")
        return select(text, {EXPERIMENT: name}, {})
    groups = {key_of(override): override.partition("=")[2] for override in overrides if is_choice(override, options)}
    values: dict[str, Any] = {}
    for override in overrides:
        if key_of(override) not in groups:
            put(values, key_of(override).split("."), parse(override).value())
    return select(text, groups, values)


def _list_results(folder: RunFolder, root: Path) -> Iterator[tuple[str, str, Path]]:
    """The outputs of stages that dvc.yaml leaves to git: verb, path in the project, path in the run."""
    content = yaml.load(read_text(root / _PIPELINE), Loader=yaml.CSafeLoader)
    for stage in content["stages"].values():
        command = _COMMAND.search(str(stage.get("cmd")))
        listed = [entry for key in ("outs", "metrics", "plots") for entry in stage.get(key, ()) if _is_in_git(entry)]
        for path in (path for entry in listed for path in entry):
            if command is not None and Path(path).is_relative_to(command["folder"]):
                yield command["verb"], path, folder.path / Path(path).relative_to(command["folder"])


def _is_in_git(entry: object) -> bool:
    """Whether DVC leaves an output of a stage to git: `path: {cache: false}`."""
    return isinstance(entry, dict) and all(details.get("cache") is False for details in entry.values())


# --- git ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Index:
    """What a commit will hold: an index of git's beside that of the user, which stays as it is."""

    root: Path
    file: Path

    @classmethod
    def copy(cls, root: Path, file: Path) -> _Index:
        """The files that git tracks, as they are now, and conf/."""
        users = Path(root, _git(root, "rev-parse", "--git-path", "index"))
        shutil.copyfile(users, file)
        index = cls(root, file)
        index.git("add", "--update")
        index.git("add", "conf")
        return index

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run git on this index. Raises TreadleError where it fails."""
        return _git(self.root, *arguments, stdin=stdin, environment={"GIT_INDEX_FILE": str(self.file)})

    def put(self, path: str, content: bytes) -> None:
        """A file, by its path in the project."""
        blob = self.git("hash-object", "-w", "--stdin", stdin=content)
        prefix = self.git("rev-parse", "--show-prefix")
        self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{prefix}{path}")

    def replace(self, path: str, source: Path | None) -> None:
        """The file or folder there by another, or by nothing."""
        self.git("rm", "-r", "-f", "--quiet", "--cached", "--ignore-unmatch", "--", path)
        if source is not None:
            for file in (file for file in (source, *sorted(source.rglob("*"))) if file.is_file()):
                self.put((Path(path) / file.relative_to(source)).as_posix(), file.read_bytes())

    def commit(self, ref: str, message: str) -> None:
        """Commit it on top of HEAD, under a new ref."""
        known = _try_git(self.root, "var", "GIT_COMMITTER_IDENT") is not None
        tree = self.git("write-tree")
        commit = _git(self.root, "commit-tree", tree, "-p", "HEAD", "-m", message, environment={} if known else _NOBODY)
        self.git("update-ref", ref, commit, _NEW)


def _try_git(root: Path, *arguments: str) -> str | None:
    try:
        return _git(root, *arguments)
    except (TreadleError, FileNotFoundError):
        return None


def _git(root: Path, *arguments: str, stdin: bytes | None = None, environment: dict[str, str] | None = None) -> str:
    """What git prints.

    Raises:
        TreadleError: it failed.
        FileNotFoundError: there is no git.
    """
    command = ["git", *arguments]
    done = subprocess.run(  # noqa: S603 - git, with names as arguments
        command, cwd=root, env={**os.environ, **(environment or {})}, input=stdin, capture_output=True, check=False
    )
    if done.returncode:
        raise TreadleError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace").strip()
