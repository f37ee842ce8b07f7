"""The peers of monitoring.py, each in an environment of its own: their default rules on the same rows.

python monitoring_peer.py nannyml|evidently|cbpe FOLDER

Prints a line of JSON: the version, how many columns the default rules flag in each week, and seconds of the processor,
without the import of the library and without reading the files.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ |= {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}  # both call home otherwise

import pandas as pd

WEEK = "__block__"
AT = "predict_at"


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(folder / "reference.parquet"), pd.read_parquet(folder / "log.parquet")


def judge_by_nannyml(folder: Path) -> dict[str, Any]:
    import nannyml

    reference, log = read(folder)
    names = [name for name in reference.columns if name not in (WEEK, AT)]
    start = time.process_time()
    calculator = nannyml.UnivariateDriftCalculator(column_names=names, timestamp_column_name=AT, chunk_period="W")
    found = calculator.fit(reference).calculate(log).filter(period="analysis").to_df()
    seconds = time.process_time() - start
    alerts = found[[(name, "jensen_shannon", "alert") for name in names]].to_numpy(dtype=bool)
    return {"flagged": alerts.sum(axis=1).tolist(), "seconds": seconds}


def judge_by_evidently(folder: Path) -> dict[str, Any]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference, log = read(folder)
    names = [name for name in reference.columns if name not in (WEEK, AT)]
    texts = [name for name in names if reference[name].dtype == object]
    definition = DataDefinition(
        numerical_columns=[name for name in names if name not in texts], categorical_columns=texts
    )
    start, flagged = time.process_time(), []
    before = Dataset.from_pandas(reference[names], data_definition=definition)
    for _, week in log.groupby(WEEK, sort=True):
        now = Dataset.from_pandas(week[names], data_definition=definition)
        found = Report([DataDriftPreset()]).run(now, before).dict()
        (count,) = (m["value"]["count"] for m in found["metrics"] if m["metric_name"].startswith("DriftedColumnsCount"))
        flagged.append(int(count))
    return {"flagged": flagged, "seconds": time.process_time() - start}


def estimate_by_nannyml(folder: Path) -> dict[str, Any]:
    import nannyml

    reference, log = (pd.read_parquet(folder / f"scored_{name}.parquet") for name in ("reference", "log"))
    start = time.process_time()
    estimator = nannyml.CBPE(
        metrics=["roc_auc", "accuracy"],
        y_pred_proba="score",
        y_pred="decision",
        y_true="label",
        problem_type="classification_binary",
        timestamp_column_name=AT,
        chunk_period="W",
    )
    found = estimator.fit(reference).estimate(log).filter(period="analysis").to_df()
    seconds = time.process_time() - start
    values = {name: found[(name, "value")].tolist() for name in ("roc_auc", "accuracy")}
    return {"estimated": values, "calibrated": bool(estimator.needs_calibration), "seconds": seconds}


PEERS = {
    "nannyml": ("nannyml", judge_by_nannyml),
    "evidently": ("evidently", judge_by_evidently),
    "cbpe": ("nannyml", estimate_by_nannyml),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    package, judge = PEERS[sys.argv[1]]
    print(json.dumps({"version": importlib.metadata.version(package), **judge(Path(sys.argv[2]))}))
