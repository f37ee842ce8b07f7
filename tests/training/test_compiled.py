import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import nn

from runs import QUICK, run_quick
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.metrics.log import read_metrics_log
from treadle.models.ensemble import Ensemble
from treadle.models.mlp import Mlp
from treadle.schema import Batch
from treadle.training.compiled import Group, Table, make_graph
from treadle.training.fit import CHUNK_STEPS
from treadle.training.fit import fit as fit_network
from treadle.training.learner import compute_loss
from treadle.training.losses import TaskLoss
from treadle.training.metrics_log import MetricsLog
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling
from treadle.training.schedules import one_cycle
from treadle.training.steps import Steps
from treadle.training.updates import AdamUpdate, find_obstacle, read_update

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH, NUM_BATCHES = 64, 13
NUM_ROWS = NUM_BATCHES * BATCH - 10  # the last batch of an epoch is smaller


def make_rows():
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(NUM_ROWS, 5, generator=generator)
    noise = torch.randn(NUM_ROWS, generator=generator)
    target = (numeric[:, 0] * numeric[:, 1] + numeric[:, 2] + 0.5 * noise > 0).float()
    return Batch.of_numbers(numeric, torch.zeros(NUM_ROWS, 0, dtype=torch.int64), target, torch.ones(NUM_ROWS))


class Network(nn.Module):
    """Layers, and a weight that is never used: it gets no gradient."""

    def __init__(self, *, dropout=0.0, norm=False):
        super().__init__()
        torch.manual_seed(0)
        self.mlp = Mlp(
            num_numeric=5, cardinalities=[], num_outputs=1, num_layers=2, width=16, dropout=dropout, embedding_dim=1
        )
        self.norm = nn.BatchNorm1d(5) if norm else nn.Identity()
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, numeric, ids):
        return self.mlp(self.norm(numeric), ids)


class Branching(Network):
    """Looks at a number to decide what it computes: no graph can hold that."""

    def forward(self, numeric, ids):
        output = super().forward(numeric, ids)
        return output if output.mean() > 0 else output * 1.5


class Counting(Network):
    """Computes something else at each call: a graph of one call is wrong for the next."""

    calls = 0

    def forward(self, numeric, ids):
        self.calls += 1
        return super().forward(numeric, ids) + 1 / self.calls


class Deceptive(Network):
    """Computes something else where it is compiled: as a compiler with an error would."""

    def forward(self, numeric, ids):
        output = super().forward(numeric, ids)
        return output + 0.1 if torch.compiler.is_compiling() else output


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# --- one step, before it is compiled -------------------------------------------------------------------

OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, fused=True),
    "adam with decay": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd with momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
}


def make_steps(network, optimizer, *, clip=0.5):
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return Steps(
        network,
        optimizer=optimizer,
        factor=one_cycle(num_steps=60, peak=0.3, initial_factor=0.1, final_factor=0.0),
        done=0,
        loss=lambda output, batch: compute_loss(output, batch, loss=TaskLoss(task="binary"), weighted=False),
        clip=clip,
        strategy=SingleDeviceStrategy(device="cpu"),
    )


