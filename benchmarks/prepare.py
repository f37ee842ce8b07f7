"""How fast, and in how much memory, do `prepare` and `featurize` work? Beside the same job in pandas and scikit-learn.

    python -m pip install --target DIR pandas scikit-learn pyarrow
    python benchmarks/prepare.py --pandas DIR [--quick]

The job, on the flights of New York (data/nycflights13) and on ten times as many (the same rows, repeated): read the
flights, planes and weather, look the plane up by its tail number and the weather by airport and hour, leave out flights
without an arrival, split by time, write the three splits as Parquet; then fill gaps by the median and standardise 16
numbers, turn 4 texts into ids, fitted on the training split, and write the arrays of training and validation. Both
sides read the same files and write the same columns; that the number of rows and the sums of the numbers agree is
checked.

It is simpler than experiment=flights: no lookup as of a moment, no history, no quantiles, which pandas has no equal
for. Treadle does more for it: it holds the contract of the tables (types, missing values, the unique keys of the
lookups), keeps an identity of each row, and counts what is left out. pandas reads CSV with its default engine.

Each job is a fresh process that may use all cores; its seconds are those of the job without imports and without reading
its description, its peak memory is the resident set of the process. Without --pandas, both libraries and pyarrow must
be in this environment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from processes import run_python

ROOT = Path(__file__).parents[1]
FLIGHTS = 336_776
TABLES = ("flights", "planes", "weather")
NUMBERS = [
    *("month", "day", "hour", "minute", "distance", "plane_year", "plane_seats"),
    *("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
]
TEXTS = ["carrier", "origin", "dest", "plane_engine"]
VALID_FROM, TEST_FROM = "2013-09-01", "2013-11-01"

TREADLE = """
import json, sys, time
from datetime import datetime
from pathlib import Path
from treadle.data.prepare import prepare
from treadle.experiment.spec import Data, Features
from treadle.features.featurize import featurize
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
job = json.loads((folder / "job.json").read_text())
data, features = Data.model_validate(job["data"]), Features.model_validate(job["features"])
start = time.perf_counter()
prepare(data, root=folder, folder=out / "examples", now=datetime(2026, 1, 1))
prepared = time.perf_counter()
featurize(features, task="binary", targets=["treadle.features."], examples=out / "examples", folder=out / "features")
print(json.dumps({"prepare": prepared - start, "featurize": time.perf_counter() - prepared}))
if "--sums" in sys.argv:
    from treadle.features.stored import load_rows
    rows = load_rows(out / "features" / "valid")
    unknown = (rows.ids == 0).sum(dim=0).tolist()
    print(json.dumps([len(rows.target), *rows.numeric.double().abs().sum(dim=0).tolist(), *unknown]))
"""

PANDAS = """
import json, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
job = json.loads((folder / "job.json").read_text())
numbers, texts, kind = job["numbers"], job["texts"], job["kind"]
def read(name):
    columns = job["columns"][name]
    if kind == "csv":
        return pd.read_csv(folder / f"{name}.csv", usecols=columns)[columns]
    return pd.read_parquet(folder / f"{name}.parquet", columns=columns)
start = time.perf_counter()
planes = read("planes").rename(columns={name: f"plane_{name}" for name in ("year", "seats", "engine")})
flights = read("flights").merge(planes, how="left", on="tailnum")
flights = flights.merge(read("weather"), how="left", on=["origin", "time_hour"])
flights = flights[flights["arr_delay"].notna()]
flights["label"] = (flights["arr_delay"] > 15).astype("float64")
moment = pd.to_datetime(flights["time_hour"], utc=True).dt.tz_localize(None)
valid_from, test_from = (pd.Timestamp(job[key]) for key in ("valid_from", "test_from"))
splits = {
    "train": moment < valid_from,
    "valid": (moment >= valid_from) & (moment < test_from),
    "test": moment >= test_from,
}
out.mkdir()
for name, chosen in splits.items():
    flights.loc[chosen, [*numbers, *texts, "label"]].to_parquet(out / f"{name}.parquet")
prepared = time.perf_counter()
train, valid = (pd.read_parquet(out / f"{name}.parquet") for name in ("train", "valid"))
ids = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1, min_frequency=20)
steps = ColumnTransformer([
    ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    ("texts", ids, texts),
])
for name, values in (("train", steps.fit_transform(train)), ("valid", steps.transform(valid))):
    count = len(numbers)
    np.savez(out / name, numeric=values[:, :count].astype("float32"), ids=values[:, count:].astype("int64"))
np.savez(out / "labels", train=train["label"], valid=valid["label"])
print(json.dumps({"prepare": prepared - start, "featurize": time.perf_counter() - prepared}))
if "--sums" in sys.argv:
    rows = np.load(out / "valid.npz")
    sums = np.abs(rows["numeric"].astype("float64")).sum(axis=0).tolist()
    print(json.dumps([len(valid), *sums]))
