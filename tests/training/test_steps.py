from contextlib import suppress
from functools import partial

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from runs import QUICK
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.metrics.log import read_metrics_log
from treadle.models.mlp import Mlp
from treadle.schema import Batch
from treadle.training.augmentation import CutMix, Mixup
from treadle.training.fit import fit as fit_network
from treadle.training.learner import compute_loss
from treadle.training.losses import TaskLoss
from treadle.training.metrics_log import MetricsLog
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling
from treadle.training.schedules import cosine
from treadle.training.steps import Steps

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.fast_cases(4)]
NUM_ROWS, BATCH = 832, 64  # 13 steps an epoch


def make_rows():
    numeric = torch.randn(NUM_ROWS, 5, generator=torch.Generator().manual_seed(0))
    target = numeric[:, 0] * numeric[:, 1] + numeric[:, 2]
    return Batch.of_numbers(numeric, torch.zeros(NUM_ROWS, 0, dtype=torch.int64), target, torch.ones(NUM_ROWS))


def make_network(*, dropout=0.0):
    torch.manual_seed(0)
    return Mlp(num_numeric=5, cardinalities=[], num_outputs=1, num_layers=2, width=16, dropout=dropout, embedding_dim=1)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


# --- one step ------------------------------------------------------------------------------------------


def make_steps(network, optimizer, *, clip=1.0, precision=None):
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return Steps(
        network,
        optimizer=optimizer,
        factor=cosine(num_steps=30, warmup=0.0, final_factor=0.0),
        done=0,
        loss=lambda output, batch: compute_loss(output, batch, loss=TaskLoss(task="regression"), weighted=False),
        clip=clip,
        strategy=SingleDeviceStrategy(device="cpu", precision_plugin=precision),
    )


def list_batches():
    rows = make_rows()
    return [Batch(*(tensor[start : start + BATCH] for tensor in rows)) for start in range(0, NUM_ROWS, BATCH)]


@pytest.mark.parametrize("clip", [None, 0.1])
def test_steps_are_those_of_a_loop_written_by_hand(clip):
    by_hand, network = make_network(), make_network()
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.01, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(num_steps=30, warmup=0.0, final_factor=0.0))
    for batch in list_batches():
        loss = nn.functional.mse_loss(by_hand(batch.numeric, batch.ids)[:, 0], batch.target)
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(by_hand.parameters(), clip)
        optimizer.step()
        scheduler.step()

    steps = make_steps(network, torch.optim.AdamW(network.parameters(), lr=0.01, fused=True), clip=clip)
    losses = [steps.take(batch) for batch in list_batches()]

    assert torch.equal(losses[-1], loss.detach())
    assert same(network, by_hand)
    assert steps.optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@pytest.mark.slow
def test_an_optimizer_that_looks_at_the_loss_several_times_takes_its_steps():
    network = make_network()
    steps = make_steps(network, torch.optim.LBFGS(network.parameters(), lr=0.1), clip=None)
    losses = [float(steps.take(batch)) for batch in list_batches()]

    assert losses[-1] < 0.5 * losses[0]


def test_scaled_gradients_are_clipped_at_their_true_size():
    networks = make_network(), make_network()
    half = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    for network, precision in zip(networks, (None, half), strict=True):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        steps = make_steps(network, optimizer, clip=0.1, precision=precision)
        for batch in list_batches():
            steps.take(batch)

    pairs = list(zip(*(network.parameters() for network in networks), strict=True))
    assert not same(*networks)
    assert all(torch.allclose(a, b, atol=2e-3) for a, b in pairs)


# --- whole trainings -----------------------------------------------------------------------------------


