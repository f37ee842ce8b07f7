import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import pytorch_lightning as lightning
import torch

from runs import QUICK
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.features.stored import StoredRows, write_rows
from treadle.metrics.log import read_metrics_log
from treadle.models.mlp import Mlp
from treadle.schema import Batch
from treadle.training.fit import fit as fit_network
from treadle.training.metrics_log import MetricsLog
from treadle.training.optimizer_state import flatten_state
from treadle.training.resume import Termination, find_state
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling
from treadle.training.stream import DiskRows

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.fast_cases(3)]

NUM_ROWS, BATCH = 832, 64  # 13 steps an epoch
WITHIN = 2 * 13 + 8  # steps: in the middle of the third epoch
STOPS = [4, 12, 13 + 4, WITHIN, 2 * 13 + 12, 2 * 13 + 13, 3 * 13 + 13]


class Steps(lightning.Callback):
    """Notes the steps done after each chunk; ends it all, as asked."""

    def __init__(self, *, stop_at=None, signal_number=None):
        self.seen = []
        self.stop_at = stop_at
        self.signal_number = signal_number

    def on_train_batch_end(self, trainer, *_):
        self.seen.append(trainer.global_step)
        if trainer.global_step == self.stop_at:
            if self.signal_number is not None:
                os.kill(os.getpid(), self.signal_number)
            if self.signal_number != signal.SIGTERM:
                raise KeyboardInterrupt


def make_rows():
    numeric = torch.randn(NUM_ROWS, 5, generator=torch.Generator().manual_seed(0))
    target = numeric[:, 0] * numeric[:, 1] + numeric[:, 2]
    return Batch.of_numbers(numeric, torch.zeros(NUM_ROWS, 0, dtype=torch.int64), target, torch.ones(NUM_ROWS))


def make_experiment(root, *overrides):
    quick = [override for override in QUICK if not override.startswith("schedule.")]
    return Experiment.model_validate(compose(overrides=[*quick, *overrides], root=root).values)


def fit(root, folder, *overrides, streamed=False, steps=None, checkpoint_s=0.0):
    """Weights, history, and the steps after each chunk of this process."""
    folder.mkdir(exist_ok=True)
    rows = MemoryRows(make_rows())
    if streamed:
        if not (folder / "rows").exists():
            write_rows([make_rows()], folder / "rows", file_rows=40)
        rows = DiskRows(StoredRows.find(folder / "rows"), buffer_rows=100)
        overrides = (*overrides, "schedule.shuffle_buffer=100")
    torch.manual_seed(0)
    network = Mlp(num_numeric=5, cardinalities=[], num_outputs=1, num_layers=2, width=16, dropout=0.1, embedding_dim=1)
    steps = steps or Steps()
    fit_network(
        network,
        {"train": rows, "valid": rows},
        make_experiment(root, *with_defaults(overrides)),
        scaling=Scaling(),
        checkpoints=folder / "checkpoints",
        callbacks=[MetricsLog(folder / "metrics.csv", log=lambda *_: None), steps],
        chunk_steps=4,
        checkpoint_s=checkpoint_s,
    )
    return network.state_dict(), read_metrics_log(folder / "metrics.csv"), steps.seen


def with_defaults(overrides):
    given = {override.partition("=")[0] for override in overrides}
    defaults = (f"schedule.batch_size={BATCH}", "schedule.max_epochs=4")
    return [*(default for default in defaults if default.partition("=")[0] not in given), *overrides]


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    ("stop_at", "streamed"),
    [
        *((stop_at, False) for stop_at in STOPS),
        *(pytest.param(stop_at, True, marks=[] if stop_at == WITHIN else pytest.mark.exhaustive) for stop_at in STOPS),
    ],
)
def test_a_stopped_training_goes_on_within_its_epoch_with_the_same_numbers(root, tmp_path, stop_at, streamed):
    network, rows, seen = fit(root, tmp_path / "whole", streamed=streamed)

    with suppress(KeyboardInterrupt, SystemExit):
        fit(root, tmp_path / "parts", streamed=streamed, steps=Steps(stop_at=stop_at))
    other, other_rows, resumed = fit(root, tmp_path / "parts", streamed=streamed)

    assert same(network, other)
    assert rows == other_rows
    assert resumed == [step for step in seen if step >= stop_at]  # its own chunk was not yet written


def raise_interrupt(number, frame):
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("handler", [signal.SIG_DFL, raise_interrupt], ids=["none", "of a worker"])
@pytest.mark.parametrize("stop_at", [WITHIN, 2 * 13 + 13], ids=["within", "at the end"])
def test_a_training_that_is_terminated_saves_the_steps_that_it_has_done(root, tmp_path, handler, stop_at):
    network, rows, seen = fit(root, tmp_path / "whole")
    before = signal.signal(signal.SIGTERM, handler)
    try:
        steps = Steps(stop_at=stop_at, signal_number=signal.SIGTERM)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(root, tmp_path / "parts", steps=steps, checkpoint_s=float("inf"))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert steps.seen[-1] == stop_at

    other, other_rows, resumed = fit(root, tmp_path / "parts")

    assert same(network, other)
    assert rows == other_rows
    assert resumed == [step for step in seen if step > stop_at]


