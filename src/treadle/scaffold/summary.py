"""What `treadle init` prints: the target, the split, each column that was left out, and the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

from treadle.console import Console
from treadle.scaffold.init import Scaffolded
from treadle.scaffold.planning.roles import ColumnUse

MAX_SHOWN = 30  # columns of a table; the README of the project has them all


def print_summary(made: Scaffolded, console: Console) -> None:
    """Print a few lines, and tables of columns with reasons."""
    plan = made.plan
    target = plan.target
    features = [choice for choice in plan.choices if choice.role != "out"]
    lines = {
        "target": f"{target.name}: {target.task} ({target.reason}); {target.balance}",
        **{f"not used: {reason}": comment for reason, _, comment in target.exclude},
        "split": f"{plan.split['by']}: {plan.split_reason}",
        **{key: f"{made.project.dialect[key]}, {remark}" for key, remark in made.project.remarks.items()},
        "features": f"{len(features)} of {len(plan.choices)} columns",
    }
    console.print(
        f"{made.folder}: {plan.num_rows:,} rows of {made.project.origin.replace('`', '')}",
        highlight=False,
        markup=False,
    )
    for title, text in lines.items():
        console.print(f"  {title:<10} {text}", highlight=False, markup=False)
    _print_columns("Left out as leak suspects (--keep COLUMN uses one)", plan.suspects, console)
    _print_columns("Left out for other reasons", [choice for choice in plan.left_out if not choice.is_suspect], console)
    read = [*plan.target_profiles, *(choice.profile for choice in features)]
    _print_reasons("How values are read", [(profile.name, profile.note) for profile in read if profile.note], console)
    _print_columns("Worth a look", [choice for choice in features if choice.reason.startswith("look")], console)
    for note in plan.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
    console.print(f"Next: cd {shlex.quote(str(made.folder))} && make demo && make test", highlight=False, markup=False)


def _print_columns(title: str, choices: Iterable[ColumnUse], console: Console) -> None:
    _print_reasons(title, [(choice.profile.name, choice.reason) for choice in choices], console)


def _print_reasons(title: str, reasons: Sequence[tuple[str, str]], console: Console) -> None:
    """Columns by name, each with a reason."""
    if not reasons:
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for name, reason in reasons[:MAX_SHOWN]:
        table.add_row(escape(name), escape(reason))
    console.print(table)
    if len(reasons) > MAX_SHOWN:
        console.print(f"… and {len(reasons) - MAX_SHOWN} more, in the README of the project", highlight=False)
