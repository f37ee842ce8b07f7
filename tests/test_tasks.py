"""Every table by task has a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from treadle.evaluation.fairness import MEASURES
from treadle.metrics.registry import METRICS, find_task_metric
from treadle.schema import Task
from treadle.tasks import TRAITS, Activation


@pytest.mark.parametrize(("table", "keys"), [(TRAITS, Task), (METRICS, Task), (MEASURES, Activation)])
def test_a_table_has_a_row_for_each_task(table: Mapping[str, Any], keys: Any) -> None:
    assert set(table) == set(get_args(keys))


@pytest.mark.parametrize("task", get_args(Task))
def test_the_loss_of_a_task_is_one_of_its_metrics_and_the_lower_the_better(task: Task) -> None:
    metric = find_task_metric(task, TRAITS[task].loss_metric)

    assert metric is not None
    assert not metric.higher_is_better


@pytest.mark.parametrize("task", [task for task, traits in TRAITS.items() if traits.has_classes])
def test_the_columns_of_classes_tell_their_names(task: Task) -> None:
    traits = TRAITS[task]

    assert traits.read_names(traits.name_outputs(["late", "probability_of_rain"])) == ["late", "probability_of_rain"]
