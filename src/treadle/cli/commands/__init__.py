"""Every verb, one file for each family; a new verb is one entry in `VERBS` of its file."""

from __future__ import annotations

from treadle.cli.commands import completion, configuration, housekeeping, pipeline, project, results, serving, sweeps

FAMILIES = (
    pipeline,
    sweeps,
    configuration,
    results,
    housekeeping,
    serving,
    project,
    completion,
)  # in the order of the help
VERBS = {verb.name: verb for family in FAMILIES for verb in family.VERBS}