class Stop(lightning.Callback):
    """As a Ctrl-C in the middle of an epoch."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 2 * 13 + 8:
            raise KeyboardInterrupt


def make_experiment(root, *overrides):
    quick = [override for override in QUICK if not override.startswith("schedule.")]
    values = compose(overrides=[*quick, f"schedule.batch_size={BATCH}", *overrides], root=root).values
    return Experiment.model_validate(values)


def fit(root, folder, *overrides, dropout=0.0, callbacks=(), **more):
    folder.mkdir(exist_ok=True)
    network = make_network(dropout=dropout)
    fit_network(
        network,
        {"train": MemoryRows(make_rows()), "valid": MemoryRows(make_rows())},
        make_experiment(root, "schedule.max_epochs=4", *overrides),
        scaling=Scaling(),
        checkpoints=folder / "checkpoints",
        callbacks=[MetricsLog(folder / "metrics.csv", log=lambda *_: None), *callbacks],
        **more,
    )
    return network, read_metrics_log(folder / "metrics.csv")


MIXUP = Mixup(numeric_columns=list("abcde"), id_columns=[], images=[], alpha=0.4)
CUTMIX = CutMix(numeric_columns=list("abcde"), id_columns=[], images=[], alpha=0.4)


@pytest.mark.slow
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("chunk", [4, 256])
@pytest.mark.parametrize("limit", ["schedule.max_steps=null", "schedule.max_steps=31", "trainer.limit_batches=6"])
def test_the_size_of_a_chunk_does_not_change_a_bit(root, tmp_path, chunk, limit):
    network, rows = fit(root, tmp_path / "one", limit, dropout=0.1, chunk_steps=1)
    other, other_rows = fit(root, tmp_path / "many", limit, dropout=0.1, chunk_steps=chunk)

    assert same(network, other)
    assert rows == other_rows


def test_the_size_of_a_chunk_does_not_change_how_rows_are_mixed(root, tmp_path):
    network, _ = fit(root, tmp_path / "one", dropout=0.1, augment=MIXUP, chunk_steps=1)
    other, _ = fit(root, tmp_path / "many", dropout=0.1, augment=MIXUP, chunk_steps=5)

    assert same(network, other)


def test_mixed_batches_are_not_compiled_and_the_reason_is_logged(root, tmp_path, capsys):
    fit(root, tmp_path, "trainer.compile=on", augment=MIXUP)

    assert "compile    off (batches are mixed between steps)" in capsys.readouterr().out


def test_limits_of_steps_and_of_batches_hold_together(root, tmp_path):
    _, rows = fit(root, tmp_path, "schedule.max_steps=15", "trainer.limit_batches=6")

    assert [row["step"] for row in rows] == [6, 12, 15]


@pytest.mark.slow
@pytest.mark.parametrize("augment", [None, MIXUP, CUTMIX], ids=["plain", "mixup", "cutmix"])
def test_a_training_that_is_stopped_within_an_epoch_goes_on_with_the_same_numbers(root, tmp_path, augment):
    dials = {"dropout": 0.1, "augment": augment, "chunk_steps": 4}
    network, rows = fit(root, tmp_path / "whole", **dials)

    with suppress(KeyboardInterrupt, SystemExit):
        fit(root, tmp_path / "parts", **dials, callbacks=[Stop()])
    stopped = read_metrics_log(tmp_path / "parts" / "metrics.csv")
    other, other_rows = fit(root, tmp_path / "parts", **dials)

    assert stopped == rows[:2]
    assert same(network, other)
    assert rows == other_rows


def test_half_precision_trains_with_clipped_gradients(root, tmp_path):
    _, full = fit(root, tmp_path / "full", "schedule.gradient_clip=0.5")

    _, half = fit(root, tmp_path / "half", "schedule.gradient_clip=0.5", "trainer.precision=bf16-mixed")

    assert half != full
    assert half[-1]["valid/loss"] == pytest.approx(full[-1]["valid/loss"], rel=0.1)


def test_the_record_holds_how_it_was_trained(root, tmp_path):
    fit(root, tmp_path, "trainer.precision=bf16-mixed", "trainer.compile=auto")

    saved = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["execution"] == {
        "precision": "bf16-mixed",
        "precision_reason": "trainer.precision=bf16-mixed",
        "compiled": False,
        "compile_reason": "auto: compiling takes longer than it saves in 52 steps",
    }


class Asked(TorchDispatchMode):
    """Sees when the host asks the device for a number, which makes it wait."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.name() in {"aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", [partial(torch.optim.AdamW, fused=True), partial(torch.optim.SGD, momentum=0.9)])
def test_no_step_waits_for_a_number(optimizer):
    network = make_network()
    steps = make_steps(network, optimizer(network.parameters(), lr=0.1), clip=0.1)
    with Asked() as asked:
        for batch in list_batches():
            steps.take(batch)
    assert asked.count == 0

    with asked:
        float(network.head.bias.detach().sum())
    assert asked.count == 1
