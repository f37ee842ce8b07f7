"""Choose a model by a rule (`model=auto`): the last rung of a ladder that trains within a budget of time.

The time is predicted from rows, inputs, stated costs and the stated speed of a nominal device, and nothing is timed:
an experiment chooses the same on every machine.
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

BACKWARD = 2  # the way back, in ways forward
NUM_CLASSES = 10  # of a multiclass task: how many there are stands in the rows


@dataclass(frozen=True)
class Candidate:
    """A rung and what its training takes on the nominal device."""

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
        said = f"the model cannot be chosen: {str(error).splitlines()[0]}"
        fix = "`dvc pull` fetches versioned data; or name a model, such as model=tabm"
        raise ConfigError([Problem(GROUP, said, fix, composed.locate(GROUP))]) from error
    nodes = [(rung, ladder.make(rung)) for rung in rule.ladder]
    device: Literal["cpu", "gpu"] = "gpu" if experiment.trainer.accelerator == "gpu" else "cpu"
    speed = rule.speeds.gpu if device == "gpu" else rule.speeds.cpu
    candidates = [Candidate(rung, node, predict(node, experiment, rows, inputs, speed)) for rung, node in nodes]
    chosen, why = take(candidates, num_rows=rows.train, budget=rule.budget)
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


def find_excess(experiment: Experiment) -> Iterator[Problem]:
    """A word where no rung trains within the budget."""
    choice = experiment.model_choice
    if choice is not None and choice.predicted > parse_duration(choice.budget).total_seconds():
        said = f"no rung trains within {choice.budget}: {choice.option}, the cheapest, takes {tell(choice.predicted)}"
        yield Problem(f"{GROUP}.budget", said, "raise model.budget, or lower schedule.max_epochs")


# --- time ---------------------------------------------------------------------------------------------


def predict(node: dict[str, Any], experiment: Experiment, rows: Rows, inputs: Inputs, speed: Speed) -> float:
    """What the training of a network takes on a nominal device, if early stopping spares no epoch [seconds].

    Several devices share the rows of a step; more threads than one are not counted on.
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
    num_steps, rows_trained, rows_judged = count_work(experiment, rows)
    share = 1 / experiment.trainer.num_processes
    return num_steps * speed.step + share * forward * ((1 + BACKWARD) * rows_trained + rows_judged)


def count_work(experiment: Experiment, rows: Rows) -> tuple[int, int, int]:
    """Steps, rows that they train on, and rows that are judged after epochs."""
    schedule, trainer = experiment.schedule, experiment.trainer
    batches = trainer.overfit_batches
    train, valid = (rows.train, rows.valid) if batches is None else (batches * schedule.batch_size,) * 2
    per_epoch = min(max(1, math.ceil(train / schedule.batch_size)), trainer.limit_batches or math.inf)
    num_steps = min(per_epoch * schedule.max_epochs, schedule.max_steps or math.inf)
    num_epochs = math.ceil(num_steps / per_epoch)
    rows_trained = min(num_steps * schedule.batch_size, num_epochs * train)
    return int(num_steps), int(rows_trained), num_epochs * valid


# --- verdict ------------------------------------------------------------------------------------------


def take(candidates: Sequence[Candidate], *, num_rows: int, budget: str) -> tuple[Candidate, str]:
    """The last candidate that has its rows and fits into the budget, and why.

    Where none fits it is the cheapest of those that have their rows; where none has them, the first.
    """
    limit = parse_duration(budget).total_seconds()
    wanted = [c for c in candidates if c.rung.min_rows <= num_rows] or list(candidates[:1])
    fitting = [c for c in wanted if c.seconds <= limit]
    if not fitting:
        chosen = min(wanted, key=lambda candidate: candidate.seconds)
        return chosen, f"the cheapest: none trains within {budget}, this one in {tell(chosen.seconds)}"
    chosen = fitting[-1]
    later = candidates[candidates.index(chosen) + 1 :]
    why = f"the last of {len(candidates)} rungs that trains within {budget}: in {tell(chosen.seconds)}"
    return chosen, "; ".join([why, *_tell_passed_over(later, num_rows)])


def _tell_passed_over(later: Sequence[Candidate], num_rows: int) -> list[str]:
    """What the next rung would need."""
    if not later:
        return ["no rung is dearer"]
    following = later[0]
    if following.rung.min_rows > num_rows:
        return [f"{following} wants {following.rung.min_rows:,} rows, {num_rows:,} are here"]
    return [f"{following} would take {tell(following.seconds)}"]


def tell(seconds: float) -> str:
    """A time in two digits: `0.4 s`, `38 s`, `6.2 min`, `3.1 h`."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{_round(seconds / size)} {unit}"
    return f"{_round(seconds)} s"


def _round(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:g}" if rounded < 1e6 else f"{rounded:,.0f}"  # noqa: PLR2004 - where %g turns to exponents
