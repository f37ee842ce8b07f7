"""The record as a run of W&B, offline by default: opened, continued, and finished whatever happens."""

from __future__ import annotations

import hashlib
import importlib
import json
import secrets
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.disk import read_record, write_json
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import WandbTracker
from treadle.tracking.membership import Membership
from treadle.tracking.record import Place, Recorded
from treadle.tracking.wandb_agent import Agent, find_agent
from treadle.tracking.wandb_environment import (
    FOREIGN,
    Mode,
    choose_mode,
    join_tags,
    require_valid_variables,
    unless_set,
    without,
)

if TYPE_CHECKING:
    from wandb import Run

FLUSH_INTERVAL = 0.1  # seconds; the default of 15 loses what a killed run logged last
_FILE = "run-id.json"
SCRATCH = ".scratch"  # folder for W&B's own use; the next holder of the run's lock removes what a kill left there


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
        content = _digest(json.dumps([dict(row) for row in rows]))
        if held.get(name) == content:
            return
        x_key, y_key = f"{name}/{x}", f"{name}/{y}"
        self._run.define_metric(x_key, hidden=True)
        self._run.define_metric(y_key, step_metric=x_key)
        for row in rows:
            self.last_step += 1
            self._run.log({x_key: row[x], y_key: row[y]}, step=self.last_step, commit=True)
        _write_state(self._state, last_step=self.last_step, curves={**held, name: content})

    def log_page(self, html: str, *, name: str) -> None:
        """Log a page as media of the run; one that the record already holds is not logged again."""
        if self._run is None:
            return
        held = _read_state(self._state).get("pages", {})
        if held.get(name) == _digest(html):
            return
        import wandb

        self.last_step += 1
        self._run.log({name: wandb.Html(html, inject=False)}, step=self.last_step, commit=True)
        _write_state(self._state, last_step=self.last_step, pages={**held, name: _digest(html)})

    def log_bundle(self, folder: Path, *, name: str) -> None:
        """Upload the bundle as an artifact, where the record is online and the configuration asks for it."""
        if self._run is None or not self._takes_bundle:
            return
        import wandb

        artifact = wandb.Artifact(name, type="bundle")
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@contextmanager
def open_record(run: Recorded, *, settings: WandbTracker) -> Iterator[Tracking]:
    """Open the record of a run; W&B writes into `wandb` of its folder.

    The same signature resumes the record of the same W&B id, in the same place of a sweep; another one starts a new
    record. It is finished in any case, with exit code 1 if the body fails. W&B's own process writes the end of the
    record a moment later, at the latest when this process exits.

    `WANDB_…` variables work as W&B's documentation describes: mode, project, entity, group, job type, name and notes
    override the configuration, tags are added to its own; with `mode: disabled` nothing is recorded in any case. Those
    that would change the recorded configuration, or attach the run to another one, are ignored. Under `wandb agent` the
    record is the one that the agent asks for: it belongs to the agent's sweep, and the agent's parameters stand in its
    configuration by their own names (`schedule.optimizer.lr`), beside the resolved experiment.

    Provenance stands in the recorded configuration under `treadle`, the run's place in a sweep as `sweep.setting` and
    `.options`; without one it is that of the record.

    Args:
        run: what is recorded.
        settings: how to record.

    Raises:
        TreadleError: the record cannot be opened, or a variable has a value that W&B does not accept.
    """
    state = run.folder.wandb / _FILE
    mode = choose_mode(settings)
    if mode == "disabled":
        yield Tracking(None, takes_bundle=False, state=state, last_step=-1, resumed=False)
        return
    _load_wandb(run.folder.wandb / SCRATCH)
    require_valid_variables()
    agent = find_agent()
    known = _read_state(state)
    resumed = known.get("signature") == run.signature and not _is_asked_for_another(run.folder)
    if not resumed:
        known = {"id": agent.run_id if agent else _draw_id(), "signature": run.signature, "last_step": -1, "curves": {}}
        known["pages"] = {}
        known["sweep"] = None
    membership = run.membership or (agent.membership if agent else _read_membership(known))
    known["sweep"] = asdict(membership) if membership else None
    _write_state(state, **known)
    opened = _open_run(
        settings,
        mode=mode,
        folder=run.folder,
        run_id=known["id"],
        name=run.name,
        config=_extend(run.config, about=run.about, membership=membership, agent=agent),
        membership=membership or Membership(""),
        sweep_id=agent.sweep_id if agent else None,
    )
    takes_bundle = mode == "online" and settings.upload_bundle
    exit_code = 1
    try:
        yield Tracking(opened, takes_bundle=takes_bundle, state=state, last_step=known["last_step"], resumed=resumed)
        exit_code = 0
    finally:
        opened.finish(exit_code=exit_code)