def list_batches(count):
    rows = make_rows()
    batches = [Batch(*(tensor[start : start + BATCH] for tensor in rows)) for start in range(0, NUM_ROWS, BATCH)]
    return (batches * (count // len(batches) + 1))[:count]


def make_ensemble():
    torch.manual_seed(0)
    member = partial(Mlp, num_layers=1, width=8, dropout=0.0, embedding_dim=2)
    return Ensemble(num_numeric=5, cardinalities=[], num_outputs=1, texts=[], images=[], members=3, member=member)


def test_members_of_an_ensemble_are_clipped_apart_in_the_mathematics_of_a_step():
    eager, other = (
        make_steps(net, OPTIMIZERS["sgd"](net.parameters()), clip=0.05) for net in (make_ensemble(), make_ensemble())
    )
    group = Group(read_update(other.optimizer, other.optimizer.param_groups[0]), [(w, {}) for w in other.parameters])
    table = Table([group], [0.1], factor=other.factor, ahead=0, device=torch.device("cpu"))
    step = make_graph(other, [group])
    first, *batches = list_batches(20)
    eager.take(first)
    other.take(first)
    for done, batch in enumerate(batches, start=1):
        eager.take(batch)
        step(batch, table.read(done))

    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(eager.parameters, other.parameters, strict=True))
    assert not same(eager.network, make_ensemble())


@pytest.mark.parametrize("clip", [None, 0.5], ids=["free", "clipped"])
@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_mathematics_of_a_step_are_those_of_the_optimizer(make_optimizer, clip):
    networks = [Network(dropout=0.1, norm=True) for _ in range(2)]
    eager, other = (make_steps(net, make_optimizer(net.parameters()), clip=clip) for net in networks)
    first, *batches = list_batches(50)
    torch.manual_seed(1)
    losses = [eager.take(batch) for batch in (first, *batches)]

    torch.manual_seed(1)
    others = [other.take(first)]
    state = other.optimizer.state
    (settings,) = other.optimizer.param_groups
    group = Group(read_update(other.optimizer, settings), [(w, state.get(w, {})) for w in settings["params"]])
    table = Table([group], [settings["initial_lr"]], factor=other.factor, ahead=0, device=torch.device("cpu"))
    step = make_graph(other, [group])
    others += [step(batch, table.read(done)) for done, batch in enumerate(batches, start=1)]

    assert float((torch.stack(losses) - torch.stack(others)).abs().max()) < 2e-6
    for a, b in zip(networks[0].state_dict().values(), networks[1].state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=2e-6, rtol=1e-5)
    assert torch.equal(networks[1].unused, torch.ones(3))


def test_corrections_of_bias_are_computed_in_64_bits():
    update = AdamUpdate(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=True)
    group = Group(update, [])
    table = Table([group], [1.0], factor=lambda _: 1.0, ahead=0, device=torch.device("cpu"))
    exact = torch.tensor([[1 / (1 - 0.9**t), (1 - 0.999**t) ** 0.5, 1.0] for t in range(1, 600)], dtype=torch.float64)

    found = torch.stack([table.read(done)[0] for done in range(599)])

    assert torch.equal(found, exact.float())


class OwnAdam(torch.optim.Adam):
    pass


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (torch.optim.LBFGS, "torch.optim.lbfgs.LBFGS is none of Adam, AdamW and SGD"),
        (lambda p: torch.optim.Adam(p, amsgrad=True), "Adam with amsgrad=true"),
        (lambda p: torch.optim.SGD(p, lr=0.1, maximize=True), "SGD with maximize=true"),
        (lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.1)), "AdamW with a tensor for a setting"),
        (OwnAdam, "OwnAdam is none of Adam, AdamW and SGD"),
    ],
)
def test_an_optimizer_that_no_graph_holds_is_named(optimizer, says):
    assert says in find_obstacle(optimizer(list(Network().parameters())))


@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_optimizers_of_the_schedules_have_no_obstacle(make_optimizer):
    assert find_obstacle(make_optimizer(list(Network().parameters()))) is None


# --- whole trainings -----------------------------------------------------------------------------------


class Losses(lightning.Callback):
    """The loss of each step."""

    def __init__(self):
        self.values = []

    def on_validation_start(self, _, pl_module):
        self.values += [float(loss) for loss in pl_module.train_losses]


