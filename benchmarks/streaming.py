"""How much memory does training need where rows are streamed from disk, and how fast is it beside rows in memory?

    python benchmarks/streaming.py [--quick] [--rows 20000000] [--folder DIR]

The training split of experiment=flights (217,012 flights, prepared as the stage `prepare` does) is repeated, its
numbers perturbed anew each time, until there are so many rows; they are written as Parquet into a temporary folder (of
DIR: some 500 bytes a row must be free there). Then, each in a fresh process:

- featurize: the stage, with features.fit_rows = 500,000;
- stream: an epoch of an MLP of 2 x 256 at batch 1024 and its validation, schedule.shuffle_buffer = 262,144;
- memory: the same with all rows in memory, at the smallest number of rows only.

Peak memory is the resident set of the process, libraries included: `imports` is what they need alone. The speed is that
of the steps of the epoch (no set-up, no validation), by the clock on the wall and by the CPU time of all threads of the
process, the one that reads ahead included; a busy neighbour disturbs the second less. Repeats are interleaved; a ratio
is the median of the ratios of the repeats.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from processes import run_python

ROOT = Path(__file__).parents[1]
OVERRIDES = [
    *("experiment=flights", "model=mlp", "model.width=256", "trainer.precision=32-true"),
    *("schedule.max_epochs=1", "schedule.batch_size=1024"),
]
FIT_ROWS, BUFFER_ROWS = 500_000, 262_144

IMPORTS = """
import json
import treadle.training.networks
print(json.dumps({}))
"""

FEATURIZE = """
import json, sys, time
from pathlib import Path
import torch
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.features.featurize import featurize
torch.set_num_threads(1)
root, folder, overrides = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
experiment = Experiment.model_validate(compose(overrides=overrides, root=root).values)
start, cpu = time.perf_counter(), time.process_time()
featurize(experiment.features, task="binary", targets=experiment.targets, examples=folder / "examples",
          folder=folder / "features")
