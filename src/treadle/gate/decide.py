"""Promote or refuse, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from treadle.bundle import TARGETS, Predictor, load, predict_split
from treadle.bundle.card import read_card
from treadle.bundle.store import is_bundle
from treadle.champions.bundles import CARD, digest_bundle, find_bundle, find_folder, find_revision, is_reference
from treadle.champions.ledger import read_history
from treadle.errors import TreadleError
from treadle.evaluation.comparison import Candidate, Comparison, compare_predictions
from treadle.evaluation.evaluated import find_blocks
from treadle.evaluation.judge import read_findings
from treadle.evaluation.parity import read_predictions
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import AnyExperiment, Experiment
from treadle.features.featurize import read_target
from treadle.gate.logged import Logged, compare_logged
from treadle.gate.seeds import OverSeeds, average_gain, list_other_seeds
from treadle.outcomes import Finding
from treadle.schema import LABEL, ROW


class IncomparableError(TreadleError):
    """No comparison says which is better: the champion answers another question, or cannot predict these rows."""


@dataclass(frozen=True)
class Challenger:
    """A finished run that asks to be champion."""

    run: Path
    experiment: AnyExperiment
    bundle: str  # digest
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Champion:
    """What the challenger is compared with."""

    folder: Path  # of its run, or its bundle
    bundle: str  # digest


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    challenger: Challenger
    champion: Champion | None  # None: there is none yet, and the checks alone decide
    comparison: (
        Comparison | OverSeeds | Logged | None
    )  # with the champion; None also where there are too few blocks for an interval

    @property
    def blockers(self) -> list[Finding]:
        """The checks that refuse."""
        return [finding for finding in self.challenger.findings if finding.blocks]

    @property
    def promotes(self) -> bool:
        """No check refuses, and the challenger is better than the champion beyond noise."""
        return not self.blockers and (self.champion is None or self._is_better)

    @property
    def _is_better(self) -> bool:
        return self.comparison is not None and self.comparison.is_better

    @property
    def sentence(self) -> str:
        """The decision and its reason."""
        reasons = [*([f"blocked by {', '.join(f.code for f in self.blockers)}"] if self.blockers else [])]
        if not self.challenger.findings:
            is_table = isinstance(self.challenger.experiment, Experiment)
            what = "evaluation.checks is empty" if is_table else "a learner of your own has no checks"
            reasons.append(f"{what}, so nothing was asked of it")
        reasons.append(self._compare())
        return f"{'promote' if self.promotes else 'refuse'}: {'; '.join(reasons)}"

    def _compare(self) -> str:
        if self.champion is None:
            return "there is no champion yet"
        if self.champion.bundle == self.challenger.bundle:
            return "it is the champion itself"
        if self.comparison is None:
            return "there are too few blocks of test rows to compare with the champion"
        return f"{self.comparison.relation}: {self.comparison.describe()}"

    def to_plain(self) -> dict[str, Any]:
        """For JSON and the ledger."""
        failures = [f for f in self.challenger.findings if f.outcome.state == "fail"]
        return {
            "promotes": self.promotes,
            "sentence": self.sentence,
            "champion": None if self.champion is None else self.champion.bundle,
            "comparison": None if self.comparison is None else self.comparison.to_plain(),
            "failed": {f.code: {"severity": f.severity, "sentence": f.outcome.sentence} for f in failures},
        }


def ask_gate(run: Path, *, champion: str, root: Path) -> Verdict:
    """Whether a run may become champion.

    Args:
        run: a finished run's folder.
        champion: `champion` or `challenger` of the run's experiment, `<name>@champion`, the folder of a run or a
            bundle, `wandb:project/name:version`, or a git revision, whose bundle DVC keeps.
        root: the project.

    Raises:
        IncomparableError: the champion has another task or other classes, or cannot predict these rows.
        TreadleError: the run is not evaluated, or the champion cannot be found.
    """
    challenger = read_challenger(run)
    found = _find_champion(champion, challenger, root=root)
    if found is None or found.bundle == challenger.bundle:
        return Verdict(challenger, found, None)
    if not isinstance(challenger.experiment, Experiment):
        return Verdict(
            challenger, found, compare_logged(challenger.run, found.folder, experiment=challenger.experiment)
        )
    return Verdict(challenger, found, _compare(challenger, found, experiment=challenger.experiment, root=root))


def read_challenger(run: Path) -> Challenger:
    """A finished run.

    Raises:
        TreadleError: it is not evaluated.
    """
    folder = RunFolder(run)
    if not folder.resolved.is_file() and not folder.checks.is_file():
        if is_bundle(run):
            fix = "promote the run that it comes from, or serve it by its path"
            raise TreadleError(f"{run} is a bundle on its own, without an evaluation that the gate could judge; {fix}")
        raise TreadleError(f"{run} is no finished run; `treadle run` makes one")
    resolved = folder.resolved if folder.resolved.is_file() else run.parent / folder.resolved.name  # DVC's: beside it
    experiment = read(resolved).experiment
    return Challenger(run, experiment, digest_bundle(run), read_findings(folder.checks))


def _find_champion(champion: str, challenger: Challenger, *, root: Path) -> Champion | None:
    if not is_reference(champion):
        folder = find_folder(champion, root=root)
        if not folder.exists():
            folder = find_revision(champion, root=root)
        return Champion(folder, digest_bundle(folder))
    named, _, role = champion.rpartition("@")
    name = named or challenger.experiment.name
    if not read_history(name, root=root).decisions:
        return None
    folder = find_bundle(f"{name}@{role}", root=root)
    return Champion(folder, digest_bundle(folder))


def _compare(
    challenger: Challenger, champion: Champion, *, experiment: Experiment, root: Path
) -> Comparison | OverSeeds | None:
    """On the challenger's test rows, by blocks, in pairs; where the experiment has runs of other seeds, with these."""
    folder = RunFolder(challenger.run)
    for needed in (folder.examples / "test.parquet", folder.evaluation / "predictions.parquet"):
        if not needed.is_file():
            raise TreadleError(f"{needed} is missing, by which it is compared with the champion; make the run again")
    bundle = load(challenger.run, targets=experiment.targets, code="any")
    test = pl.scan_parquet(folder.examples / "test.parquet")
    target = read_target(test.select(LABEL).collect(), classes=bundle.classes).numpy()
    own = _read_own(challenger.run, bundle)
    theirs = _predict(champion, test, like=bundle)
    blocks = find_blocks(test, experiment)
    found = compare_predictions(own, theirs, target=target, blocks=blocks, experiment=experiment)
    if found is None:
        return None
    seeds = [own, *_predict_other_seeds(challenger, test, bundle, root=root)]
    mean = average_gain(seeds, theirs, target=target, blocks=blocks, experiment=experiment)
    return found if mean is None else OverSeeds(found, len(seeds), mean)