class Stop(lightning.Callback):
    """As a Ctrl-C in the middle of an epoch."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 2 * NUM_BATCHES + 8:
            raise KeyboardInterrupt


def make_experiment(root, *overrides):
    quick = [override for override in QUICK if not override.startswith("schedule.")]
    binary = ["data.task=binary", "schedule.monitor=loss", "evaluation.metric=auroc"]
    values = compose(overrides=[*quick, *binary, f"schedule.batch_size={BATCH}", *overrides], root=root).values
    return Experiment.model_validate(values)


def fit(root, folder, network, *overrides, callbacks=(), chunk_steps=CHUNK_STEPS):
    folder.mkdir(exist_ok=True)
    losses = Losses()
    fit_network(
        network,
        {"train": MemoryRows(make_rows()), "valid": MemoryRows(make_rows())},
        make_experiment(root, "schedule=default", "schedule.early_stopping=null", *overrides),
        scaling=Scaling(),
        checkpoints=folder / "checkpoints",
        callbacks=[losses, MetricsLog(folder / "metrics.csv", log=lambda *_: None), *callbacks],
        chunk_steps=chunk_steps,
    )
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return SimpleNamespace(
        network=network,
        losses=torch.tensor(losses.values, dtype=torch.float64),
        rows=read_metrics_log(folder / "metrics.csv"),
        execution=saved["execution"],
        optimizer=saved["optimizer_states"][0],
    )


def perturb(network):
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1 + 1e-7 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)).sign())
    return network


def gap(a, b, *, steps=None):
    return float((a.losses - b.losses)[:steps].abs().max())


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_compiled_training_is_the_eager_one_but_for_rounding(root, tmp_path):
    """8 epochs of 13 steps, the last of each on fewer rows; with dropout, and a norm that has buffers."""
    dials = ["schedule.max_epochs=8", "schedule.optimizer.lr=0.003"]
    eager = fit(root, tmp_path / "eager", Network(dropout=0.1, norm=True), "trainer.compile=off", *dials)
    control = fit(root, tmp_path / "control", perturb(Network(dropout=0.1, norm=True)), "trainer.compile=off", *dials)
    compiled = fit(root, tmp_path / "compiled", Network(dropout=0.1, norm=True), "trainer.compile=on", *dials)

    assert compiled.execution["compiled"]
    assert not same(eager.network, compiled.network)
    assert gap(eager, compiled, steps=10) <= 2e-7
    assert gap(eager, compiled) <= 5 * gap(eager, control) + 1e-4
    assert [row["step"] for row in compiled.rows] == [row["step"] for row in eager.rows]
    assert [row["lr"] for row in compiled.rows] == [row["lr"] for row in eager.rows]
    for mine, theirs in zip(compiled.optimizer["state"].values(), eager.optimizer["state"].values(), strict=True):
        assert mine.keys() == theirs.keys()
        assert mine["step"] == theirs["step"] == 8 * NUM_BATCHES


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_compiled_training_that_is_stopped_goes_on_compiled_or_not(root, tmp_path):
    """The network of the test above: what the compiler made of it is found again."""
    dials = ["schedule.max_epochs=3", "trainer.compile=on"]
    whole = fit(root, tmp_path / "whole", Network(dropout=0.1, norm=True), *dials, chunk_steps=4)
    with suppress(KeyboardInterrupt, SystemExit):
        stopped = tmp_path / "stopped"
        fit(root, stopped, Network(dropout=0.1, norm=True), *dials, callbacks=[Stop()], chunk_steps=4)
    kept = shutil.copytree(stopped, tmp_path / "kept")

    resumed = fit(root, stopped, Network(dropout=0.1, norm=True), *dials, chunk_steps=4)
    shutil.rmtree(stopped)
    kept.rename(stopped)  # a checkpoint names its folder
    switched = fit(root, stopped, Network(dropout=0.1, norm=True), "schedule.max_epochs=3", "trainer.compile=off")

    assert resumed.execution["compiled"]
    assert not switched.execution["compiled"]
    assert same(resumed.network, whole.network)
    assert resumed.rows == whole.rows
    for row, others in zip(whole.rows, switched.rows, strict=True):
        assert others["train/loss"] == pytest.approx(row["train/loss"], abs=1e-5)
        assert others["valid/loss"] == pytest.approx(row["valid/loss"], abs=1e-5)


@pytest.mark.slow
def test_a_network_that_no_graph_holds_trains_as_ever(root, tmp_path, capsys):
    eager = fit(root, tmp_path / "eager", Branching(dropout=0.1), "schedule.max_epochs=2", "trainer.compile=off")
    capsys.readouterr()

    asked = fit(root, tmp_path / "asked", Branching(dropout=0.1), "schedule.max_epochs=2", "trainer.compile=on")

    (line,) = [line for line in capsys.readouterr().out.splitlines() if "compiling failed" in line]
    assert "Data-dependent branching" in line
    assert not asked.execution["compiled"]
    assert asked.execution["compile_reason"] in line
    assert same(asked.network, eager.network)
    assert asked.rows == eager.rows


def test_an_optimizer_that_no_graph_holds_trains_eagerly(root, tmp_path, capsys):
    other = ["schedule.optimizer._target_=torch.optim.RMSprop", "~schedule.optimizer.fused"]

    asked = fit(root, tmp_path, Network(), "schedule.max_epochs=1", "trainer.compile=on", *other)

    says = "torch.optim.rmsprop.RMSprop is none of Adam, AdamW and SGD"
    assert f"compile    off ({says})\n" in capsys.readouterr().out
    assert (asked.execution["compiled"], asked.execution["compile_reason"]) == (False, says)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_network_that_changes_at_each_call_gives_its_graph_up(root, tmp_path, capsys):
    eager = fit(root, tmp_path / "eager", Counting(), "schedule.max_epochs=2", "trainer.compile=off")

    asked = fit(root, tmp_path / "asked", Counting(), "schedule.max_epochs=2", "trainer.compile=on")

    assert capsys.readouterr().out.count("compiling failed, and training goes on without it") == 1
    assert not asked.execution["compiled"]
    assert asked.optimizer["state"][1]["step"] == eager.optimizer["state"][1]["step"]


@pytest.mark.slow
def test_a_graph_that_gives_other_numbers_is_not_used(root, tmp_path, capsys):
    eager = fit(root, tmp_path / "eager", Deceptive(dropout=0.1), "schedule.max_epochs=2", "trainer.compile=off")

    asked = fit(root, tmp_path / "asked", Deceptive(dropout=0.1), "schedule.max_epochs=2", "trainer.compile=on")

    assert "the first compiled step's loss is off by" in capsys.readouterr().out
    assert same(asked.network, eager.network)
    assert asked.rows == eager.rows


@pytest.mark.exhaustive
@pytest.mark.slow
def test_without_a_compiler_training_goes_on(project, tmp_path, capsys):
    """A real one that is missing: another process, whose cache is empty."""
    run_quick("tracker=disabled", "name=plain", "trainer.compile=off", verb="train")
    environment = {**os.environ, "CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "treadle", "train", *QUICK, "tracker=disabled", "name=asked", "trainer.compile=on"]

    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert "compil" not in capsys.readouterr().out
    (line,) = [line for line in told.splitlines() if "compiling failed" in line]
    assert "/nowhere/c++" in line
    asked, plain = (next(project.glob(f"runs/{name}-*/metrics.csv")) for name in ("asked", "plain"))
    assert asked.read_text() == plain.read_text()
    summary = json.loads((asked.parent / "model" / "summary.json").read_text())
    assert not summary["compiled"]
    assert "/nowhere/c++" in summary["compile_reason"]


# --- on a GPU ------------------------------------------------------------------------------------------

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


@on_gpu
@pytest.mark.slow
def test_a_gpu_replays_a_graph_with_the_numbers_of_the_loop(root, tmp_path):
    dials = ["schedule.max_epochs=4", "trainer.accelerator=gpu"]
    eager = fit(root, tmp_path / "eager", Network(norm=True), *dials, "trainer.compile=off")

    compiled = fit(root, tmp_path / "compiled", Network(norm=True), *dials, "trainer.compile=on")

    assert compiled.execution["compiled"]
    assert gap(eager, compiled, steps=10) <= 1e-6
    assert gap(eager, compiled) <= 1e-4


@on_gpu
def test_no_step_on_a_gpu_waits_for_it():
    network = Network(norm=True).cuda()
    steps = make_steps(network, torch.optim.AdamW(network.parameters(), lr=0.01, fused=True))
    batches = [Batch(*(tensor.cuda() for tensor in batch)) for batch in list_batches(5)]
    steps.take(batches[0])
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [steps.take(batch) for batch in batches]
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert all(loss.isfinite() for loss in losses)
