"""The reference of a model: what its training rows were like, block by block, and how well it predicted new rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.json_files import read_json, write_json
from treadle.metrics.registry import Threshold
from treadle.profiles.blocks import Blocking
from treadle.profiles.calibration import Calibration
from treadle.profiles.cells import Cells, Ints, list_cells, list_coarse
from treadle.profiles.losses import LossModel
from treadle.profiles.profile import NUM_HOURS, Profile, count_paired
from treadle.schema import Task

FORMAT = 1  # of the files
PRIVATE = "private"  # why a column is ignored
_JSON, _CELLS, _PAIRS, _HOURS = "reference.json", "cells.parquet", "pairs.parquet", "hours.parquet"


@dataclass(frozen=True)
class Performance:
    """What is needed to estimate performance without labels; each part is fitted on the test split."""

    metrics: Mapping[str, float]  # of the test split
    threshold: Threshold  # of a binary decision, or of that about each label, inclusive
    calibration: Calibration | None  # of the score, or of the chance of the predicted class; None: a regression
    prediction: Cells | None  # cells of the predictions of a regression
    losses: Mapping[str, LossModel]  # of a regression, by kind, whose cells are those of the columns and the prediction
    shares: Mapping[str, float] = field(default_factory=dict)  # of each block of the test split: see `relate_to_prior`


@dataclass(frozen=True)
class Reference:
    """The reference that a model is monitored against."""

    task: Task
    blocking: Blocking
    columns: tuple[Cells, ...]
    ignored: Mapping[str, str]  # columns that are not monitored, with the reason
    num_paired: int  # of the columns, the first ones, whose pairs are counted
    profile: Profile  # of the training split
    performance: Performance

    @property
    def names(self) -> list[str]:
        """The columns of the model, those that are not monitored as well."""
        return [*(column.name for column in self.columns), *self.ignored]

    @property
    def private(self) -> frozenset[str]:
        """The columns of which no log, page or message may hold a value."""
        return frozenset(name for name, reason in self.ignored.items() if reason == PRIVATE)

    def keep(self, names: Collection[str]) -> Reference:
        """The reference of some of its columns alone, without pairs where fewer than two of the paired are left."""
        num_paired = count_paired(self.columns, names, num_paired=self.num_paired)
        profile = self.profile.keep(self.columns, names, num_paired=self.num_paired)
        columns = tuple(column for column in self.columns if column.name in names)
        return replace(self, columns=columns, num_paired=num_paired, profile=profile)

    def without(self, block: str) -> Reference:
        """The reference without one of its blocks."""
        return replace(self, profile=self.profile.take([name != block for name in self.profile.blocks]))

    def identify(self) -> str:
        """A digest of what is counted, and in which cells: what was counted for another one cannot be compared."""
        plain = self._to_plain()
        counted = {name: plain[name] for name in ("task", "blocks", "columns", "num_paired")}
        counted["prediction"] = plain["performance"]["prediction"]
        return hashlib.sha256(json.dumps(counted).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the folder: the definitions as JSON, the counts as Parquet."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(self._to_plain(), folder / _JSON)
        profile = self.profile
        _write(_list_counts(profile, self.columns), folder / _CELLS)
        if profile.pairs is not None:
            _write(_list_pairs(profile, profile.pairs), folder / _PAIRS)
        if profile.hours is not None:
            _write(_list_hours(profile, profile.hours, self.columns), folder / _HOURS)

    def _to_plain(self) -> dict[str, Any]:
        performance = self.performance
        calibration, prediction = performance.calibration, performance.prediction
        return {
            "format": FORMAT,
            "task": self.task,
            "blocks": {"unit": self.blocking.unit, "size": self.blocking.size},
            "rows": dict(zip(self.profile.blocks, self.profile.rows.tolist(), strict=True)),
            "columns": {column.name: column.to_plain() for column in self.columns},
            "ignored": dict(self.ignored),
            "num_paired": self.num_paired,
            "performance": {
                "metrics": {name: value if np.isfinite(value) else None for name, value in performance.metrics.items()},
                "threshold": performance.threshold,
                "shares": dict(performance.shares),
                "calibration": None
                if calibration is None
                else {"scores": calibration.scores.tolist(), "chances": calibration.chances.tolist()},
                "prediction": None if prediction is None else prediction.to_plain(),
                "losses": {
                    name: {"mean": model.mean, "weights": model.weights.tolist()}
                    for name, model in performance.losses.items()
                },
            },
        }


def write_no_reference(folder: Path) -> None:
    """Write a folder that says that there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json({}, folder / _JSON)


def read_reference(folder: Path) -> Reference:
    """Read what `Reference.write` wrote.

    Raises:
        TreadleError: there is none, or it is damaged.
    """
    file = folder / _JSON
    if not file.is_file():
        raise TreadleError(
            f"no reference in {folder}: expected {file}. The evaluation of a run writes one; where the run is not "
            "here, --reference FOLDER names a copy"
        )
    values = read_json(file)
    if values == {}:
        raise TreadleError(f"{folder}: the run has no reference; set evaluation.reference and evaluate it again")
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise TreadleError(f"{file}: format must be {FORMAT}; evaluate the run again")
    try:
        return _read(values, folder)
    except (KeyError, TypeError, ValueError, IndexError, OSError, pl.exceptions.PolarsError) as error:
        raise TreadleError(f"{folder}: the reference is damaged ({error}); evaluate the run again") from error


