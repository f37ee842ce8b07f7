"""The model card of a run: Markdown with the metadata block of Hugging Face, from the evidence of its evaluation.

(The card of a bundle, `treadle.bundle.card`, is for machines: what a prediction needs to know.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from treadle.errors import TreadleError
from treadle.evaluation.conclusion import decide
from treadle.evaluation.evaluated import MODEL
from treadle.evaluation.judge import read_findings
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.experiment.spec.card import Claim
from treadle.json_files import read_json
from treadle.lineage.graph import trace_experiment
from treadle.lineage.views import list_sources
from treadle.metrics.registry import list_metrics, write_score
from treadle.outcomes import Finding
from treadle.pages.render import render_text
from treadle.schema import DataTask

# What Hugging Face calls them; a metric of your own keeps its name.
_TASKS: dict[DataTask, str] = {
    "binary": "tabular-classification",
    "multiclass": "tabular-classification",
    "multilabel": "tabular-classification",
    "regression": "tabular-regression",
    "count": "tabular-regression",
    "forecast": "time-series-forecasting",
}
_METRICS = {"auroc": "roc_auc", "brier": "brier_score", "r2": "r_squared"}


@dataclass(frozen=True)
class Evidence:
    """What an evaluation wrote, as plain values."""

    metrics: Mapping[str, Mapping[str, float | None]]  # of the model and of each baseline
    intervals: Mapping[str, Any]  # of the same, with `blocks` and `coverage`; empty: none
    numbers: Mapping[str, Mapping[str, float | None]]  # of each part
    slices: Mapping[str, Any]  # what the part `slices` found; empty: not asked
    checks: list[Finding]
    summary: Mapping[str, Any]  # of the examples
    training: Mapping[str, Any]

    @classmethod
    def read(cls, folder: RunFolder) -> Evidence:
        """Of an evaluated run."""
        slices = folder.parts / "slices.json"
        return cls(
            metrics=read_json(folder.metrics),
            intervals=read_json(folder.intervals),
            numbers=read_json(folder.numbers),
            slices=read_json(slices) if slices.is_file() else {},
            checks=read_findings(folder.checks),
            summary=read_json(folder.examples / "summary.json"),
            training=read_json(folder.model / "summary.json"),
        )

    def get_interval(self, metric: str, *, of: str = MODEL) -> Mapping[str, float] | None:
        """`low` and `high` of a metric; None where it has none."""
        found: Mapping[str, float] | None = self.intervals.get("intervals", {}).get(of, {}).get(metric)
        return found


@dataclass(frozen=True)
class Measured:
    """A number of the evidence, with its interval where it has one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return _write_number(self.value)
        return f"{write_score(self.value)} ({write_score(self.low)} to {write_score(self.high)})"


def _write_number(value: float | None) -> str:
    """A number of a part: counts as such, all others as metrics are written.

    >>> [_write_number(value) for value in (3.0, 590806.0, 0.5, None)]
    ['3', '590,806', '0.5000', '-']
    """
    return f"{value:,.0f}" if value is not None and float(value).is_integer() else write_score(value)


@dataclass(frozen=True)
class Judged:
    """A claim beside the evidence."""

    claim: Claim
    found: Measured | None  # None: there is no such number

    @property
    def promise(self) -> str:
        """`auroc at least 0.7 where origin = JFK`."""
        bounds = [("at least", self.claim.at_least), ("at most", self.claim.at_most)]
        text = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        return f"{self.claim.metric} {text}{f' where {self.claim.slice}' if self.claim.slice else ''}"

    @property
    def holds(self) -> bool:
        """Whether the number is there, and within the bounds."""
        return self.found is not None and self.found.value is not None and self._keeps(self.found.value)

    @property
    def is_sure(self) -> bool:
        """Whether its whole interval is."""
        found = self.found
        if found is None or found.low is None or found.high is None:
            return False
        return self._keeps(found.low) and self._keeps(found.high)

    def _keeps(self, value: float) -> bool:
        low, high = self.claim.at_least, self.claim.at_most
        return (low is None or value >= low) and (high is None or value <= high)


