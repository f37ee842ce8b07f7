"""The record as a run of MLflow, by its client: the only door to it.

(Lightning's logger belongs to its Trainer; the metrics of `evaluate` come later, and often from another process.)
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import MlflowTracker
from treadle.keys import list_leaves
from treadle.tracking.membership import Membership
from treadle.tracking.record import Place, Record, Recorded, State, has_record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_SQLITE = "sqlite:///"
_NOT_IN_A_NAME = re.compile(r"[^\w.\- :]")  # of a parameter; a slash would make it a path
MAX_NAME, MAX_PARAMS = 250, 100  # characters; parameters of one call
_COMMIT = "mlflow.source.git.commit"


@contextmanager
def open_record(run: Recorded, *, settings: MlflowTracker) -> Iterator[Record]:
    """Open the run in MLflow: the same training continues it, another one begins a new one. It is ended in any case.

    MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and MLFLOW_RUN_NAME override the configuration. The leaves of the
    experiment are the run's parameters, the whole is its artifact `config.json`; provenance is the artifact
    `about.json`, its commit a tag, as is the run's place in a sweep. The run's folder keeps the id.

    Args:
        run: what is recorded.
        settings: where and how; a path of SQLite is relative to the project.

    Raises:
        TreadleError: the tracking server or its database cannot be opened.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine unasked
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    uri = _locate(os.environ.get("MLFLOW_TRACKING_URI") or settings.uri, run.root)
    state = State(run.folder.mlflow, signature=f"{run.signature} {uri}")
    tags = {**settings.tags, **_tag_commit(run.about), **_tag_sweep(run.membership)}
    try:
        client, opened = _open_run(uri, settings, run_id=state.values.get("run"), name=run.name, tags=tags)
        if opened.info.run_id != state.values.get("run"):
            state.keep(run=opened.info.run_id)
            _log_config(client, opened.info.run_id, run.config, run.about)
        last_step = _find_last_step(client, opened)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TreadleError(
            f"tracker.uri: MLflow cannot open a record at {uri!r}: {reason}\n"
            f"give the address of a server, or a database such as {_SQLITE}runs/mlflow.db"
        ) from error
    status = "FAILED"
    try:
        yield _MlflowRun(client, opened.info.run_id, last_step=last_step, takes_bundle=settings.upload_bundle)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(opened.info.run_id, status)


def is_asked_for_another(folder: RunFolder, *, settings: MlflowTracker) -> bool:  # noqa: ARG001 - the folder tells
    """Whether no run was begun yet."""
    return not has_record(folder.mlflow)


def locate_record(folder: RunFolder, *, settings: MlflowTracker) -> Place:  # noqa: ARG001 - MLflow keeps it
    """The experiment in its store."""
    return Place("MLflow", f"experiment {settings.experiment} at {settings.uri}")


def _locate(uri: str, root: Path) -> str:
    """The address, with the path of a local database from the root of the file system."""
    return f"{_SQLITE}{root.resolve() / uri.removeprefix(_SQLITE)}" if uri.startswith(_SQLITE) else uri


def _open_run(
    uri: str, settings: MlflowTracker, *, run_id: str | None, name: str, tags: dict[str, str]
) -> tuple[MlflowClient, Run]:
    """The run of that id where there still is one, else a new one."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.tracking.context.registry import resolve_tags

    database = Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None
    # Two processes that make the same database or experiment at once would disturb each other.
    with nullcontext() if database is None else _locking(database):
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _ensure_experiment(client, settings, database=database)
    if run_id is not None:
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        else:
            if run.info.lifecycle_stage == "active":
                client.update_run(run_id, status="RUNNING")
                return client, run
    return client, client.create_run(
        experiment_id, tags=resolve_tags(tags), run_name=os.environ.get("MLFLOW_RUN_NAME") or name
    )


@contextmanager
def _locking(database: Path) -> Iterator[None]:
    from filelock import FileLock

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        with closing(sqlite3.connect(database)) as connection:  # else MLflow tries it for minutes
            connection.execute("PRAGMA schema_version")
        yield


def _ensure_experiment(client: MlflowClient, settings: MlflowTracker, *, database: Path | None) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or settings.experiment
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    artifacts = None if database is None else (database.parent / "mlruns" / name).as_uri()
    return str(client.create_experiment(name, artifact_location=artifacts))


def _tag_commit(about: Mapping[str, Any]) -> dict[str, str]:
    commit = (about.get("git") or {}).get("commit")
    return {} if commit is None else {_COMMIT: commit}


def _tag_sweep(membership: Membership | None) -> dict[str, str]:
    """By the names that W&B's record has."""
    if membership is None:
        return {}
    tags = {"sweep.setting": membership.setting, "group": membership.group, "job_type": membership.job_type}
    return {name: value for name, value in tags.items() if value is not None}


def _log_config(client: MlflowClient, run_id: str, config: dict[str, Any], about: dict[str, Any]) -> None:
    from mlflow.entities import Param

    leaves = {
        _NOT_IN_A_NAME.sub("_", key)[:MAX_NAME]: value if isinstance(value, str) else json.dumps(value)
        for key, value in list_leaves(config)
    }
    params = [Param(key, value) for key, value in leaves.items()]
    for start in range(0, len(params), MAX_PARAMS):
        client.log_batch(run_id, params=params[start : start + MAX_PARAMS])
    client.log_dict(run_id, config, "config.json")
    client.log_dict(run_id, about, "about.json")


def _find_last_step(client: MlflowClient, run: Run) -> int:
    histories = (client.get_metric_history(run.info.run_id, name) for name in run.data.metrics)
    return max((metric.step for history in histories for metric in history), default=-1)


class _MlflowRun:
    """The open run; each step is written at once."""

    def __init__(self, client: MlflowClient, run_id: str, *, last_step: int, takes_bundle: bool) -> None:
        self._client = client
        self._run_id = run_id
        self._takes_bundle = takes_bundle
        self.last_step = last_step

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        if step > self.last_step:
            self._log(values, step=step)
            self.last_step = step

    def summarize(self, values: Mapping[str, float]) -> None:
        """As metrics of the last step; MLflow shows a metric's newest value."""
        self._log(values, step=max(self.last_step, 0))

    def _log(self, values: Mapping[str, float], *, step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._run_id, metrics=[Metric(k, v, now, step) for k, v in values.items()])

    def log_curve(self, *, name: str, x: str, y: str, rows: Sequence[Mapping[str, float]]) -> None:
        """As an artifact: MLflow has no chart of y over x."""
        self._client.log_dict(self._run_id, {key: [row[key] for row in rows] for key in (x, y)}, f"curves/{name}.json")

    def log_page(self, html: str, *, name: str) -> None:
        """As an artifact, which MLflow shows."""
        self._client.log_text(self._run_id, html, f"pages/{name}.html")

    def log_bundle(self, folder: Path, *, name: str) -> None:
        if self._takes_bundle:
            self._client.log_artifacts(self._run_id, str(folder), name)
