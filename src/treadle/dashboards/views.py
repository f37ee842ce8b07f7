"""The views of a dashboard: a workspace to explore in, a report to read. Saved to a server, or written to a file.

The same declaration gives the same text: every panel has an id that follows from its place and its content.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from treadle.dashboards.panels import SETTING, Panel, list_sections, write_about
from treadle.dashboards.subject import Subject
from treadle.disk import read_record, write_json
from treadle.experiment.fingerprint import digest
from treadle.tracking import Account, reporting_errors

_MAX_RUNS = 100  # in a chart of the workspace
_MAX_TITLE = 128  # of a report, by W&B


@dataclass(frozen=True)
class Saved:
    """Addresses of what a server holds."""

    workspace: str
    report: str


def write_views(subject: Subject, file: Path) -> None:
    """Write the specification of both views; no server is asked. Where no entity is named it is left empty."""
    entity = subject.entity or ""
    workspace = build_workspace(subject, entity=entity)
    report = build_report(subject, entity=entity, runs_of="")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"workspace": dump(workspace), "report": dump(report)})


def save_views(subject: Subject, account: Account) -> Saved:
    """Save both views; those that were saved before are updated, whatever was edited in them on the server.

    Raises:
        TreadleError: the server refuses, or does not answer.
    """
    entity = subject.entity or account.entity
    where = {"server": account.server, "entity": entity, "project": subject.project}
    known = read_record(subject.place) or {}
    known = known if known.get("where") == where else {}
    workspace = build_workspace(subject, entity=entity)
    fix = "`-o FILE` writes its specification without a server; if its views were deleted there, remove"
    with reporting_errors(f"{subject.name}: the W&B server did not take the dashboard", fix=f"\n{fix} {subject.place}"):
        account.ensure_project(subject.project, entity=entity)
        workspace._internal_name = known.get("workspace", "")  # noqa: SLF001 - the library has no public way to
        workspace._internal_id = known.get("workspace_id", "")  # noqa: SLF001   update a view that it has not loaded
        workspace.save()
        report = build_report(subject, entity=entity, runs_of=entity)
        report.id = known.get("report", "")
        report.save()
        saved = Saved(workspace.url, report.url)
    subject.place.parent.mkdir(parents=True, exist_ok=True)
    views = {
        "workspace": workspace._internal_name,  # noqa: SLF001
        "workspace_id": workspace._internal_id,  # noqa: SLF001
        "report": report.id,
    }
    write_json(subject.place, {"where": where, **views})
    return saved


def build_workspace(subject: Subject, *, entity: str) -> ws.Workspace:
    """The runs at the left, the sections at the right."""
    best = expr.Summary(subject.best)
    workspace = ws.Workspace(
        entity=entity,
        project=subject.project,
        name=subject.name,
        sections=[
            ws.Section(name=section.name, panels=_name_panels(section.name, section.panels), is_open=section.is_open)
            for section in list_sections(subject)
        ],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=_MAX_RUNS, smoothing_type="none"),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(_select(subject)),
            groupby=[expr.Config(SETTING)] if subject.is_sweep else [],
            order=[expr.Ordering(best, ascending=not subject.objective.higher_is_better)],
            pinned_columns=[f"summary:{subject.best}", *map(_name_column, subject.swept_keys), "config:seed.value"],
        ),
    )
    workspace._internal_runset_id = digest(subject.name)[:11]  # noqa: SLF001
    return workspace


def build_report(subject: Subject, *, entity: str, runs_of: str) -> wr.Report:
    """Question, answer so far, and the charts that carry it.

    Args:
        subject: what it is about.
        entity: that owns it.
        runs_of: entity of the runs, which the server is asked for; empty: that of the report, and nobody is asked.
    """
    blocks: list[Any] = [wr.MarkdownBlock(write_about(subject))]
    if subject.answer:
        blocks += [wr.H1("Answer so far"), wr.MarkdownBlock(subject.answer)]
    for section in (section for section in list_sections(subject) if section.is_reported):
        runset = wr.Runset(
            entity=runs_of,
            project=subject.project if runs_of else "",
            name=subject.name,
            filters=expr.And(_select(subject)),
            groupby=[f"config.{SETTING}"] if subject.is_sweep else [],
        )
        runset._id = digest(f"{subject.name}/{section.name}")[:11]  # noqa: SLF001
        panels = _name_panels(f"report/{section.name}", section.panels)
        blocks += [wr.H1(section.name), wr.PanelGrid(runsets=[runset], panels=panels)]
    return wr.Report(
        entity=entity,
        project=subject.project,
        title=subject.name[:_MAX_TITLE],
        description=subject.question or "",
        blocks=blocks,
        width="fluid",
    )


def _select(subject: Subject) -> expr.FilterExpr:
    """The runs of a sweep are a group; those of an experiment have its name."""
    if subject.is_sweep:
        return expr.Metric("Group") == subject.name
    return expr.Config("name.value") == subject.name  # as `name` alone the library takes it for the run's id


def _name_column(key: str) -> str:
    """As the table of runs names a nested value of the configuration."""
    first, *rest = key.split(".")
    return ".".join([f"config:{first}", "value", *rest])


def _name_panels(section: str, panels: Iterable[Panel]) -> list[Panel]:
    """Give each panel an id of its own, which the library would draw at random."""
    named = list(panels)
    for number, panel in enumerate(named):
        panel._id = digest(f"{section}/{number}/{type(panel).__name__}")[:11]  # noqa: SLF001
    return named


def dump(view: ws.Workspace | wr.Report) -> dict[str, Any]:
    """The specification as the server takes it, in plain values: the one door to what the library keeps private."""
    plain: dict[str, Any] = view._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)  # noqa: SLF001
    return plain
