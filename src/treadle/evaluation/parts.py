"""The parts of an evaluation: questions beyond the metrics, each one function of what was evaluated.

A part has a module here, a name, a template `pages/parts/<name>.html.jinja` for its section of the report, and a file
`evaluation/parts/<name>.json` with all that it found. Its headline numbers go to `evaluation/numbers.json`, which DVC
and W&B compare. What a part answers, checks read by `Evaluated.answers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from treadle.disk import write_json
from treadle.evaluation.behaviour import find_behaviour
from treadle.evaluation.by_label import find_by_label
from treadle.evaluation.calibration import find_calibration
from treadle.evaluation.conformal import find_coverage
from treadle.evaluation.cost import find_cost
from treadle.evaluation.evaluated import Answer, Evaluated
from treadle.evaluation.explanation import explain
from treadle.evaluation.fairness import find_fairness
from treadle.evaluation.horizon import find_horizon
from treadle.evaluation.quantiles import find_quantiles
from treadle.evaluation.questions import ask_data
from treadle.evaluation.slices import find_slices
from treadle.evaluation.value.find import find_value
from treadle.experiment.run_folder import RunFolder


class Part(NamedTuple):
    """One question to the evaluation."""

    name: str  # of its file and its template
    find: Callable[[Evaluated], Answer | None]  # None: it was not asked, or makes no sense for this experiment


PARTS = (  # in the order of the report
    Part("horizon", find_horizon),
    Part("quantiles", find_quantiles),
    Part("by_label", find_by_label),
    Part("slices", find_slices),
    Part("calibration", find_calibration),
    Part("fairness", find_fairness),
    Part("value", find_value),
    Part("explanation", explain),
    Part("conformal", find_coverage),
    Part("questions", ask_data),
    Part("behaviour", find_behaviour),
    Part("cost", find_cost),
)


def find_answers(evaluated: Evaluated) -> dict[str, Answer]:
    """The answer of each part that has one, in the order of the report."""
    found = ((part.name, part.find(evaluated)) for part in PARTS)
    return {name: answer for name, answer in found if answer is not None}


def write_answers(answers: Mapping[str, Answer], folder: RunFolder) -> None:
    """Write a file for each answer, and the headline numbers of all: `{part: {number: value}}`."""
    folder.parts.mkdir(parents=True, exist_ok=True)
    write_json(folder.numbers, {name: _without_nan(answer.to_numbers()) for name, answer in answers.items()})
    for part in PARTS:  # one without an answer has a file, too: DVC and a reader know that it was not forgotten
        answer = answers.get(part.name)
        write_json(folder.parts / f"{part.name}.json", {} if answer is None else answer.to_plain())


def _without_nan(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: a number that is not defined for these rows is null."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}
