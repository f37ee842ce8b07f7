"""The one learner: any network, any task."""

from __future__ import annotations

from typing import Any, cast

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from treadle.bundle import to_prediction
from treadle.experiment.build import build
from treadle.experiment.spec import Experiment
from treadle.metrics import EPSILON, compute_metrics
from treadle.schema import Batch, Task
from treadle.training.losses import Loss, TaskLoss

DECISION = 0.5  # threshold of accuracy and F1 while training; the verdict uses `evaluation.threshold`


class Learner(lightning.LightningModule):
    """Metrics come from the task; loss, network, optimizer and rates from the groups of their names."""

    def __init__(
        self,
        network: nn.Module,
        *,
        experiment: Experiment,
        num_steps: int,
        steps_per_epoch: int,
        target_mean: float,
        target_scale: float,
    ) -> None:
        super().__init__()
        self.network = network
        self.experiment = experiment
        self.task = experiment.data.task
        self.loss = build(experiment.loss.function, key="loss.function", targets=experiment.targets, task=self.task)
        self.num_steps = num_steps
        self.steps_per_epoch = steps_per_epoch
        self.target_mean = target_mean
        self.target_scale = target_scale
        self.gathered: list[tuple[Tensor, Tensor, Tensor]] = []
        self.train_losses: list[Tensor] = []
        self.epoch_metrics: dict[str, float] = {}  # of the last validation

    def configure_optimizers(self) -> Any:
        """Optimizer, with its rate set at each step to a factor of the configured one."""
        schedule, targets = self.experiment.schedule, self.experiment.targets
        node = {**schedule.optimizer, "_partial_": False}
        optimizer = build(node, key="schedule.optimizer", targets=targets, params=self.parameters())
        factor = build(schedule.lr_schedule, key="schedule.lr_schedule", targets=targets, num_steps=self.num_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Draw the dropout of an epoch from seed and epoch alone, so that a resumed run repeats it.

        `schedule.max_steps` may end the last epoch early; it is validated all the same.
        """
        if self.experiment.schedule.max_steps is not None:
            done = self.current_epoch * self.steps_per_epoch
            self.trainer.val_check_batch = min(self.steps_per_epoch, self.experiment.schedule.max_steps - done)
        torch.manual_seed(self.experiment.seed * 1_000_003 + self.current_epoch + 1)
        self.train_losses.clear()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The mean loss of the batch."""
        loss = compute_loss(self.network(batch.numeric, batch.ids), batch, loss=self.loss)
        self.train_losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep the predictions; they are judged together at the end of the epoch."""
        prediction = to_prediction(self.network(batch.numeric, batch.ids), task=self.task)
        self.gathered.append((prediction, batch.target, batch.weight))

    def on_validation_epoch_end(self) -> None:
        """Judge all rows of the validation split together."""
        parts = [torch.cat(part) for part in zip(*self.gathered, strict=True)]
        self.gathered.clear()
        if self.trainer.world_size > 1:
            parts = [cast("Tensor", self.all_gather(part)).flatten(0, 1) for part in parts]
        prediction, target, weight = parts
        loss = float(_prediction_loss(prediction, target, weight, loss=self.loss, task=self.task))
        if self.task == "regression":
            prediction = prediction * self.target_scale + self.target_mean
            target = target * self.target_scale + self.target_mean
        metrics = compute_metrics(task=self.task, prediction=prediction, target=target, threshold=DECISION)
        self.epoch_metrics = {"loss": loss, **metrics}
        monitor = self.experiment.schedule.monitor
        self.log(monitor, self.epoch_metrics[monitor], logger=False, prog_bar=True)


def compute_loss(output: Tensor, batch: Batch, *, loss: Loss) -> Tensor:
    """Mean over rows (by weight) and over the members of an ensemble.

    Args:
        output: `[B, out]` or `[B, k, out]`.
        batch: its target is standardised for a regression.
        loss: of each row.
    """
    num_rows, num_outputs = output.shape[0], output.shape[-1]
    members = output.reshape(num_rows, -1, num_outputs)
    target = batch.target[:, None].expand(-1, members.shape[1])
    each = loss(members.flatten(0, 1), target.flatten()).view_as(target)
    return (each.mean(dim=1) * batch.weight).sum() / batch.weight.sum().clamp(min=EPSILON)


def _prediction_loss(prediction: Tensor, target: Tensor, weight: Tensor, *, loss: Loss, task: Task) -> Tensor:
    """The same loss, of the prediction that the bundle will give: the best epoch is best at what was asked for."""
    if isinstance(loss, TaskLoss):
        each = loss.judge_prediction(prediction, target)
    else:
        each = loss(_to_output(prediction, task=task), target)
    return (each * weight).sum() / weight.sum().clamp(min=EPSILON)


def _to_output(prediction: Tensor, *, task: Task) -> Tensor:
    """An output `[B, out]` of which a network would give this prediction."""
    if task == "multiclass":
        return prediction.clamp(EPSILON, 1).log()
    values = prediction.clamp(EPSILON, 1 - EPSILON).logit() if task == "binary" else prediction
    return values[:, None]
