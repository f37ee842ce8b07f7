"""The peers of default_model.py, in an environment of their own: AutoML on the same rows, columns as they are.

    python default_model_peer.py flaml|autogluon EXAMPLES SECONDS SEED FOLDER

Their budgets are of a clock on the wall, which tells little on a busy machine: here `time.time` is the CPU time of this
process, so that SECONDS of CPU are SECONDS of CPU. One thread. Prints the metric of the test split as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_BEGIN = time.time() - time.process_time()
time.time = lambda: _BEGIN + time.process_time()

import numpy as np  # noqa: E402 - after the clock
import pandas as pd  # noqa: E402
import polars as pl  # noqa: E402

LABEL = "label"
RESERVED = ("predict_at", "row", "weight")  # of the examples, beside their columns


def read(folder: Path, split: str) -> pd.DataFrame:
    """Rows as these libraries take them: texts as categories."""
    frame = pl.read_parquet(folder / f"{split}.parquet").drop(*RESERVED, strict=False)
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String and name != LABEL]
    found = pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns})
    return found.astype(dict.fromkeys(texts, "category"))


def predict_by_flaml(
    splits: dict[str, pd.DataFrame], *, task: str, seconds: float, seed: int, folder: Path
) -> tuple[np.ndarray, list[Any]]:
    """Holdout on the valid split, and its default estimators; trained anew on both splits in the end."""
    from flaml import AutoML

    def part(split: str) -> dict[str, Any]:
        suffix = "train" if split == "train" else "val"
        return {f"X_{suffix}": splits[split].drop(columns=LABEL), f"y_{suffix}": splits[split][LABEL].to_numpy()}

    kind, metric = ("regression", "rmse") if task == "regression" else ("classification", "log_loss")
    model = AutoML()
    given = {"task": kind, "metric": metric, "time_budget": seconds, "n_jobs": 1, "seed": seed, "verbose": 0}
    model.fit(**part("train"), **part("valid"), **given, log_file_name=str(folder / "flaml.log"))
    rows = splits["test"].drop(columns=LABEL)
    if task == "regression":
        return np.asarray(model.predict(rows)), []
    return np.asarray(model.predict_proba(rows)), list(model.classes_)


def predict_by_autogluon(
    splits: dict[str, pd.DataFrame], *, task: str, seconds: float, seed: int, folder: Path
) -> tuple[np.ndarray, list[Any]]:
    """The preset `medium_quality`, its models one after another, judged and weighed by the valid split."""
    from autogluon.tabular import TabularPredictor

    np.random.seed(seed)  # noqa: NPY002 - what the library reads
    metric = "root_mean_squared_error" if task == "regression" else "log_loss"
    model = TabularPredictor(LABEL, problem_type=task, eval_metric=metric, path=str(folder / "autogluon"), verbosity=1)
    given = {"presets": "medium_quality", "time_limit": seconds, "num_cpus": 1, "num_gpus": 0}
    model.fit(splits["train"], tuning_data=splits["valid"], fit_strategy="sequential", **given)
    rows = splits["test"].drop(columns=LABEL)
    if task == "regression":
        return model.predict(rows).to_numpy(), []
    shares = model.predict_proba(rows)
    return shares.to_numpy(), list(shares.columns)


def judge(predicted: np.ndarray, classes: list[Any], target: np.ndarray) -> tuple[str, float]:
    """RMSE, or log loss."""
    if not classes:
        return "rmse", float(np.sqrt(np.mean((predicted - target) ** 2)))
    positions = {name: position for position, name in enumerate(classes)}
    of_target = [row[positions[name]] if name in positions else 0 for row, name in zip(predicted, target, strict=True)]
    return "log_loss", float(-np.log(np.clip(of_target, 1e-7, 1)).mean())


def find_task(label: pd.Series) -> str:
    """The problem, by its labels."""
    if not pd.api.types.is_numeric_dtype(label):
        return "multiclass"
    return "binary" if set(label.unique()) <= {0.0, 1.0} else "regression"


def main() -> None:
    library, examples, seconds, seed, folder = sys.argv[1:]
    splits = {split: read(Path(examples), split) for split in ("train", "valid", "test")}
    predict = {"flaml": predict_by_flaml, "autogluon": predict_by_autogluon}[library]
    task = find_task(splits["train"][LABEL])
    predicted, classes = predict(splits, task=task, seconds=float(seconds), seed=int(seed), folder=Path(folder))
    metric, value = judge(predicted, classes, splits["test"][LABEL].to_numpy())
    print(json.dumps({"metric": metric, "value": value, "seconds": round(time.process_time(), 1)}))


if __name__ == "__main__":
    main()
