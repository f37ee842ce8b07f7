"""What an evaluation comes to, in one sentence each: the decision, and the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from treadle.evaluation.evaluated import MODEL, Results
from treadle.evaluation.uncertainty import Uncertainty
from treadle.experiment.spec import Experiment
from treadle.metrics.registry import find_metric, write_score
from treadle.outcomes import Finding


class Decision(NamedTuple):
    """Whether the checks let a run be promoted; the gate compares it with the champion besides."""

    state: Literal["pass", "fail", "unasked"]
    sentence: str


def decide(checks: Sequence[Finding]) -> Decision:
    """The checks' verdict.

    >>> decide([]).state
    'unasked'
    """
    if not checks:
        return Decision("unasked", "Nothing was asked of this model: evaluation.checks is empty.")
    if blockers := list(dict.fromkeys(check.title for check in checks if check.blocks)):
        return Decision("fail", f"The gate would refuse this model: {_join(blockers)}.")
    warnings = sum(check.severity == "warning" and check.outcome.state == "fail" for check in checks)
    told = {0: "", 1: "; one warning is worth reading"}.get(warnings, f"; {warnings} warnings are worth reading")
    return Decision("pass", f"No check stands in the way of this model{told}.")


def _join(titles: Sequence[str]) -> str:
    """Titles of failed checks, as what does not hold.

    >>> _join(["Parity", "Numbers"])
    '“Parity” and “Numbers” failed'
    """
    quoted = [f"“{title}”" for title in titles]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]} failed" if len(quoted) > 1 else f"{quoted[0]} failed"


def conclude(results: Results, experiment: Experiment, *, num_rows: int, uncertainty: Uncertainty | None = None) -> str:
    """The result in one sentence: the model by the experiment's metric, beside the best baseline."""
    metric = find_metric(experiment, experiment.evaluation.metric)
    assert metric is not None, "the check has verified evaluation.metric"
    own = results[MODEL][metric.name]
    if not math.isfinite(own):
        return f"{metric.title} is not defined on the {num_rows:,} test rows."
    sentence = f"{metric.title} {write_score(own)} on {num_rows:,} test rows"
    others = {name: values[metric.name] for name, values in results.items() if name != MODEL}
    best = metric.find_best(others.values())
    if best is None:
        return f"{sentence}."
    name = next(name for name, value in others.items() if value == best)
    gain = own - best if metric.higher_is_better else best - own
    relation = "better than" if gain > 0 else "worse than" if gain < 0 else "the same as"
    size = f"{write_score(abs(gain))} " if gain else ""
    noise = _write_noise(uncertainty, name, metric.name) if gain else ""
    return f"{sentence}: {size}{relation} the best baseline, {name.replace('_', ' ')} ({write_score(best)}){noise}."


def _write_noise(uncertainty: Uncertainty | None, baseline: str, metric: str) -> str:
    """Whether the difference to the baseline may be chance."""
    found = None if uncertainty is None else uncertainty.differences[baseline].get(metric)
    if found is None:
        return ""
    return ", which is beyond noise" if found.excludes_zero else ", which is within noise"
