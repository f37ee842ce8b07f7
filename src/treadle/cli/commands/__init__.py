"""Every verb, one file for each family; a new verb is one entry in `VERBS` of its file."""

from __future__ import annotations

from treadle.cli.commands import (
    cards,
    champions,
    completion,
    configuration,
    dashboards,
    exports,
    housekeeping,
    labelling,
    monitoring,
    pipeline,
    prediction,
    project,
    replay,
    results,
    retrain,
    rollout,
    serving,
    sweeps,
)

# In the order of the help.
FAMILIES = (
    pipeline,
    sweeps,
    configuration,
    results,
    dashboards,
    housekeeping,
    champions,
    cards,
    prediction,
    serving,
    rollout,
    exports,
    monitoring,
    replay,
    retrain,
    labelling,
    project,
    completion,
)
VERBS = {verb.name: verb for family in FAMILIES for verb in family.VERBS}
