"""The only door to Weights & Biases: one run of Treadle is one run there, offline by default."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import secrets
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from treadle.disk import read_record, write_json
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Tracker

if TYPE_CHECKING:
    from wandb import Run

Mode = Literal["online", "offline", "disabled"]

FLUSH_INTERVAL = 0.1  # seconds; the default of 15 loses what a killed run logged last
_FILE = "run-id.json"
SCRATCH = ".scratch"  # folder for W&B's own use; the next holder of the run's lock removes what a kill left there
# Set by a sweep agent or by hand, they take precedence over the arguments of wandb.init(): they would overwrite the
# configuration that we record, or attach the run to another one.
_FOREIGN = (
    "WANDB_SWEEP_ID",
    "WANDB_SWEEP_PARAM_PATH",
    "WANDB_CONFIG_PATHS",
    "WANDB_RUN_ID",
    "WANDB_RESUME",
    "WANDB_RESUME_FROM",
    "WANDB_FORK_FROM",
)
_MODES: dict[str, Mode] = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",  # two older names, which W&B still accepts
    "dryrun": "offline",
}
_SECRETS = ("KEY", "TOKEN", "PASSWORD", "HEADERS")  # in the names of variables whose values are not shown


class Tracking:
    """An open record; where tracking is disabled, it discards all that is logged."""

    def __init__(self, run: Run | None, *, takes_bundle: bool, state: Path, last_step: int, resumed: bool) -> None:
        self._run = run
        self._takes_bundle = takes_bundle
        self._state = state
        self.last_step = last_step  # of what the record holds
        self.resumed = resumed

    @property
    def id(self) -> str | None:
        """The run's id in W&B."""
        return self._run.id if self._run is not None else None

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Log values of one step; a step that the record already holds is skipped."""
        if self._run is None or step <= self.last_step:
            return
        self._run.log(dict(values), step=step, commit=True)  # else the row waits for the next step
        self.last_step = step
        _write_state(self._state, last_step=step)

    def summarize(self, values: Mapping[str, float]) -> None:
        """Set the summary values of the run."""
        if self._run is not None:
            self._run.summary.update(dict(values))

    def log_curve(self, *, name: str, x: str, y: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Log a curve as a pair of metrics, y over x: the dashboard draws those of several runs in one chart.

        A curve that the record already holds is not logged again.
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
        """Upload the bundle as an artifact, where the record is online and the configuration asks for it."""
        if self._run is None or not self._takes_bundle:
            return
        import wandb

        artifact = wandb.Artifact(name, type="bundle")
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)


@contextmanager
def track(
    *,
    settings: Tracker,
    folder: RunFolder,
    name: str,
    signature: str,
    config: dict[str, Any],
    about: dict[str, Any],
) -> Iterator[Tracking]:
    """Open the record of a run folder.

    The same signature resumes the record of the same W&B id, another one starts a new record. It is finished in any
    case, with exit code 1 if the body fails. W&B's own process writes the end of the record a moment later,
    at the latest when this process exits.

    `WANDB_…` variables work as W&B's documentation describes: mode, project, entity, group, job type, name and notes
    override the configuration, tags are added to its own; with `mode: disabled` nothing is recorded in any case. Those
    that would change the recorded configuration, or attach the run to another one, are ignored.

    Args:
        settings: how to record.
        folder: the run's; W&B writes into `folder.wandb`.
        name: shown in W&B.
        signature: of what is being trained.
        config: the resolved experiment, plain values.
        about: provenance, recorded in the configuration under `treadle`.

    Raises:
        TreadleError: the record cannot be opened, or a variable has a value that W&B does not accept.
    """
    state = folder.wandb / _FILE
    mode = _choose_mode(settings)
    if mode == "disabled":
        yield Tracking(None, takes_bundle=False, state=state, last_step=-1, resumed=False)
        return
    _load_wandb(folder.wandb / SCRATCH)
    _require_valid_variables()
    known = _read_state(state)
    resumed = known.get("signature") == signature
    if not resumed:
        known = {"id": _draw_id(), "signature": signature, "last_step": -1, "curves": {}}
        _write_state(state, **known)
    config = {**config, "treadle": about}
    run = _open_run(settings, mode=mode, folder=folder, run_id=known["id"], name=name, config=config)
    takes_bundle = mode == "online" and settings.upload_bundle
    exit_code = 1
    try:
        yield Tracking(run, takes_bundle=takes_bundle, state=state, last_step=known["last_step"], resumed=resumed)
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


def _load_wandb(scratch: Path) -> None:
    """Import W&B so that its temporary folders lie in the run's: a killed process leaves none elsewhere."""
    scratch.mkdir(parents=True, exist_ok=True)
    usual, tempfile.tempdir = tempfile.tempdir, str(scratch)
    try:
        importlib.import_module("wandb")
    finally:
        tempfile.tempdir = usual


