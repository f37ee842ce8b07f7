"""Runs of the same experiment with other seeds: whether a lead is the experiment's, or one seed's luck."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from treadle.champions.bundles import CARD
from treadle.disk import read_record
from treadle.evaluation.comparison import Candidate, Comparison, find_judging_metric, make_resampling, make_scoring
from treadle.evaluation.intervals import Array, Estimate, resample
from treadle.evaluation.resampling import Blocks, find_student_quantile
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import STAGES

MIN_SEEDS = 3  # fewer say too little about how far they differ
_EXAMPLES = STAGES[0].name
_SEED = re.compile(r"^seed: \d+$", re.MULTILINE)  # in the text of a resolved.yaml


@dataclass(frozen=True)
class OverSeeds:
    """The lead of a run over the champion, beside the mean lead of all runs that differ from it in the seed alone."""

    own: Comparison
    seeds: int
    mean: Estimate  # positive where the challengers are better; its interval knows blocks and seeds

    @property
    def gain(self) -> Estimate:
        """Of the run itself."""
        return self.own.gain

    @property
    def is_better(self) -> bool:
        """The run is, beyond noise, and so is the mean over the seeds."""
        return self.own.is_better and self.mean.low > 0

    @property
    def relation(self) -> str:
        """To the champion, in words."""
        is_luck = self.own.is_better and not self.is_better
        return "better than the champion, but other seeds are not beyond noise" if is_luck else self.own.relation

    def describe(self) -> str:
        """Both leads in words."""
        mean = Comparison(self.own.metric, self.mean, self.own.blocks).describe_gain()
        return f"{self.own.describe()}; the mean of {self.seeds} seeds {mean}"

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        seeds = {"count": self.seeds, "mean_gain": self.mean.to_plain()}
        return {**self.own.to_plain(), "better": self.is_better, "seeds": seeds}


def list_other_seeds(run: Path, *, name: str, root: Path) -> Iterator[Path]:
    """Finished runs of the same experiment and data, code included, with another seed."""
    own, data = _read(run), _read_data(run)
    for folder in sorted((root / RUNS).glob(f"{name}-*")):
        text = _read(folder)
        if text is None or own is None or text == own or _read_data(folder) != data:
            continue
        if _SEED.sub("", text) == _SEED.sub("", own):
            yield folder


def _read(run: Path) -> str | None:
    folder = RunFolder(run)
    results = (folder.examples / "test.parquet", folder.evaluation / "predictions.parquet", folder.bundle / CARD)
    if not all(file.is_file() for file in (folder.resolved, *results)):
        return None
    return folder.resolved.read_text(encoding="utf-8")


def _read_data(run: Path) -> Any:
    """The signature of its examples, which knows the content of the data."""
    return (read_record(RunFolder(run).signatures) or {}).get(_EXAMPLES)


def average_gain(
    seeds: Sequence[Candidate],
    champion: Candidate,
    *,
    target: Array,
    blocks: Blocks,
    experiment: Experiment,
) -> Estimate | None:
    """The mean lead of the seeds over the champion; None where there are too few of them, or of blocks.

    Its squared standard error is the sum of two: of the mean over resamples of the blocks, and of the mean over the
    seeds. The interval is Student's, with the degrees of freedom by Welch and Satterthwaite.

    Args:
        seeds: what each predicts.
        champion: what it predicts of the same rows.
        target: of these rows.
        blocks: of these rows.
        experiment: says by which metric, and how intervals are made.
    """
    if len(seeds) < MIN_SEEDS:
        return None
    metric, settings = find_judging_metric(experiment), make_resampling(experiment)
    candidates = {"champion": champion, **{str(number): one for number, one in enumerate(seeds)}}
    made = resample(
        {name: one.prediction for name, one in candidates.items()},
        target=target,
        blocks=blocks,
        scoring={name: make_scoring(experiment, one.thresholds) for name, one in candidates.items()},
        resampling=settings,
        metrics=[metric.name],
    )
    theirs = made.pop("champion")
    sign = 1.0 if metric.higher_is_better else -1.0
    leads = [one.subtract(theirs) for one in made.values()]
    if any(lead.estimate(metric.name, coverage=settings.coverage) is None for lead in leads):
        return None
    whole = sign * np.array([lead.whole[metric.name] for lead in leads])
    resampled = sign * np.mean([lead.resampled[metric.name] for lead in leads], axis=0)
    by_block = float(np.nanvar(resampled)) * blocks.count / (blocks.count - 1)
    by_seed = float(whole.var(ddof=1)) / len(whole)
    total, parts = by_block + by_seed, by_block**2 / (blocks.count - 1) + by_seed**2 / (len(whole) - 1)
    mean = float(whole.mean())
    if not parts > 0:
        return Estimate(mean, mean, mean)
    reach = -find_student_quantile((1 - settings.coverage) / 2, degrees=total**2 / parts) * total**0.5
    return Estimate(mean, mean - reach, mean + reach)
