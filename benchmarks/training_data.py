"""What do label functions, chosen rows, samples and pseudo-labels bring? Trees of LightGBM on committed tables.

    python benchmarks/training_data.py [labels choose sample pseudo] [--seeds 3] [--rounds 3]

Every figure is measured on the test split of the table, as `treadle prepare` splits it, and is a mean over the seeds
with the lowest and the highest: accuracy and AUC on adult, AUC and log loss on flights. LightGBM has its default
settings, one thread and the examples' own columns; categories are numbers.

labels   The rules of `experiment=adult_rules`: labels by the label model, by the majority, and true ones of some rows.
choose   From 200 random labels of adult, 100 more in each round: by each criterion of `treadle label`, or at random.
sample   A part of the training rows: of adult uniform; of flights uniform and by recency.
pseudo   200 labels of adult, and those of other rows of which the model is sure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from treadle.check.resolve import resolve
from treadle.data.prepare import build_unsplit, split_examples
from treadle.features.label_shares import spread_labels
from treadle.labelling.choose import CRITERIA, choose_rows, score_rows
from treadle.schema import LABEL, PREDICT_AT, ROW, SHARES, WEIGHT, Batch

ROOT = Path(__file__).parents[1]
FIRST, BUDGET, MEMBERS = 200, 100, 5  # labels to begin with; more in a round; models that may disagree
THRESHOLDS = (0.9, 0.95, 0.99)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Inputs `[B, F]`, labels and weights `[B]`."""

    inputs: Floats
    labels: Floats
    weights: Floats

    def take(self, places: Any) -> Rows:
        """Some of them."""
        return Rows(self.inputs[places], self.labels[places], self.weights[places])

    def spread(self, shares: pl.Series) -> Rows:
        """Once for each class of a row, as `featurize` writes them."""
        ids = torch.arange(len(self.labels))[:, None]
        rows = spread_labels(
            Batch.of_numbers(torch.zeros(len(ids), 0), ids, torch.tensor(self.labels), torch.tensor(self.weights)),
            shares,
            classes=[],
        )
        return Rows(self.inputs[rows.ids[:, 0].numpy()], rows.target.numpy(), rows.weight.numpy())


def read(name: str, *changes: str) -> tuple[dict[str, Rows], list[int], dict[str, Any]]:
    """The splits of an experiment, places of the inputs that are categories, and notes of the preparation."""
    data = resolve(overrides=[f"experiment={name}", *changes], root=ROOT).experiment.data
    with tempfile.TemporaryDirectory() as scratch:
        unsplit = build_unsplit(data, root=ROOT, now=datetime(2026, 1, 1), scratch=Path(scratch))  # noqa: DTZ001
        examples = split_examples(unsplit, data)
        frames = {split: examples.take(split) for split in ("train", "test")}
    whole = pl.concat([frame.drop(WEIGHT, SHARES, strict=False) for frame in frames.values()])
    names = [column for column in whole.columns if column not in (ROW, LABEL, PREDICT_AT)]
    texts = [column for column in names if whole.schema[column] == pl.String]
    codes = {column: whole[column].drop_nulls().unique().sort() for column in texts}
    casts = [
        pl.col(c).replace_strict(codes[c], range(len(codes[c])), default=None)
        if c in codes
        else pl.col(c).to_physical()
        for c in names
    ]
    rows = {}
    for split, frame in frames.items():
        inputs = frame.select(casts).cast(pl.Float64).to_numpy()
        weights = frame[WEIGHT] if WEIGHT in frame.columns else pl.Series([1.0] * len(frame))
        rows[split] = Rows(inputs, frame[LABEL].to_numpy(), weights.to_numpy().astype(np.float64))
        if SHARES in frame.columns:
            rows[split] = rows[split].spread(frame[SHARES])
    return rows, [names.index(column) for column in texts], examples.notes


def fit(rows: Rows, categories: Sequence[int], *, seed: int, bagging: bool = False) -> lightgbm.Booster:
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": seed, "deterministic": True}
    settings |= {"bagging_fraction": 0.7, "bagging_freq": 1} if bagging else {}
    data = lightgbm.Dataset(rows.inputs, rows.labels, weight=rows.weights, categorical_feature=list(categories))
    return lightgbm.train(settings, data)


def measure(model: lightgbm.Booster, test: Rows) -> dict[str, float]:
    chances = model.predict(test.inputs)
    return {
        "accuracy": accuracy_score(test.labels, chances > 0.5),
        "AUC": roc_auc_score(test.labels, chances),
        "log loss": log_loss(test.labels, chances),
    }


def tell(name: str, found: Sequence[Mapping[str, float]], metrics: Sequence[str]) -> None:
    cells = []
    for metric in metrics:
        values = [one[metric] for one in found]
        cells.append(f"{metric} {np.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})")
    print(f"  {name:<44}{'   '.join(cells)}", flush=True)


