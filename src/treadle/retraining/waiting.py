"""Where the tables have no rows for the split of a moment: newer ones are waited for, or a person has to act."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from treadle.data.split import EmptySplitError
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration, parse_moment
from treadle.experiment.spec import Retrain, SplitRule, TimeSplit
from treadle.retraining.ledger import NEWEST, Decided
from treadle.retraining.split import find_known

_DAY = timedelta(days=1)
_TEST_PART, _VALID_PART = 4, 8  # of the days that there are, where shorter splits are proposed


def is_told(decided: Decided, last: Decided) -> bool:
    """Whether the ledger has it: the champion fails for the same reason, or newer rows are waited for still."""
    same = (decided.action, decided.champion, list(decided.reasons))
    is_same = same == (last.action, last.champion, list(last.reasons))
    return is_same and (decided.action == "stuck" or waits_still(last, decided))


def waits_still(last: Decided, now: Decided) -> bool:
    """Whether the newest rows are too old as before: the tables are the same, and all their rows were looked at."""
    newest = last.evidence.get(NEWEST)
    if newest is None or newest >= last.until:
        return False
    same = (last.bundle, last.evidence.get("data"), last.settings) == (now.champion, now.evidence["data"], now.settings)
    return same and last.until <= now.until


def wait_on(last: Decided, blank: Decided) -> Decided:
    """Wait for newer rows as before."""
    return replace(blank, reasons=last.reasons, evidence={**blank.evidence, NEWEST: last.evidence[NEWEST]})


def wait_for_rows(blank: Decided, error: EmptySplitError, *, split: SplitRule, settings: Retrain) -> Decided:
    """Decide nothing about a champion until newer rows come.

    Args:
        blank: the decision, without reasons.
        error: of the split.
        split: of the moment.
        settings: by which it was made.

    Raises:
        TreadleError: there is no champion yet, or newer rows alone would not help.
    """
    assert isinstance(split, TimeSplit), "required"
    if error.span is None:
        raise error
    newest = error.span[1]
    if blank.champion is None or "test" not in error.empty:
        raise _explain_lack(error, split, settings) from error
    why = f"no row with a label from {split.test_from} to {split.test_to}"
    if newest < parse_moment(split.test_from):
        known = f"the newest one with a label is of {newest:%Y-%m-%dT%H:%M}"
        why = f"no newer rows: {known}, before the newest {settings.block} (retrain.block)"
    return replace(blank, reasons=(why,), evidence={**blank.evidence, NEWEST: newest.isoformat()})


def _explain_lack(error: EmptySplitError, split: TimeSplit, settings: Retrain) -> TreadleError:
    valid = f"validation begins at {split.valid_from} (retrain.valid={settings.valid})"
    test = f"the test at {split.test_from} (retrain.block={settings.block}), which ends at {split.test_to}"
    return TreadleError(f"{error}; {valid}, {test}: {_find_fix(error, split, settings)}")


def _find_fix(error: EmptySplitError, split: TimeSplit, settings: Retrain) -> str:
    assert error.span is not None, "required"
    assert split.test_to is not None, "of a moment"
    first, newest = error.span
    gap, until = parse_duration(split.gap), parse_moment(split.test_to)
    if newest < parse_moment(split.test_from):
        return f"bring newer rows, or decide as of then by --now {find_known(newest + _DAY, -gap):%Y-%m-%d}"
    days = (min(until, newest) - first) // _DAY
    if parse_duration(settings.block) + parse_duration(settings.valid) + 2 * gap < days * _DAY:
        return "rows are missing in between; give them, or other lengths of retrain.block and retrain.valid"
    test, valid = days // _TEST_PART, days // _VALID_PART
    if not valid or (test + valid) * _DAY + 2 * gap >= days * _DAY:
        return "bring older rows, or wait for newer ones"
    return f"bring older rows, wait for newer ones, or type retrain.block={test}d retrain.valid={valid}d"
