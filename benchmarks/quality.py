"""Do shipped configurations reach the published figures? Each by several seeds, beside LightGBM on the same rows.

    python benchmarks/quality.py [--only adult ...] [--seeds 5] [--quick]

For each table: `treadle run experiment=NAME seed=S tracker=disabled` for S from 0, where the seed draws the initial
weights and the order of rows and the split stays; LightGBM with default settings on the tensors of the same run; and,
for the flights, the best of a random search of 20 settings, chosen by the log loss of the validation split,
with early stopping there. Models are judged on the test split, which no choice has seen.

What is found stands in benchmarks/quality.json; benchmarks/quality.md is written from it. What stands there is not run
again: to repeat a table, remove its entry. With `--quick`: one seed, two epochs, two settings; nothing is written.
The last line is one JSON object: the mean of Treadle's model divided by that of LightGBM with default settings.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import torch

from treadle.evaluation.quantiles import lose
from treadle.experiment.resolved import read
from treadle.features.featurize import read_target
from treadle.features.featurizer import Featurizer
from treadle.features.stored import load_rows
from treadle.metrics.compute import compute_metrics
from treadle.schema import Batch, Task

ROOT = Path(__file__).parents[1]
RECORD, PAGE = ROOT / "benchmarks" / "quality.json", ROOT / "benchmarks" / "quality.md"
NOTES = ROOT / "benchmarks" / "quality_notes.md"  # ends the page: how settings were chosen, and what was tried
DEFAULT, BEST = "LightGBM, default", "LightGBM, best of a search"
LEVELS = (0.05, 0.5, 0.95)  # of conf/loss/quantiles.yaml
ENCODER = "data/wordllama-256"  # see `make_encoder`
ENCODED = (
    "~features.blocks.texts.steps.terms",
    (
        "+features.blocks.texts.steps.vectors={_target_: treadle.features.sentences.SentenceEncoder, "
        f"model: {ENCODER}, revision: null, batch_size: 64}}"
    ),
)
NUM_SETTINGS, MAX_TREES, PATIENCE = 20, 1000, 50

Record = dict[str, dict[str, dict[str, dict[str, float]]]]  # table: contender: seed: {metric or "cpu_s": value}


@dataclass(frozen=True)
class Way:
    """An experiment, and what is changed in it."""

    experiment: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table, the metrics that are claimed on it, and what was published."""

    task: Task
    goals: Mapping[str, float | None]  # metric: what the mean must reach
    published: str | None
    beside: tuple[str, ...] = (DEFAULT,)
    others: Mapping[str, Way] = field(default_factory=dict)  # further ways to learn from the same rows


SOURCE = "tuned, 15 seeds; arXiv 2106.11959, 2410.24210 and TabR's files"
TABLES = {
    "adult": Table(
        "binary",
        {"accuracy": 0.869, "auroc": 0.924},
        "accuracy: TabM-mini + piecewise-linear .8700, LightGBM .8713, XGBoost .8720; AUC: .924, .926, .926",
    ),
    "california": Table(
        "regression",
        {"rmse": 0.435},
        "TabM-mini + piecewise-linear .4275, TabM .441, LightGBM .435, CatBoost .429",
    ),
    "diamonds": Table(
        "regression",
        {"rmse_sd": 0.132},
        "TabM-mini + piecewise-linear .1315, TabM .131, LightGBM .136, CatBoost .1335, all without the "
        "density and the elongation that conf/features/diamonds.yaml derives and LightGBM is given here, too",
    ),
    "flights": Table("binary", {"auroc": None, "log_loss": None}, None, (DEFAULT, BEST)),
    "digits": Table("multiclass", {"accuracy": 0.985}, None, ()),
    "mnist5k": Table("multiclass", {"accuracy": 0.97}, None, ()),
    "reviews": Table(
        "binary",
        {"auroc": None, "accuracy": None, "log_loss": None},
        None,
        (),
        {
            "the table without its texts": Way("reviews", ("features=reviews_table",)),
            "vectors of a frozen encoder (WordLlama)": Way("reviews", ENCODED),
            "a transformer that learns to read": Way("reviews_transformer"),
        },
    ),
    "bikeshare": Table("forecast", {"mase": None, "wape": None}, None, ()),
    "parking": Table("forecast", {"mase": None, "wape": None}, None, ()),
    "california_quantiles": Table("regression", {"pinball": None, "coverage": None, "mae": None}, None),
    "reviews_labels": Table("multilabel", {"auroc": None, "average_precision": None, "log_loss": None}, None),
    "rides": Table("count", {"poisson_deviance": None, "mae": None}, None),
}
TITLES = {
    "accuracy": "accuracy ↑",
    "auroc": "ROC AUC ↑",
    "average_precision": "average precision ↑",
    "log_loss": "log loss ↓",
    "pinball": "mean pinball loss of the quantiles .05, .5, .95 ↓",
    "coverage": "share between the quantiles .05 and .95, goal .9",
    "mase": "MASE ↓",
    "wape": "WAPE ↓",
    "poisson_deviance": "mean Poisson deviance ↓",
    "mae": "MAE ↓",
    "rmse": "RMSE ↓",
    "rmse_sd": "RMSE ↓, in standard deviations of the training targets",
}


