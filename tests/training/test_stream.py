import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
import pytorch_lightning as lightning
import torch

from batching import make_batching
from runs import QUICK, run_quick
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.features import featurize as stage
from treadle.features.stored import StoredRows, write_rows
from treadle.metrics.log import read_metrics_log
from treadle.models.mlp import Mlp
from treadle.schema import Batch
from treadle.training.fit import fit as fit_network
from treadle.training.loader import BatchLoader
from treadle.training.losses import TaskLoss
from treadle.training.metrics_log import MetricsLog
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling, measure_scaling
from treadle.training.stream import DiskRows, StreamLoader

NUM_ROWS = 100  # 15 files, the last one of 2 rows


def make_rows(num_rows=NUM_ROWS, *, target=None):
    index = torch.arange(num_rows)
    target = index.float() if target is None else target
    return Batch.of_numbers(index[:, None].float(), index[:, None], target, torch.ones(num_rows))


def store(folder, rows):
    write_rows([rows], folder, file_rows=7)
    return DiskRows(StoredRows.find(folder), buffer_rows=100)


@pytest.fixture
def streamed(tmp_path):
    return store(tmp_path / "train", make_rows())


def read(rows, *, buffer_rows=30, **batching):
    return [
        batch.target.tolist()
        for batch in StreamLoader(rows, buffer_rows=buffer_rows, batching=make_batching(**batching))
    ]


# --- order ---------------------------------------------------------------------------------------------


@pytest.mark.fast_cases(6)
@pytest.mark.parametrize("batch_size", [1, 5, 16, 64, 100, 1000])
@pytest.mark.parametrize("buffer_rows", [1, 7, 30, 99, 1000])
def test_an_epoch_holds_every_row_once_in_whole_batches(streamed, buffer_rows, batch_size):
    batches = read(streamed, buffer_rows=buffer_rows, batch_size=batch_size)

    whole, rest = divmod(NUM_ROWS, batch_size)
    assert [len(batch) for batch in batches] == [batch_size] * whole + [rest] * (rest > 0)
    assert sorted(chain(*batches)) == list(range(NUM_ROWS))


def test_all_columns_of_a_row_stay_together(streamed):
    for batch in StreamLoader(streamed, buffer_rows=30, batching=make_batching()):
        assert torch.equal(batch.numeric[:, 0], batch.target)
        assert torch.equal(batch.ids[:, 0], batch.target.long())


def test_the_order_follows_from_seed_and_epoch_alone(streamed):
    assert read(streamed) == read(streamed)
    assert read(streamed) != read(streamed, epoch=1)
    assert read(streamed) != read(streamed, seed=1)
    assert read(streamed, seed=None) == [list(range(start, min(start + 16, 100))) for start in range(0, 100, 16)]


@pytest.mark.parametrize("buffer_rows", [105, 10_000])
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_buffer_for_the_whole_split_gives_the_order_of_rows_in_memory(streamed, buffer_rows, epoch):
    in_memory = BatchLoader(make_rows(), batching=make_batching(epoch=epoch))

    assert read(streamed, buffer_rows=buffer_rows, epoch=epoch) == [batch.target.tolist() for batch in in_memory]


