"""resolved.yaml: the composed, checked and frozen experiment. Nothing downstream reads conf/ again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pydantic
import yaml

from treadle.disk import read_text, write_text
from treadle.errors import TreadleError
from treadle.experiment.spec import AnyExperiment, Experiment, find_spec, is_rule
from treadle.experiment.stages import CODE, Stage, Values, list_stages, take_slice
from treadle.printable import escape_lines
from treadle.validation import describe_first

_HEADER = "# Written by `treadle compose`: every value of the experiment, and the fingerprint of each stage's code.\n"


@dataclass(frozen=True)
class Resolved:
    """A checked experiment with the fingerprint of each stage's code: all that runs depend on, but the data."""

    experiment: AnyExperiment
    code: dict[str, str]  # stage: fingerprint

    @cached_property
    def values(self) -> Values:
        """The same as plain values, as they stand in a resolved.yaml."""
        return {**self.experiment.model_dump(mode="json"), CODE: self.code}

    def dump(self) -> str:
        """The text of a resolved.yaml."""
        return _HEADER + _dump(self.values)

    def dump_slice(self, stage: Stage) -> str:
        """The text of a file that changes when the stage has to run again: its slices and its code, by dotted key."""
        return _dump({**take_slice(self.values, stage), f"{CODE}.{stage.name}": self.code[stage.name]})

    def write_slices(self, folder: Path) -> None:
        """Write `<stage>.yaml` for each stage: what DVC's stages depend on.

        (If they named their keys of resolved.yaml as parameters, `dvc exp show` would have a column for each of its
        some 700 values; so it shows those of params.yaml alone.)
        """
        folder.mkdir(parents=True, exist_ok=True)
        for stage in list_stages(self.values):
            write_text(folder / f"{stage.name}.yaml", self.dump_slice(stage))


def _dump(values: Values) -> str:
    """As YAML; with escapes where a character would not print."""
    dump_as = partial(yaml.dump, values, Dumper=_Dumper, sort_keys=False, width=110)
    text: Any = dump_as(allow_unicode=True)
    return str(text if escape_lines(text) == text else dump_as(allow_unicode=False))


def read(path: Path) -> Resolved:
    """Read a resolved.yaml; one that is older than a key has the key's default.

    Raises:
        TreadleError: the file is missing or does not hold an experiment.
    """
    values = read_values(path)
    try:
        experiment = find_spec(values).model_validate({key: value for key, value in values.items() if key != CODE})
    except (pydantic.ValidationError, AttributeError) as error:
        first = describe_first(error) if isinstance(error, pydantic.ValidationError) else error
        raise TreadleError(
            f"{path} is not a resolved experiment; write it anew with `treadle compose`: {first}"
        ) from error
    if isinstance(experiment, Experiment) and is_rule(experiment.model):
        raise TreadleError(f"{path} holds a rule in place of a network; write it anew with `treadle compose`")
    if "auto" in {experiment.trainer.accelerator, experiment.trainer.devices}:
        raise TreadleError(f"{path}: trainer is not settled; write it anew with `treadle compose`")
    return Resolved(experiment, values[CODE])


def read_values(path: Path) -> Values:
    """The plain values of a resolved.yaml, be it of another version of Treadle.

    Raises:
        TreadleError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise TreadleError(f"no {path}; `treadle compose` writes it")
    return parse(read_text(path), name=str(path))


def parse(text: str, *, name: str) -> Values:
    """The plain values in the text of a resolved.yaml; `name` stands in the error.

    Raises:
        TreadleError: it holds something else.
    """
    try:
        values = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as a number of thousands of digits
        raise TreadleError(f"{name} is not YAML: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get(CODE), dict):
        raise TreadleError(f"{name} is not a resolved experiment; write it anew with `treadle compose`")
    return values


class _Dumper(yaml.CSafeDumper):
    """Writes repeated nodes out: an alias would hide what a diff should show."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same for each
        return True
