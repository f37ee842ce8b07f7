"""The only door to Weights & Biases: one run of ours is one run there, offline unless told otherwise."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.experiment.spec import Tracker
from treadle.schema import TreadleError

if TYPE_CHECKING:
    from wandb import Run

FLUSH_INTERVAL = 0.1  # seconds; the default of 15 loses what a killed run logged last
_FILE = "run-id.json"
# Set by an agent or by hand, and stronger than what wandb.init() is given: they would put a sweep's values
# over the configuration that we record, move the run to another project, or graft it onto another run.
_FOREIGN = ("WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RESUME_FROM", "WANDB_FORK_FROM")


class Tracking:
    """An open record; with `mode: disabled` it takes everything and keeps nothing."""

    def __init__(self, run: Run | None, *, settings: Tracker, state: Path, last_step: int, resumed: bool) -> None:
        self._run = run
        self._settings = settings
        self._state = state
        self.last_step = last_step  # of what the record holds
        self.resumed = resumed

    @property
    def id(self) -> str | None:
        """The run's id in W&B."""
        return self._run.id if self._run is not None else None

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Add values of one step; the record only goes forward, so a step that it already holds is left out."""
        if self._run is None or step <= self.last_step:
            return
        self._run.log(dict(values), step=step, commit=True)  # else the row waits for the next step
        self.last_step = step
        _write_state(self._state, last_step=step)

    def summarize(self, values: Mapping[str, float]) -> None:
        """Set values of the run as a whole."""
        if self._run is not None:
            self._run.summary.update(dict(values))

    def log_curve(self, *, name: str, x: str, y: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Add a curve as a pair of metrics, y over x: the dashboard draws those of several runs into one chart.

        A curve that the record already holds is not added again.
        """
        if self._run is None:
            return
        held = _read_state(self._state).get("curves", {})
        content = hashlib.sha256(json.dumps([dict(row) for row in rows]).encode()).hexdigest()[:16]
        if held.get(name) == content:
            return
        x_key, y_key = f"{name}/{x}", f"{name}/{y}"
        self._run.define_metric(x_key, hidden=True)
        self._run.define_metric(y_key, step_metric=x_key)
        for row in rows:
            self.last_step += 1
            self._run.log({x_key: row[x], y_key: row[y]}, step=self.last_step, commit=True)
        _write_state(self._state, last_step=self.last_step, curves={**held, name: content})

    def log_bundle(self, folder: Path, *, name: str) -> None:
        """Upload the bundle as an artifact, where the record is online and the configuration wants it."""
        if self._run is None or self._settings.mode != "online" or not self._settings.upload_bundle:
            return
        import wandb

        artifact = wandb.Artifact(name, type="bundle")
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)


@contextmanager
def track(
    *,
    settings: Tracker,
    folder: Path,
    name: str,
    signature: str,
    config: dict[str, Any],
    about: dict[str, Any],
) -> Iterator[Tracking]:
    """Open the record of a run folder.

    The same signature goes on with the same W&B id, another one begins a new record. It is finished in any
    case, with exit code 1 if the body fails. W&B's own process writes the end of the record a moment later,
    at the latest when this process exits.

    The configuration wins over `WANDB_…` variables. What it leaves open they may say: the entity where it is null,
    the server, the account, group and notes.

    Args:
        settings: how to record.
        folder: the run's; W&B writes below `folder/wandb`.
        name: shown in W&B.
        signature: of what is being trained.
        config: the resolved experiment, plain values.
        about: provenance, recorded in the configuration under `treadle`.
    """
    state = folder / "wandb" / _FILE
    if settings.mode == "disabled":
        yield Tracking(None, settings=settings, state=state, last_step=-1, resumed=False)
        return
    known = _read_state(state)
    resumed = known.get("signature") == signature
    if not resumed:
        known = {"id": _draw_id(), "signature": signature, "last_step": -1, "curves": {}}
        _write_state(state, **known)
    run = _open_run(settings, folder=folder, run_id=known["id"], name=name, config={**config, "treadle": about})
    exit_code = 1
    try:
        yield Tracking(run, settings=settings, state=state, last_step=known["last_step"], resumed=resumed)
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


def _open_run(settings: Tracker, *, folder: Path, run_id: str, name: str, config: dict[str, Any]) -> Run:
    import wandb

    try:
        with _without_foreign_settings():
            return wandb.init(
                dir=folder,
                id=run_id,
                resume="allow",
                mode=settings.mode,
                project=settings.project_in_wandb,
                entity=settings.entity,
                tags=settings.tags,
                name=name,
                config=config,
                reinit="create_new",
                settings=wandb.Settings(
                    x_transaction_log_flush_interval=FLUSH_INTERVAL,
                    silent=True,
                    console="off",
                    disable_git=True,
                    save_code=False,
                    x_disable_stats=True,
                ),
            )
    except wandb.errors.Error as error:
        raise TreadleError(
            f"tracker.mode: {settings.mode!r} cannot open a record: {error}\n"
            "`wandb login` gives this machine an account; the override tracker=offline needs none, and "
            "`wandb sync` uploads later"
        ) from error


@contextmanager
def _without_foreign_settings() -> Iterator[None]:
    foreign = {name: os.environ.pop(name) for name in _FOREIGN if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(foreign)


def _draw_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def _read_state(path: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return known


def _write_state(path: Path, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps({**_read_state(path), **values}), encoding="utf-8")
    partial.replace(path)