# --- Treadle ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What a command of Treadle's left, and what it took."""

    folder: Path
    cpu_s: float | None  # None: the training was done before


def run_treadle(verb: str, way: Way, *overrides: str) -> Run:
    """A run that is done is not repeated."""
    chosen = [f"experiment={way.experiment}", *way.overrides]
    command = [sys.executable, "-m", "treadle", verb, *chosen, "tracker=disabled", *overrides]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    folder = ROOT / re.findall(rf"runs/{way.experiment}-[0-9a-f]+", done.stdout)[-1]
    trained = re.search(r"^train +done in", done.stdout, re.MULTILINE) and "epoch   1 " in done.stdout
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(folder, spent if trained else None)


def read_treadle(run: Run) -> dict[str, float]:
    """Test metrics, and the CPU seconds of the whole command where they are known."""
    folder = run.folder
    found = json.loads((folder / "evaluation" / "metrics.json").read_text())["model"]
    if "r2" in found:
        found["rmse_sd"] = (
            found["rmse"] / json.loads((folder / "bundle" / "bundle.json").read_text())["target"]["scale"]
        )
    part = json.loads((folder / "evaluation" / "parts" / "quantiles.json").read_text())
    if part:
        found["pinball"] = part["pinball"]["value"]
        found["coverage"] = part["pairs"]["0.05 to 0.95"]["coverage"]["value"]
    steps = json.loads((folder / "evaluation" / "parts" / "horizon.json").read_text())
    if steps:
        found |= {"mase": steps["mase"]["model"]["value"], "wape": steps["wape"]["model"]["value"]}
    return found if run.cpu_s is None else {**found, "cpu_s": round(run.cpu_s, 1)}


def make_encoder(folder: Path) -> None:
    """The vectors of the package `wordllama`, of 256 numbers a token, as a model of sentence-transformers.

    Needs `pip install wordllama 'treadle[encoders]'`.
    """
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the encoder of the reviews needs the package wordllama: pip install wordllama")
    package = Path(spec.submodule_search_locations[0])
    (weights,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
    tokenizer = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights.float().numpy())
    SentenceTransformer(modules=[embedding], device="cpu").save(str(folder))


# --- LightGBM -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """What a run's model learned from and is judged by."""

    task: Task
    train: Batch
    valid: Batch
    test: Batch

    @classmethod
    def read(cls, folder: Path, task: Task) -> Rows:
        """The tensors of a run."""
        spec = read(folder / "resolved.yaml").experiment.features
        featurizer = Featurizer.load(folder / "features", spec=spec, targets=["treadle."])
        frame = pl.read_parquet(folder / "examples" / "test.parquet")
        classes = json.loads((folder / "features" / "inputs.json").read_text())["classes"]
        test = Batch.of_numbers(*featurizer(frame)[:2], read_target(frame, classes=classes), torch.ones(len(frame)))
        return cls(task, *(load_rows(folder / "features" / split) for split in ("train", "valid")), test)

    def take_label(self, place: int) -> Rows:
        """Of several labels one, as a binary task."""
        batches = (self.train, self.valid, self.test)
        own = (batch._replace(target=batch.target[:, place].contiguous()) for batch in batches)
        return Rows("binary", *own)

    def judge(self, booster: lightgbm.Booster) -> dict[str, float]:
        """Test metrics."""
        return self.judge_predictions(np.asarray(booster.predict(to_matrix(self.test))))

    def judge_predictions(self, values: np.ndarray[Any, Any]) -> dict[str, float]:
        """Test metrics of predictions."""
        prediction = torch.from_numpy(values)
        found = compute_metrics(
            task=self.task, prediction=prediction, target=self.test.target, threshold=0.5, num_bins=15
        )
        if "r2" in found:
            found["rmse_sd"] = found["rmse"] / float(self.train.target.double().std(correction=0))
        return found


