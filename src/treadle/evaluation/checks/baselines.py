"""Whether the model is better than what needs no model, or only a simple one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from treadle.evaluation.comparison import Candidate, compare_predictions
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.metrics.registry import write_score
from treadle.outcomes import Outcome, judge, not_applicable


def beat_baselines(
    evaluated: Evaluated,
    *,
    baselines: list[Literal["prior", "linear", "gradient_boosting", "last_value", "seasonal", "drift", "champion"]],
) -> Outcome:
    """The model is better than its baselines beyond noise.

    By `evaluation.metric` on the same test rows; the interval of the difference is a bootstrap over blocks of rows that
    hang together.

    Args:
        evaluated: given by Treadle.
        baselines: with which it is compared, as far as `evaluation.baselines`, `evaluation.naive` and
            `evaluation.champion` have them.
    """
    present = [name for name in baselines if name in evaluated.predictions]
    if not present:
        return not_applicable(f"The evaluation has none of {', '.join(baselines)}.")
    found: dict[str, Mapping[str, Any]] = {}
    sentences = []
    for name in present:
        model, baseline = (
            Candidate(evaluated.predictions[one].numpy(), evaluated.thresholds.get(one, ())) for one in (MODEL, name)
        )
        compared = compare_predictions(
            model,
            baseline,
            target=evaluated.target.numpy(),
            blocks=evaluated.blocks,
            experiment=evaluated.experiment,
        )
        if compared is None:
            return not_applicable("There are too few blocks of test rows for an interval.")
        found[name] = compared.to_plain()
        relation = "better than" if compared.is_better else "not better than"
        bounds = f"{write_score(compared.gain.low)} to {write_score(compared.gain.high)}"
        sentences.append(f"{relation} {name.replace('_', ' ')} (gain {bounds})")
    holds = all(one["better"] for one in found.values())
    sentence = f"Beyond noise, the model is {'; '.join(sentences)}."
    return judge(sentence, holds=holds, **found)
