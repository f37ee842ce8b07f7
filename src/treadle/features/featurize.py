"""The stage `featurize`: fit on the training split, and materialise the rows that training reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from treadle.errors import TreadleError
from treadle.experiment.source_bundles import require_source
from treadle.experiment.spec import Features
from treadle.features.featurizer import Featurizer, Inputs
from treadle.features.label_shares import spread_labels
from treadle.features.stored import FILE_ROWS, PART_FILES, write_rows
from treadle.images import count_part_rows
from treadle.json_files import read_json
from treadle.schema import LABEL, SHARES, WEIGHT, Batch, Task
from treadle.tasks import TRAITS
from treadle.threads import map_ahead

READ_FILES = 16  # whose examples are read at once: a row group of theirs
SAMPLE_SEED = 0  # of the rows that transforms learn from
_RECIPE = "experiment.json"  # of a bundle: what it was made by


def featurize(
    features: Features,
    *,
    task: Task,
    targets: Sequence[str],
    examples: Path,
    folder: Path,
    before: Path | None,
    file_rows: int = FILE_ROWS,
) -> None:
    """Write the fitted featurizer, the rows of `train` and `valid`, and `inputs.json` into `folder`.

    The test split is not read here. With `features.fit_rows` no split is in memory as a whole, but
    parts that make some files of `file_rows` rows each.

    Args:
        features: what is declared.
        task: what is predicted.
        targets: prefixes of the steps that are allowed.
        examples: folder of the examples.
        folder: to write into.
        before: a bundle whose transforms are kept and whose vocabularies grow; None: all is fitted.
        file_rows: rows of a file.

    Raises:
        TreadleError: a step or an expression does not fit the columns; nothing is written then.
    """
    torch.set_num_threads(1)  # more gain nothing here, and cost much where the machine is busy
    files = {split: examples / f"{split}.parquet" for split in ("train", "valid")}
    classes = [] if TRAITS[task].is_value else _list_classes(files["train"], task=task)
    featurizer = Featurizer(features, targets=targets)
    fit = partial(featurizer.fit, before=None if before is None else _load_before(before, features, targets))
    read_parts = partial(_read_parts, featurizer=featurizer, classes=classes, file_rows=file_rows)
    if features.fit_rows is None:
        frame = pl.read_parquet(files["train"])
        train: Iterable[Batch] = [_to_batch(fit(frame), frame, classes=classes)]
    else:
        fit(draw_rows(files["train"], features.fit_rows, file_rows=file_rows))
        train = read_parts(files["train"])
    splits = {"train": train, "valid": read_parts(files["valid"])}
    for _ in map_ahead(lambda split: write_rows(splits[split], folder / split, file_rows=file_rows), splits):
        pass
    featurizer.save(folder)
    inputs = {
        "numeric": featurizer.numeric_names,
        "ids": featurizer.id_names,
        "cardinalities": featurizer.cardinalities,
        "classes": classes,
        **({"texts": featurizer.texts} if featurizer.texts else {}),
        **({"offsets": featurizer.offsets} if featurizer.offsets else {}),
        **({"images": featurizer.images} if featurizer.images else {}),
    }
    (folder / "inputs.json").write_text(json.dumps(inputs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _load_before(bundle: Path, features: Features, targets: Sequence[str]) -> Featurizer:
    """The featurizer of a bundle, for the blocks of this experiment.

    Raises:
        TreadleError: it is of other features, or another one than the experiment was composed with.
    """
    assert features.start_from is not None, "the caller found it by that"
    require_source(features.start_from, bundle, key="features.start_from")
    fix = "set it to null, or restore the features as they were"
    try:
        _require_same(Features.model_validate(read_json(bundle / _RECIPE)["features"]), features)
        return Featurizer.load(bundle, spec=features, targets=targets)
    except TreadleError as error:
        raise TreadleError(f"features.start_from: its transforms do not fit these features: {error}; {fix}") from error


def _require_same(before: Features, now: Features) -> None:
    """Refuse transforms of other values: an expression or a step that changed may keep its name.

    Raises:
        TreadleError: an expression or a block is another one.
    """
    for section in ("derive", "blocks"):
        theirs, ours = (features.model_dump(mode="json")[section] for features in (before, now))
        for name in sorted({*theirs, *ours}):
            if theirs.get(name) != ours.get(name):
                told = [json.dumps(found.get(name), ensure_ascii=False) for found in (theirs, ours)]
                raise TreadleError(f"features.{section}.{name} was {told[0]}, and is {told[1]}")


def _list_classes(file: Path, *, task: Task) -> list[Any]:
    """The classes of a multiclass task in order, or the names of several labels; none of two classes.

    Raises:
        TreadleError: all rows that count have the same label.
    """
    rows = pl.scan_parquet(file)
    schema = rows.collect_schema()
    weight = pl.col(WEIGHT) if WEIGHT in schema else pl.lit(1.0)
    if isinstance(schema[LABEL], pl.Struct):
        return _list_labels(rows.filter(weight > 0))
    labels = rows.group_by(LABEL).agg((weight > 0).any().alias("counts")).collect(engine="streaming").sort(LABEL)
    if labels["counts"].sum() == 1:
        raise TreadleError(
            f"data.split: all rows of train that count are of one class, {labels.filter('counts')[LABEL][0]!r}; "
            "a classification learns from two. See data.examples.label, data.examples.weight and data.split"
        )
    found: list[Any] = labels[LABEL].to_list()
    return found if task == "multiclass" else []


def _list_labels(rows: pl.LazyFrame) -> list[str]:
    """The names of several labels, each of which is 1 in some of the rows, and 0 in others."""
    means = rows.select(pl.col(LABEL).struct.field("*").mean()).collect(engine="streaming").row(0, named=True)
    for name, mean in means.items():
        if mean in {0.0, 1.0}:
            raise TreadleError(
                f"data.examples.label.{name}: is {mean:g} in all rows of train that count, so that nothing can be "
                "learned of it; leave it out, or see data.examples.weight and data.split"
            )
    return list(means)


def _read_parts(file: Path, *, featurizer: Featurizer, classes: Sequence[str], file_rows: int) -> Iterator[Batch]:
    step = PART_FILES * file_rows
    pieces = (part for frame in _read_frames(file, num_rows=READ_FILES * file_rows) for part in frame.iter_slices(step))
    return (_to_batch(featurizer(part), part, classes=classes) for part in pieces)


def _read_frames(file: Path, *, num_rows: int) -> Iterator[pl.DataFrame]:
    """Consecutive pieces of so many rows each, or of few where they hold images."""
    scan = pl.scan_parquet(file)
    step = count_part_rows(scan.collect_schema().dtypes(), most=num_rows)
    for start in range(0, scan.select(pl.len()).collect().item(), step):
        yield scan.slice(start, step).collect()


def draw_rows(file: Path, count: int, *, file_rows: int) -> pl.DataFrame:
    """So many rows at most, spread evenly: one at random out of each stretch of equal length."""
    num_rows = pl.scan_parquet(file).select(pl.len()).collect().item()
    bounds = np.linspace(0, num_rows, min(count, num_rows) + 1).astype(np.int64)
    shares = np.random.default_rng(SAMPLE_SEED).random(len(bounds) - 1)
    chosen = bounds[:-1] + (shares * np.diff(bounds)).astype(np.int64)
    drawn, start = [], 0
    for frame in _read_frames(file, num_rows=READ_FILES * file_rows):
        inside = chosen[(chosen >= start) & (chosen < start + len(frame))]
        drawn.append(frame[inside - start])
        start += len(frame)
    return pl.concat(drawn)


def _to_batch(inputs: Inputs, frame: pl.DataFrame, *, classes: Sequence[str]) -> Batch:
    target, weight = read_target(frame, classes=classes), read_weight(frame)
    rows = Batch(inputs.numeric, inputs.ids, target, weight, inputs.pixels)
    return rows if SHARES not in frame.columns else spread_labels(rows, frame[SHARES], classes=classes)


def read_target(frame: pl.DataFrame, *, classes: Sequence[str]) -> torch.Tensor:
    """Targets `[B]`: float64, or the position among `classes`; a class that training never saw is -1.

    Of several labels `[B, L]`: float64, 0 or 1.
    """
    if isinstance(frame.schema[LABEL], pl.Struct):
        return torch.from_numpy(frame[LABEL].struct.unnest().select(classes).to_numpy(writable=True))
    if classes:
        positions = pl.Series(range(len(classes)), dtype=pl.Int64)
        ids = frame[LABEL].replace_strict(pl.Series(classes), positions, default=-1)
        return torch.from_numpy(ids.to_numpy(writable=True))
    return torch.from_numpy(frame[LABEL].to_numpy(writable=True))


def read_weight(frame: pl.DataFrame) -> torch.Tensor:
    """Sample weights `[B]`, 1 where none are declared."""
    if WEIGHT not in frame.columns:
        return torch.ones(len(frame))
    return torch.from_numpy(frame[WEIGHT].to_numpy(writable=True).astype(np.float32))
