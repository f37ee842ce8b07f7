"""The learner: Lightning's module for any network and any task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import pytorch_lightning as lightning
import torch
from torch import Tensor, distributed, nn
from torchmetrics.utilities.distributed import gather_all_tensors

from treadle.bundle import to_prediction
from treadle.experiment.spec import Experiment
from treadle.metrics.own import build_metrics
from treadle.schema import Batch, TaughtBatch
from treadle.targets.build import build
from treadle.training.augmentation import Augment, MixedBatch
from treadle.training.compiled import CompiledSteps
from treadle.training.epochs import write_line
from treadle.training.execution import EAGER
from treadle.training.lightning_internals import add_steps, set_epoch_length
from treadle.training.loader import ChunkLoader
from treadle.training.losses import Loss, build_loss
from treadle.training.optimizer_state import NO_STATE, State, name_optimized, restore
from treadle.training.randomness import seed_generators
from treadle.training.scaling import Scaling, find_link
from treadle.training.scores import compute_scores
from treadle.training.steps import Steps, set_rates
from treadle.training.updates import find_obstacle


class Learner(lightning.LightningModule):
    """Metrics depend on the task; loss, network, optimizer and learning rate on the groups of their names."""

    def __init__(
        self,
        network: nn.Module,
        *,
        experiment: Experiment,
        num_steps: int,
        weighted: bool,
        scaling: Scaling,
        augment: Augment | None,
        state: State = NO_STATE,
    ) -> None:
        super().__init__()
        self.network = network
        self.experiment = experiment
        self.task = experiment.data.answer
        self.loss = build_loss(experiment)
        self.own_metrics = build_metrics(experiment)
        self.num_steps = num_steps
        self.weighted = weighted
        self.scaling = scaling
        self.augment = augment
        self.state = state  # with which the optimizer begins
        self.compute_loss = partial(self._choose_loss(), loss=self.loss, weighted=weighted)
        self.execution = EAGER
        self.automatic_optimization = False  # a step of Lightning's is a chunk of the schedule's
        self.report_step: Callable[[int], None] = _ignore  # is called after each step with the number of this epoch's
        self.gathered: list[tuple[Tensor, Tensor, Tensor]] = []
        self.train_losses: list[Tensor] = []
        self.epoch_metrics: dict[str, float] = {}  # of the last validation

    def _choose_loss(self) -> Callable[..., Tensor]:
        if self.experiment.loss.teacher is not None:
            return compute_taught_loss
        return compute_loss if self.augment is None else compute_mixed_loss

    def configure_optimizers(self) -> Any:
        """The optimizer; its rate is set at each step to a factor of the configured one."""
        schedule, targets = self.experiment.schedule, self.experiment.targets
        make = partial(build, schedule.optimizer, key="schedule.optimizer", targets=targets)
        optimizer = make(params=self.parameters())
        self.rates = build(schedule.lr_schedule, key="schedule.lr_schedule", targets=targets, num_steps=self.num_steps)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        if self.state:
            restore(self.state, self, optimizer, make=make)
        set_rates(optimizer, self.rates(0))
        return optimizer

    def on_train_start(self) -> None:
        """Build the steps, now that a checkpoint has restored the optimizer's state."""
        self.steps = self._make_steps()
        if self.global_rank == 0:
            for line in self.execution.list_lines(self.experiment):
                write_line(line)

    def _make_steps(self) -> Steps | CompiledSteps:
        eager = Steps(
            self.network,
            optimizer=self.trainer.optimizers[0],
            factor=self.rates,
            done=self.global_step,
            loss=self.compute_loss,
            clip=self.experiment.schedule.gradient_clip,
            strategy=self.trainer.strategy,
        )
        if self.execution.compile.value == "off":
            return eager
        obstacle = find_obstacle(eager.optimizer) if self.augment is None else "batches are mixed between steps"
        if obstacle is not None:
            self.execution = self.execution.without_graph(obstacle)
            return eager
        num_rows = self.experiment.schedule.batch_size
        return CompiledSteps(eager, num_rows=num_rows, buffers=self.buffers(), report=self._go_on_without_graph)

    def _go_on_without_graph(self, reason: str) -> None:
        self.execution = self.execution.without_graph(reason)
        write_line(f"compiling failed, and training goes on without it: {reason}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record with the weights how they were trained, and which of them the optimizer's state is of."""
        checkpoint["execution"] = self.execution.describe()
        checkpoint["optimized"] = name_optimized(self, self.trainer.optimizers[0])

    def on_train_epoch_start(self) -> None:
        """Draw the dropout of an epoch from seed and epoch alone, so that a resumed run repeats it.

        Within an epoch a resumed run restores torch's generator alone.

        `schedule.max_steps` may end the last epoch early; it is validated all the same.
        """
        set_epoch_length(self.trainer, len(cast("ChunkLoader", self.trainer.train_dataloader)))
        seed_generators(self.experiment.seed * 1_000_003 + self.current_epoch + 1)
        self.train_losses.clear()

    def training_step(self, batches: Iterator[Batch], _: int) -> None:
        """Take as many steps as there are batches. Lightning's own cost is paid once for all of them."""
        losses: list[Tensor] = []
        with torch.autocast(self.device.type, enabled=False):  # Lightning's spans the chunk; only forward wants it
            for batch in batches if self.augment is None else _mix(batches, self.augment):
                losses.append(self.steps.take(batch))
                self.report_step(len(self.train_losses) + len(losses))
        self.steps.settle()
        # In one piece of memory: thousands of small ones that stay would leave holes between the large ones that go.
        self.train_losses += torch.stack(losses).unbind()
        add_steps(self.trainer, len(losses))
        if self.trainer.progress_bar_callback is not None:
            self.log("train/loss", torch.stack(losses).mean(), logger=False, prog_bar=True, batch_size=1)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep the predictions; metrics are computed over all at the end of the epoch."""
        prediction = to_prediction(self.network(*batch.inputs), task=self.task, link=find_link(self.loss))
        self.gathered.append((prediction, batch.target, batch.weight))

    def on_validation_epoch_end(self) -> None:
        """Compute loss and metrics over all rows of the validation split."""
        parts = [torch.cat(part) for part in zip(*self.gathered, strict=True)]
        self.gathered.clear()
        if self.trainer.world_size > 1:
            parts = [torch.cat(gather_all_tensors(part)) for part in parts]  # one process may have a row more
        self.epoch_metrics = compute_scores(
            *parts, loss=self.loss, task=self.task, scaling=self.scaling, own=self.own_metrics
        )
        monitor = self.experiment.schedule.monitor
        self.log(monitor, self.epoch_metrics[monitor], logger=False, prog_bar=True)


def _mix(batches: Iterator[Batch], augment: Augment) -> Iterator[Batch]:
    """Augment each batch when it is taken. A step reads its inputs; the rest is read by the loss."""
    return cast("Iterator[Batch]", map(augment, batches))


def _ignore(_: int) -> None:
    pass


def compute_loss(output: Tensor, batch: Batch, *, loss: Loss, weighted: bool) -> Tensor:
    """Mean over rows (by weight) and over the members of an ensemble; 0 for a batch that weighs nothing.

    Args:
        output: `[B, out]` or `[B, k, out]`.
        batch: its target is standardised for a regression.
        loss: of each row.
        weighted: False: each weight is 1, which gives the same number faster.
    """
    return _average(_spread(output, batch.target, loss=loss), batch.weight, weighted=weighted)


def compute_taught_loss(output: Tensor, batch: TaughtBatch, *, loss: Any, weighted: bool) -> Tensor:
    """The same of a loss that learns from a teacher, too."""
    return _average(_spread(output, batch.target, batch.taught, loss=loss.learn), batch.weight, weighted=weighted)


def _spread(output: Tensor, *targets: Tensor, loss: Callable[..., Tensor]) -> Tensor:
    """The loss of each row `[B]`, of an ensemble the mean over its members, each of which has the row's targets."""
    if output.ndim == 2:  # noqa: PLR2004 - see the shapes
        return loss(output, *targets)
    num_rows, num_members, _ = output.shape
    each = [target[:, None].expand(-1, num_members, *target.shape[1:]).flatten(0, 1) for target in targets]
    return loss(output.flatten(0, 1), *each).view(num_rows, num_members).mean(dim=1)


def _average(each: Tensor, weight: Tensor, *, weighted: bool) -> Tensor:
    if not weighted:
        return each.mean()
    total = _share_among_processes(weight.sum())
    return (each * weight).sum() / torch.where(total > 0, total, 1.0)


def _share_among_processes(total: Tensor) -> Tensor:
    """The mean over the processes, whose gradients are averaged: so that a row weighs the same in each of them."""
    if not distributed.is_available() or not distributed.is_initialized():
        return total
    shared = total.detach().clone()
    distributed.all_reduce(shared)
    return shared / distributed.get_world_size()


def compute_mixed_loss(output: Tensor, batch: Batch | MixedBatch, *, loss: Loss, weighted: bool) -> Tensor:
    """The same for a batch that an augmentation gave: each row's loss is the mean, by share, over both its targets."""
    own = compute_loss(output, batch.own, loss=loss, weighted=weighted)
    if isinstance(batch, Batch):
        return own
    return batch.share * own + (1 - batch.share) * compute_loss(output, batch.partner, loss=loss, weighted=weighted)
