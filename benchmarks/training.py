"""How fast does `treadle train` train, beside a loop written by hand and beside the popular way with Lightning?

    python benchmarks/training.py [--quick]

Four loops train the same network on the same rows in this process, one thread, on the CPU:

- treadle: `treadle.training.fit.fit` as the stage `train` calls it, with the history, the checkpoints and the lines
  of progress that are on by default;
- compiled: the same with `trainer.compile=on`;
- by hand: slices of tensors in memory, binary cross-entropy, fused AdamW, the gradient clipped as the schedule says,
  nothing else: the same optimizer and the same order of rows, so that the losses must be the same, too;
- template: what projects made from the popular template for Lightning and Hydra do: a Dataset that gives one row, a
  DataLoader that collates them, two torchmetrics that are logged in each step, AdamW with its default settings, a
  progress bar, a CSV logger. It does not clip.

Rows are random (14 numbers and 4 categories, as the flights with their weather; their values do not change the speed).
Timed are the steps of training of whole epochs from the second on: no set-up, no validation, no checkpoint. The clock
is the CPU time of the process: with one thread that never waits it is what a quiet machine takes, and a busy neighbour
disturbs it less. Repeats are interleaved; a ratio is the median of the ratios of the repeats. What compiling costs is
the CPU time of the first epoch beyond that of the others, the C++ compiler's included: in the first repeat with an
empty cache, then with what the first one has left there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as nnf
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAccuracy

from treadle.bundle import build_model
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.schema import Batch
from treadle.training.fit import fit
from treadle.training.metrics_log import MetricsLog
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling

ROOT = Path(__file__).parents[1]
NUM_NUMERIC = 14
CARDINALITIES = (17, 4, 106, 31)
EPOCHS = 3  # the first one is not timed


@dataclass(frozen=True)
class Size:
    """A network, and the steps of an epoch."""

    overrides: tuple[str, ...]
    batch_size: int
    num_steps: int


SIZES = {
    "mlp 2x64, batch 256": Size(("model=mlp", "model.width=64"), 256, 256),
    "mlp 2x256, batch 1024": Size(("model=mlp", "model.width=256"), 1024, 128),
    "tabm, batch 1024": Size(("model=tabm",), 1024, 16),
}


@dataclass(frozen=True)
class Timing:
    """What one training took and learned."""

    step_us: float
    losses: Tensor | None = None  # of the steps of the last epoch
    start_s: float = 0.0  # of the first epoch, beyond the time of another


def make_rows(size: Size) -> dict[str, Batch]:
    num_rows = size.batch_size * size.num_steps
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(num_rows, NUM_NUMERIC, generator=generator)
    ids = [torch.randint(cardinality, (num_rows,), generator=generator) for cardinality in CARDINALITIES]
    target = (numeric[:, 0] + torch.randn(num_rows, generator=generator) > 0).float()
    train = Batch.of_numbers(numeric, torch.stack(ids, dim=1), target, torch.ones(num_rows))
    return {"train": train, "valid": Batch(*(tensor[:256] for tensor in train))}


def make_experiment(size: Size, *, switch: str = "off", precision: str = "32-true") -> Experiment:
    overrides = [
        f"trainer.compile={switch}",
        f"trainer.precision={precision}",
        *size.overrides,
        "schedule=default",
        "schedule.early_stopping=null",
        f"schedule.batch_size={size.batch_size}",
        f"schedule.max_epochs={EPOCHS}",
    ]
    return Experiment.model_validate(compose(overrides=overrides, root=ROOT).values)


def make_network(experiment: Experiment) -> nn.Module:
    torch.manual_seed(experiment.seed)
    return build_model(
        experiment.model,
        targets=experiment.targets,
        num_numeric=NUM_NUMERIC,
        cardinalities=CARDINALITIES,
        num_classes=0,
    )


class Stopwatch(lightning.Callback):
    """Seconds from the start of an epoch to the end of its last step; the losses of the last epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: Tensor | None = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        self.start, self.children = time.process_time(), read_children()

    def on_train_batch_end(self, *_: object) -> None:
        self.end = time.process_time() + read_children() - self.children

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        self.seconds.append(self.end - self.start)
        if hasattr(pl_module, "train_losses"):
            self.losses = torch.stack(pl_module.train_losses)


