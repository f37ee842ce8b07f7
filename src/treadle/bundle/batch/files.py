"""Predictions to a file: in parts beside it, each written whole, which become the file when all are there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
from filelock import FileLock, Timeout

from treadle.bundle.batch.tally import Tally
from treadle.bundle.rows import as_base64
from treadle.disk import read_record, replacing, write_json
from treadle.errors import TreadleError

_PROGRESS, _LOCK = "progress.json", "lock"
_PREDICTED, _REJECTED = "predicted", "rejected"
_GROUP_ROWS = 1 << 18  # of a row group


class FileSink:
    """Writes predictions to a Parquet, CSV or TSV file, and rejected rows to another.

    Args:
        output: the file of predictions.
        rejects: the file of rejected rows; it is removed where there are none.
        identity: of the batch; parts of another are deleted.

    Raises:
        TreadleError: another process writes the same file.
    """

    def __init__(self, output: Path, *, rejects: Path, identity: str) -> None:
        self._output, self._rejects, self._identity = output, rejects, identity
        output.parent.mkdir(parents=True, exist_ok=True)
        is_device = output.exists() and not output.is_file()
        self._folder = Path(mkdtemp()) if is_device else output.with_name(f".{output.name}.parts")
        self._folder.mkdir(exist_ok=True)
        self._lock = FileLock(self._folder / _LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise TreadleError(f"{output} is being written by another process; wait for it, or name another") from None
        self.tally = self._resume()

    def _resume(self) -> Tally:
        progress = read_record(self._folder / _PROGRESS)
        if progress and progress.get("identity") == self._identity:
            return Tally.read(json.dumps(progress["tally"]))
        for file in self._folder.iterdir():
            if file.name != _LOCK:
                file.unlink()
        return Tally()

    def write(self, predicted: pl.DataFrame, rejected: pl.DataFrame, tally: Tally) -> None:
        """Write a part; the tally includes it."""
        for kind, rows in ((_PREDICTED, predicted), (_REJECTED, rejected)):
            if len(rows) or (kind == _PREDICTED and not self.tally.num_rows):
                with replacing(self._folder / f"{kind}-{self.tally.num_rows:015d}.parquet") as partial:
                    rows.write_parquet(partial, compression="lz4", statistics=False)
        progress = {"identity": self._identity, "tally": json.loads(tally.write())}
        write_json(self._folder / _PROGRESS, progress)
        self.tally = tally

    def finish(self) -> None:
        """Join the parts, and delete them."""
        if not self._join(_REJECTED, self._rejects):
            self._rejects.unlink(missing_ok=True)  # of another batch
        self._join(_PREDICTED, self._output)
        self.close()
        shutil.rmtree(self._folder)

    def close(self) -> None:
        """Leave the parts for another time."""
        self._lock.release()

    def _join(self, kind: str, path: Path) -> bool:
        """Whether there are any."""
        parts = sorted(self._folder.glob(f"{kind}-*.parquet"))
        rows = [part for part in parts if pl.scan_parquet(part).select(pl.len()).collect().item()] or parts[:1]
        if not rows:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        scan, suffix = pl.scan_parquet(rows), path.suffix.lower()
        with replacing(path) as partial:
            if suffix in {".csv", ".tsv"}:
                texts = scan.with_columns(as_base64(scan.collect_schema()))
                texts.sink_csv(partial, separator="\t" if suffix == ".tsv" else ",", maintain_order=True)
            else:
                scan.sink_parquet(partial, row_group_size=_GROUP_ROWS, maintain_order=True)
        return True
