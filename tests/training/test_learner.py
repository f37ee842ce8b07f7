import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from itertools import chain

import pytest
import torch

from batching import make_batching
from runs import QUICK, find_run, run_quick
from treadle.metrics.log import read_metrics_log
from treadle.schema import Batch
from treadle.training.learner import compute_loss
from treadle.training.loader import BatchLoader, ChunkLoader
from treadle.training.losses import TaskLoss


def make_rows(num_rows):
    index = torch.arange(num_rows)
    return Batch.of_numbers(index[:, None].float(), index[:, None], index.float(), torch.ones(num_rows))


def make_loader(num_rows=10, *, batch_size=4, **batching):
    return BatchLoader(make_rows(num_rows), batching=make_batching(batch_size=batch_size, **batching))


def read(loader):
    return [batch.target.tolist() for batch in loader]


def test_an_epoch_holds_every_row_once():
    batches = read(make_loader())

    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert len(make_loader()) == 3
    assert sorted(chain(*batches)) == list(range(10))


def test_the_order_follows_from_seed_and_epoch_alone():
    """T23: seed 0 is a seed like any other."""
    assert read(make_loader()) == read(make_loader())
    assert read(make_loader()) != read(make_loader(epoch=1))
    assert read(make_loader()) != read(make_loader(seed=1))
    assert read(make_loader(seed=None)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_the_last_epoch_ends_where_the_steps_do():
    assert [len(make_loader(max_steps=5, epoch=epoch)) for epoch in range(3)] == [3, 2, 0]
    assert len(read(make_loader(max_steps=5, epoch=1))) == 2


def test_an_epoch_may_be_cut_to_its_first_batches():
    assert read(make_loader(max_batches=2)) == read(make_loader())[:2]
    assert [len(make_loader(max_batches=2, max_steps=5, epoch=epoch)) for epoch in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize(("size", "lengths"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (64, [3])])
def test_chunks_hold_the_batches_in_their_order_and_end_with_the_epoch(size, lengths):
    chunks = ChunkLoader(make_loader(), chunk_size=size)
    found = [[batch.target.tolist() for batch in chunk] for chunk in chunks]

    assert [len(chunk) for chunk in found] == lengths
    assert len(chunks) == len(lengths)
    assert list(chain(*found)) == read(make_loader())


def test_processes_share_each_batch():
    whole = read(make_loader())
    parts = [read(make_loader(rank=rank, num_processes=2)) for rank in (0, 1)]

    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted(chain(*shares)) == sorted(batch)


def test_a_last_batch_with_fewer_rows_than_processes_is_left_out_of_training():
    """A process without a row has no loss, and no gradient to share."""
    parts = [read(make_loader(9, rank=rank, num_processes=2)) for rank in (0, 1)]

    assert [[len(batch) for batch in part] for part in parts] == [[2, 2], [2, 2]]
    assert [len(batch) for batch in read(make_loader(9, seed=None, rank=1, num_processes=2))] == [2, 2, 0]  # predicted


def test_the_loss_of_an_ensemble_is_the_mean_of_its_members():
    output, target, weight = torch.randn(6, 3, 1), torch.tensor([0.0, 1, 0, 1, 1, 0]), torch.ones(6)
    batch = Batch.of_numbers(torch.empty(6, 0), torch.empty(6, 0), target, weight)
    loss = TaskLoss(task="binary")
    single = [compute_loss(output[:, k], batch, loss=loss, weighted=True) for k in range(3)]

    assert torch.allclose(compute_loss(output, batch, loss=loss, weighted=True), torch.stack(single).mean())


@pytest.mark.parametrize("members", [(), (4,)], ids=["one", "ensemble"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_weights_of_1_give_the_unweighted_loss_and_gradients_to_the_last_bit(task, members):
    output = torch.randn(37, *members, 5 if task == "multiclass" else 1)
    target = torch.randint(5, (37,)) if task == "multiclass" else (torch.randn(37) > 0).float()
    batch = Batch.of_numbers(torch.empty(37, 0), torch.empty(37, 0), target, torch.ones(37))
    outputs = [output.clone().requires_grad_() for _ in range(2)]
    losses = [
        compute_loss(o, batch, loss=TaskLoss(task=task), weighted=w)
        for o, w in zip(outputs, (True, False), strict=True)
    ]
    for loss in losses:
        loss.backward()

    assert torch.equal(*losses)
    assert torch.equal(*(o.grad for o in outputs))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_row_of_weight_2_counts_like_two_rows(task):
    target = torch.tensor([0, 1, 1])
    output = torch.randn(3, 2 if task == "multiclass" else 1)
    target = target if task == "multiclass" else target.float()
    rows = torch.tensor([0, 1, 2, 2])

    def loss(index, weight):
        batch = Batch.of_numbers(
            torch.empty(len(index), 0), torch.empty(len(index), 0), target[index], torch.tensor(weight)
        )
        return compute_loss(output[index], batch, loss=TaskLoss(task=task), weighted=True)

    assert torch.allclose(loss(torch.arange(3), [1.0, 1.0, 2.0]), loss(rows, [1.0] * 4))


def epochs(project):
    return read_metrics_log(find_run(project) / "metrics.csv")


@pytest.mark.slow
def test_training_stops_when_the_monitored_value_no_longer_improves(project):
    patience = "schedule.early_stopping={patience:1,min_delta:10.0}"
    run_quick("tracker=disabled", "schedule.max_epochs=9", patience, verb="train")

    assert len(epochs(project)) == 2


@pytest.mark.slow
def test_a_limit_of_steps_ends_within_an_epoch(project):
    run_quick("tracker=disabled", "schedule.max_steps=20", "schedule.max_epochs=9", verb="train")

    assert epochs(project)[-1]["step"] == 20


@pytest.mark.slow
def test_debug_takes_one_batch_an_epoch(project):
    run_quick("tracker=disabled", "trainer=debug", verb="train")

    assert [row["step"] for row in epochs(project)] == [1, 2]


@pytest.mark.slow
def test_overfit_learns_its_one_batch(project):
    run_quick(
        "tracker=disabled", "trainer=overfit", "schedule=default", "schedule.max_epochs=80", "schedule.batch_size=64",
        "schedule.early_stopping=null", "schedule.optimizer.lr=0.01", "model.width=64", verb="train",
    )  # fmt: skip

    rows = epochs(project)
    assert rows[0]["step"] == 1
    assert rows[-1]["valid/loss"] < 0.1 * rows[0]["valid/loss"]


@pytest.mark.slow
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("schedule", ["default", "sgd", "cosine", "one_cycle"])
def test_every_schedule_trains(project, schedule):
    run_quick("tracker=disabled", f"schedule={schedule}", "schedule.max_epochs=3", verb="train")

    rows = epochs(project)
    assert rows[-1]["valid/loss"] < rows[0]["valid/loss"]


@pytest.mark.slow
def test_the_rate_follows_the_schedule(project):
    run_quick("tracker=disabled", "schedule.max_epochs=4", verb="train")

    rates = [row["lr"] for row in epochs(project)]
    assert rates[-1] < 0.01 * 0.003
    assert max(rates) > 0.0025


def test_a_gpu_that_is_not_there_is_refused_before_training(project, capsys):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")

    assert run_quick("tracker=disabled", "trainer=gpu", verb="train") == 2
    told = capsys.readouterr().err
    assert "trainer.accelerator  conf/trainer/gpu.yaml:4:14" in told
    assert "add the override trainer=cpu" in told


@pytest.mark.slow
@pytest.mark.parametrize("weight", ["null", pytest.param("Population", marks=pytest.mark.exhaustive)])
def test_two_processes_train_what_one_trains(project, weight):
    """Data-parallel over gloo with the same global batch: the same losses, but for rounding."""
    odd = "data.split.valid=0.16013"  # 3,305 rows: one process predicts a row more
    weighted = f"data.examples.weight={weight}"  # the shares of a batch differ in theirs
    same = ("tracker=disabled", "trainer.precision=32-true", odd, weighted)  # bfloat16 rounds sums by their parts
    run_quick(*same, "name=one", verb="train")
    run_quick(*same, "name=two", "trainer=ddp", "seed=0", "trainer.threads=2", verb="train")

    one, two = (read_metrics_log(next(project.glob(f"runs/{name}-*/metrics.csv"))) for name in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a["step"] == b["step"]
        assert a["valid/loss"] == pytest.approx(b["valid/loss"], rel=1e-3)
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=0.05)


@pytest.mark.slow
def test_the_bar_in_a_terminal_counts_steps_and_shows_the_loss(project):
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    command = [sys.executable, "-m", "treadle", "train", *QUICK, "tracker=disabled"]
    process = subprocess.Popen(command, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    seen = ""
    with suppress(OSError):  # how a terminal ends
        while part := os.read(master, 65536):
            seen += part.decode(errors="replace")
    os.close(master)

    assert process.wait() == 0
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert "step 13/13" in seen
    assert "epoch 2/2" in seen
    assert re.search(r"epoch   1  step     13  valid loss 0\.\d{5}  best so far", seen)  # stays above the bar
    assert "epoch   2  step     26  valid loss 0." in seen