def read_children() -> float:
    """CPU time of processes that are over [s]."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_treadle(rows: dict[str, Batch], size: Size, *, switch: str, precision: str = "32-true") -> Timing:
    experiment = make_experiment(size, switch=switch, precision=precision)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        history = MetricsLog(Path(folder) / "metrics.csv", log=lambda *_: None)
        network = make_network(experiment)
        checkpoints = Path(folder) / "checkpoints"
        splits = {split: MemoryRows(batch) for split, batch in rows.items()}
        fit(network, splits, experiment, scaling=Scaling(), checkpoints=checkpoints, callbacks=[watch, history])
    steady = statistics.median(watch.seconds[1:])
    return Timing(steady / size.num_steps * 1e6, watch.losses, watch.seconds[0] - steady)


# --- by hand -------------------------------------------------------------------------------------------


def run_by_hand(rows: dict[str, Batch], size: Size) -> Timing:
    experiment = make_experiment(size)
    network, schedule = make_network(experiment), experiment.schedule
    parameters = list(network.parameters())
    rates = {key: schedule.optimizer[key] for key in ("lr", "weight_decay")}
    optimizer = torch.optim.AdamW(parameters, **rates, fused=True)
    numeric, ids, target, _ = rows["train"]
    seconds = []
    for epoch in range(EPOCHS):
        start = time.process_time()
        losses = []
        order = torch.randperm(len(target), generator=torch.Generator().manual_seed(epoch))
        for index in order.split(size.batch_size):
            logits = network(numeric.index_select(0, index), ids.index_select(0, index))[..., 0]
            wanted = target.index_select(0, index)
            if logits.ndim == 2:  # the members of an ensemble
                wanted = wanted[:, None].expand_as(logits)
            loss = nnf.binary_cross_entropy_with_logits(logits, wanted)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, schedule.gradient_clip)
            optimizer.step()
            losses.append(loss.detach())
        seconds.append(time.process_time() - start)
    return Timing(statistics.median(seconds[1:]) / size.num_steps * 1e6, torch.stack(losses))


# --- the template's way ----------------------------------------------------------------------------------


class RowDataset(Dataset):
    """One row at a time."""

    def __init__(self, rows: Batch) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows.target)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.rows.numeric[index], self.rows.ids[index], self.rows.target[index]


class TemplateModule(lightning.LightningModule):
    """Loss and accuracy by torchmetrics, logged in each step."""

    def __init__(self, network: nn.Module, *, rates: dict[str, float]) -> None:
        super().__init__()
        self.network = network
        self.rates = rates
        self.train_loss, self.valid_loss = MeanMetric(), MeanMetric()
        self.train_accuracy, self.valid_accuracy = BinaryAccuracy(), BinaryAccuracy()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), **self.rates)

    def judge(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        numeric, ids, target = batch
        logits = self.network(numeric, ids)[..., 0]
        if logits.ndim == 2:
            target = target[:, None].expand_as(logits)
        return nnf.binary_cross_entropy_with_logits(logits, target), logits.sigmoid(), target.int()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        loss, prediction, target = self.judge(batch)
        self.train_loss(loss)
        self.train_accuracy(prediction, target)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_accuracy, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        loss, prediction, target = self.judge(batch)
        self.valid_loss(loss)
        self.valid_accuracy(prediction, target)
        self.log("val/loss", self.valid_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("val/acc", self.valid_accuracy, on_step=False, on_epoch=True, prog_bar=True)


def run_template(rows: dict[str, Batch], size: Size) -> Timing:
    experiment = make_experiment(size)
    watch = Stopwatch()
    rates = {key: experiment.schedule.optimizer[key] for key in ("lr", "weight_decay")}
    loaders = {
        split: DataLoader(RowDataset(batch), batch_size=size.batch_size, shuffle=split == "train")
        for split, batch in rows.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=2,
            callbacks=[watch],
            logger=CSVLogger(folder),
            num_sanity_val_steps=0,
            enable_model_summary=False,
        )
        module = TemplateModule(make_network(experiment), rates=rates)
        trainer.fit(module, loaders["train"], loaders["valid"])
    return Timing(statistics.median(watch.seconds[1:]) / size.num_steps * 1e6)


# --- measure ---------------------------------------------------------------------------------------------

LOOPS: dict[str, Callable[[dict[str, Batch], Size], Timing]] = {
    "treadle": partial(run_treadle, switch="off"),
    "compiled": partial(run_treadle, switch="on"),
    "by hand": run_by_hand,
    "template": run_template,
}


def be_quiet() -> None:
    """One thread, and no words of the libraries."""
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


@contextlib.contextmanager
def in_silence() -> Iterator[None]:
    """Progress is written as ever, and nobody looks."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def measure(name: str, *, repeats: int) -> dict[str, float]:
    size = SIZES[name]
    rows = make_rows(size)
    timings: dict[str, list[Timing]] = {loop: [] for loop in LOOPS}
    for _ in range(repeats):
        for loop, run in LOOPS.items():
            with in_silence():
                timings[loop].append(run(rows, size))
    for loop, values in timings.items():
        step_us = statistics.median(timing.step_us for timing in values)
        print(f"{name:<22} {loop:<8} {step_us:>10,.0f} us {size.batch_size / step_us * 1e6:>12,.0f} rows/s")
    ours, compiled, hand, template = timings.values()
    first, *later = (timing.start_s for timing in compiled)
    ratios = {
        "treadle / by hand": compare(hand, ours),
        "compiled / by hand": compare(hand, compiled),
        "treadle / template": compare(template, ours),
        "compiled / template": compare(template, compiled),
        "largest difference of a loss": measure_gap(ours, hand),
        "largest difference of a loss, compiled": measure_gap(compiled, hand),
        "compiling with an empty cache [s]": round(first, 1),
        "compiling again [s]": round(statistics.median(later), 1),
    }
    print(*(f"  {what} {value:.3g}" for what, value in ratios.items()), sep="\n", flush=True)
    return ratios


def measure_gap(a: list[Timing], b: list[Timing]) -> float:
    return float((a[-1].losses - b[-1].losses).abs().max())


def compare(others: list[Timing], ours: list[Timing]) -> float:
    """How many times as fast ours is."""
    return round(statistics.median(a.step_us / b.step_us for a, b in zip(others, ours, strict=True)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 repeats instead of 11")
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    be_quiet()
    print(f"{'network':<22} {'loop':<8} {'a step':>13} {'speed':>19}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        speeds = {name: measure(name, repeats=3 if options.quick else 11) for name in options.only}
    print(json.dumps({"ratios": speeds}))


if __name__ == "__main__":
    main()
