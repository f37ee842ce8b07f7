"""Predictions to a table of a database: each part in one transaction with how far the batch is."""

from __future__ import annotations

import polars as pl

from treadle.bundle.batch.tally import Tally
from treadle.databases import connect, explain, list_tables, query, quote_text
from treadle.errors import TreadleError

_PROGRESS = "treadle_progress"  # table of all batches: one row a part


class DatabaseSink:
    """Writes predictions to a new table with the position of each row, and rejected rows to another.

    Args:
        uri: as in `treadle.databases.query`.
        table: of predictions, which the database does not have yet, except from the same batch.
        rejects: table of rejected rows.
        identity: of the batch.

    Raises:
        TreadleError: the database cannot be opened, or has such a table.
    """

    def __init__(self, uri: str, *, table: str, rejects: str, identity: str) -> None:
        self._table, self._rejects, self._identity = table, rejects, identity
        self._connection = connect(uri, option="-o")
        present = list_tables(uri, option="-o")
        resumed = self._resume(uri) if {_PROGRESS, table} <= present.keys() else None
        self.tally = resumed or Tally()
        taken = next((name for name in (table, rejects) if name in present), None)
        if taken is not None and resumed is None:
            self.close()
            raise TreadleError(f"--into: the database has a table {taken!r} already; name another, or drop it")
        if _PROGRESS in present and resumed is None:  # of a table that was dropped
            with self._connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {_PROGRESS} WHERE target = {quote_text(table)}")  # noqa: S608 - quoted

    def _resume(self, uri: str) -> Tally | None:
        """How far the same batch came; None where it never began."""
        target, identity = quote_text(self._table), quote_text(self._identity)
        where = f"WHERE target = {target} AND identity = {identity}"  # quoted
        asked = f"SELECT tally FROM {_PROGRESS} {where} ORDER BY num_rows DESC LIMIT 1"  # noqa: S608 - quoted above
        found = query(uri, asked, option="-o")
        return Tally.read(found["tally"].item()) if len(found) else None

    def write(self, predicted: pl.DataFrame, rejected: pl.DataFrame, tally: Tally) -> None:
        """Write a part, all of it or nothing; the tally includes it."""
        numbered = predicted.with_row_index("position", offset=self.tally.num_rows).cast({"position": pl.Int64})
        progress = {"target": self._table, "identity": self._identity, "num_rows": tally.num_rows}
        row = pl.DataFrame([{**progress, "tally": tally.write()}])
        try:
            with self._connection.cursor() as cursor:
                cursor.adbc_ingest(self._table, numbered, mode="create_append")
                if len(rejected):
                    cursor.adbc_ingest(self._rejects, rejected, mode="create_append")
                cursor.adbc_ingest(_PROGRESS, row, mode="create_append")
            self._connection.commit()
        except Exception as error:
            raise TreadleError(f"-o: the database cannot be written: {explain(error)}") from error
        self.tally = tally

    def finish(self) -> None:
        """All parts are there."""
        self.close()

    def close(self) -> None:
        """Leave the database; what is not committed is undone."""
        self._connection.close()
