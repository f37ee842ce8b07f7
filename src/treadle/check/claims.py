"""Check the claims of the model card."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.experiment.spec import Experiment
from treadle.hints import nearest
from treadle.metrics.registry import list_metrics
from treadle.problems import Problem


def check_claims(experiment: Experiment) -> Iterator[Problem]:
    """Each is about a number that the evaluation writes."""
    names = [metric.name for metric in list_metrics(experiment)]
    slices = experiment.evaluation.slices
    for place, claim in enumerate(experiment.card.claims):
        key = f"card.claims.{place}"
        is_of_part = "." in claim.metric
        if not is_of_part and claim.metric not in names:
            rule = f"{claim.metric!r} is no metric of the test split, nor the `<part>.<number>` of a part"
            yield Problem(f"{key}.metric", rule, hint=nearest(claim.metric, names))
        if claim.slice is None:
            continue
        if is_of_part:
            yield Problem(f"{key}.slice", "the number of a part is of the whole test split", "remove the slice")
        elif slices is None:
            yield Problem(f"{key}.slice", "evaluation.slices is null", "declare the slices in evaluation.slices")
