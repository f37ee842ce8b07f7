"""Whole training steps as one graph: forward, loss, backward, clipping and optimizer, by `torch.compile`.

The numbers are those of `Steps`, but for the last bits: also dropout draws the same units, since random numbers are
left to torch's own generator. Three kinds of steps are taken eagerly: the first one of a training, in which the
optimizer makes its state; batches of another size, as the last one of an epoch is; and all of them from where
compiling fails.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from treadle.schema import Batch
from treadle.training.schedules import Factor
from treadle.training.snapshot import Snapshot
from treadle.training.steps import Steps, set_rates
from treadle.training.updates import Update, read_update

TABLE_STEPS = 256  # whose factors are computed at once
CHECKED_STEPS = {"cpu": 1, "cuda": 3}  # a CUDA graph is warmed up, recorded, replayed
MAX_GAPS = {False: (1e-4, 0.1), True: (2e-2, 0.5)}  # by whether it is bfloat16: see `_check`
LOSS_ROUNDING, WEIGHT_ROUNDING = 1e-3, 1e-6  # of a loss near 0, absolute; of weights that hardly change, relative

Graph = Callable[[Batch, Tensor], Tensor]


class CompiledSteps:
    """Training steps, compiled where that is possible.

    The first compiled steps are taken the eager way, too. Where the results differ by more than rounding, or where
    compiling fails for whatever reason, the eager result stands, and training goes on without the graph.

    Args:
        eager: takes the steps that are not compiled; `find_obstacle` has found none in its optimizer.
        num_rows: of the batches that are compiled for.
        buffers: what a step changes besides the weights.
        report: is called with the reason for which there is no graph.
    """

    def __init__(
        self, eager: Steps, *, num_rows: int, buffers: Iterable[Tensor], report: Callable[[str], None]
    ) -> None:
        self.eager = eager
        self.num_rows = num_rows
        self.buffers = list(buffers)
        self.report = report
        self.unchecked = CHECKED_STEPS.get(eager.parameters[0].device.type, 1)
        self.graph: Graph | None = None
        self.failed = False
        self.behind = 0  # steps that the optimizer has not counted yet

    def take(self, batch: Batch) -> Tensor:
        """Update the weights; return the loss before the update."""
        if self.failed or len(batch.target) != self.num_rows or self.eager.done == 0:
            self.settle()
            return self.eager.take(batch)
        if self.unchecked:
            return self._take_checked(batch)
        try:
            return self._run_graph(batch)
        except self.limit_error as error:  # raised before anything is computed
            self.settle()
            self._give_up(error)
            return self.eager.take(batch)

    def settle(self) -> None:
        """Bring the optimizer's counters and rates up to date."""
        if not self.behind:
            return
        if self.counters:
            torch._foreach_add_(self.counters, float(self.behind))
        set_rates(self.eager.optimizer, self.eager.factor(self.eager.done))
        self.behind = 0

    def _run_graph(self, batch: Batch) -> Tensor:
        assert self.graph is not None
        loss = self.graph(batch, self.table.read(self.eager.done))
        self.eager.done += 1
        self.behind += 1
        return loss

    def _take_checked(self, batch: Batch) -> Tensor:
        """Take the step both ways, and compare the compiled one with the eager one."""
        done, tensors = self.eager.done, self._list_tensors()
        before = Snapshot(tensors)
        eager_loss = self.eager.take(batch)
        after = Snapshot(tensors)
        before.restore()
        self.eager.done = done
        try:
            loss = self._run_first(batch)
            self._check((loss, eager_loss), before=before, after=after)
        except Exception as error:  # noqa: BLE001 - a compiler may raise anything
            self.eager.done, self.behind = done + 1, 0
            after.restore()
            self._give_up(error)
            return eager_loss
        self.unchecked -= 1
        self.settle()
        return loss

    def _run_first(self, batch: Batch) -> Tensor:
        if self.graph is not None:
            return self._run_graph(batch)
        from torch._dynamo import config  # costs seconds where it is not loaded yet
        from torch._dynamo.exc import FailOnRecompileLimitHit

        self.limit_error = FailOnRecompileLimitHit
        self._prepare()
        with config.patch(trace_autograd_ops=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's, of itself
            return self._run_graph(batch)

    def _prepare(self) -> None:
        """Find the optimizer's state, which the first step has made."""
        optimizer = self.eager.optimizer
        state = {weight: optimizer.state.get(weight, {}) for weight in self.eager.parameters}
        self.counters = [values["step"] for values in state.values() if "step" in values]
        counts = {int(counter) for counter in self.counters} or {self.eager.done}
        if len(counts) > 1:
            raise NotImplementedError("some weights have taken more steps than others")
        groups = [
            Group(read_update(optimizer, group), [(w, state[w]) for w in group["params"] if w.requires_grad])
            for group in optimizer.param_groups
        ]
        rates = [group["initial_lr"] for group in optimizer.param_groups]
        ahead = counts.pop() - self.eager.done
        device = self.eager.parameters[0].device
        self.table = Table(groups, rates, factor=self.eager.factor, ahead=ahead, device=device)
        if device.type == "cuda":  # a CUDA graph reads and writes where it did when it was recorded
            from torch._dynamo import mark_static_address

            for tensor in self._list_tensors():
                mark_static_address(tensor)
        self.graph = compile_graph(make_graph(self.eager, groups), device=device)

    def _list_tensors(self) -> list[Tensor]:
        """All tensors that a step changes."""
        states = self.eager.optimizer.state.values()
        own = [value for state in states for value in state.values() if isinstance(value, Tensor)]
        return [*self.eager.parameters, *own, *self.buffers]

    def _check(self, losses: tuple[Tensor, Tensor], *, before: Snapshot, after: Snapshot) -> None:
        """Compare the compiled step's loss and change of weights with those of the eager one.

        Gaps are relative: that of the change is a quotient of norms over all weights. It may be large, since Adam
        makes a step of full length of a gradient that is nothing but rounding.

        Raises:
            ArithmeticError: they differ by more than rounding.
        """
        weights = self.eager.parameters
        old, new = (snapshot.copies[: len(weights)] for snapshot in (before, after))
        change = _measure_distance(new, old) + WEIGHT_ROUNDING * float(nn.utils.get_total_norm(new))
        loss, eager_loss = map(float, losses)
        gaps = {
            "loss": abs(loss - eager_loss) / (abs(eager_loss) + LOSS_ROUNDING),
            "change of weights": _measure_distance(weights, new) / change,
        }
        for (what, gap), most in zip(gaps.items(), MAX_GAPS[self.eager.precision.is_bfloat16], strict=True):
            if not gap <= most:  # nor is a number that is none
                raise ArithmeticError(f"the first compiled step's {what} is off by {gap:.2g} of the eager one's")

    def _give_up(self, error: Exception) -> None:
        self.failed = True
        self.graph = None
        self.report(describe_failure(error))


def _measure_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return float(nn.utils.get_total_norm([x.detach() - y for x, y in zip(a, b, strict=True)]))


@dataclass(frozen=True)
class Group:
    """Weights that are updated alike, each with the optimizer's state."""

    update: Update
    weights: Sequence[tuple[Tensor, Mapping[str, Tensor]]]


class Table:
    """The factors that updates need at each step, computed for many steps at once, in 64 bits."""

    def __init__(
        self, groups: Sequence[Group], rates: Sequence[float], *, factor: Factor, ahead: int, device: torch.device
    ) -> None:
        self.groups = groups
        self.rates = rates
        self.factor = factor
        self.ahead = ahead  # by how much the optimizer's count exceeds ours
        self.device = device
        self.first = 0
        self.rows: tuple[Tensor, ...] = ()

    def read(self, done: int) -> Tensor:
        """The factors `[groups, factors]` of the step after `done` others."""
        index = done - self.first
        if not 0 <= index < len(self.rows):
            index, self.first = 0, done
            steps = range(done, done + TABLE_STEPS)
            table = torch.tensor([self._list_row(step) for step in steps], dtype=torch.float64)
            self.rows = table.to(torch.float32).to(self.device).unbind()
        return self.rows[index]

    def _list_row(self, done: int) -> list[tuple[float, ...]]:
        pairs = zip(self.groups, self.rates, strict=True)
        step = done + self.ahead + 1
        return [group.update.list_factors(rate=rate * self.factor(done), step=step) for group, rate in pairs]


def make_graph(eager: Steps, groups: Sequence[Group]) -> Graph:
    """The step as a function of a batch and the factors `[groups, factors]`; it changes weights and state in place."""
    network, find_loss, clip = eager.network, eager.loss, eager.clip
    device = eager.parameters[0].device.type
    weights = [weight for group in groups for weight, _ in group.weights]
    places = {weight: place for place, weight in enumerate(weights)}
    parts = [[places[weight] for weight in part if weight in places] for part in eager.clipped]

    def step(batch: Batch, factors: Tensor) -> Tensor:
        with torch.enable_grad():
            with torch.autocast(device, dtype=torch.bfloat16, enabled=eager.precision.is_bfloat16, cache_enabled=False):
                loss = find_loss(network(*batch.inputs), batch)
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            found: list[Tensor | None] = list(gradients)
            for part in parts:
                for place, gradient in zip(part, _clip([gradients[place] for place in part], clip), strict=True):
                    found[place] = gradient
            for group, row in zip(groups, factors.unbind(), strict=True):
                for (weight, state), gradient in zip(group.weights, found, strict=False):
                    if gradient is not None:
                        group.update.apply(weight, gradient, state=state, factors=row)
                found = found[len(group.weights) :]
        return loss.detach()

    return step


def _clip(gradients: Sequence[Tensor | None], clip: float | None) -> list[Tensor | None]:
    """As `torch.nn.utils.clip_grad_norm_`, and not in place."""
    if clip is None:
        return list(gradients)
    norm = nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None], foreach=False)
    share = (clip / (norm + 1e-6)).clamp(max=1.0)
    return [None if gradient is None else gradient * share for gradient in gradients]


def compile_graph(step: Graph, *, device: torch.device) -> Graph:
    """Compile for one shape, once: what would have to be compiled again is an error.

    On CUDA the graph is replayed as one launch ("reduce-overhead"), and its loss is copied before the next replay.
    Choices by timing are left out, which would make two runs differ.
    """
    on_cuda = device.type == "cuda"
    settings: dict[str, Any] = {
        "fullgraph": True,
        "dynamic": False,
        "recompile_limit": 1,
        "options": {"fallback_random": True, "deterministic": True, "triton.cudagraphs": on_cuda},
    }
    assert isinstance(step, FunctionType)
    step.__code__ = step.__code__.replace()  # graphs hang on it: of its own, it takes them along when training is over
    compiled: Graph = torch.compile(step, **settings)
    if not on_cuda:
        return compiled

    def replay(batch: Batch, factors: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return compiled(batch, factors).clone()

    return replay


def describe_failure(error: Exception) -> str:
    """One line of a compiler's message of many: the first, with the one that it announces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