def write_model_card(experiment: Experiment, *, run: str, folder: RunFolder) -> None:
    """Write `folder.card`, from what the evaluation has written; the same bytes for the same run.

    Raises:
        TreadleError: the evidence contradicts a claim of `card.claims`.
    """
    evidence = Evidence.read(folder)
    claims = [Judged(claim, _find(claim, evidence)) for claim in experiment.card.claims]
    _require(claims, evidence)
    folder.card.write_text(_render(experiment, evidence, claims, run=run), encoding="utf-8")


def _find(claim: Claim, evidence: Evidence) -> Measured | None:
    """The number that a claim is about."""
    part, dot, number = claim.metric.partition(".")
    if dot:
        found = evidence.numbers.get(part, {})
        return Measured(found[number]) if number in found else None
    if claim.slice is not None:
        values = evidence.slices.get("declared", {}).get(claim.slice, {})
        return Measured(**values[claim.metric]) if values.get(claim.metric) else None
    model = evidence.metrics[MODEL]
    if claim.metric not in model:
        return None
    return Measured(model[claim.metric], **(evidence.get_interval(claim.metric) or {}))


def _require(claims: list[Judged], evidence: Evidence) -> None:
    broken = [(place, judged) for place, judged in enumerate(claims) if not judged.holds]
    if broken:
        told = "; ".join(
            f"card.claims.{place} ({judged.promise}): "
            + (_list_known(judged.claim, evidence) if judged.found is None else f"found {judged.found}")
            for place, judged in broken
        )
        raise TreadleError(
            f"the evidence contradicts {'a claim' if len(broken) == 1 else 'claims'} of the model card: {told}. "
            "Correct the claim, or the model"
        )


def _list_known(claim: Claim, evidence: Evidence) -> str:
    """What there is, where a claim is about nothing."""
    part, _, _ = claim.metric.partition(".")
    if claim.slice is not None:
        return f"no such number was found; slices: {', '.join(evidence.slices.get('declared', {})) or 'none'}"
    return f"no such number was found; in {part}: {', '.join(evidence.numbers.get(part, {})) or 'none'}"


def _render(experiment: Experiment, evidence: Evidence, claims: list[Judged], *, run: str) -> str:
    graph = trace_experiment(experiment)
    metrics = list_metrics(experiment)
    return render_text(
        "card.md.jinja",
        metadata=yaml.safe_dump(make_metadata(experiment, evidence), sort_keys=False, allow_unicode=True, width=120),
        experiment=experiment,
        card=experiment.card,
        run=run,
        decision=decide(evidence.checks),
        evidence=evidence,
        claims=claims,
        metrics=[(m, {of: _measure(m.name, of, evidence) for of in evidence.metrics}) for m in metrics],
        slices=_tabulate_slices(experiment, evidence),
        features={name: ", ".join(list_sources(graph, name)) for name in graph.features},
        write_number=_write_number,
        write_score=write_score,
    )


def _measure(metric: str, of: str, evidence: Evidence) -> Measured:
    return Measured(evidence.metrics[of].get(metric), **(evidence.get_interval(metric, of=of) or {}))


def _tabulate_slices(experiment: Experiment, evidence: Evidence) -> list[tuple[str, int, list[str]]]:
    """Name, rows and each metric of the declared slices."""
    names = [metric.name for metric in list_metrics(experiment)]
    return [
        (name, found["rows"], [str(Measured(**found[m])) if found.get(m) else "-" for m in names])
        for name, found in evidence.slices.get("declared", {}).items()
    ]


def make_metadata(experiment: Experiment, evidence: Evidence) -> dict[str, Any]:
    """The metadata block, as Hugging Face reads it; `model_card.schema.json` of the tests tells its shape."""
    task = _TASKS[experiment.data.task]
    metrics = [
        {"type": _METRICS.get(metric.name, metric.name), "name": metric.title, "value": value}
        for metric in list_metrics(experiment)
        if (value := evidence.metrics[MODEL].get(metric.name)) is not None
    ]
    dataset = {"type": experiment.data.examples.table, "name": experiment.name, "split": "test"}
    result = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
    return {
        **({"license": experiment.card.licence} if experiment.card.licence else {}),
        "library_name": "treadle",
        "pipeline_tag": task,
        "tags": ["treadle", "tabular", experiment.data.task],
        "model-index": [{"name": experiment.name, "results": [result]}],
    }
