"""Choose models by a rule (`model=auto`): the candidates that train within a budget of work, which are then blended.

The work is predicted from rows, inputs and a measured table of costs. No clock decides, so that an experiment trains
the same candidates on every machine; what each of them counts is decided by the validation split, once it is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from polars.exceptions import PolarsError

from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import (
    Blend,
    Candidate,
    Experiment,
    Member,
    ModelChoice,
    ModelRule,
    RandomFolds,
    Schedule,
    Trainer,
    format_work,
)
from treadle.model_choice.raw_inputs import find_features
from treadle.model_choice.sizes import Inputs, Rows, count_inputs, count_rows
from treadle.problems import ConfigError, Place, Problem

GROUP = "model"
NUM_CLASSES = 10  # assumed of a multiclass task: only the rows tell the true number


def choose_model(experiment: Experiment, *, root: Path, place: Place) -> Experiment:
    """The experiment with a model in place of its rule, a blend where several fit, and the record of the choice.

    Args:
        experiment: whose model is a rule.
        root: the project.
        place: of the rule.

    Raises:
        ConfigError: the examples' table cannot be read here.
    """
    rule = experiment.model
    assert isinstance(rule, ModelRule)
    try:
        rows = count_rows(experiment.data, root=root)
        inputs = {
            name: count_inputs(find_features(candidate, experiment), experiment.data, root=root)
            for name, candidate in rule.candidates.items()
        }
    except (TreadleError, PolarsError, OSError) as error:
        reason = f"the models cannot be chosen: {str(error).splitlines()[0]}"
        fix = "`dvc pull` fetches versioned data; or name a model, such as model=tabm"
        raise ConfigError([Problem(GROUP, reason, fix, place)]) from error
    folds = _count_folds(rule, experiment, rows)
    work = {
        name: (folds or 1) * predict(candidate, experiment, rows, inputs[name])
        for name, candidate in rule.candidates.items()
    }
    chosen, left_out = select(rule, work, num_rows=rows.train)
    record = ModelChoice(
        members={name: float(f"{work[name]:.2g}") for name in chosen},
        left_out=left_out,
        budget=rule.budget,
        predicted=float(f"{sum(work[name] for name in chosen):.2g}"),
        rows=rows.train,
        folds=folds or 1,
        source=rows.source,
    )
    members = {name: _take_member(rule.candidates[name]) for name in chosen}
    if len(members) > 1 or folds is not None:
        model = Blend(members=members, rounds=rule.rounds, folds="one" if folds is None else "all")
        return experiment.model_copy(update={"model": model, "model_choice": record})
    (member,) = members.values()
    return experiment.model_copy(update={**member.given, "model_choice": record})


def _count_folds(rule: ModelRule, experiment: Experiment, rows: Rows) -> int | None:
    """On how many folds each candidate is trained; None: on that of the experiment alone."""
    split = experiment.data.split
    schedules = (candidate.schedule or experiment.schedule for candidate in rule.candidates.values())
    is_refitted = any(schedule.refit != "none" for schedule in schedules)
    if rows.train >= rule.fold_rows or not isinstance(split, RandomFolds) or is_refitted:
        return None
    return split.num_folds


def _take_member(candidate: Candidate) -> Member:
    return Member(**{name: getattr(candidate, name) for name in Member.model_fields})


def find_over_budget(experiment: Experiment) -> Iterator[Problem]:
    """A warning if no candidate trains within the budget."""
    choice = experiment.model_choice
    if choice is not None and choice.predicted > parse_duration(choice.budget).total_seconds():
        cheapest, work = next(iter(choice.members)), format_work(choice.predicted)
        rule = f"no candidate trains within {choice.budget}: {cheapest}, the cheapest, takes {work}"
        yield Problem(f"{GROUP}.budget", rule, "raise model.budget, or lower schedule.max_epochs")


# --- work ---------------------------------------------------------------------------------------------


def predict(candidate: Candidate, experiment: Experiment, rows: Rows, inputs: Inputs) -> float:
    """The work of a training without early stopping, in time of a nominal core [seconds]."""
    cost = candidate.cost
    num_steps, rows_trained = count_work(candidate.schedule or experiment.schedule, experiment.trainer, rows)
    if cost.passes is not None:
        num_steps, rows_trained = round(cost.passes), round(cost.passes * rows.train)
    several = NUM_CLASSES if experiment.data.answer == "multiclass" else len(experiment.data.examples.labels)
    num_models = several if cost.per_class else 1
    per_row = cost.row + cost.input * (inputs.numbers + inputs.categories)
    return num_steps * cost.step + rows_trained * num_models * per_row


def count_work(schedule: Schedule, trainer: Trainer, rows: Rows) -> tuple[int, int]:
    """The numbers of steps, and of rows that they train on."""
    batches = trainer.overfit_batches
    train = rows.train if batches is None else batches * schedule.batch_size
    per_epoch = min(max(1, math.ceil(train / schedule.batch_size)), trainer.limit_batches or math.inf)
    num_steps = min(per_epoch * schedule.max_epochs, schedule.max_steps or math.inf)
    num_epochs = math.ceil(num_steps / per_epoch)
    return int(num_steps), int(min(num_steps * schedule.batch_size, num_epochs * train))


# --- choice -------------------------------------------------------------------------------------------


def select(rule: ModelRule, work: Mapping[str, float], *, num_rows: int) -> tuple[list[str], dict[str, str]]:
    """Which candidates fit the budget together, in their order; and the others, each with the reason.

    If none fits, the cheapest of those whose minimum of rows is met; if none is met, the first candidate.
    """
    limit = parse_duration(rule.budget).total_seconds()
    chosen: list[str] = []
    left_out: dict[str, str] = {}
    total = 0.0
    for name, candidate in rule.candidates.items():
        if candidate.min_rows > num_rows:
            left_out[name] = f"needs {candidate.min_rows:,} rows, there are {num_rows:,}"
        elif total + work[name] > limit:
            left_out[name] = f"would take {format_work(work[name])} more"
        else:
            chosen.append(name)
            total += work[name]
    if not chosen:
        wanted = [name for name, candidate in rule.candidates.items() if candidate.min_rows <= num_rows]
        chosen = [min(wanted, key=work.__getitem__, default=next(iter(rule.candidates)))]
        left_out.pop(chosen[0])
    return chosen, left_out
