"""Does a search that learns and stops the hopeless find better settings than random search in the same time?

    python benchmarks/search.py [--repeats 5]

An MLP on the California houses: learning rate, weight decay, layers, width, dropout and batch size. TPE with median
pruning tries 30 settings; random search then tries as many whole trials as fit into the epochs that TPE trained, which
is the same time whatever else the machine does. Each repeat has seeds of its own, and each search a project of its own,
so that no trial is taken over from another. Printed: the best valid loss of each, and mean and standard deviation over
the repeats.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).parents[1]
NUM_TRIALS = 30
NUM_EPOCHS = 12
FIXED = (
    "experiment=california",
    "model=mlp",
    "schedule=default",
    f"schedule.max_epochs={NUM_EPOCHS}",
    "schedule.early_stopping=null",
    "tracker=disabled",
    "sweep.workers=2",
    "sweep.confirm=null",
)
SPACE = (
    "schedule.optimizer.lr=tag(log,interval(1e-5,1e-1))",
    "schedule.optimizer.weight_decay=tag(log,interval(1e-6,1e-1))",
    "schedule.batch_size=128,256,512,1024",
    "model.num_layers=range(1,5)",
    "model.width=tag(log,int(interval(16,256)))",
    "model.dropout=interval(0.0,0.5)",
)


def search(folder: Path, *overrides: str) -> tuple[float, int, int, float]:
    """Run one search; gives the best valid loss, trials, epochs and seconds."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    shutil.rmtree(folder / "sweeps", ignore_errors=True)
    start = time.time()
    command = [sys.executable, "-m", "treadle", "run", "-m", *FIXED, *SPACE, *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = time.time() - start
    (ledger,) = folder.glob("sweeps/*/ledger.jsonl")
    events = [json.loads(line) for line in ledger.read_text().splitlines()]
    ends = [event for event in events if event["event"] == "end"]
    best = min(event["values"][0] for event in ends if event["state"] == "done")
    return best, len(ends), sum(event["event"] == "epoch" for event in events), seconds


def main() -> None:
    """Run the repeats, and print the two means."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    found: dict[str, list[float]] = {"tpe": [], "random": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copytree(ROOT / "conf", folder / "conf")
        (folder / "data").symlink_to(ROOT / "data")
        for repeat in range(repeats):
            num_epochs = NUM_TRIALS * NUM_EPOCHS
            for name, pruner in (("tpe", "median"), ("random", "none")):
                size = NUM_TRIALS if name == "tpe" else math.ceil(num_epochs / NUM_EPOCHS)
                settings = (f"seed={1000 * repeat}", f"sweep.sampler={name}", f"sweep.pruner={pruner}")
                best, trials, num_epochs, seconds = search(folder, *settings, f"sweep.max_trials={size}")
                found[name].append(best)
                print(
                    f"{repeat} {name:<7} best {best:.4f}  {trials} trials  {num_epochs} epochs  {seconds:.0f} s",
                    flush=True,
                )
    for name, values in found.items():
        print(f"{name:<7} {mean(values):.4f} ± {stdev(values):.4f} over {len(values)} repeats")
    wins = sum(tpe < other for tpe, other in zip(found["tpe"], found["random"], strict=True))
    print(f"tpe is better in {wins} of {repeats}")


if __name__ == "__main__":
    main()