def test_a_buffer_mixes_files_from_anywhere(streamed):
    files = [{int(row) // 7 for row in batch} for batch in read(streamed, buffer_rows=35, batch_size=35)]

    assert len(files[0]) >= 5
    assert max(files[0]) - min(files[0]) > 5
    assert files[0] != {int(row) // 7 for row in read(streamed, buffer_rows=35, batch_size=35, epoch=1)[0]}


@pytest.mark.parametrize("num_processes", [2, 3])
@pytest.mark.parametrize("buffer_rows", [7, 30, 1000])
def test_processes_share_each_batch(streamed, buffer_rows, num_processes):
    whole = read(streamed, buffer_rows=buffer_rows, batch_size=15)
    shares = [
        read(streamed, buffer_rows=buffer_rows, batch_size=15, rank=rank, num_processes=num_processes)
        for rank in range(num_processes)
    ]

    for batch, *parts in zip(whole, *shares, strict=True):
        assert [batch[rank::num_processes] for rank in range(num_processes)] == parts


def test_limits_of_batches_and_steps_hold(streamed):
    assert read(streamed, max_batches=3) == read(streamed)[:3]
    assert read(streamed, max_steps=9, epoch=1) == read(streamed, epoch=1)[:2]
    assert read(streamed, max_steps=7, epoch=1) == []


# --- reading -------------------------------------------------------------------------------------------


def test_what_goes_wrong_in_reading_is_reported(streamed):
    next(iter(sorted(streamed.stored.folder.iterdir()))).write_bytes(b"no parquet")

    with pytest.raises(pl.exceptions.ComputeError, match="parquet"):
        read(streamed)


def test_a_network_fits_its_inputs_to_files_that_are_spread_evenly(streamed):
    assert torch.equal(streamed.sample_numeric(), make_rows().numeric)

    assert replace(streamed, sample_rows=20).sample_numeric()[:, 0].tolist() == [
        *range(7),
        *range(35, 42),
        *range(70, 77),
    ]


def test_weights_of_classes_are_those_of_rows_in_memory(tmp_path):
    rows = make_rows(target=(torch.arange(NUM_ROWS) % 5 == 0).float())
    scaled = []
    for some in (store(tmp_path / "rows", rows), MemoryRows(rows)):
        scaling = measure_scaling(some.read_targets, "balanced", classes=[], loss=None)
        scaled.append(some.scale(scaling))
    batches = [next(iter(some.make_loader(make_batching(batch_size=NUM_ROWS, seed=None)))) for some in scaled]

    assert torch.equal(batches[0].weight, batches[1].weight)
    assert torch.equal(batches[0].weight, torch.cat([weight for _, weight in scaled[0].read_targets()]))
    assert batches[0].weight.unique().tolist() == pytest.approx([100 / 160, 100 / 40])


def test_a_target_is_standardised_by_the_training_split(tmp_path):
    streams = {
        split: store(tmp_path / split, make_rows(target=torch.arange(NUM_ROWS).float() + offset))
        for split, offset in (("train", 1e6), ("valid", 2e6))
    }
    scaling = measure_scaling(streams["train"].read_targets, None, classes=[], loss=TaskLoss(task="regression"))
    batches = {
        split: next(iter(rows.scale(scaling).make_loader(make_batching(batch_size=NUM_ROWS))))
        for split, rows in streams.items()
    }

    assert batches["train"].target.mean().abs() < 1e-6
    assert batches["train"].target.std(correction=0) == pytest.approx(1.0)
    assert batches["valid"].target.mean() == pytest.approx(1e6 / scaling.scale)


# --- whole trainings -----------------------------------------------------------------------------------

STREAM = ("features.fit_rows=2000", "schedule.shuffle_buffer=2048")


@pytest.fixture
def small_files(monkeypatch):
    monkeypatch.setattr(stage, "featurize", partial(stage.featurize, file_rows=512))


def train_quick(project, *overrides, name="california"):
    run_quick("tracker=disabled", f"name={name}", *overrides, verb="train")
    (folder,) = project.glob(f"runs/{name}-*")
    return torch.load(folder / "bundle" / "network.pt", weights_only=True), read_metrics_log(folder / "metrics.csv")


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["trainer.limit_batches=5", "trainer.overfit_batches=2", "schedule.max_steps=17"])
@pytest.mark.parametrize("experiment", ["california", pytest.param("adult", marks=pytest.mark.exhaustive)])
def test_a_buffer_for_the_whole_split_trains_what_rows_in_memory_train(project, small_files, experiment, limit):
    quick = (f"experiment={experiment}", "schedule.batch_size=1024", limit)
    weights = "loss.class_weights=balanced" if experiment == "adult" else "loss=default"
    network, rows = train_quick(project, *quick, weights, name="memory")
    other, other_rows = train_quick(project, *quick, weights, "schedule.shuffle_buffer=1000000", name="stream")

    assert same(network, other)
    for row, other_row in zip(rows, other_rows, strict=True):
        assert other_row == pytest.approx(row, rel=1e-12)  # metrics of 64 bits are added up in another order


@pytest.mark.slow
def test_a_small_buffer_learns_as_well(project, small_files):
    _, rows = train_quick(project, "schedule.max_epochs=4", name="memory")
    _, streamed = train_quick(project, "schedule.max_epochs=4", *STREAM, name="stream")

    assert streamed != rows
    assert streamed[-1]["step"] == rows[-1]["step"]
    assert streamed[-1]["valid/loss"] == pytest.approx(rows[-1]["valid/loss"], rel=0.1)


class Stop(lightning.Callback):
    """As a Ctrl-C in the middle of the third epoch."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 2 * 13 + 8:
            raise KeyboardInterrupt


def fit(root, folder, *, callbacks=()):
    rows = make_rows(832)._replace(numeric=torch.randn(832, 5, generator=torch.Generator().manual_seed(0)))
    rows = rows._replace(target=rows.numeric[:, 0] * rows.numeric[:, 1], ids=torch.zeros(832, 0).long())
    folder.mkdir(exist_ok=True)
    if not (folder / "train").exists():
        write_rows([rows], folder / "train", file_rows=40)
    streamed = DiskRows(StoredRows.find(folder / "train"), buffer_rows=100)
    torch.manual_seed(0)
    network = Mlp(num_numeric=5, cardinalities=[], num_outputs=1, num_layers=2, width=16, dropout=0.1, embedding_dim=1)
    quick = [override for override in QUICK if not override.startswith("schedule.")]
    schedule = ["schedule.batch_size=64", "schedule.max_epochs=4", "schedule.shuffle_buffer=100"]
    fit_network(
        network,
        {"train": streamed, "valid": streamed},
        Experiment.model_validate(compose(overrides=[*quick, *schedule], root=root).values),
        scaling=Scaling(),
        checkpoints=folder / "checkpoints",
        callbacks=[MetricsLog(folder / "metrics.csv", log=lambda *_: None), *callbacks],
        chunk_steps=4,
    )
    return network.state_dict(), read_metrics_log(folder / "metrics.csv")


@pytest.mark.slow
def test_a_training_that_is_stopped_within_an_epoch_goes_on_with_the_same_numbers(root, tmp_path):
    network, rows = fit(root, tmp_path / "whole")

    with suppress(KeyboardInterrupt, SystemExit):
        fit(root, tmp_path / "parts", callbacks=[Stop()])
    stopped = read_metrics_log(tmp_path / "parts" / "metrics.csv")
    other, other_rows = fit(root, tmp_path / "parts")

    assert stopped == rows[:2]
    assert same(network, other)
    assert rows == other_rows


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_processes_train_what_one_trains(project, small_files):
    """Data-parallel over gloo with the same global batch: the same losses, but for rounding."""
    same = (*STREAM, "trainer.precision=32-true")
    _, one = train_quick(project, *same, name="one")
    _, two = train_quick(project, *same, "trainer=ddp", "seed=0", "trainer.threads=2", name="two")

    for a, b in zip(one, two, strict=True):
        assert a["step"] == b["step"]
        assert a["valid/loss"] == pytest.approx(b["valid/loss"], rel=1e-3)
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=0.05)


EPOCH = """
import sys
from pathlib import Path
from types import SimpleNamespace
import torch
from treadle.features.stored import StoredRows
from treadle.training.loader import Batching
from treadle.training.stream import DiskRows, StreamLoader
torch.set_num_threads(1)
clock = SimpleNamespace(current_epoch=0, global_rank=0, device=torch.device("cpu"))
rows = DiskRows(StoredRows.find(Path(sys.argv[1])), buffer_rows=100)
limits = dict(max_batches=None, max_steps=None)
batching = Batching(batch_size=1024, shuffle_seed=0, sampling="shuffle", num_processes=1, clock=clock, **limits)
loader = StreamLoader(rows, buffer_rows=65536, batching=batching)
count = sum(len(batch.target) for batch in loader)
print(count, int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="getrusage tells no less than what this process has")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """1.6 million rows of 32 numbers are 200 MB more than 0.4 million."""
    part = Batch.of_numbers(
        torch.randn(16_384, 32), torch.zeros(16_384, 0).long(), torch.zeros(16_384), torch.ones(16_384)
    )
    peaks = {}
    for times in (25, 100):
        write_rows([part] * times, tmp_path / f"{times}")
        command = [sys.executable, "-c", EPOCH, str(tmp_path / f"{times}")]
        environment = {**os.environ, "POLARS_MAX_THREADS": "2"}
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
        assert int(told[0]) == times * 16_384
        peaks[times] = float(told[1])

    assert peaks[100] < peaks[25] + 40


def read_resident_mb():
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_what_steps_free_is_given_back_between_batches(tmp_path):
    rows = store(tmp_path / "rows", make_rows())
    batches = iter(StreamLoader(rows, buffer_rows=NUM_ROWS, batching=make_batching(), trim_s=0.0))
    next(batches)
    blocks = [torch.ones(16_000) for _ in range(2_000)]  # 128 MB of the heap, since none is large
    blocks = blocks[::100]  # holes between what lives
    before = read_resident_mb()

    next(batches)

    assert read_resident_mb() < before - 100
    assert all(bool((block == 1).all()) for block in blocks)