def compare_labels(seeds: range) -> None:
    print("labels: rules of thumb on adult", flush=True)
    truth, categories, _ = read("adult")
    for count in (100, 300, 1000, 3000, len(truth["train"].labels)):
        drawn = [np.random.default_rng(seed).permutation(len(truth["train"].labels))[:count] for seed in seeds]
        found = [
            measure(fit(truth["train"].take(places), categories, seed=seed), truth["test"])
            for seed, places in zip(seeds, drawn, strict=True)
        ]
        tell(f"{count:,} true labels", found, ("accuracy", "AUC", "log loss"))
    for model in ("triplets", "majority"):
        rows, categories, notes = read("adult_rules", f"data.labels.model={model}")
        found = [measure(fit(rows["train"], categories, seed=seed), truth["test"]) for seed in seeds]
        tell(f"no true label, rules by {model}", found, ("accuracy", "AUC", "log loss"))
        print(f"    labels that are right: {json.dumps(notes['labels']['known'])}")


def choose(
    model: Callable[[Rows], list[lightgbm.Booster]],
    by: str,
    known: NDArray[np.int64],
    rows: Rows,
    *,
    categories: Sequence[int],
    seed: int,
) -> NDArray[np.int64]:
    """Further places whose labels are asked for."""
    pool = np.setdiff1d(np.arange(len(rows.labels)), known)
    if by == "random":
        return np.random.default_rng([seed, len(known)]).permutation(pool)[:BUDGET]
    members = model(rows.take(known))
    members = members if by == "disagreement" else members[:1]
    chances = torch.from_numpy(np.stack([one.predict(rows.inputs[pool]) for one in members]))
    scores = score_rows(chances, task="binary", by=by)
    numbers = [place for place in range(rows.inputs.shape[1]) if place not in categories]
    numeric = torch.from_numpy(rows.inputs[pool][:, numbers])
    ids = torch.from_numpy(np.nan_to_num(rows.inputs[pool][:, list(categories)], nan=-1).astype(np.int64))
    return pool[choose_rows(scores, numeric=numeric, ids=ids, budget=BUDGET)]


def compare_choices(seeds: range, rounds: int) -> None:
    print(f"choose: {FIRST} random labels of adult, and {BUDGET} more in each of {rounds} rounds", flush=True)
    rows, categories, _ = read("adult")
    train, test = rows["train"], rows["test"]
    for by in ("random", *CRITERIA):
        found: list[list[dict[str, float]]] = [[] for _ in range(rounds + 1)]
        for seed in seeds:
            known = np.random.default_rng(seed).permutation(len(train.labels))[:FIRST]

            def make(some: Rows, seed: int = seed) -> list[lightgbm.Booster]:
                return [fit(some, categories, seed=100 * seed + one, bagging=True) for one in range(MEMBERS)]

            for turn in range(rounds + 1):
                found[turn].append(measure(fit(train.take(known), categories, seed=seed), test))
                if turn < rounds:
                    chosen = choose(make, by, known, train, categories=categories, seed=seed)
                    known = np.concatenate([known, chosen])
        for turn, results in enumerate(found):
            tell(f"{by}, {FIRST + turn * BUDGET} labels", results, ("accuracy", "AUC"))


def compare_samples(seeds: range) -> None:
    print("sample: a part of the training rows", flush=True)
    for name, rules in (
        ("adult", ("uniform, rows: 1000", "uniform, rows: 5000", "")),
        (
            "flights",
            (
                "uniform, rows: 20000",
                "recency, half_life: 30d, rows: 20000",
                "recency, half_life: 90d, rows: 20000",
                "",
            ),
        ),
    ):
        for rule in rules:
            found = []
            for seed in seeds if rule else seeds[:1]:
                changes = [f"+data.sample={{by: {rule}, seed: {seed}}}"] if rule else []
                rows, categories, _ = read(name, *changes)
                found.append(measure(fit(rows["train"], categories, seed=seed), rows["test"]))
            tell(f"{name}, {rule or 'all rows'}", found, ("AUC", "log loss"))


def compare_pseudo(seeds: range) -> None:
    print(f"pseudo: {FIRST} labels of adult, and those of other training rows of which the model is sure", flush=True)
    rows, categories, _ = read("adult")
    train, test = rows["train"], rows["test"]
    results: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(train.labels))
        known, others = train.take(order[:FIRST]), train.take(order[FIRST:])
        teacher = fit(known, categories, seed=seed)
        results.setdefault("the labels alone", []).append(measure(teacher, test))
        chances = teacher.predict(others.inputs)
        for threshold in THRESHOLDS:
            sure = np.maximum(chances, 1 - chances) >= threshold
            labels = (chances > 0.5).astype(np.float64)
            both = Rows(
                np.concatenate([known.inputs, others.inputs[sure]]),
                np.concatenate([known.labels, labels[sure]]),
                np.ones(FIRST + int(sure.sum())),
            )
            right = float((labels == others.labels)[sure].mean()) if sure.any() else float("nan")
            result = measure(fit(both, categories, seed=seed), test) | {"added": float(sure.sum()), "right": right}
            results.setdefault(f"from {threshold} on", []).append(result)
    for name, found in results.items():
        tell(name, found, ("accuracy", "AUC", *(("added", "right") if "added" in found[0] else ())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["labels", "choose", "sample", "pseudo"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    parts = {
        "labels": lambda: compare_labels(seeds),
        "choose": lambda: compare_choices(seeds, arguments.rounds),
        "sample": lambda: compare_samples(seeds),
        "pseudo": lambda: compare_pseudo(seeds),
    }
    for part in arguments.parts:
        parts[part]()


if __name__ == "__main__":
    main()