def is_asked_for_another(folder: RunFolder, *, settings: WandbTracker) -> bool:
    """Whether an agent of W&B asks for a record that the folder does not have yet."""
    return settings.mode != "disabled" and _is_asked_for_another(folder)


def _is_asked_for_another(folder: RunFolder) -> bool:
    agent = find_agent()
    return agent is not None and _read_state(folder.wandb / _FILE).get("id") != agent.run_id


def locate_record(folder: RunFolder, *, settings: WandbTracker) -> Place:
    """The newest record on disk."""
    kept = sorted(folder.wandb.glob("offline-run-*"))
    absent = "disabled" if settings.mode == "disabled" else "not recorded offline"
    return Place("W&B run", str(kept[-1]) if kept else absent)


def _extend(
    config: dict[str, Any], *, about: dict[str, Any], membership: Membership | None, agent: Agent | None
) -> dict[str, Any]:
    """What is recorded beside the experiment; nothing covers a value of it."""
    asked = {key.lstrip("+"): value for key, value in agent.parameters.items()} if agent else {}
    extended = {**asked, **config, "treadle": about}
    if membership is not None:
        options = membership.options or {key: asked[key] for key in asked if isinstance(config.get(key), dict)}
        extended["sweep"] = {"setting": membership.setting, "options": dict(options)}
    return extended


def _load_wandb(scratch: Path) -> None:
    """Import W&B so that its temporary folders lie in the run's: a killed process leaves none elsewhere."""
    scratch.mkdir(parents=True, exist_ok=True)
    usual, tempfile.tempdir = tempfile.tempdir, str(scratch)
    try:
        importlib.import_module("wandb")
    finally:
        tempfile.tempdir = usual


def _open_run(
    settings: WandbTracker,
    *,
    mode: Mode,
    folder: RunFolder,
    run_id: str,
    name: str,
    config: dict[str, Any],
    membership: Membership,
    sweep_id: str | None,
) -> Run:
    import wandb

    try:
        with without(FOREIGN):
            return wandb.init(
                dir=folder.path,  # below which it adds `wandb/`
                id=run_id,
                resume="allow",
                mode=mode,
                project=unless_set("WANDB_PROJECT", settings.project),
                entity=unless_set("WANDB_ENTITY", settings.entity),
                tags=join_tags(settings.tags),
                group=membership.group or unless_set("WANDB_RUN_GROUP", settings.group),
                job_type=membership.job_type or unless_set("WANDB_JOB_TYPE", settings.job_type),
                name=unless_set("WANDB_NAME", name),
                config=config,
                reinit="create_new",
                settings=wandb.Settings(
                    sweep_id=sweep_id,
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


# --- state --------------------------------------------------------------------------------------------


def _draw_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def _read_state(path: Path) -> dict[str, Any]:
    """The state of the record; empty where the file is damaged, which starts a new one."""
    return read_record(path) or {}


def _read_membership(state: Mapping[str, Any]) -> Membership | None:
    """The run's place in a sweep, as of the record's beginning."""
    known = state.get("sweep")
    return Membership(**known) if known else None


def _write_state(path: Path, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**_read_state(path), **values})
