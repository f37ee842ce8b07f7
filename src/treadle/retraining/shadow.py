"""The trial of a challenger: asked beside the champion on live rows, until there is a verdict or its time is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from treadle.champions.ledger import History
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration, parse_moment
from treadle.experiment.spec.retrain import Shadow
from treadle.retraining.ledger import CHALLENGER, TRIAL, Decided
from treadle.rollout.trial import Trial, judge


def judge_trial(blank: Decided, history: History, settings: Shadow, *, log: Path, now: datetime, root: Path) -> Decided:
    """What becomes of the challenger: promoted, stopped, or still on trial.

    Args:
        blank: the decision, without an outcome.
        history: of the champions, with a challenger.
        settings: of the trial.
        log: folder of `serving.log` of the server that asks the challenger.
        now: moment of the decision.
        root: the project.
    """
    begun = history.decisions[-1]
    is_over = now - parse_moment(begun.time) >= parse_duration(settings.longest)
    trial, missing = _find(history, settings, log=log, now=now, root=root)
    sentence = f"in the shadow: {missing if trial is None else trial.evidence.sentence}"
    shown = {} if trial is None else trial.evidence.to_plain()
    evidence = {**blank.evidence, CHALLENGER: history.challenger, TRIAL: shown}
    decided = replace(blank, evidence=evidence, run=str(begun.evidence["run"]), sentence=sentence)
    promoted = replace(decided, action="promote", bundle=history.challenger)
    stopped = replace(decided, action="stop")
    if trial is not None and trial.evidence.verdict == "better":
        return replace(promoted, reasons=("the challenger is better on live rows",))
    if trial is not None and trial.evidence.verdict == "worse":
        return replace(stopped, reasons=("the challenger is worse on live rows",))
    if not is_over:
        return replace(decided, action="nothing", reasons=(f"on trial since {begun.time[:16]}",))
    late = f"no verdict in {settings.longest}"
    if trial is None or not trial.evidence.days:  # nothing was seen of it: the server may not ask it at all
        return replace(stopped, reasons=(f"{late}, and no day of live rows with labels",))
    if settings.otherwise == "promote":
        return replace(promoted, reasons=(f"{late}: the gate's word counts",))
    return replace(stopped, reasons=(f"{late}: the champion stays",))


def _find(history: History, settings: Shadow, *, log: Path, now: datetime, root: Path) -> tuple[Trial | None, str]:
    """The trial; or none, and why there is no evidence yet."""
    alpha, min_share = settings.alpha, settings.min_labels
    try:
        found = judge(history, log=log, alpha=alpha, min_share=min_share, root=root, kind="shadow", now=now)
    except TreadleError as error:
        return None, f"not yet: {error}"
    return found, ""
