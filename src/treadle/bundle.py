"""The bundle: rows in, predictions out. Features, weights, schema and the experiment that made them, in one folder.

Evaluation, batch and online prediction run this same code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import torch
import yaml
from polars.exceptions import PolarsError
from torch import Tensor, nn

from treadle.experiment.build import build
from treadle.experiment.cells import DTYPES, lost_mark, read_cells
from treadle.experiment.problems import nearest
from treadle.experiment.spec import Column, Table
from treadle.features.featurizer import STATE_FILE, WEIGHTS_FILE, Featurizer
from treadle.schema import ROW, Task, TreadleError

TARGETS = ("treadle.models.", "treadle.features.")  # what a bundle may build, unless its reader allows more
CHUNK = 16_384  # rows that go through the model at once; the same everywhere, so that the numbers are

_CARD, _NETWORK, _EXPERIMENT = "bundle.json", "network.pt", "experiment.yaml"


@dataclass(frozen=True)
class Bundle:
    """A trained model with everything that it needs to judge a row."""

    task: Task
    classes: list[str]  # of a multiclass task, in the order of the outputs
    schema: dict[str, str]  # column: Polars type, as the stage `prepare` gives them
    featurizer: Featurizer
    network: nn.Module
    target_mean: float  # regression: the network predicts (target - mean) / scale
    target_scale: float
    experiment: dict[str, Any]  # the slices of the configuration that made it

    def predict(self, rows: pl.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """Judge rows: a frame, one row as a mapping, or a list of such rows.

        Returns:
            One row per input row, in its order: `probability` (binary), `prediction` (regression), or `prediction`
            and `probability_<class>` (multiclass); with the column `row` of the input where it has one.

        Raises:
            TreadleError: a column is missing, or cannot be read as its type.
        """
        frame = self.conform(rows)
        outputs = self._predict_tensor(frame)
        columns = [frame[ROW]] if ROW in frame.columns else []
        return pl.DataFrame([*columns, *self._name_outputs(outputs)])

    def conform(self, rows: pl.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """The rows as a frame with the columns and the types of the training examples."""
        if isinstance(rows, Mapping):
            rows = [rows]
        if not isinstance(rows, pl.DataFrame):
            names = None if rows else list(self.schema)
            rows = pl.DataFrame(list(rows), schema=names, infer_schema_length=None)
        columns = {name: _take_name(column, name, rows.columns) for name, column in self._columns.items()}
        wanted = _read_columns(rows, columns)
        return pl.DataFrame([*([rows[ROW]] if ROW in rows.columns else []), *wanted])

    @cached_property
    def table(self) -> Table:
        """The table of the examples, as it was declared."""
        data = self.experiment["data"]
        return Table.model_validate(data["tables"][data["examples"]["table"]])

    @cached_property
    def _columns(self) -> dict[str, Column]:
        """How values are read: as the table says, or by the type alone where a column was made or looked up."""
        known = set(self.experiment["data"]["examples"]["known"])
        words = {str(dtype): word for word, dtype in DTYPES.items()}
        made = {name: Column.model_validate({"dtype": words[dtype]}) for name, dtype in self.schema.items()}
        declared = {name: column for name, column in self.table.columns.items() if name in known}
        same = {name for name, column in declared.items() if name in made and column.dtype == made[name].dtype}
        return {name: declared[name] if name in same else column for name, column in made.items()}

    @torch.no_grad()
    def _predict_tensor(self, frame: pl.DataFrame) -> Tensor:
        self.network.eval()
        with _one_thread():
            chunks = [self._predict_chunk(frame[start : start + CHUNK]) for start in range(0, len(frame), CHUNK)]
            return torch.cat(chunks) if chunks else self._predict_chunk(frame)

    def _predict_chunk(self, frame: pl.DataFrame) -> Tensor:
        return self.read_output(self.network(*self.featurizer(frame)))

    def read_output(self, output: Tensor) -> Tensor:
        """From what the network gives to predictions in the target's own units: `[B]`, or `[B, K]`."""
        prediction = to_prediction(output, task=self.task)
        return prediction * self.target_scale + self.target_mean if self.task == "regression" else prediction

    def _name_outputs(self, outputs: Tensor) -> list[pl.Series]:
        values = outputs.numpy()
        if self.task == "multiclass":
            names = [self.classes[index] for index in outputs.argmax(dim=1).tolist()]
            shares = [pl.Series(f"probability_{name}", values[:, i]) for i, name in enumerate(self.classes)]
            return [pl.Series("prediction", names, dtype=pl.String), *shares]
        return [pl.Series("probability" if self.task == "binary" else "prediction", values)]

    # --- on disk

    def save(self, folder: Path) -> None:
        """Write the bundle; the card lists each file with its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        self.featurizer.save(folder)
        torch.save(self.network.state_dict(), folder / _NETWORK)
        (folder / _EXPERIMENT).write_text(yaml.safe_dump(self.experiment, sort_keys=False, allow_unicode=True))
        card = {
            "task": self.task,
            "classes": self.classes,
            "schema": self.schema,
            "num_numeric": len(self.featurizer.numeric_names),
            "cardinalities": self.featurizer.cardinalities,
            "target": {"mean": self.target_mean, "scale": self.target_scale},
            "files": {name: _digest(folder / name) for name in (STATE_FILE, WEIGHTS_FILE, _NETWORK, _EXPERIMENT)},
        }
        (folder / _CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: str | Path, *, targets: Sequence[str] = TARGETS) -> Bundle:
    """Load the bundle of a run: `treadle.load("runs/flights-1a2b3c4d").predict(frame)`.

    Args:
        path: the run's folder, or the bundle's own.
        targets: prefixes of the classes that may be built. Classes of your own need their package here: a bundle
            cannot allow itself anything.

    Raises:
        TreadleError: there is no bundle, a file is damaged or leads out of its folder, or a target is not allowed.
    """
    folder = _find_folder(Path(path))
    card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    _verify_files(folder, card["files"])
    experiment = yaml.safe_load((folder / _EXPERIMENT).read_text(encoding="utf-8"))
    featurizer = Featurizer.load(folder, targets=targets)
    network = build_network(
        experiment["model"],
        targets=targets,
        num_numeric=card["num_numeric"],
        cardinalities=card["cardinalities"],
        num_classes=len(card["classes"]),
    )
    network.load_state_dict(torch.load(folder / _NETWORK, weights_only=True))
    return Bundle(
        task=card["task"],
        classes=card["classes"],
        schema=card["schema"],
        featurizer=featurizer,
        network=network.eval(),
        target_mean=card["target"]["mean"],
        target_scale=card["target"]["scale"],
        experiment=experiment,
    )


def build_network(
    model: dict[str, Any],
    *,
    targets: Sequence[str],
    num_numeric: int,
    cardinalities: Sequence[int],
    num_classes: int,
) -> nn.Module:
    """The network of a configuration for given inputs; one output, or one a class."""
    network = build(
        model,
        key="model",
        targets=targets,
        num_numeric=num_numeric,
        cardinalities=list(cardinalities),
        num_outputs=max(1, num_classes),
    )
    if not isinstance(network, nn.Module):
        raise TreadleError(f"model: must be a torch.nn.Module, found {type(network).__name__}")
    return network


def to_prediction(output: Tensor, *, task: Task) -> Tensor:
    """Network output `[B, out]` or `[B, k, out]` (k members) to `[B]`, or `[B, K]` for K classes.

    Members are averaged as probabilities, not as logits.
    """
    if task == "multiclass":
        shares = output.float().softmax(dim=-1)
        return shares.mean(dim=1) if shares.dim() == 3 else shares  # noqa: PLR2004
    values = output.float().squeeze(-1)
    values = values.sigmoid() if task == "binary" else values
    return values.mean(dim=1) if values.dim() == 2 else values  # noqa: PLR2004


def _take_name(column: Column, name: str, present: Sequence[str]) -> Column:
    """The column under the name that the rows give it: its own, or the one in the files."""
    if name in present:
        return column.model_copy(update={"source": None})
    if column.source is not None and column.source in present:
        return column
    raise TreadleError(f"the rows have no column {name!r}. {nearest(name, present)}")


def _read_columns(rows: pl.DataFrame, columns: Mapping[str, Column]) -> list[pl.Series]:
    """The columns in their types, read as the stage `prepare` reads the table's files."""
    schema = rows.schema
    typed = {
        name: rows[column.name_in_file(name)].alias(name)
        for name, column in columns.items()
        if schema[column.name_in_file(name)] == DTYPES[column.dtype] and column.dtype != "str" and not column.missing
    }
    unread = {name: column for name, column in columns.items() if name not in typed}
    if unread:
        cells = _read_unread(rows, unread)
        typed |= {name: cells[name] for name in unread}
    return [typed[name] for name in columns]


