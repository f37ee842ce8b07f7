"""Whether the inputs of a model have drifted, as its monitoring would have said at the time."""

from __future__ import annotations

import polars as pl

from treadle.errors import TreadleError
from treadle.evaluation.reference import count_reference
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.monitoring.charts import Charts
from treadle.profiles.profile import count_rows
from treadle.schema import PREDICT_AT


def make_charts(run: RunFolder, experiment: Experiment, *, false_alarms: float) -> Charts:
    """The charts of a model, calibrated on its training rows.

    Args:
        run: of the model.
        experiment: that is replayed.
        false_alarms: share of normal blocks that may alarm.

    Raises:
        TreadleError: monitoring is off, or the rows have too few blocks.
    """
    settings = experiment.evaluation.reference
    if settings is None:
        raise TreadleError("evaluation.reference is null, and a policy by alarm asks for it")
    rows = pl.scan_parquet(run.examples / "train.parquet")
    reference = count_reference(rows, experiment, settings, private=())  # of which no value is shown
    return Charts(reference, false_alarms=false_alarms, season=False)


def measure_alarmed(charts: Charts, rows: pl.DataFrame) -> float | None:
    """The share of the blocks of these rows that alarm; None: none has enough rows to be judged."""
    reference = charts.reference
    named = reference.blocking.name_log(rows.lazy(), time=PREDICT_AT)
    profile = count_rows(named, reference.columns, num_paired=reference.num_paired)
    judged = [bool(found.alarms) for found in charts.judge(profile) if not found.unjudged]
    return sum(judged) / len(judged) if judged else None