def _read(values: dict[str, Any], folder: Path) -> Reference:
    columns = tuple(Cells.from_plain(name, plain) for name, plain in values["columns"].items())
    names = tuple(values["rows"])
    counted = pl.read_parquet(folder / _CELLS)
    places = {name: place for place, name in enumerate(names)}
    starts = dict(zip((column.name for column in columns), list_cells(columns).tolist(), strict=False))
    cells = np.zeros((len(names), int(list_cells(columns)[-1])), dtype=np.int64)
    blocks = counted["block"].replace_strict(places, return_dtype=pl.Int64).to_numpy()
    begins = counted["column"].replace_strict(starts, return_dtype=pl.Int64).to_numpy()
    cells[blocks, begins + counted["cell"].to_numpy()] = counted["rows"].to_numpy()
    num_paired = values["num_paired"]
    pairs = _read_pairs(folder / _PAIRS, columns[:num_paired], places) if num_paired else None
    hours = _read_hours(folder / _HOURS, columns, places)
    rows = np.asarray(list(values["rows"].values()), dtype=np.int64)
    return Reference(
        task=values["task"],
        blocking=Blocking(**values["blocks"]),
        columns=columns,
        ignored=values["ignored"],
        num_paired=num_paired,
        profile=Profile(names, rows, cells, pairs, hours),
        performance=_read_performance(values["performance"]),
    )


def _read_performance(values: dict[str, Any]) -> Performance:
    calibration, prediction = values["calibration"], values["prediction"]
    return Performance(
        metrics={name: float("nan") if value is None else value for name, value in values["metrics"].items()},
        threshold=values["threshold"],
        calibration=None
        if calibration is None
        else Calibration(np.asarray(calibration["scores"]), np.asarray(calibration["chances"])),
        prediction=None if prediction is None else Cells.from_plain("prediction", prediction),
        losses={name: LossModel(m["mean"], np.asarray(m["weights"])) for name, m in values["losses"].items()},
        shares=values.get("shares", {}),  # a reference of before has none
    )


def _list_counts(profile: Profile, columns: tuple[Cells, ...]) -> pl.DataFrame:
    """A row for each block, column and cell that is not empty."""
    blocks, places = np.nonzero(profile.cells)
    names = np.repeat(np.arange(len(columns)), [column.count for column in columns])
    begins = list_cells(columns)
    return pl.DataFrame(
        {
            "block": pl.Series(profile.blocks, dtype=pl.String).gather(blocks),
            "column": pl.Series([column.name for column in columns], dtype=pl.String).gather(names[places]),
            "cell": pl.Series(places - begins[names[places]], dtype=pl.Int32),
            "rows": pl.Series(profile.cells[blocks, places], dtype=pl.Int64),
        }
    )


def _list_pairs(profile: Profile, pairs: Ints) -> pl.DataFrame:
    """A row for each block and pair of coarse cells that is not empty, the first cell not above the second."""
    blocks, first, second = np.nonzero(np.triu(pairs))
    return pl.DataFrame(
        {
            "block": pl.Series(profile.blocks, dtype=pl.String).gather(blocks),
            "first": pl.Series(first, dtype=pl.Int32),
            "second": pl.Series(second, dtype=pl.Int32),
            "rows": pl.Series(pairs[blocks, first, second], dtype=pl.Int64),
        }
    )


def _read_pairs(file: Path, columns: tuple[Cells, ...], places: Mapping[str, int]) -> Ints:
    counted = pl.read_parquet(file)
    size = int(list_coarse(columns)[-1])
    pairs = np.zeros((len(places), size, size), dtype=np.int64)
    blocks = counted["block"].replace_strict(places, return_dtype=pl.Int64).to_numpy()
    first, second, rows = (counted[name].to_numpy() for name in ("first", "second", "rows"))
    pairs[blocks, first, second] = rows
    pairs[blocks, second, first] = rows
    return pairs


def _list_hours(profile: Profile, hours: Ints, columns: tuple[Cells, ...]) -> pl.DataFrame:
    """A row for each block, hour and column of numbers of which there is a value."""
    blocks, times, places = np.nonzero(hours[..., 0])
    rows, totals = hours[blocks, times, places].T
    return pl.DataFrame(
        {
            "block": pl.Series(profile.blocks, dtype=pl.String).gather(blocks),
            "hour": pl.Series(times, dtype=pl.Int32),
            "column": pl.Series([column.name for column in columns], dtype=pl.String).gather(places),
            "rows": pl.Series(rows, dtype=pl.Int64),
            "total": pl.Series(totals, dtype=pl.Int64),
        }
    )


def _read_hours(file: Path, columns: tuple[Cells, ...], places: Mapping[str, int]) -> Ints | None:
    """None of a reference without a time, and of one of before."""
    if not file.is_file():
        return None
    counted = pl.read_parquet(file)
    names = {column.name: place for place, column in enumerate(columns)}
    hours = np.zeros((len(places), NUM_HOURS, len(columns), 2), dtype=np.int64)
    blocks = counted["block"].replace_strict(places, return_dtype=pl.Int64).to_numpy()
    own = counted["column"].replace_strict(names, return_dtype=pl.Int64).to_numpy()
    hours[blocks, counted["hour"].to_numpy(), own] = counted.select("rows", "total").to_numpy()
    return hours


def _write(frame: pl.DataFrame, file: Path) -> None:
    with replacing(file) as partial:
        frame.write_parquet(partial)
