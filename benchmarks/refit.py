"""What `schedule.refit=all` brings on the test split: the same runs before and after it, over seeds.

    python benchmarks/refit.py experiment=california model=mlp --seeds 5

A run with `refit=all` holds both: the weights of the best epoch (`load_judged`), which `refit=none` would have given to
the bundle, and those of the second training: the two of a pair differ in nothing else. Prints each metric on the test
split as mean ± standard deviation, and the paired difference with its standard error.
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path

import polars as pl
import torch

from treadle.bundle import Bundle, load, load_judged
from treadle.check.resolve import resolve
from treadle.evaluation.parity import read_predictions
from treadle.features.featurize import read_target
from treadle.metrics.compute import compute_metrics
from treadle.pipeline import run

ROOT = Path(__file__).parents[1]


def measure(overrides: list[str], *, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Test metrics without and with the second training."""
    resolved = resolve(overrides=[*overrides, "tracker=disabled", "schedule.refit=all", f"seed={seed}"], root=ROOT)
    done = run(resolved, root=ROOT, upto="train", notify=lambda _: None).folder
    rows = pl.read_parquet(done.examples / "test.parquet")
    targets = resolved.experiment.targets
    judged, refitted = load_judged(done.path, targets=targets), load(done.path, targets=targets)
    return evaluate(judged, rows), evaluate(refitted, rows)


def evaluate(bundle: Bundle, rows: pl.DataFrame) -> dict[str, float]:
    """The metrics of the task."""
    predicted = bundle.predict(rows, on_breach="allow")
    return compute_metrics(
        task=bundle.task,
        prediction=read_predictions(predicted, bundle),
        target=read_target(rows, classes=bundle.classes),
        threshold=0.5,
        num_bins=15,
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = [measure(options.overrides, seed=seed) for seed in range(options.seeds)]
    print(f"{' '.join(options.overrides)}, {options.seeds} seeds")
    for name in pairs[0][0]:
        before, after = ([pair[side][name] for pair in pairs] for side in (0, 1))
        gains = [new - old for old, new in zip(before, after, strict=True)]
        error = statistics.stdev(gains) / math.sqrt(len(gains))
        cells = [f"{statistics.fmean(v):.4f} ± {statistics.stdev(v):.4f}" for v in (before, after)]
        print(f"{name:<20} {cells[0]}   {cells[1]}   {statistics.fmean(gains):+.4f} (se {error:.4f})")


if __name__ == "__main__":
    main()