print(json.dumps({"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}))
"""

TRAIN = """
import json, sys, tempfile, time
from pathlib import Path
import pytorch_lightning as lightning
import torch
from treadle.bundle import build_model
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.training.fit import fit
from treadle.training.metrics_log import MetricsLog
from treadle.training.rows import open_rows
class Watch(lightning.Callback):
    def on_train_epoch_start(self, trainer, module):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
    def on_validation_start(self, trainer, module):
        self.spent = {"wall_s": time.perf_counter() - self.wall, "cpu_s": time.process_time() - self.cpu}
        self.steps = trainer.global_step
torch.set_num_threads(1)
torch.manual_seed(0)
root, folder, overrides = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
experiment = Experiment.model_validate(compose(overrides=overrides, root=root).values)
inputs = json.loads((folder / "features" / "inputs.json").read_text())
rows, scaling = open_rows(folder / "features", experiment, classes=[])
network = build_model(experiment.model, targets=experiment.targets, num_numeric=len(inputs["numeric"]),
                        cardinalities=inputs["cardinalities"], num_classes=0)
watch = Watch()
with tempfile.TemporaryDirectory() as scratch:
    history = MetricsLog(Path(scratch) / "metrics.csv", log=lambda *_: None)
    sys.stdout = sys.stderr
    fit(network, rows, experiment, scaling=scaling, checkpoints=Path(scratch), callbacks=[history, watch])
    sys.stdout = sys.__stdout__
print(json.dumps({**watch.spent, "steps": watch.steps, "valid_loss": history.rows[-1]["valid/loss"]}))
"""

PREPARE = """
import sys
from datetime import datetime
from pathlib import Path
from treadle.data.prepare import prepare
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
root, folder, overrides = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
experiment = Experiment.model_validate(compose(overrides=overrides, root=root).values)
prepare(experiment.data, root=root, folder=folder, now=datetime(2026, 1, 1))
print("{}")
"""


def run(code: str, *arguments: str) -> tuple[dict[str, float], float]:
    """What the process measured, and its peak memory in GB."""
    cost = run_python(code, *arguments)
    return json.loads(cost.said.splitlines()[-1]), cost.peak_gb


def write_examples(prepared: Path, folder: Path, *, num_rows: int) -> None:
    """The prepared flights again and again, with other numbers each time; the validation split as it is."""
    folder.mkdir(parents=True)
    (folder / "valid.parquet").symlink_to(prepared / "valid.parquet")
    flights = pl.read_parquet(prepared / "train.parquet")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for seed in range(-(-num_rows // len(flights))):
            perturb(flights, seed=seed).write_parquet(f"{scratch}/{seed:03d}.parquet", compression="lz4")
        rows = pl.scan_parquet(f"{scratch}/*.parquet").head(num_rows)
        rows.sink_parquet(folder / "train.parquet", row_group_size=262_144, compression="lz4")


def perturb(flights: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Each column of fractions moves by a hundredth of its deviation."""
    generator = np.random.default_rng(seed)
    names = [name for name, dtype in flights.schema.items() if dtype == pl.Float64 and name != "label"]
    noise = {name: pl.Series(generator.normal(0, 0.01, len(flights))) for name in names}
    return flights.with_columns(pl.col(name) + noise[name] * flights[name].std() for name in names)


def measure(folder: Path, *, num_rows: int, repeats: int, in_memory: bool) -> tuple[float, dict[str, float]]:
    """Peak memory of the streamed training in GB, and the ratios of its speed to that of rows in memory."""
    places = (str(ROOT), str(folder), *OVERRIDES)
    report("featurize", num_rows, run(FEATURIZE, *places, f"features.fit_rows={FIT_ROWS}"))
    ways = {"stream": f"schedule.shuffle_buffer={BUFFER_ROWS}"}
    if in_memory:
        ways["memory"] = "schedule.shuffle_buffer=null"
    costs: dict[str, list[tuple[dict[str, float], float]]] = {way: [] for way in ways}
    for _ in range(repeats if in_memory else 1):
        for way, override in ways.items():
            costs[way].append(run(TRAIN, *places, override))
            report(way, num_rows, costs[way][-1])
    ratios = {
        f"stream / memory, {clock}": round(
            statistics.median(b[key] / a[key] for (a, _), (b, _) in zip(costs["stream"], costs["memory"], strict=True)),
            3,
        )
        for clock, key in (("wall", "wall_s"), ("CPU", "cpu_s"))
        if in_memory
    }
    return max(peak_gb for _, peak_gb in costs["stream"]), ratios


def report(what: str, num_rows: int, cost: tuple[dict[str, float], float]) -> None:
    said, peak_gb = cost
    times = [said[key] for key in ("wall_s", "cpu_s")]
    speeds = "".join(f"{value:>9.1f} s {num_rows / value:>11,.0f}" for value in times)
    loss = f"{said['valid_loss']:.5f}" if "valid_loss" in said else "-"
    print(f"{num_rows:>12,} {what:<10}{speeds} {peak_gb:>6.2f} GB  {loss:>8}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500,000 and 1,000,000 rows, 1 repeat instead of 3")
    parser.add_argument("--rows", type=int, help="the largest number; the others are a quarter and a tenth of it")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    largest = options.rows or (1_000_000 if options.quick else 20_000_000)
    sizes = [largest // 2, largest] if options.quick else [largest // 10, largest // 4, largest]
    print(f"imports alone: {run(IMPORTS)[1]:.2f} GB")
    print(f"{'rows':>12} {'what':<10}{'wall':>11} {'rows/s':>11}{'CPU':>11} {'rows/s':>11} {'peak':>9}  {'loss':>8}")
    peaks, ratios = {}, {}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        prepared = Path(temporary) / "prepared"
        run(PREPARE, str(ROOT), str(prepared), *OVERRIDES)
        for num_rows in sizes:
            folder = Path(temporary) / f"{num_rows}"
            write_examples(prepared, folder / "examples", num_rows=num_rows)
            repeats = 1 if options.quick else 3
            peaks[num_rows], found = measure(folder, num_rows=num_rows, repeats=repeats, in_memory=num_rows == sizes[0])
            ratios |= found
            shutil.rmtree(folder)
    ratios[f"peak at {sizes[-1]:,} / at {sizes[0]:,} rows"] = round(peaks[sizes[-1]] / peaks[sizes[0]], 3)
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
