"""What was found, in the record of the model's tracker: one run for each bundle, which goes on from day to day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RunFolder
from treadle.monitoring.findings import Block, Findings
from treadle.tracking import Recorded, open_record

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times are in UTC without a zone
_X = {"week": "day", "day": "day", "rows": "block"}  # days since 1970, or the number of the block


def record_findings(findings: Findings, resolved: Resolved, *, folder: Path, page: str, root: Path) -> None:
    """Log a curve of each number over the blocks, the newest block's numbers as a summary, and the page.

    Args:
        findings: of all blocks that are judged.
        resolved: the experiment of the model, whose tracker records.
        folder: where the record lies, and the state by which the next call goes on in it.
        page: the report, in HTML.
        root: of the project.
    """
    recorded = Recorded(
        folder=RunFolder(folder),
        root=root,
        name=f"{findings.model} monitoring",
        signature=findings.digest,
        config=resolved.values,
        about={"monitors": findings.model, "bundle": findings.digest, "log": findings.log},
    )
    with open_record(recorded, settings=resolved.experiment.tracker) as record:
        unit = _X[findings.reference.blocking.unit]
        newest: dict[str, float] = {"monitoring/alarms": float(len(findings.alarmed))}
        for name, rows in _list_curves(findings):
            record.log_curve(
                name=f"monitoring/{name}", x=unit, y="value", rows=[{unit: x, "value": y} for x, y in rows]
            )
            newest[f"monitoring/{name}"] = rows[-1][1]
        record.summarize(newest)
        record.log_page(page, name="monitoring/page")


def _list_curves(findings: Findings) -> Iterator[tuple[str, Sequence[tuple[float, float]]]]:
    """Each number with its blocks: the strongest signal, the metrics as estimated and as realised."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for index, block in enumerate(findings.blocks):
        if block.judged.unjudged is None:
            for name, value in _list_numbers(block):
                curves.setdefault(name, []).append((_place(findings, block, index), value))
    yield from curves.items()


def _list_numbers(block: Block) -> Iterator[tuple[str, float]]:
    yield "strength", block.strength
    yield from ((f"estimated {name}", value) for name, value in block.estimated.items())
    if block.realised is not None:
        yield from ((f"realised {name}", value) for name, value in block.realised.metrics.items())
        if block.realised.prior_share is not None:
            yield "realised share of the prior", block.realised.prior_share


def _place(findings: Findings, block: Block, index: int) -> float:
    end = findings.reference.blocking.find_end(block.judged.block)
    return float(index if end is None else (end - _EPOCH).days)
