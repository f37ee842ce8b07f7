"""Read what W&B wrote to disk: its transaction log, a LevelDB log file of protobuf records."""

import json
import time
from pathlib import Path

from wandb.proto import wandb_internal_pb2

BLOCK = 32_768
HEADER = 7  # of the file, and of each chunk: checksum (4), length (2), type (1)
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_records(folder: Path):
    """Every record of one offline run folder, in order."""
    (file,) = folder.glob("*.wandb")
    data = file.read_bytes()
    position, parts = HEADER, []
    while position + HEADER <= len(data):
        rest = BLOCK - position % BLOCK
        if rest < HEADER:
            position += rest
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]
        if kind == 0:
            position += rest
            continue
        parts.append(data[position + HEADER : position + HEADER + length])
        position += HEADER + length
        if kind in {FULL, LAST}:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def read_history(folder: Path):
    """One dict a step, W&B's own keys left out."""
    rows = []
    for record in read_records(folder):
        if record.WhichOneof("record_type") == "history":
            items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append({key: value for key, value in items.items() if not key.startswith("_") or key == "_step"})
    return rows


def read_config(folder: Path):
    """The configuration as it stood at the end."""
    config = {}
    for record in read_records(folder):
        kind = record.WhichOneof("record_type")
        updates = record.run.config.update if kind == "run" else record.config.update if kind == "config" else ()
        config.update({item.key: json.loads(item.value_json) for item in updates if item.key})
    return config


def read_summary(folder: Path):
    """The summary as it stood at the end."""
    summary = {}
    for record in read_records(folder):
        if record.WhichOneof("record_type") == "summary":
            summary.update({i.key: json.loads(i.value_json) for i in record.summary.update if i.key})
    return summary


def read_exit_code(folder: Path):
    """The run's exit code, or None where it never ended."""
    codes = [r.exit.exit_code for r in read_records(folder) if r.WhichOneof("record_type") == "exit"]
    return codes[-1] if codes else None


def find_records(folder: Path):
    """The offline run folders of a run folder, in no order."""
    return list(folder.glob("wandb/offline-run-*"))


def find_ended(folder: Path, *, timeout_s=10):
    """The records of a run folder in the order in which they began, once W&B has written their ends.

    `finish` returns a moment before that, and a folder's name tells the second only.
    """
    deadline = time.monotonic() + timeout_s
    while any(read_exit_code(record) is None for record in find_records(folder)):
        assert time.monotonic() < deadline, "a record was never ended"
        time.sleep(0.01)
    return sorted(find_records(folder), key=read_start)


def read_start(folder: Path):
    """When the record began, in nanoseconds."""
    (run,) = [r.run for r in read_records(folder) if r.WhichOneof("record_type") == "run"]
    return run.start_time.ToNanoseconds()