def to_matrix(batch: Batch) -> np.ndarray[Any, np.dtype[np.float32]]:
    return torch.cat([batch.numeric, batch.ids.float()], dim=1).numpy()


def train_boosting(rows: Rows, settings: Mapping[str, Any], *, seed: int, stop: bool) -> lightgbm.Booster:
    """LightGBM on the training rows; with `stop` until the validation loss no longer falls."""
    objective = {"count": "poisson"}.get(rows.task, rows.task)
    base = {"objective": objective, "seed": seed, "verbose": -1, "num_threads": 1, "deterministic": True}
    first, last = rows.train.numeric.shape[1], rows.train.numeric.shape[1] + rows.train.ids.shape[1]
    data = lightgbm.Dataset(
        to_matrix(rows.train), label=rows.train.target.numpy(), categorical_feature=list(range(first, last))
    )
    if not stop:
        return lightgbm.train({**base, **settings}, data)
    valid = lightgbm.Dataset(to_matrix(rows.valid), label=rows.valid.target.numpy(), reference=data)
    callbacks = [lightgbm.early_stopping(PATIENCE, verbose=False)]
    return lightgbm.train({**base, **settings}, data, MAX_TREES, valid_sets=[valid], callbacks=callbacks)


def judge_quantiles(rows: Rows, *, seed: int) -> dict[str, float]:
    """LightGBM with a model for each level, sorted: pinball loss, coverage and MAE of the median on the test rows."""
    found = [
        train_boosting(rows, {"objective": "quantile", "alpha": level}, seed=seed, stop=False).predict(
            to_matrix(rows.test)
        )
        for level in LEVELS
    ]
    quantiles, target = np.sort(np.stack(found, axis=1), axis=1), rows.test.target.double().numpy()
    inside = (quantiles[:, 0] <= target) & (target <= quantiles[:, -1])
    losses = [lose(quantiles[:, place], target, level=level).mean() for place, level in enumerate(LEVELS)]
    errors = np.abs(quantiles[:, LEVELS.index(0.5)] - target)
    return {"pinball": float(np.mean(losses)), "coverage": float(inside.mean()), "mae": float(errors.mean())}


def judge_labels(rows: Rows, *, seed: int) -> dict[str, float]:
    """LightGBM with a model for each label: metrics on the test rows."""
    parts = [rows.take_label(place) for place in range(rows.test.target.shape[1])]
    found = [train_boosting(part, {}, seed=seed, stop=False).predict(to_matrix(part.test)) for part in parts]
    return rows.judge_predictions(np.stack(found, axis=1))


OF_SEVERAL = {"california_quantiles": judge_quantiles, "reviews_labels": judge_labels}  # outputs: a model for each


def draw_settings(generator: np.random.Generator) -> dict[str, Any]:
    """One setting of the search."""

    def draw_log(low: float, high: float) -> float:
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))

    return {
        "learning_rate": draw_log(0.03, 0.2),
        "num_leaves": round(draw_log(8, 256)),
        "min_data_in_leaf": round(draw_log(5, 500)),
        "feature_fraction": generator.uniform(0.4, 1.0),
        "bagging_fraction": generator.uniform(0.5, 1.0),
        "bagging_freq": 1,
        "lambda_l2": draw_log(1e-3, 10.0),
        "cat_smooth": draw_log(1, 100),
    }


def search_settings(rows: Rows, *, num_settings: int) -> dict[str, Any]:
    """The setting of the lowest validation loss."""
    generator = np.random.default_rng(0)
    best: tuple[float, dict[str, Any]] = (math.inf, {})
    for _ in range(num_settings):
        settings = draw_settings(generator)
        score = next(iter(train_boosting(rows, settings, seed=0, stop=True).best_score["valid_0"].values()))
        best = min(best, (score, settings), key=lambda found: found[0])
        print(f"  search: valid loss {score:.5f}, best {best[0]:.5f}", flush=True)
    return best[1]


# --- the record ---------------------------------------------------------------------------------------