def test_a_second_termination_is_for_the_handler_before():
    termination, seen = Termination(), []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(termination.is_training))
    try:
        with termination.deferring():
            os.kill(os.getpid(), signal.SIGTERM)  # no training runs yet
            assert seen == [False]
        termination = Termination()
        with termination.deferring():
            termination.on_train_start(None, None)
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == [False]
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == [False, True]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("limit", ["schedule.max_steps=31", "trainer.limit_batches=9"])
def test_limits_hold_in_an_epoch_that_is_resumed(root, tmp_path, limit):
    network, rows, seen = fit(root, tmp_path / "whole", limit)
    stop_at = seen[-2]

    with suppress(KeyboardInterrupt, SystemExit):
        fit(root, tmp_path / "parts", limit, steps=Steps(stop_at=stop_at))
    other, other_rows, resumed = fit(root, tmp_path / "parts", limit)

    assert same(network, other)
    assert rows == other_rows
    assert resumed == seen[-2:]


def test_a_training_may_be_stopped_again_and_again(root, tmp_path):
    network, rows, seen = fit(root, tmp_path / "whole")

    for stop_at in seen[::3]:
        with suppress(KeyboardInterrupt, SystemExit):
            fit(root, tmp_path / "parts", steps=Steps(stop_at=stop_at))
    other, other_rows, _ = fit(root, tmp_path / "parts")

    assert same(network, other)
    assert rows == other_rows


@pytest.mark.slow
def test_early_stopping_counts_the_same_epochs(root, tmp_path):
    stopping = "schedule.early_stopping={patience: 1, min_delta: 10.0}"
    _, rows, _ = fit(root, tmp_path / "whole", stopping)

    with suppress(KeyboardInterrupt, SystemExit):
        fit(root, tmp_path / "parts", stopping, steps=Steps(stop_at=13 + 8))
    _, other_rows, _ = fit(root, tmp_path / "parts", stopping)

    assert len(rows) == 2
    assert rows == other_rows


def write_checkpoint(file, moment):
    torch.save({"moment": moment}, file)
    os.utime(file, (moment, moment))
    return file


def test_a_checkpoint_within_an_epoch_is_for_as_many_processes(tmp_path):
    assert find_state(tmp_path, num_processes=1) is None

    write_checkpoint(tmp_path / "best.ckpt", 50)
    last = write_checkpoint(tmp_path / "last.ckpt", 100)
    within = write_checkpoint(tmp_path / "within-epoch-2.ckpt", 200)
    assert find_state(tmp_path, num_processes=1) == last
    assert find_state(tmp_path, num_processes=2) == within

    write_checkpoint(last, 300)
    assert find_state(tmp_path, num_processes=2) == last


def cut_short(file):
    file.write_bytes(file.read_bytes()[:200])


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[content.index(b"moment") + 3] ^= 1
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_short, flip_a_byte, empty])
@pytest.mark.parametrize(
    ("damaged", "kept"),  # the first that is kept is taken
    [
        (["last.ckpt"], ["within-epoch-1.ckpt", "best.ckpt"]),
        (["last.ckpt", "within-epoch-1.ckpt"], ["best.ckpt"]),
        (["best.ckpt"], []),  # the result could come of it
    ],
    ids=["newest", "both", "best"],
)
def test_a_damaged_checkpoint_is_reported_and_an_older_one_taken(tmp_path, capsys, damage, damaged, kept):
    for name in ["best.ckpt", "within-epoch-1.ckpt", "last.ckpt"]:
        write_checkpoint(tmp_path / name, 100)
    for name in damaged:
        damage(tmp_path / name)

    state = find_state(tmp_path, num_processes=1)

    assert state == (tmp_path / kept[0] if kept else None)
    assert {file.name for file in tmp_path.iterdir()} == set(kept)
    (told,) = capsys.readouterr().out.splitlines()
    assert all(name in told for name in damaged)
    assert told.endswith(f"goes on from {kept[0]}, an older state" if kept else "begins anew")


def read_optimizer(checkpoint):
    return flatten_state(torch.load(checkpoint, weights_only=True))


