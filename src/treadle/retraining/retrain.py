"""Retrain: look at the champion, decide by the rules, train, ask the gate, promote or go back; and write it down.

Every step can be made again: runs are kept by the cache of stages, and a decision that stands in the ledger is not made
twice. So the command may be called every hour, and may be killed at any moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from treadle.champions.bundles import CHAMPION
from treadle.champions.chain import Chain
from treadle.champions.ledger import History, read_history
from treadle.check.checks import check
from treadle.check.resolve import freeze
from treadle.config.compose import compose
from treadle.config.overrides import key_of
from treadle.data.split import EmptySplitError
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.fingerprint import digest
from treadle.experiment.identity import fingerprint_data
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment, Retrain
from treadle.gate.decide import IncomparableError, ask_gate
from treadle.pipeline import run
from treadle.pipeline.locks import try_lock
from treadle.replay.policies import Skill
from treadle.replay.replay import declare as declare_replay
from treadle.replay.replay import make as make_replay
from treadle.retraining.alarms import read_alarms
from treadle.retraining.champion import Judged, UnpredictableError
from treadle.retraining.completion import complete
from treadle.retraining.composition import ANEW, OPTIMIZER, compose_retraining
from treadle.retraining.data_version import take_newest
from treadle.retraining.ledger import (
    CHALLENGER,
    LOST,
    Decided,
    find_last_training,
    find_training,
    name_lock,
    read_decisions,
    read_time,
    record,
)
from treadle.retraining.rollback import Champions, find_champions, judge_by_log, judge_by_rows
from treadle.retraining.rules import Choice, Evidence, choose
from treadle.retraining.shadow import judge_trial
from treadle.retraining.split import find_known, move_split, require_fitting
from treadle.retraining.waiting import is_told, wait_for_rows, wait_on, waits_still
from treadle.rollout.hindsight import Hindsight

Notify = Callable[[str], None]
_BEGINNINGS = ("schedule.start_from", OPTIMIZER, "features.start_from")  # keys of what training begins with
_LAST = "evaluate"  # the stage that the gate needs
_SHOWN = 12  # characters of a digest


@dataclass(frozen=True)
class Occasion:
    """A moment at which it is decided."""

    now: datetime
    until: datetime  # the rows before it have labels by now
    experiment: Experiment  # with the split moved: the newest rows with labels are its test split
    resolved: Resolved
    settings: Retrain
    overrides: Sequence[str]
    root: Path
    log: Path  # of the server of the champion
    findings: Path | None  # of monitoring, in place of the files that rules name; None: those
    is_one_of_many: bool  # whether it is decided at other moments by the same data, which share their examples then
    version: Mapping[str, Any] | None  # of the data, where `retrain.version` has brought them to their newest one

    @property
    def name(self) -> str:
        """Of the model."""
        return self.experiment.name

    @property
    def digest(self) -> str:
        """Of the rules."""
        return digest_rules(self.settings)


def digest_rules(settings: Retrain) -> str:
    """Of the section `retrain`."""
    rules = settings.model_dump(mode="json")
    for key in ("shadow", "version"):  # as before there were these keys
        if rules[key] is None:
            del rules[key]
    return digest(json.dumps(rules, sort_keys=True))


def declare(
    overrides: Sequence[str],
    *,
    now: datetime,
    root: Path,
    is_one_of_many: bool,
    log: Path | None = None,
    findings: Path | None = None,
    takes_version: bool = False,
) -> Occasion:
    """Compose and check; the split is moved to the moment.

    Args:
        overrides: of the experiment.
        now: as the others, see `Occasion`.
        root: the project.
        is_one_of_many: see there.
        log: see there; None: that of `retrain.log`.
        findings: see there.
        takes_version: whether the data are brought to their newest version, by `retrain.version`: before the check,
            which reads them.

    Raises:
        ConfigError: with every problem at once.
        TreadleError: DVC fails.
    """
    given, composed = compose_retraining(overrides, root=root)
    version = take_newest(composed, root=root) if takes_version else None
    experiment = check(composed)
    split, settings = require_fitting(experiment)
    until = find_known(now, parse_duration(split.gap))
    moved = move_split(split, settings, test=(until - parse_duration(settings.block), until))
    composed = compose(overrides=[*given, moved], root=root)
    experiment = check(composed)
    assert isinstance(experiment, Experiment), "required"
    resolved = freeze(experiment, question=composed.question)
    log = root / settings.log if log is None else log
    return Occasion(now, until, experiment, resolved, settings, given, root, log, findings, is_one_of_many, version)


def retrain(occasion: Occasion, *, dry: bool, notify: Notify) -> Decided | None:
    """Decide, write it down, and act; None where nothing is new since the last decision, or another process decides.

    Where a person has to decide (`stuck`), that is written down once.

    Args:
        occasion: of the decision.
        dry: whether nothing is trained, promoted or written; the rows are looked at.
        notify: prints each line of progress.

    Raises:
        TreadleError: a later decision stands in the ledger.
    """
    root = occasion.root
    with try_lock(name_lock(occasion.name, root=root)) as is_free:
        if not is_free:
            notify(f"another process decides about {occasion.name}")
            return None
        if not dry:
            _complete(occasion)
        chain, history = read_decisions(occasion.name, root=root), read_history(occasion.name, root=root)
        if not dry:
            _require_later(occasion, chain)
        data = fingerprint_data(occasion.resolved, root=root)
        key = (occasion.until.isoformat(), history.champion, data, occasion.digest)
        if chain.items and chain.items[-1].key == key:
            notify(f"nothing is new since {chain.items[-1].time}: {chain.items[-1].action}")
            return None
        goes_back = occasion.settings.rollback
        champions = find_champions(history, experiment=occasion.experiment, goes_back=goes_back, root=root)
        if champions.lost is not None and not (chain.items and chain.items[-1].evidence.get(LOST) == champions.lost):
            notify(champions.lost)
        decided = _decide(occasion, chain, history, champions, data=data, dry=dry, notify=notify)
        shown = {"version": occasion.version, LOST: champions.lost}
        told = {key: value for key, value in shown.items() if value is not None}
        decided = replace(decided, evidence={**decided.evidence, **told})
        if chain.items and is_told(decided, chain.items[-1]) and not occasion.is_one_of_many:
            notify(f"nothing is new since {chain.items[-1].time}: {decided.describe()}")
            return None
        if not dry:
            record(chain, decided)  # before it is done: what is interrupted is finished by the next call
            _complete(occasion)
        return decided


def finish(occasion: Occasion) -> None:
    """Do what a kill left undone of the last decision; nothing else is decided."""
    with try_lock(name_lock(occasion.name, root=occasion.root)) as is_free:
        if is_free:
            _complete(occasion)


def _complete(occasion: Occasion) -> None:
    """A simulation, which decides at many moments, tells no registry of its champions."""
    chain = read_decisions(occasion.name, root=occasion.root)
    complete(chain, name=occasion.name, root=occasion.root, announces=not occasion.is_one_of_many)


def _require_later(occasion: Occasion, chain: Chain[Decided]) -> None:
    """A ledger is in the order of time: what a decision of the past changed would look newer than what came later."""
    if chain.items and occasion.now < read_time(chain.items[-1]):
        raise TreadleError(
            f"{chain.path} has a decision of {chain.items[-1].time}, which is after {occasion.now.isoformat()}; "
            "--dry-run says what would be done, `treadle simulate name=NAME` lives a stretch of the past again"
        )


def _decide(
    occasion: Occasion,
    chain: Chain[Decided],
    history: History,
    champions: Champions,
    *,
    data: str,
    dry: bool,
    notify: Notify,
) -> Decided:
    blank = Decided(
        time=occasion.now.isoformat(timespec="seconds"),
        until=occasion.until.isoformat(),
        champion=history.champion,
        action="nothing",
        reasons=(),
        evidence={"data": data},
        run=None,
        bundle=history.champion,
        sentence=None,
        settings=occasion.digest,
    )
    realised = _look_back(occasion, history, champions)
    if realised is not None and realised.is_better:
        reason = f"the champion before would have been better: {realised.sentence}"
        return _go_back(blank, history, reason, realised=realised.to_plain())
    shadow = occasion.settings.shadow
    if shadow is not None and history.challenger is not None:
        return judge_trial(blank, history, shadow, log=occasion.log, now=occasion.now, root=occasion.root)
    if chain.items and waits_still(chain.items[-1], blank):
        return wait_on(chain.items[-1], blank)
    return _look_at_rows(
        occasion, chain, history, champions, blank=blank, by_log=realised is not None, data=data, dry=dry, notify=notify
    )


def _look_at_rows(
    occasion: Occasion,
    chain: Chain[Decided],
    history: History,
    champions: Champions,
    *,
    blank: Decided,
    by_log: bool,
    data: str,
    dry: bool,
    notify: Notify,
) -> Decided:
    """Decide by the newest rows; `by_log`: the log has judged the champion before."""
    champion, before = champions.present, champions.before
    try:
        newest = _run(occasion, upto="prepare", notify=notify)
    except EmptySplitError as error:
        return wait_for_rows(blank, error, split=occasion.experiment.data.split, settings=occasion.settings)
    if not by_log and champion is not None and before is not None:
        rows = newest.examples / "test.parquet"
        why = judge_by_rows(champion, before, rows, experiment=occasion.experiment)
        if why is not None:
            return _go_back(blank, history, why)
    try:
        evidence = (
            None if champion is None else gather(occasion, chain, history, champion=champion, newest=newest, data=data)
        )
    except UnpredictableError as error:
        return replace(blank, action="stuck", reasons=(_explain_stuck(error, history),))
    return _follow_rules(occasion, blank, evidence, dry=dry, notify=notify)


def _follow_rules(
    occasion: Occasion, blank: Decided, evidence: Evidence | None, *, dry: bool, notify: Notify
) -> Decided:
    """By what is known about the champion; None: there is none yet."""
    if evidence is not None:
        blank = replace(blank, evidence=evidence.to_plain())
    choice = choose(occasion.settings, evidence, now=occasion.now)
    if choice.action == "replay" and not dry:
        choice = _ask_replay(occasion, choice, notify=notify)
    if choice.action in ("nothing", "suggest") or dry:
        return replace(blank, action=choice.action, reasons=choice.reasons)
    return _train(occasion, replace(blank, reasons=choice.reasons), notify=notify)


def _look_back(occasion: Occasion, history: History, champions: Champions) -> Hindsight | None:
    if champions.present is None or champions.before is None:
        return None
    experiment, log, now = occasion.experiment, occasion.log, occasion.now
    return judge_by_log(champions.present, champions.before, history, experiment=experiment, log=log, now=now)


def _go_back(blank: Decided, history: History, why: str, **evidence: Any) -> Decided:
    return replace(
        blank,
        action="rollback",
        reasons=(why,),
        bundle=history.list_champions()[-2],
        evidence={**blank.evidence, **evidence},
    )


def _explain_stuck(error: UnpredictableError, history: History) -> str:
    return (
        f"the champion {str(history.champion)[:_SHOWN]} cannot predict the newest rows, so that nothing can be "
        f"compared with it: {error}; give it rows as before, or train by `treadle run`, and promote that run by "
        "`treadle promote RUN --override REASON`"
    )


def _run(occasion: Occasion, *, upto: str, notify: Notify) -> RunFolder:
    resolved, keeps = occasion.resolved, occasion.is_one_of_many
    return run(resolved, root=occasion.root, upto=upto, notify=notify, keeps_unsplit=keeps).folder


def _train(occasion: Occasion, blank: Decided, *, notify: Notify) -> Decided:
    """Train the challenger, and ask the gate."""
    folder = _run(occasion, upto=_LAST, notify=notify).path
    shown = folder.relative_to(occasion.root).as_posix()
    try:
        verdict = ask_gate(folder, champion=f"{occasion.name}@{CHAMPION}", root=occasion.root)
    except IncomparableError as error:  # recorded, so that the next call does not train for the same answer
        return replace(blank, action="refuse", run=shown, sentence=f"refuse: {error}")
    compared = None if verdict.champion is None else verdict.champion.bundle  # another one, if it changed meanwhile
    decided = replace(blank, run=shown, sentence=verdict.sentence, champion=compared, bundle=compared)
    if not verdict.promotes:
        return replace(decided, action="refuse")
    if compared is not None and occasion.settings.shadow is not None:
        evidence = {**decided.evidence, CHALLENGER: verdict.challenger.bundle}
        return replace(decided, action="challenge", evidence=evidence)
    return replace(decided, action="promote", bundle=verdict.challenger.bundle)


def _ask_replay(occasion: Occasion, choice: Choice, *, notify: Notify) -> Choice:
    """Retrain only if the past says that it gains something beyond noise."""
    kept = [text for text in occasion.overrides if key_of(text) not in _BEGINNINGS]
    # models of the past do not begin with the present
    anew = ["schedule.start_from=null", "++features.start_from=null", ANEW]
    given = [*kept, *anew, f"replay.last='{occasion.until.isoformat()}'"]
    declared = declare_replay(given, root=occasion.root, notify=notify)
    answer = make_replay(declared, tell=lambda *_: None, notify=notify)
    recommended = answer.find(answer.recommended)
    gain = recommended.gain
    if recommended.num_trainings > 1 and gain is not None and gain.low > 0:
        return Choice("retrain", (*choice.reasons, f"the replay recommends {recommended.name}"))
    return Choice("nothing", (*choice.reasons, "the replay finds no gain of training again beyond noise"))


# --- what is known about a champion -------------------------------------------------------------------


def gather(
    occasion: Occasion, chain: Chain[Decided], history: History, *, champion: Judged, newest: RunFolder, data: str
) -> Evidence:
    """What the rules look at.

    Args:
        occasion: of the decision.
        chain: the decisions before.
        history: of the champions.
        champion: the present one.
        newest: the run whose test split is the newest rows with labels.
        data: fingerprint of the data that are there.

    Raises:
        UnpredictableError: the champion answers another question, or cannot predict the newest rows.
    """
    champion.require_task(occasion.experiment.data.answer)
    last = find_last_training(chain)
    known = find_training(chain, history.champion)
    own = champion.folder.examples / "test.parquet"
    first = champion.measure_skill(pl.read_parquet(own)) if own.is_file() else None
    latest = champion.measure_skill(pl.read_parquet(newest.examples / "test.parquet"))
    return Evidence(
        learned_until=champion.learned_until,
        skill=None if first is None or latest is None else Skill(first, latest),
        trained_data=None if known is None else known.evidence.get("data"),
        data=data,
        alarms=read_alarms(occasion.settings, findings=occasion.findings, root=occasion.root),
        last_training=None if last is None else read_time(last),
    )
