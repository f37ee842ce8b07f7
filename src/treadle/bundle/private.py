"""Which columns of the examples are private: those that are marked, and those that hold a marked one as it is."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from treadle.experiment.spec import Data
from treadle.sql.expressions import parse_expression


def list_private(data: Data) -> set[str]:
    """Columns of the examples that are private, also where a join, a derivation or a look-up has copied them.

    What is computed from a private column, such as a mean, is another value, and not private.

    Args:
        data: that was declared; its joins are in no circle.
    """
    found = _list_of_table(data, data.examples.table)
    for look in data.examples.asof.values():
        found |= _list_copies(look.columns, _list_of_table(data, look.table))
    return found


def _list_of_table(data: Data, name: str) -> set[str]:
    table = data.tables[name]
    found = {column for column, spec in table.columns.items() if spec.private}
    for join in table.joins.values():
        found |= _list_copies(join.columns, _list_of_table(data, join.table))
    while more := _list_copies(table.derive, found) - found:  # one may read another
        found |= more
    return found


def _list_copies(columns: Mapping[str, str], private: set[str]) -> set[str]:
    """The new columns whose expression is a private column, and nothing else."""
    read = {name: parse_expression(text) for name, text in columns.items()} if private else {}
    return {name for name, tree in read.items() if isinstance(tree, exp.Column) and tree.name in private}