def _read_unread(rows: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    try:
        cells = read_cells(rows.lazy(), columns, schema=rows.schema).collect()
    except PolarsError as error:
        if len(columns) > 1:
            return pl.concat([_read_unread(rows, {name: columns[name]}) for name in columns], how="horizontal")
        (name,) = columns
        raise _refuse(name, columns[name], str(error).splitlines()[0]) from error
    for name, column in columns.items():
        lost = cells[lost_mark(name)].arg_true()
        if len(lost):
            raise _refuse(name, column, f"row {lost[0] + 1:,} holds {rows[column.name_in_file(name)][lost[0]]!r}")
    return cells


def _refuse(name: str, column: Column, reason: str) -> TreadleError:
    return TreadleError(f"the column {name!r} must be of type {DTYPES[column.dtype]}: {reason}")


def _find_folder(path: Path) -> Path:
    for folder in (path / "bundle", path):
        if (folder / _CARD).is_file():
            return folder
    raise TreadleError(f"no bundle in {path}: expected {path / 'bundle' / _CARD}; `treadle train` writes one")


def _verify_files(folder: Path, files: Mapping[str, str]) -> None:
    expected = {STATE_FILE, WEIGHTS_FILE, _NETWORK, _EXPERIMENT}
    if set(files) != expected:
        raise TreadleError(f"{folder / _CARD}: must list the files {sorted(expected)}, found {sorted(files)}")
    for name in (_CARD, *files):
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise TreadleError(f"{file} leads out of its bundle, to {file.resolve()}; a bundle's files are its own")
        if not file.is_file():
            raise TreadleError(f"{file} is missing from the bundle")
        if name in files and _digest(file) != files[name]:
            raise TreadleError(f"{file} is damaged: its digest is not the one in {_CARD}")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The order of a sum depends on the number of threads; predictions must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
