"""Engines that compute a bundle's graph: each only where it gives the numbers of the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from treadle.bundle import Bundle, Predictor
from treadle.errors import TreadleError
from treadle.evaluation.parity import PARITY
from treadle.experiment.spec.serving import EngineName
from treadle.export.formats import FORMATS, Call, FormatName, quietly
from treadle.export.graph import PredictionGraph
from treadle.export.parity import ParityRows, find_gap
from treadle.export.signature import FILE, read_signature
from treadle.features.featurizer import Raw

EAGER: EngineName = "eager"  # torch itself, by the code that trained the bundle
BY_THEMSELVES: Sequence[FormatName] = ("onnx",)  # that `auto` takes; machine code is loaded where it is asked for


@dataclass(frozen=True)
class Engine:
    """A graph that gives the bundle's numbers."""

    name: str
    call: Call
    names: Sequence[str]  # of the inputs

    def predict(self, raw: Raw) -> Tensor:
        """Calibrated predictions, `[B]` or `[B, K]`."""
        given = raw._asdict()
        return self.call([given[name] for name in self.names])


def choose_engine(
    bundle: Predictor, *, wanted: EngineName, exports: Path | None, digest: str
) -> tuple[Engine | None, str]:
    """The engine that answers, None being torch itself; and why it is not the one that is wanted, or exported.

    Args:
        bundle: whose numbers count.
        wanted: `auto` takes an ONNX export where there is one.
        exports: the folder of the run's exports; None: the bundle stands on its own.
        digest: of the bundle; an export of another one is none.
    """
    names = {"auto": BY_THEMSELVES, EAGER: ()}.get(wanted, [n for n in get_args(FormatName) if n == wanted])
    reason = ""
    for name in names:
        folder = None if exports is None else exports / name
        if wanted == "auto" and (folder is None or not (folder / FILE).is_file()):
            continue
        try:
            return open_engine(bundle, name=name, folder=folder, digest=digest), ""
        except TreadleError as error:
            reason = str(error)
    return None, reason


def open_engine(bundle: Predictor, *, name: FormatName, folder: Path | None, digest: str) -> Engine:
    """Load an export, and compare it with the bundle.

    Raises:
        TreadleError: there is none, it is of another bundle, or it does not give the bundle's numbers.
    """
    fix = f"`treadle export RUN --to {name}`"
    if not isinstance(bundle, Bundle) or not isinstance(bundle.model, torch.nn.Module):
        raise TreadleError(f"the engine {name} is for networks alone")
    if folder is None or not (folder / FILE).is_file():
        where = "" if folder is None else f": {folder} does not exist"
        raise TreadleError(f"there is no export for the engine {name}{where}; {fix}")
    signature = read_signature(folder)
    if signature.bundle != digest:
        raise TreadleError(f"{folder} is the graph of the bundle {signature.bundle[:12]}, not {digest[:12]}; {fix}")
    kind, names = FORMATS[name], signature.names
    try:
        with quietly():
            call = kind.open(folder / kind.FILE, names=names)
            gap = find_gap(_ask(bundle, ParityRows.load(folder)), call, names=names)
    except TreadleError:
        raise
    except Exception as error:  # libraries raise many kinds for a damaged file
        raise TreadleError(f"{folder / kind.FILE} cannot be used: {str(error).splitlines()[0]}; {fix}") from error
    if gap.share > PARITY:
        raise TreadleError(
            f"{folder / kind.FILE} does not give the bundle's numbers: row {gap.row} of {folder / 'parity.parquet'} is "
            f"{gap.found:.9g} in place of {gap.wanted:.9g}; {fix}"
        )
    return Engine(name, call, names)


def _ask(bundle: Bundle, rows: ParityRows) -> ParityRows:
    """The rows with what the bundle predicts here and now."""
    graph = PredictionGraph(bundle).eval()
    with torch.no_grad():
        found = graph(*rows.take_inputs(graph.names)).double()
    return replace(rows, predictions=found.reshape(rows.predictions.shape))
