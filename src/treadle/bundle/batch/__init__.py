"""Any number of rows to predictions, part by part: to a file or a database, resumed where it was killed."""

from treadle.bundle.batch.database import DatabaseSink
from treadle.bundle.batch.files import FileSink
from treadle.bundle.batch.predict import PART_ROWS, Inputs, Sink, Workers, predict_batch, predict_file
from treadle.bundle.batch.source import FileSource, RowSource, TablesSource, identify
from treadle.bundle.batch.tally import Tally

__all__ = [
    "PART_ROWS",
    "DatabaseSink",
    "FileSink",
    "FileSource",
    "Inputs",
    "RowSource",
    "Sink",
    "TablesSource",
    "Tally",
    "Workers",
    "identify",
    "predict_batch",
    "predict_file",
]