def test_the_best_epochs_state_gives_the_same_numbers(root, tmp_path):
    rare = {"checkpoint_s": 300.0}
    network, rows, _ = fit(root, tmp_path / "whole", "schedule.max_epochs=6", **rare)
    with suppress(KeyboardInterrupt, SystemExit):
        fit(root, tmp_path / "parts", "schedule.max_epochs=6", steps=Steps(stop_at=4 * 13 + 4), **rare)
    best = torch.load(tmp_path / "parts" / "checkpoints" / "best.ckpt", weights_only=True)["epoch"]
    cut_short(tmp_path / "parts" / "checkpoints" / "last.ckpt")

    other, other_rows, resumed = fit(root, tmp_path / "parts", "schedule.max_epochs=6", **rare)

    assert resumed[0] == (best + 1) * 13 + 4
    assert same(network, other)
    assert rows == other_rows
    whole, parts = (read_optimizer(tmp_path / name / "checkpoints" / "best.ckpt") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() != set()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items()), "its digest is the bundle's, too"


@pytest.mark.parametrize("stopping", ["null", "{patience: 1, min_delta: 10.0}"], ids=["all epochs", "stopped early"])
def test_a_training_that_is_over_is_over(root, tmp_path, stopping):
    """Killed before its result was kept: no epoch is added."""
    network, rows, _ = fit(root, tmp_path, f"schedule.early_stopping={stopping}")

    other, other_rows, resumed = fit(root, tmp_path, f"schedule.early_stopping={stopping}")

    assert resumed == []
    assert same(network, other)
    assert rows == other_rows


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(root, tmp_path):
    """The system refuses more than so many bytes of a file, as a full disk does."""
    fit(root, tmp_path, "schedule.max_epochs=1", checkpoint_s=300.0)
    last = tmp_path / "checkpoints" / "last.ckpt"
    before, limits = last.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            fit(root, tmp_path, "schedule.max_epochs=4", checkpoint_s=300.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert raised.value.filename == str(tmp_path / "checkpoints" / "best.ckpt")
    assert last.read_bytes() == before
    assert {file.name for file in last.parent.iterdir()} == {"best.ckpt", "last.ckpt"}


def test_a_training_whose_best_epoch_is_gone_begins_anew(root, tmp_path):
    fit(root, tmp_path, "schedule.max_epochs=1", checkpoint_s=300.0)
    (tmp_path / "checkpoints" / "best.ckpt").unlink()

    assert find_state(tmp_path / "checkpoints", num_processes=1) is None


def test_nothing_is_written_within_an_epoch_that_is_short(root, tmp_path):
    fit(root, tmp_path, checkpoint_s=300.0)

    assert sorted(file.name for file in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


ALONE = """
import sys
from pathlib import Path
import torch
import test_resume
if __name__ == "__main__":
    torch.set_num_threads(1)
    root, folder, stop_at, signal_number, *overrides = sys.argv[1:]
    steps = test_resume.Steps(stop_at=int(stop_at), signal_number=int(signal_number) or None)
    network, _, _ = test_resume.fit(Path(root), Path(folder), *overrides, streamed=True, steps=steps)
    torch.save(network, Path(folder) / "network.pt")
"""


def fit_alone(root, folder, *overrides, stop_at=0, signal_number=0):
    """In a process of its own, from which others may be spawned; its exit code."""
    paths = [str(root / "tests" / "training"), str(root / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    arguments = [str(root), str(folder), str(stop_at), str(int(signal_number)), *overrides]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", ALONE, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=180).returncode


@pytest.mark.slow
def test_a_killed_process_loses_one_chunk(root, tmp_path):
    network, rows, seen = fit(root, tmp_path / "whole", streamed=True)

    assert fit_alone(root, tmp_path / "parts", stop_at=WITHIN, signal_number=signal.SIGKILL) == -signal.SIGKILL
    other, other_rows, resumed = fit(root, tmp_path / "parts", streamed=True)

    assert resumed == [step for step in seen if step >= WITHIN]
    assert same(network, other)
    assert rows == other_rows


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_processes_go_on_within_an_epoch_with_the_same_numbers(root, tmp_path):
    """Their shares of a batch differ in size, and so do the random numbers that dropout has drawn."""
    two = ("trainer=ddp", "schedule.batch_size=63")
    assert fit_alone(root, tmp_path / "whole", *two) == 0
    assert fit_alone(root, tmp_path / "parts", *two, stop_at=2 * 14 + 7, signal_number=signal.SIGKILL) != 0
    written = tmp_path / "parts" / "checkpoints" / "within-epoch-2.ckpt"
    assert torch.load(written, weights_only=True)["global_step"] == 2 * 14 + 4
    assert fit_alone(root, tmp_path / "parts", *two) == 0

    whole, parts = (torch.load(tmp_path / name / "network.pt") for name in ("whole", "parts"))
    assert same(whole, parts)
    histories = [read_metrics_log(tmp_path / name / "metrics.csv") for name in ("whole", "parts")]
    assert histories[0] == histories[1]
