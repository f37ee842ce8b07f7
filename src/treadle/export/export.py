"""From a bundle to a folder with its graph, held against the bundle before it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import polars as pl
import torch
from torch import nn

from treadle.bundle import Bundle, Predictor
from treadle.errors import TreadleError
from treadle.evaluation.parity import PARITY
from treadle.experiment.run_folder import RunFolder
from treadle.export import readme
from treadle.export.formats import FORMATS, TRACED_ROWS, Call, FormatName, quietly, trace
from treadle.export.graph import PredictionGraph
from treadle.export.parity import FILE as ROWS_FILE
from treadle.export.parity import Gap, ParityRows, describe_gap, find_gap, forgive_rounding
from treadle.export.signature import FILE, Parity, Signature, describe_inputs, name_output, save_signature
from treadle.export.writing import writing
from treadle.models.estimator import Estimator

PARITY_ROWS = 64  # that a graph is compared on
_OWN = (FILE, readme.FILE, ROWS_FILE, *(kind.FILE for kind in FORMATS.values()))  # how the names of its files begin


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    file: Path
    parity: Parity


def export(
    bundle: Predictor,
    *,
    to: FormatName,
    rows: pl.LazyFrame,
    folder: Path,
    digest: str,
    source: str,
) -> Exported:
    """Write the graph, its signature, and the rows that it was compared on.

    Args:
        bundle: of a network.
        to: the format.
        rows: in the columns of the examples; `PARITY_ROWS`, spread evenly, are taken. Private columns are left missing.
        folder: is made; an earlier export in it is replaced.
        digest: of the bundle.
        source: what the README calls it.

    Raises:
        TreadleError: the bundle has no graph, the graph does not give the bundle's numbers, or something is missing
            that the format needs.
    """
    network = require_network(bundle, source=source)
    kind = FORMATS[to]
    kind.require()
    require_free(folder)
    frame = _choose_rows(network, rows, source=source)
    compared = ParityRows.ask(network, frame)
    graph = PredictionGraph(network).eval()
    inputs = compared.take_inputs(graph.names)
    with writing(folder) as part, quietly():
        program = trace(graph, [_repeat(tensor) for tensor in inputs])
        kind.write(program, part / kind.FILE, names=graph.names)
        call = kind.open(part / kind.FILE, names=graph.names)
        gap = _require_parity(compared, call, network, frame, names=graph.names)
        parity = Parity(rows=len(frame), largest_difference=gap.share, allowed=PARITY)
        signature = Signature(
            to=to,
            bundle=digest,
            task=network.task,
            classes=network.classes,
            levels=network.card.target.levels,
            thresholds=network.card.thresholds,
            columns=dict(network.card.columns),
            inputs=describe_inputs(network.featurizer),
            output=name_output(network),
            output_dtype=str(call(inputs).dtype).removeprefix("torch."),
            libraries=dict(_list_versions()),
            parity=parity,
        )
        compared.save(part)
        save_signature(signature, part)
        (part / readme.FILE).write_text(readme.write_readme(signature, source=source), encoding="utf-8")
    return Exported(folder, folder / kind.FILE, parity)


def require_network(bundle: Predictor, *, source: str) -> Bundle:
    """The bundle, if it has a graph.

    Raises:
        TreadleError: it has none; the message says what there is instead.
    """
    if not isinstance(bundle, Bundle):
        members = ", ".join(f"members/{name}" for name in bundle.card.members)
        raise TreadleError(
            f"{source} is a blend, whose members have features of their own: there is no one graph of it. Each member "
            f"is a bundle, and those that are networks can be exported: {members} in its bundle"
        )
    if isinstance(bundle.model, Estimator):
        kind, file = type(bundle.model).__name__, bundle.model.FILE
        raise TreadleError(
            f"{source} holds an estimator ({kind}), such as trees, which has no graph of tensors. Its own file, "
            f"{file} in the bundle, is what its library reads, in every language that it has"
        )
    assert isinstance(bundle.model, nn.Module)
    return bundle


def require_free(folder: Path) -> None:
    """Nothing that is no export may be overwritten, nor what lies beside one.

    Raises:
        TreadleError: the folder holds something else.
    """
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith(_OWN)) if folder.is_dir() else []
    if others and (folder / FILE).is_file():
        raise TreadleError(f"{folder} holds {others[0]!r} beside an export, which would be lost; name another folder")
    if folder.exists() and not (folder / FILE).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise TreadleError(f"{folder} exists already, and is no export; name a folder that does not, or an empty one")


def find_exports(path: Path) -> Path | None:
    """The folder of the exports of a run's folder, or of the bundle in it; None of a bundle on its own."""
    run = path.parent if path.name == RunFolder(path).bundle.name and not RunFolder(path).bundle.is_dir() else path
    return RunFolder(run).exports if RunFolder(run).bundle.is_dir() else None


def _choose_rows(bundle: Bundle, rows: pl.LazyFrame, *, source: str) -> pl.DataFrame:
    """Conformed rows, spread evenly over those that are given."""
    num_rows = rows.select(pl.len()).collect().item()
    if not num_rows:
        raise TreadleError(f"{source}: there is no row to compare the graph on; name a file with --rows")
    step = max(1, num_rows // PARITY_ROWS)
    frame = bundle.conform(rows.gather_every(step).head(PARITY_ROWS).collect())
    return frame.with_columns(pl.lit(None, dtype=frame.schema[name]).alias(name) for name in bundle.private)


def _repeat(tensor: torch.Tensor) -> torch.Tensor:
    """As many rows as are traced."""
    times = -(-TRACED_ROWS // len(tensor))
    return tensor.repeat(times, 1)[:TRACED_ROWS].contiguous()


def _require_parity(rows: ParityRows, call: Call, bundle: Bundle, frame: pl.DataFrame, *, names: list[str]) -> Gap:
    """The largest difference.

    Raises:
        TreadleError: it is larger than rounding.
    """
    gap = find_gap(rows, call, names=names)
    while gap.share > PARITY:
        if not forgive_rounding(rows, gap, bundle, frame):
            raise TreadleError(describe_gap(gap, frame.row(gap.row, named=True)))
        gap = find_gap(rows, call, names=names)
    return gap


def _list_versions() -> Iterator[tuple[str, str]]:
    for name in ("torch", "onnx", "onnxscript", "onnxruntime"):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
