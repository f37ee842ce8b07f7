"""What an evaluation reads of the examples: columns, and SQL expressions over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import polars as pl
from polars.exceptions import PolarsError

from treadle.check.columns import Walk, name_type, walk_data, walk_derived
from treadle.errors import TreadleError
from treadle.experiment.blocks import list_example_columns
from treadle.experiment.spec import Experiment
from treadle.experiment.spec.behaviour import Change, Functionality
from treadle.experiment.spec.evaluation import CALIBRATION_ROWS, Evaluation
from treadle.experiment.spec.value import Value
from treadle.hints import nearest
from treadle.model_choice.sizes import count_rows
from treadle.problems import Problem

_DERIVE = "evaluation.derive"


def check_evaluation(experiment: Experiment) -> Iterator[Problem]:
    """Columns that the examples or `evaluation.derive` have, and expressions that can run."""
    settings = experiment.evaluation
    examples = list_example_columns(experiment.data)
    columns = [*examples, *settings.derive]
    for key, names in _list_named(settings).items():
        for index, name in enumerate(names):
            if name not in columns:
                rule = f"no column {name!r} in the examples (data.examples.known and what they look up) or {_DERIVE}"
                yield Problem(f"{key}.{index}", rule, hint=nearest(name, columns))
    for key, column in _list_changed(settings):
        if column not in examples:
            yield Problem(key, f"no column {column!r} in the examples", hint=nearest(column, examples))
    yield from _check_expressions(experiment)


def find_few_rows(experiment: Experiment, *, root: Path) -> Iterator[Problem]:
    """A warning if the valid split will probably have too few rows for the calibration that is named."""
    method = experiment.evaluation.calibrate
    if method in {"none", "auto"}:
        return
    try:
        found = count_rows(experiment.data, root=root).valid
    except (TreadleError, PolarsError, OSError):  # without the file nothing can be foretold
        return
    if found < CALIBRATION_ROWS:
        rule = f"{method} takes {CALIBRATION_ROWS} rows of the validation split, which will have about {found}"
        yield Problem("evaluation.calibrate", rule, "set it to auto, which leaves it out then, or enlarge the split")


def _list_changed(settings: Evaluation) -> Iterator[tuple[str, str]]:
    """The columns that each behaviour changes, by their keys."""
    for name, declared in settings.behaviour.items():
        key = f"evaluation.behaviour.{name}"
        if isinstance(declared, Functionality):
            yield from ((f"{key}.rows.{row}.values.{c}", c) for row, one in declared.rows.items() for c in one.values)
            continue
        for section in ("change", "noise"):
            yield from ((f"{key}.{section}.{column}", column) for column in getattr(declared, section))
        yield from ((f"{key}.shuffle.{index}", column) for index, column in enumerate(declared.shuffle))


def _list_named(settings: Evaluation) -> Mapping[str, Iterable[str]]:
    """The columns that each key names."""
    sections = {"slices": settings.slices, "fairness": settings.fairness}
    return {f"evaluation.{name}.columns": found.columns for name, found in sections.items() if found is not None}


def _check_expressions(experiment: Experiment) -> list[Problem]:
    settings = experiment.evaluation
    changes = {
        f"evaluation.behaviour.{name}.change.{column}": text
        for name, declared in settings.behaviour.items()
        if isinstance(declared, Change)
        for column, text in declared.change.items()
    }
    value = settings.value
    if value is not None and experiment.data.task not in value.tasks:
        return [_refuse_task(value, experiment.data.task)]
    if not settings.derive and not changes and value is None:
        return []
    walk = Walk()
    rows = walk_data(walk, experiment.data)
    walk.problems.clear()  # of the data, which are reported by themselves
    if rows is not None:
        rows = walk_derived(walk, settings.derive, rows, key=_DERIVE)
        for key, text in changes.items():
            walk.run(text, rows, key=key)
        if value is not None:
            _check_gains(walk, value, rows)
    return walk.problems


def _refuse_task(value: Value, task: str) -> Problem:
    fitting = [kind for kind in get_args(get_args(Value)[0]) if task in get_args(kind)[0].tasks]
    kinds = " or ".join(get_args(kind)[1].tag for kind in fitting)
    rule = f"by: {value.by} needs a {' or '.join(value.tasks)} task, and this is {task}"
    return Problem("evaluation.value", rule, f"set by to {kinds}" if kinds else "set it to null")


def _check_gains(walk: Walk, value: Value, rows: pl.DataFrame) -> None:
    for name in value.reads:
        if name in rows.columns:
            walk.find("evaluation.value", f"the examples have a column {name!r}, which means another thing in a gain")
        rows = rows.with_columns(pl.lit(None, pl.Float64).alias(name))
    for name, gain in value.list_gains().items():
        if isinstance(gain, str):
            key = f"evaluation.value.{name}"
            found = walk.run(gain, rows, key=key)
            if not (found.dtype.is_numeric() or found.dtype == pl.Null()):
                walk.find(key, f"a gain must be a number, found {name_type(found.dtype)}")