"""


def describe(kind: str) -> dict[str, object]:
    """The job for both sides: Treadle's configuration, and the columns of each file that pandas reads."""
    whole, part, text = {"dtype": "int"}, {"dtype": "float", "nullable": True}, {"dtype": "str", "nullable": True}
    moment = {"dtype": "datetime"}
    flights = {
        **dict.fromkeys(("month", "day", "hour", "minute", "distance"), whole),
        **dict.fromkeys(("carrier", "origin", "dest", "tailnum"), text),
        "arr_delay": {**part, "known_after_prediction": True},
        "time_hour": moment,
    }
    planes = {"tailnum": {"dtype": "str", "unique": True}, "year": part, "seats": whole, "engine": text}
    weather = {"origin": text, "time_hour": moment, **dict.fromkeys(NUMBERS[7:], part)}
    columns = {"flights": flights, "planes": planes, "weather": weather}
    tables: dict[str, dict[str, object]]
    tables = {name: {"path": f"{name}.{kind}", "columns": columns[name]} for name in TABLES}
    joined = {"plane_year": "year", "plane_seats": "seats", "plane_engine": "engine"}
    tables["flights"]["joins"] = {
        "plane": {"table": "planes", "by": {"tailnum": "tailnum"}, "columns": joined},
        "weather": {
            "table": "weather",
            "by": {"origin": "origin", "time_hour": "time_hour"},
            "columns": {name: name for name in NUMBERS[7:]},
        },
    }
    data = {
        "task": "binary",
        "tables": tables,
        "examples": {
            "table": "flights",
            "predict_at": "time_hour",
            "exclude": {"no arrival": "arr_delay IS NULL"},
            "known": [*NUMBERS, *TEXTS],
            "label": "arr_delay > 15",
        },
        "split": {"by": "time", "valid_from": VALID_FROM, "test_from": TEST_FROM, "gap": "0d"},
    }
    place = "treadle.features"
    impute = {"_target_": f"{place}.transforms.Impute", "strategy": "median", "indicator": False}
    numbers = {"impute": impute, "scale": {"_target_": f"{place}.transforms.Standardize"}}
    ids = {"ids": {"_target_": f"{place}.categories.Vocabulary", "min_count": 20}}
    blocks = {"numbers": {"columns": NUMBERS, "steps": numbers}, "texts": {"columns": TEXTS, "steps": ids}}
    return {
        "data": data,
        "features": {"blocks": blocks},
        "kind": kind,
        "numbers": NUMBERS,
        "texts": TEXTS,
        "columns": {name: list(declared) for name, declared in columns.items()},
        "valid_from": VALID_FROM,
        "test_from": TEST_FROM,
    }


def write(folder: Path, *, kind: str, times: int) -> int:
    """The tables and the job; the number of flights."""
    folder.mkdir()
    for name in TABLES:
        frame = pl.read_parquet(ROOT / "data" / "nycflights13" / f"{name}.parquet")
        frame = pl.concat([frame] * (times if name == "flights" else 1))
        if kind == "csv":
            frame.write_csv(folder / f"{name}.csv")
        else:
            frame.write_parquet(folder / f"{name}.parquet")
    (folder / "job.json").write_text(json.dumps(describe(kind)))
    return times * FLIGHTS


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    prepare_s: float
    featurize_s: float
    peak_gb: float
    sums: list[float]

    @property
    def seconds(self) -> float:
        """Of the whole job."""
        return self.prepare_s + self.featurize_s


def run(code: str, folder: Path, *, path: Path | None) -> Cost:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        places = [str(path)] if path else []
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])}
        process = run_python(code, str(folder), f"{scratch}/out", "--sums", environment=environment)
    seconds, sums = map(json.loads, process.said.splitlines())
    return Cost(seconds["prepare"], seconds["featurize"], process.peak_gb, sums)


def require_equal(ours: Cost, theirs: Cost) -> None:
    """Rows and sums of the absolute standardised numbers of the validation split."""
    for a, b in zip(ours.sums, theirs.sums, strict=False):
        if abs(a - b) > 1e-4 * max(abs(a), abs(b)):
            raise SystemExit(f"the two sides make different columns: {ours.sums} and {theirs.sums}")


def measure(folder: Path, *, name: str, num_rows: int, repeats: int, path: Path | None) -> dict[str, float]:
    costs: dict[str, list[Cost]] = {"treadle": [], "pandas": []}
    for _ in range(repeats):  # interleaved, so that a busy neighbour hits both alike
        costs["treadle"].append(run(TREADLE, folder, path=None))
        costs["pandas"].append(run(PANDAS, folder, path=path))
        require_equal(costs["treadle"][-1], costs["pandas"][-1])
    for side, values in costs.items():
        prepare_s = statistics.median(cost.prepare_s for cost in values)
        featurize_s = statistics.median(cost.featurize_s for cost in values)
        speed = num_rows / statistics.median(cost.seconds for cost in values)
        peak = statistics.median(cost.peak_gb for cost in values)
        print(f"{name:<20} {side:<8} {prepare_s:>9.2f} s {featurize_s:>9.2f} s {speed:>12,.0f} {peak:>6.2f} GB")
    pairs = list(zip(costs["treadle"], costs["pandas"], strict=True))
    return {
        "times as fast": round(statistics.median(b.seconds / a.seconds for a, b in pairs), 2),
        "peak / pandas": round(statistics.median(a.peak_gb / b.peak_gb for a, b in pairs), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 repeat instead of 5")
    parser.add_argument("--pandas", type=Path, metavar="DIR", help="where pandas, scikit-learn and pyarrow are")
    options = parser.parse_args()
    print(f"{'flights':<20} {'side':<8} {'prepare':>11} {'featurize':>11} {'rows/s':>12} {'peak':>9}")
    ratios = {}
    with tempfile.TemporaryDirectory() as temporary:
        for times in (1, 10):
            for kind in ("csv", "parquet"):
                name = f"{kind}, {times} x"
                folder = Path(temporary) / f"{kind}-{times}"
                num_rows = write(folder, kind=kind, times=times)
                repeats = 1 if options.quick else 5
                found = measure(folder, name=name, num_rows=num_rows, repeats=repeats, path=options.pandas)
                ratios[name] = found
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