def _open_run(
    settings: Tracker, *, mode: Mode, folder: RunFolder, run_id: str, name: str, config: dict[str, Any]
) -> Run:
    import wandb

    try:
        with _without(_FOREIGN):
            return wandb.init(
                dir=folder.path,  # below which it adds `wandb/`
                id=run_id,
                resume="allow",
                mode=mode,
                project=_unless_set("WANDB_PROJECT", settings.project),
                entity=_unless_set("WANDB_ENTITY", settings.entity),
                tags=_join_tags(settings.tags),
                group=_unless_set("WANDB_RUN_GROUP", settings.group),
                job_type=_unless_set("WANDB_JOB_TYPE", settings.job_type),
                name=_unless_set("WANDB_NAME", name),
                config=config,
                reinit="create_new",
                settings=wandb.Settings(
                    x_transaction_log_flush_interval=FLUSH_INTERVAL,
                    silent=True,
                    console="off",
                    disable_git=True,
                    save_code=False,
                    x_disable_stats=not settings.system_metrics,
                ),
            )
    except wandb.errors.Error as error:
        raise TreadleError(
            f"tracker.mode: {mode!r} cannot open a record: {error}\n"
            "`wandb login` gives this machine an account; the override tracker=offline needs none, and "
            "`wandb sync` uploads later"
        ) from error


# --- environment --------------------------------------------------------------------------------------


def _choose_mode(settings: Tracker) -> Mode:
    """That of WANDB_MODE where it is set, unless the configuration disables tracking.

    Raises:
        TreadleError: WANDB_MODE is no mode.
    """
    value = os.environ.get("WANDB_MODE")
    if settings.mode == "disabled" or not value:
        return settings.mode
    if value not in _MODES:
        raise TreadleError(f"WANDB_MODE: must be online, offline or disabled, found {value!r}; correct or unset it")
    return _MODES[value]


def _unless_set(variable: str, value: str | None) -> str | None:
    """The value, or None where W&B reads the variable itself."""
    return None if os.environ.get(variable) else value


def _join_tags(tags: Sequence[str]) -> list[str]:
    """Those of the configuration and those of WANDB_TAGS, each once."""
    given = (tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(","))
    return list(dict.fromkeys([*tags, *filter(None, given)]))


def _require_valid_variables() -> None:
    """Let W&B parse each variable, and report all that it does not accept at once.

    Raises:
        TreadleError: with every such variable.
    """
    import wandb

    faults = []
    for name, value in sorted(os.environ.items()):
        if name.startswith("WANDB_") and name not in _FOREIGN and value:
            try:
                wandb.Settings().update_from_env_vars({name: value})
            except (ValueError, TypeError, wandb.errors.Error) as error:
                shown = "its value" if any(part in name for part in _SECRETS) else repr(value)
                faults.append(f"{name}: W&B does not accept {shown}: {_describe(error)}; correct or unset it")
    if faults:
        raise TreadleError("\n".join(faults))


def _describe(error: Exception) -> str:
    """The reason alone; a validation error of pydantic repeats the value, which may be a secret."""
    listed = getattr(error, "errors", None)
    return "; ".join(str(fault["msg"]) for fault in listed()) if callable(listed) else str(error)


@contextmanager
def _without(variables: Sequence[str]) -> Iterator[None]:
    """Without these variables, and without empty ones, which W&B would treat as values."""
    empty = [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value]
    hidden = {name: os.environ.pop(name) for name in {*variables, *empty} if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


# --- state --------------------------------------------------------------------------------------------


def _draw_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def _read_state(path: Path) -> dict[str, Any]:
    """The state of the record; empty where the file is damaged, which starts a new one."""
    return read_record(path) or {}


def _write_state(path: Path, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**_read_state(path), **values})
