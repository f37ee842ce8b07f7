"""Treadle in Python, such as in a notebook: what the commands do, with results as objects and errors as exceptions."""

from __future__ import annotations

import os
import shlex
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from treadle.cli.selected import find_own_packages
from treadle.errors import TreadleError
from treadle.experiment.fingerprint import fingerprint_modules, forget_code
from treadle.experiment.identity import list_modules
from treadle.experiment.resolved import Resolved
from treadle.experiment.stages import STAGES, list_stages
from treadle.runs.run import Run

_WORD = 0xFFFFFFFF  # of the numbers in a compiled file
_LOADED: dict[str, str] = {}  # modules that stages have imported into this process, with the hash of their source then


def compose(overrides: str | Sequence[str] = (), *, root: str | Path = ".") -> Resolved:
    """Compose and check an experiment, as `treadle check` does.

    Args:
        overrides: as on the command line: `["experiment=california", "model=mlp"]`, or one text.
        root: the project.

    Returns:
        The experiment: `.values` are its plain values, `.dump()` is its resolved.yaml.

    Raises:
        ConfigError: with every problem at once; its text is that of the command.
    """
    from treadle.check.resolve import resolve
    from treadle.targets.signatures import forget_signatures

    find_own_packages(Path(root).resolve())
    forget_code()  # a source may have been edited since
    forget_signatures()
    return resolve(overrides=_split(overrides), root=Path(root).resolve())


def run(overrides: str | Sequence[str] = (), *, root: str | Path = ".", upto: str = STAGES[-1].name) -> Run:
    """Run an experiment, as `treadle run` does: the same folder, and nothing again that is there already.

    Args:
        overrides: as on the command line: `["experiment=california", "model=mlp"]`, or one text.
        root: the project.
        upto: the last stage, such as train.

    Raises:
        TreadleError: the configuration has problems, a stage fails, or this process has imported code that was edited
            since; the text is that of the command.
    """
    from treadle.config.compose import compose as compose_only
    from treadle.pipeline import run as run_stages
    from treadle.targets.build import BuildError

    words, place = _split(overrides), Path(root).resolve()
    if upto not in (names := [stage.name for stage in STAGES]):
        raise TreadleError(f"upto: must be one of {', '.join(names)}; found {upto!r}")
    resolved = compose(words, root=place)
    _require_loaded_code(resolved)
    try:
        current = run_stages(resolved, root=place, upto=upto, notify=_print, overrides=words)
    except BuildError as error:
        composed = compose_only(overrides=words, root=place)
        raise error.at(str(composed.locate(f"{error.key}._target_"))) from error
    finally:
        hashes = _hash_code(resolved)
        _LOADED.update({name: hashes[name] for name in hashes.keys() & sys.modules.keys() - _LOADED.keys()})
    return Run(current.folder.path)


def _split(overrides: str | Sequence[str]) -> list[str]:
    return shlex.split(overrides) if isinstance(overrides, str) else list(overrides)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _hash_code(resolved: Resolved) -> dict[str, str]:
    stages = list_stages(resolved.values)
    return fingerprint_modules({name for stage in stages for name in list_modules(resolved.values, stage)})


def _require_loaded_code(resolved: Resolved) -> None:
    """A process that imported a source keeps it: its results would get the name of the edited one.

    Raises:
        TreadleError: a source was edited.
    """
    hashes = _hash_code(resolved)
    imported = hashes.keys() & sys.modules.keys() - _LOADED.keys()  # by the user, or to compose
    edited = sorted(
        {name for name, known in _LOADED.items() if hashes.get(name, known) != known} | set(filter(_is_stale, imported))
    )
    if edited:
        raise TreadleError(
            f"{', '.join(edited)}: edited since this process imported it; restart the notebook's kernel to run the new "
            "source"
        )


def _is_stale(name: str) -> bool:
    """Whether the source of an imported module is another one than that which Python keeps compiled.

    An import writes what it compiles, unless it cannot: then nothing is known of it.
    """
    spec = sys.modules[name].__spec__
    if spec is None or spec.origin is None or spec.cached is None or sys.dont_write_bytecode:
        return False
    source, kept = Path(spec.origin), Path(spec.cached)
    if not source.is_file():
        return True
    if not kept.is_file() or not os.access(kept.parent, os.W_OK):
        return False
    with kept.open("rb") as file:
        _, flags, moment, size = struct.unpack("<4sIII", file.read(16))  # PEP 552
    state = source.stat()
    is_by_time = flags == 0
    return is_by_time and (moment, size) != (int(state.st_mtime) & _WORD, state.st_size & _WORD)
