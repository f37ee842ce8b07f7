"""`treadle init`: a project from a table, whole or not at all."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import keyword
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from treadle.check.checks import check, find_warnings
from treadle.config.compose import compose
from treadle.databases import is_database
from treadle.errors import TreadleError
from treadle.remote import is_remote
from treadle.scaffold.planning.plan import Plan, Request, make_plan
from treadle.scaffold.reading.database import export_table
from treadle.scaffold.reading.export import export_files, fetch_files
from treadle.scaffold.reading.profile import profile_table
from treadle.scaffold.reading.source import TableFiles, find_files, find_source
from treadle.scaffold.writing.atomic_folder import create_atomically
from treadle.scaffold.writing.data_files import place_files
from treadle.scaffold.writing.files import Project, write_files
from treadle.scaffold.writing.versioning import put_under_versions
from treadle.schemas import files as schemas
from treadle.secrets import redact

SMALL = 50 << 20  # bytes of data up to which the DVC remote goes into git
_MAX_NAME = 100  # characters of a folder's name


@dataclass(frozen=True)
class Scaffolded:
    """What was made, for the summary."""

    folder: Path
    plan: Plan
    project: Project


@dataclass(frozen=True)
class Origin:
    """Where the rows come from."""

    sources: Sequence[str]  # files, patterns of files, addresses, or one database
    table: str | None = None  # of a database; a sheet of an Excel file
    missing: Sequence[str] = ()  # texts that stand for a missing value, besides the usual ones
    encoding: str | None = None  # of text files; None: detected


def init(folder: Path, *, origin: Origin, request: Request) -> Scaffolded:
    """Scaffold a project in `folder`, which must not exist: files, git, DVC.

    Raises:
        TreadleError: the table cannot be used as asked. Nothing is left behind then.
    """
    _require_name(folder.name)
    if folder.exists() or folder.is_symlink():
        raise TreadleError(f"{folder} exists already; nothing was changed. Give another name, or remove it")
    if not folder.parent.is_dir():
        raise TreadleError(f"no folder {folder.parent} to make {folder.name} in")
    package = name_package(folder.name)
    try:
        with create_atomically(folder) as made:
            scaffolded = fill(made, title=folder.name, package=package, origin=origin, request=request)
            put_under_versions(made, within=folder.parent)
    except OSError as error:
        raise TreadleError(f"{error.filename or folder}: {error.strerror or error}; nothing was made") from error
    return replace(scaffolded, folder=folder)


def _require_name(name: str) -> None:
    """A name that the shell, DVC and the file system take."""
    if len(name) > _MAX_NAME:
        raise TreadleError(f"the name has {len(name)} characters; {_MAX_NAME} are allowed")
    if name.startswith("-") or not all(mark.isalnum() or mark in " ._-" for mark in name):
        raise TreadleError(
            f"{name!r} is not a valid name for a project: use letters, digits, `_`, `-` and dots, such as `churn`"
        )


def fill(folder: Path, *, title: str, package: str, origin: Origin, request: Request) -> Scaffolded:
    """Write the project's files into an empty folder: data, configuration, tests, README.

    Args:
        folder: an empty one.
        title: of the README.
        package: name for Python and the configuration, as `name_package` gives it.
        origin: where the rows come from.
        request: the target, and the user's other options.

    Raises:
        TreadleError: as `init`.
    """
    data = folder / "data" / package
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        source, words = _fetch(origin, scratch)
        profiles = profile_table(source, missing=origin.missing, uses=request.uses, scratch=scratch)
        plan = make_plan(profiles, request)
        path = place_files(source, data)
    requirement, local = find_requirement()
    project = Project(
        title=title,
        package=package,
        path=path,
        origin=words,
        dialect=source.dialect,
        remarks=source.remarks,
        treadle=requirement,
        local_treadle=local,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        is_small=sum(file.stat().st_size for file in data.iterdir()) <= SMALL,
    )
    write_files(plan, project, folder)
    composed = compose(overrides=[], root=folder)
    find_warnings(check(composed), composed)
    schemas.write_schemas(folder, folder / schemas.FOLDER)
    return Scaffolded(folder, plan, project)


def _fetch(origin: Origin, scratch: Path) -> tuple[TableFiles, str]:
    """The files, and where they came from; those that are made for it are in `scratch`."""
    sources, table = origin.sources, origin.table
    databases = [text for text in sources if is_database(text)]
    if databases and len(sources) > 1:
        raise TreadleError("--from: give files, or one database")
    if databases:
        exported = export_table(databases[0], table, folder=scratch)
        return find_source([str(exported)]), f"the table {table} of a database"
    files = find_files([name for text in sources for name in _localize(text, scratch)])
    source = find_source([str(file) for file in export_files(files, table, folder=scratch)], encoding=origin.encoding)
    first = f"`{next((redact(text) for text in sources if is_remote(text)), files[0].name)}`"
    return source, first if len(source.files) == 1 else f"{len(source.files)} files, the first of them {first}"


def _localize(text: str, scratch: Path) -> list[str]:
    """A path, or those of the files at an address."""
    return [str(file) for file in fetch_files(text, folder=scratch)] if is_remote(text) else [text]


def name_package(name: str) -> str:
    """A name for Python, the configuration and the table: `My shop` gives `my_shop`."""
    package = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    if not package:
        raise TreadleError(f"{name!r} holds no letter; a project's name begins with one, such as `churn`")
    package = f"project_{package}" if package[0].isdigit() else package
    taken = keyword.iskeyword(package) or package in sys.stdlib_module_names or package in {"conf", "data", "tests"}
    return f"{package}_project" if taken or _is_installed(package) else package


def _is_installed(package: str) -> bool:
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None  # a folder of that name alone is no package


def find_requirement() -> tuple[str, str | None]:
    """How the project asks for Treadle: by its commit where it came from git, else by its version.

    Returns:
        The requirement, and where this machine alone has Treadle from: a folder or a wheel, which no file of the
        project may name.
    """
    distribution = importlib.metadata.distribution("treadle")
    origin: dict[str, Any] = json.loads(distribution.read_text("direct_url.json") or "{}")
    if "vcs_info" in origin:
        revision = origin["vcs_info"]["commit_id"]
        return f"treadle[boosting] @ {origin['vcs_info']['vcs']}+{origin['url']}@{revision}", None
    major, minor, *_ = distribution.version.split(".")
    requirement = f"treadle[boosting]>={distribution.version},<{major}.{int(minor) + 1}"
    return requirement, f"treadle[boosting] @ {origin['url']}" if "url" in origin else None
