"""A plan from columns, made as `treadle init` makes it: a file, its profile, the decisions."""

import polars as pl

from treadle.scaffold.planning.plan import Request, make_plan
from treadle.scaffold.reading.profile import profile_table
from treadle.scaffold.reading.source import find_source


def plan(folder, columns, *, target="y", **asked):
    """What `treadle init` decides of a table in CSV."""
    file = folder / "rows.csv"
    pl.DataFrame(columns).write_csv(file)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    request = Request(target, **asked)
    profiles = profile_table(find_source([str(file)]), missing=(), uses=request.uses, scratch=scratch)
    return make_plan(profiles, request)


def roles(made):
    """The role of each column."""
    return {choice.profile.name: choice.role for choice in made.choices}