def measure(name: str, table: Table, record: Record, *, seeds: int, quick: bool) -> None:
    """Add what is missing of a table, and write it down at once."""
    entry = record.setdefault(name, {})
    fewer = ["schedule.max_epochs=2"] if quick else []
    save = (lambda: None) if quick else (lambda: RECORD.write_text(json.dumps(record, indent=1) + "\n"))
    for contender, way in {"Treadle": Way(name), **table.others}.items():
        for seed in map(str, range(seeds)):
            if seed not in entry.setdefault(contender, {}):
                if way.overrides == ENCODED and not (ROOT / ENCODER).is_dir():
                    make_encoder(ROOT / ENCODER)
                run = run_treadle("run", way, f"seed={seed}", "evaluation.baselines=[prior]", *fewer)
                entry[contender][seed] = read_treadle(run)
                save()
                show(name, table, contender, entry[contender])
    absent = [(c, seed) for c in table.beside for seed in map(str, range(seeds)) if seed not in entry.get(c, {})]
    if not absent:
        return
    rows = Rows.read(run_treadle("featurize", Way(name)).folder, table.task)
    settings = search_settings(rows, num_settings=2 if quick else NUM_SETTINGS) if absent[-1][0] == BEST else {}
    for contender, seed in absent:
        start = time.process_time()
        if name in OF_SEVERAL:
            found = OF_SEVERAL[name](rows, seed=int(seed))
            entry.setdefault(contender, {})[seed] = {**found, "cpu_s": round(time.process_time() - start, 1)}
            save()
            continue
        best = contender == BEST
        booster = train_boosting(rows, settings if best else {}, seed=int(seed), stop=best)
        entry.setdefault(contender, {})[seed] = {**rows.judge(booster), "cpu_s": round(time.process_time() - start, 1)}
        save()
    for contender in table.beside:
        show(name, table, contender, entry[contender])


def spread(runs: Mapping[str, Mapping[str, float]], metric: str) -> tuple[float, float]:
    """Mean and standard deviation over seeds."""
    values = [run[metric] for run in runs.values()]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def show(name: str, table: Table, contender: str, runs: Mapping[str, Mapping[str, float]]) -> None:
    """A line of the terminal's table."""
    cells = [f"{metric} {spread(runs, metric)[0]:.4f} ± {spread(runs, metric)[1]:.4f}" for metric in table.goals]
    print(f"{name:<11} {contender:<28} {len(runs)} seeds  {'  '.join(cells)}", flush=True)


def write_page(record: Record) -> None:
    """The page, from all that was found."""
    lines = [
        "# Quality",
        "",
        "Test split; mean ± standard deviation over seeds: of first weights and order; for LightGBM of what it",
        "samples, by default only rows of large tables. CPU s: median of the whole command `treadle run`, or of",
        "LightGBM's training; one thread. Written by `python benchmarks/quality.py`, which says how; each seed stands",
        "in `quality.json`.",
        f"Machine: {describe_machine()}.",
        "",
        "| experiment | metric | contender | seeds | mean ± sd | goal | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, table in TABLES.items():
        for metric, goal in table.goals.items():
            for contender, runs in record.get(name, {}).items():
                mean, deviation = spread(runs, metric)
                aim = f"{goal}" if goal is not None and contender == "Treadle" else ""
                times = [run["cpu_s"] for run in runs.values() if "cpu_s" in run]
                spent = f"{statistics.median(times):.0f}" if times else ""
                who = f"`experiment={name}`" if contender == "Treadle" else name
                cells = f"{len(runs)} | {mean:.4f} ± {deviation:.4f} | {aim} | {spent}"
                lines.append(f"| {who} | {TITLES[metric]} | {contender} | {cells} |")
    lines += ["", f"Published ({SOURCE}):", ""]
    lines += [f"- {name}: {table.published}" for name, table in TABLES.items() if table.published]
    PAGE.write_text("\n".join([*lines, "", NOTES.read_text(encoding="utf-8")]), encoding="utf-8")


def describe_machine() -> str:
    """In words."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if os.name == "posix" else []
    return f"{os.cpu_count()} cores of {names[0] if names else 'a processor'}, no GPU, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one seed, two epochs; nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record: Record = json.loads(RECORD.read_text()) if RECORD.is_file() and not options.quick else {}
    for name in options.only:
        measure(name, TABLES[name], record, seeds=1 if options.quick else options.seeds, quick=options.quick)
    if not options.quick:
        write_page(record)
    ratios = {
        name: {m: round(spread(entry["Treadle"], m)[0] / spread(entry[DEFAULT], m)[0], 4) for m in TABLES[name].goals}
        for name, entry in record.items()
        if DEFAULT in entry
    }
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
