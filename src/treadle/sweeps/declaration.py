"""The declaration of a sweep in its folder: written when it starts, and read to resume it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from treadle.disk import read_text, write_json, write_text
from treadle.errors import TreadleError
from treadle.experiment import spec
from treadle.experiment.fingerprint import fingerprint_again
from treadle.problems import Place
from treadle.sweeps import FILE
from treadle.sweeps.axes import Axis, Choices, Interval
from treadle.sweeps.space import Base, Space
from treadle.sweeps.sweep import SWEEPS, Objective, Sweep

_BASES = "bases.json"  # what trials are composed of, apart from conf/
_HEADER = "# Written by `treadle run -m`: what the sweep is; ledger.jsonl tells what became of each trial.\n"


def write(sweep: Sweep) -> None:
    """Write the sweep down, so that it can be resumed whatever happens to conf/."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    space = sweep.space
    bases = {
        name: {"written": base.written, "overrides": list(base.overrides)} for name, base in sorted(space.bases.items())
    }
    write_json(sweep.folder / _BASES, bases)
    plain = {
        "name": sweep.name,
        "question": space.question,
        "axes": list(map(to_plain, space.axes)),
        "groups": list(space.groups),
        "seeds": list(sweep.seeds),
        "folds": list(sweep.folds),
        "objectives": [asdict(objective) for objective in sweep.objectives],
        "settings": sweep.settings.model_dump(mode="json", exclude={"space"}),
        "code": dict(sweep.code),
    }
    write_text(sweep.folder / FILE, _HEADER + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110))


def read(folder: Path, *, root: Path) -> Sweep:
    """Read what `write` wrote.

    Raises:
        TreadleError: the folder holds no sweep, or its files are damaged.
    """
    if not (folder / FILE).is_file():
        raise TreadleError(f"{folder} is no sweep: it has no {FILE}; `treadle run -m` makes one, under {SWEEPS}/")
    try:
        plain = yaml.safe_load(read_text(folder / FILE))
        saved = json.loads(read_text(folder / _BASES))
        bases = {
            name: Base(
                {},
                {text: Place(override=text) for text in base["overrides"]},
                root,
                written=base["written"],
            )
            for name, base in saved.items()
        }
        space = Space(tuple(map(_to_axis, plain["axes"])), tuple(plain["groups"]), bases, plain["question"])
        settings = spec.Sweep.model_validate({**plain["settings"], "space": {}})
        objectives = tuple(Objective(**{"column": f"valid/{o['name']}", **o}) for o in plain["objectives"])
        folds = tuple(plain.get("folds", ()))  # a sweep of an older version has none
        return Sweep(folder, space, settings, tuple(plain["seeds"]), folds, objectives, plain["code"])
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise TreadleError(
            f"{folder} is damaged: {type(error).__name__}: {error}; run the sweep's command again"
        ) from error


def find_changed_code(sweep: Sweep) -> list[str]:
    """The modules whose source is not what the sweep began with."""
    return [name for name, known in sweep.code.items() if fingerprint_again(name, known) != known]


def to_plain(axis: Axis) -> dict[str, Any]:
    """An axis as plain values."""
    if isinstance(axis, Choices):
        return {"key": axis.key, "values": list(axis.values)}
    return {"key": axis.key, "low": axis.low, "high": axis.high, "log": axis.is_log, "integer": axis.is_integer}


def _to_axis(plain: Mapping[str, Any]) -> Axis:
    if "values" in plain:
        return Choices(plain["key"], tuple(plain["values"]))
    return Interval(plain["key"], plain["low"], plain["high"], is_log=plain["log"], is_integer=plain["integer"])
