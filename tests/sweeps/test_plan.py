"""The plan of a sweep, without running anything: each trial ends as the test says."""

from dataclasses import replace

import pytest

from sweeping import TINY
from treadle.experiment.spec.sweep import Confirm
from treadle.sweeps.declare import declare
from treadle.sweeps.ledger import Ledger
from treadle.sweeps.plan import Plan

pytestmark = pytest.mark.slow

WORDS = [*TINY, "model.width=8,16,32", "sweep=tpe", "sweep.confirm={top:1,seeds:2}"]


def make(project, *words):
    sweep = declare([*WORDS, *words], root=project)
    sweep.folder.mkdir(parents=True)
    return Plan(sweep, Ledger(sweep.folder), project, lambda *_: None)


def set_limits(plan, **limits):
    """The sweep as another command continues it."""
    settings = plan.sweep.settings.model_copy(update=limits)
    return Plan(replace(plan.sweep, settings=settings), Ledger(plan.sweep.folder), plan.root, plan.tell)


def finish(plan, *, failed=()):
    """Start and end what is left; gives phase, width and seed of each trial."""
    started = []
    while (trial := plan.find_next([])) is not None:
        width = trial.setting["model.width"]
        started.append((trial.phase, width, trial.seed))
        plan.ledger.start(trial.number, pid=None)
        if started[-1] in failed:
            plan.ledger.end(trial.number, "failed", error="no luck")
        else:
            plan.ledger.end(trial.number, "done", values=[float(width)])
    return started


def test_a_search_tries_each_setting_of_a_small_space_once_and_is_answered(project):
    plan = make(project, "seed=${oc.env:TREADLE_SEED,0}")
    assert plan.sweep.max_settings == 3
    assert plan.count_planned() == 3 + 2

    started = finish(plan)

    assert sorted(started[:3]) == [("search", width, 0) for width in ("16", "32", "8")]
    assert started[3:] == [("confirm", "8", 1), ("confirm", "8", 2)]
    assert plan.is_answered


def test_a_sweep_that_goes_on_confirms_what_lacks_fresh_seeds(project):
    plan = make(project)
    finish(plan)

    wider = set_limits(plan, confirm=Confirm(top=2, seeds=3))

    assert not wider.is_answered
    assert finish(wider) == [("confirm", "8", 3), *(("confirm", "16", seed) for seed in (1, 2, 3))]
    assert wider.is_answered


def test_a_confirming_trial_that_fails_holds_up_no_other(project):
    plan = make(project, "sweep.pruner=median")

    started = finish(plan, failed=[("confirm", "8", 1)])

    assert started[3:] == [("confirm", "8", 1), ("confirm", "8", 2)]
    assert plan.is_answered
