"""How fast are bootstrap intervals? Beside a loop of scikit-learn's functions over resampled rows, in the same run.

    python benchmarks/intervals.py [--rows 60000] [--resamples 1000] [--loop 50]

Simulated binary predictions of 62 days; AUC, log loss and accuracy of each resample. The loop draws rows with
replacement and calls scikit-learn; it is run for a few resamples, and its seconds are multiplied. That both give the
same numbers is what tests/evaluation/test_intervals.py shows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from treadle.evaluation.intervals import Resampling, resample
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.scores import Scoring

METRICS = ("auroc", "log_loss", "accuracy")
DAYS = 62


def measure(job: Callable[[], object]) -> float:
    """Processor seconds."""
    start = time.process_time()
    job()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--loop", type=int, default=50, help="resamples of scikit-learn's loop")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    odds = generator.normal(size=arguments.rows) - 1
    chances = 1 / (1 + np.exp(-odds))
    target = generator.random(arguments.rows) < chances
    days = np.sort(generator.integers(DAYS, size=arguments.rows))

    def loop() -> None:
        for _ in range(arguments.loop):
            rows = generator.integers(arguments.rows, size=arguments.rows)
            roc_auc_score(target[rows], chances[rows])
            log_loss(target[rows], chances[rows])
            accuracy_score(target[rows], chances[rows] >= 0.5)

    def run(blocks: Blocks) -> None:
        resample(
            {"model": chances},
            target=target,
            blocks=blocks,
            scoring=Scoring("binary", threshold=0.5, num_bins=15),
            resampling=Resampling(arguments.resamples, coverage=0.95, seed=0),
            metrics=METRICS,
        )

    whole = measure(loop) / arguments.loop * arguments.resamples
    print(f"{arguments.resamples:,} resamples of {', '.join(METRICS)} over {arguments.rows:,} rows, processor seconds")
    print(f"scikit-learn, a loop        {whole:7.2f}")
    for name, blocks in (("rows", Blocks.of_rows(arguments.rows)), ("days", Blocks.of(days, unit="day"))):
        seconds = measure(lambda blocks=blocks: run(blocks))
        print(f"Treadle, over {name}          {seconds:7.2f}   {whole / seconds:6.1f} times as fast")


if __name__ == "__main__":
    main()