def _read_own(run: Path, bundle: Predictor) -> Candidate:
    """What the evaluation of a run wrote, whose bundle predicts the same classes."""
    predicted = pl.read_parquet(RunFolder(run).evaluation / "predictions.parquet")
    return Candidate(read_predictions(predicted, bundle).numpy(), read_card(RunFolder(run).bundle / CARD).thresholds)


def _predict_other_seeds(
    challenger: Challenger, test: pl.LazyFrame, bundle: Predictor, *, root: Path
) -> Iterator[Candidate]:
    for run in list_other_seeds(challenger.run, name=challenger.experiment.name, root=root):
        rows = pl.scan_parquet(RunFolder(run).examples / "test.parquet")
        if _are_alike(rows, test, [ROW, LABEL]):
            yield _read_own(run, bundle)


def _predict(champion: Champion, test: pl.LazyFrame, *, like: Predictor) -> Candidate:
    """The champion's predictions of these rows: those that its own evaluation wrote, where it had the same rows."""
    theirs = RunFolder(champion.folder)
    bundle = load(champion.folder, targets=_list_targets(theirs), code="any")
    if (bundle.task, bundle.classes) != (like.task, like.classes):
        raise IncomparableError(
            f"the champion {champion.bundle[:12]} predicts {bundle.task} {bundle.classes or ''}, the challenger "
            f"{like.task} {like.classes or ''}: they cannot be compared"
        )
    stored = theirs.evaluation / "predictions.parquet"
    rows = theirs.examples / "test.parquet"
    read_columns = [ROW, LABEL, *bundle.card.columns]
    if stored.is_file() and rows.is_file() and _are_alike(pl.scan_parquet(rows), test, read_columns):
        return Candidate(read_predictions(pl.read_parquet(stored), bundle).numpy(), bundle.card.thresholds)
    try:
        return Candidate(read_predictions(predict_split(bundle, test), bundle).numpy(), bundle.card.thresholds)
    except TreadleError as error:
        fix = "compare runs of the same data, or give the experiment another name"
        raise IncomparableError(
            f"the champion, {champion.folder}, cannot predict these test rows: {error}; {fix}"
        ) from error


def _are_alike(first: pl.LazyFrame, second: pl.LazyFrame, names: Sequence[str]) -> bool:
    """Whether two tables have these columns, with the same values; a column at a time is in memory."""
    if not set(names) <= {*first.collect_schema()} & {*second.collect_schema()}:
        return False
    return all(first.select(name).collect().equals(second.select(name).collect()) for name in names)


def _list_targets(folder: RunFolder) -> Sequence[str]:
    """The prefixes that the champion's own experiment allowed."""
    return read(folder.resolved).experiment.targets if folder.resolved.is_file() else TARGETS
