"""Choose a model by a rule (`model=auto`): the last of its candidates that trains within a time budget.

The training time is predicted from rows, inputs, the declared costs of models and the declared speed of a nominal
device. Nothing is measured, so that an experiment chooses the same model on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from polars.exceptions import PolarsError

from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Experiment, ModelChoice, Rung, Speed
from treadle.model_choice.ladder import GROUP, Ladder, complete, find_cost
from treadle.model_choice.sizes import Inputs, Rows, count_inputs, count_rows
from treadle.problems import ConfigError, Problem

BACKWARD = 2  # cost of a backward pass, in forward passes
NUM_CLASSES = 10  # assumed of a multiclass task: only the rows tell the true number


@dataclass(frozen=True)
class Candidate:
    """A candidate of the rule, and its predicted training time on the nominal device."""

    rung: Rung
    node: dict[str, Any]
    seconds: float

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value}" for name, value in self.rung.set.items())
        return f"{self.rung.option} ({values})" if values else self.rung.option


def choose_model(experiment: Experiment, ladder: Ladder) -> Experiment:
    """The experiment with a network in place of its rule, and the record of the choice.

    Raises:
        ConfigError: the examples' table cannot be read here.
    """
    composed, rule = ladder.composed, ladder.rule
    try:
        rows = count_rows(experiment.data, root=composed.root)
        inputs = count_inputs(experiment.features, experiment.data, root=composed.root)
    except (TreadleError, PolarsError, OSError) as error:
        reason = f"the model cannot be chosen: {str(error).splitlines()[0]}"
        fix = "`dvc pull` fetches versioned data; or name a model, such as model=tabm"
        raise ConfigError([Problem(GROUP, reason, fix, composed.locate(GROUP))]) from error
    nodes = [(rung, ladder.make(rung)) for rung in rule.ladder]
    device: Literal["cpu", "gpu"] = "gpu" if experiment.trainer.accelerator == "gpu" else "cpu"
    speed = rule.speeds.gpu if device == "gpu" else rule.speeds.cpu
    candidates = [Candidate(rung, node, predict(node, experiment, rows, inputs, speed)) for rung, node in nodes]
    chosen, why = select(candidates, num_rows=rows.train, budget=rule.budget)
    record = ModelChoice(
        option=chosen.rung.option,
        set=chosen.rung.set,
        why=why,
        budget=rule.budget,
        predicted=float(f"{chosen.seconds:.2g}"),
        device=device,
        rows=rows.train,
        source=rows.source,
        numbers=inputs.numbers,
        categories=inputs.categories,
    )
    return experiment.model_copy(update={"model": chosen.node, "model_choice": record})


def find_over_budget(experiment: Experiment) -> Iterator[Problem]:
    """A warning if no candidate trains within the budget."""
    choice = experiment.model_choice
    if choice is not None and choice.predicted > parse_duration(choice.budget).total_seconds():
        time = format_seconds(choice.predicted)
        rule = f"no candidate trains within {choice.budget}: {choice.option}, the fastest, takes {time}"
        yield Problem(f"{GROUP}.budget", rule, "raise model.budget, or lower schedule.max_epochs")


# --- time ---------------------------------------------------------------------------------------------


def predict(node: dict[str, Any], experiment: Experiment, rows: Rows, inputs: Inputs, speed: Speed) -> float:
    """The training time of a network on a nominal device, without early stopping [seconds].

    Several devices share the rows of a step; one thread each is assumed.
    """
    sizes = {
        "num_numeric": inputs.numbers,
        "num_categories": inputs.categories,
        "num_words": inputs.words,
        "num_outputs": NUM_CLASSES if experiment.data.task == "multiclass" else 1,
    }
    cost = find_cost(node)
    assert cost is not None, "check_ladder refuses a rung without one"
    work = cost.measure({**complete(node), **sizes})
    forward = work.products / speed.products + work.values / speed.values
    num_steps, rows_trained, rows_validated = count_work(experiment, rows)
    share = 1 / experiment.trainer.num_processes
    return num_steps * speed.step + share * forward * ((1 + BACKWARD) * rows_trained + rows_validated)


def count_work(experiment: Experiment, rows: Rows) -> tuple[int, int, int]:
    """The numbers of steps, of rows that they train on, and of rows that are validated after epochs."""
    schedule, trainer = experiment.schedule, experiment.trainer
    batches = trainer.overfit_batches
    train, valid = (rows.train, rows.valid) if batches is None else (batches * schedule.batch_size,) * 2
    per_epoch = min(max(1, math.ceil(train / schedule.batch_size)), trainer.limit_batches or math.inf)
    num_steps = min(per_epoch * schedule.max_epochs, schedule.max_steps or math.inf)
    num_epochs = math.ceil(num_steps / per_epoch)
    rows_trained = min(num_steps * schedule.batch_size, num_epochs * train)
    return int(num_steps), int(rows_trained), num_epochs * valid


# --- choice -------------------------------------------------------------------------------------------


def select(candidates: Sequence[Candidate], *, num_rows: int, budget: str) -> tuple[Candidate, str]:
    """The last candidate whose minimum of rows is met and that fits into the budget, and why.

    If none fits, the fastest of those whose minimum is met; if none is met, the first candidate.
    """
    limit = parse_duration(budget).total_seconds()
    wanted = [c for c in candidates if c.rung.min_rows <= num_rows] or list(candidates[:1])
    fitting = [c for c in wanted if c.seconds <= limit]
    if not fitting:
        chosen = min(wanted, key=lambda candidate: candidate.seconds)
        return chosen, f"the fastest: none trains within {budget}, this one in {format_seconds(chosen.seconds)}"
    chosen = fitting[-1]
    later = candidates[candidates.index(chosen) + 1 :]
    why = f"the last of {len(candidates)} candidates that trains within {budget}: in {format_seconds(chosen.seconds)}"
    return chosen, "; ".join([why, *_explain_next(later, num_rows)])


def _explain_next(later: Sequence[Candidate], num_rows: int) -> list[str]:
    """What the next candidate would need."""
    if not later:
        return ["no later candidate"]
    following = later[0]
    if following.rung.min_rows > num_rows:
        return [f"{following} needs {following.rung.min_rows:,} rows, there are {num_rows:,}"]
    return [f"{following} would take {format_seconds(following.seconds)}"]


def format_seconds(seconds: float) -> str:
    """A duration in two digits: `0.4 s`, `38 s`, `6.2 min`, `3.1 h`."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{_round(seconds / size)} {unit}"
    return f"{_round(seconds)} s"


def _round(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:g}" if rounded < 1e6 else f"{rounded:,.0f}"  # noqa: PLR2004 - above, %g writes exponents
