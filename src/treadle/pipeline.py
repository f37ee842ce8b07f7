"""The pipeline: stages in order, in a run folder that one process at a time may write, over a cache by signature.

runs/<name>-<id>/       one run: the stages' outputs, resolved.yaml, stages.json, run.log, wandb/
runs/.stages/<stage>/   outputs by signature, hard-linked into every run that shares them
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from treadle import dvc_lock
from treadle.dvc_workspace import find_origin
from treadle.experiment import resolved
from treadle.experiment.changes import find_reruns, list_changes
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import STAGES, Stage, get_stage, list_needed, name_run, sign_stages
from treadle.outs import link_outs, publish_outs, remove_outs
from treadle.provenance import describe_git, write_provenance
from treadle.schema import TreadleError
from treadle.tracking import Tracking, track

State = Literal["ran", "shared", "unchanged"]
Say = Callable[[str], None]

RUNS = "runs"
_CACHE = ".stages"
_RECORD = "stages.json"
MAX_RUNS = 50  # newest ones that a stage is compared with


@dataclass
class Run:
    """One run folder and what was done in it."""

    experiment: Experiment
    values: dict[str, Any]
    signatures: dict[str, str]
    folder: Path
    root: Path
    states: dict[str, State] = field(default_factory=dict)

    @property
    def record_folder(self) -> Path:
        """Where W&B's record lies, below `wandb/`: in the run's folder, or in the project that DVC made a copy of."""
        origin = find_origin(self.root)
        return self.folder if origin is None else origin / RUNS / name_run(self.values, self.signatures)


# --- a command's road ---------------------------------------------------------------------------------


def run(experiment: Experiment, values: dict[str, Any], *, root: Path, upto: str, say: Say) -> Run:
    """Bring a run up to a stage: each stage before it runs, is shared from another run, or is unchanged.

    The folder follows from the run's identity. A second process that wants the same folder waits for the first.

    Args:
        experiment: checked.
        values: of its resolved.yaml.
        root: the project.
        upto: the last stage.
        say: takes each line of progress.
    """
    cache = root / RUNS / _CACHE
    signatures = sign_stages(values, root=root, memory=cache / "files.json")
    current = Run(experiment, values, signatures, root / RUNS / name_run(values, signatures), root)
    current.folder.mkdir(parents=True, exist_ok=True)
    with _claim(current.folder / ".lock", say=say, what=str(current.folder.relative_to(root))):
        (current.folder / resolved.FILE).write_text(resolved.dump(values), encoding="utf-8")
        with _open_tracking(current) as tracking:
            for stage in list_needed(upto):
                _bring_up(current, stage, cache, tracking, say)
    return current


def _bring_up(current: Run, stage: Stage, cache: Path, tracking: _LazyTracking, say: Say) -> None:
    signature = current.signatures[stage.name]
    if _is_done(current.folder, stage, signature):
        current.states[stage.name] = "unchanged"
        return
    store = cache / stage.name / signature
    store.parent.mkdir(parents=True, exist_ok=True)
    with _claim(store.with_suffix(".lock"), say=say, what=f"stage {stage.name}"):
        if store.is_dir():
            remove_outs(current.folder, stage)
            link_outs(stage, source=store, target=current.folder)
            current.states[stage.name] = "shared"
            say(f"{stage.name:<10} shared with another run")
        else:
            seconds = _execute(current, stage, tracking, say)
            publish_outs(stage, source=current.folder, store=store)
            current.states[stage.name] = "ran"
            say(f"{stage.name:<10} done in {seconds:.1f} s")
    _record(current.folder, stage, signature)
    if stage.name in _TRACKED:
        _TRACKED[stage.name](current.folder, tracking.get())


# --- without running ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """What a stage would do, and why."""

    stage: str
    state: Literal["would run", "would be shared", "unchanged"]
    reasons: list[str]


def foresee(values: dict[str, Any], *, root: Path, upto: str) -> list[Outlook]:
    """What each stage up to `upto` would do, and why: against the run that differs least. Nothing is written."""
    cache = root / RUNS / _CACHE
    signatures = sign_stages(values, root=root, memory=cache / "files.json", remember=False)
    folder = root / RUNS / name_run(values, signatures)
    past = _Past(root)
    outlooks = []
    for stage in list_needed(upto):
        if _is_done(folder, stage, signatures[stage.name]):
            outlooks.append(Outlook(stage.name, "unchanged", [f"{folder.relative_to(root)} has it"]))
        elif (cache / stage.name / signatures[stage.name]).is_dir():
            outlooks.append(Outlook(stage.name, "would be shared", [f"{RUNS}/{_CACHE} has it"]))
        else:
            outlooks.append(Outlook(stage.name, "would run", _explain(stage, values, signatures, past)))
    return outlooks


class _Past:
    """The newest runs: the signatures of what each has done, and its values. Read once, when they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def runs(self) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
        files = self.root.glob(f"{RUNS}/*/{_RECORD}")
        folders = [file.parent for file in files if (file.parent / resolved.FILE).is_file()]
        newest = sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)[:MAX_RUNS]
        return {f"{RUNS}/{f.name}": (_read_record(f), resolved.read_values(f / resolved.FILE)) for f in newest}


def _explain(stage: Stage, values: dict[str, Any], signatures: dict[str, str], past: _Past) -> list[str]:
    """Why no run has the stage's result: what differs from the nearest one."""
    others = {name: run for name, run in past.runs.items() if stage.name in run[0]}
    if not others:
        return ["no run has done it yet"]
    nearest = min(others, key=lambda name: len(list_changes(others[name][1], values)))
    record, before = others[nearest]
    if record[stage.name] == signatures[stage.name]:
        return [f"{nearest} did it, and its result is gone"]
    first = STAGES[0].name
    new_data = first not in find_reruns(before, values) and record.get(first) != signatures[first]
    reasons = find_reruns(before, values, new_data=new_data).get(stage.name, ["another resolved.yaml"])
    return [*reasons, f"since {nearest}"]


def foresee_stage(name: str, *, values: dict[str, Any], folder: Path, root: Path) -> Outlook:
    """What `dvc repro` would do with one stage, by what dvc.lock says that it was last made from.

    Args:
        name: of the stage.
        values: of the resolved.yaml that it would run by.
        folder: where its results are.
        root: the project.
    """
    stages = dvc_lock.read_stages(root)
    outs = [root / out for out in dvc_lock.read_outs(stages.get(name, {}))]
    if not any(out.is_relative_to((root / folder).resolve()) for out in outs):
        return Outlook(name, "would run", [f"{dvc_lock.LOCK} names no result of it in {folder}"])
    new_data = dvc_lock.read_used_data(stages) != dvc_lock.read_data_version(root)
    slices = {
        stage.name: dvc_lock.read_slice(stage.name, stage=stages.get(stage.name, {}), values=values, root=root)
        for stage in list_needed(name)
    }
    before = {key: value for found in slices.values() for key, value in (found or {}).items()}
    reasons = find_reruns(before, values, new_data=new_data).get(name, [])
    if slices[name] is None:
        reasons = ["other values or other code"]
    reasons += [f"{out.relative_to(root)} is missing" for out in outs if not out.exists()]
    if not reasons:
        return Outlook(name, "unchanged", [f"{dvc_lock.LOCK} has it by the same values, code and version of the data"])
    return Outlook(name, "would run", [*reasons, "unless DVC knows the result already"])


# --- DVC's road ---------------------------------------------------------------------------------------


def run_stage(name: str, *, resolved_file: Path, folder: Path, root: Path, say: Say) -> Run:
    """Run one stage as DVC orders it: what it reads lies in `folder`, what it writes DVC keeps.

    Raises:
        TreadleError: the folder is a command's run, and the configuration is not its own.
    """
    experiment, values = resolved.read(resolved_file)
    _require_own(folder, values)
    signatures = sign_stages(values, root=root, memory=root / RUNS / _CACHE / "files.json")
    current = Run(experiment, values, signatures, folder, root)
    folder.mkdir(parents=True, exist_ok=True)
    with _claim(folder / ".lock", say=say, what=str(folder)):
        if resolved_file.resolve() != (folder / resolved.FILE).resolve():
            shutil.copyfile(resolved_file, folder / resolved.FILE)
        with _open_tracking(current) as tracking:
            seconds = _execute(current, get_stage(name), tracking, say)
            if name in _TRACKED:
                _TRACKED[name](folder, tracking.get())
        if (folder / _RECORD).is_file():
            _record(folder, get_stage(name), signatures[name])
    say(f"{name:<10} done in {seconds:.1f} s")
    current.states[name] = "ran"
    return current


def _require_own(folder: Path, values: dict[str, Any]) -> None:
    """A run says in one file what all of its outputs came from."""
    if (folder / _RECORD).is_file() and resolved.read_values(folder / resolved.FILE) != values:
        raise TreadleError(
            f"--resolved: {folder} is a run with a configuration of its own; "
            "name another --folder, or run the other configuration by `treadle run`"
        )


# --- one stage ----------------------------------------------------------------------------------------


def _execute(current: Run, stage: Stage, tracking: _LazyTracking, say: Say) -> float:
    """Run a stage from a clean start, and return its seconds; if it fails, no half-written folder remains."""
    say(f"{stage.name:<10} …")
    _log(current.folder, f"{stage.name} begins")
    remove_outs(current.folder, stage)
    start = time.perf_counter()
    try:
        _STAGE_FUNCTIONS[stage.name](current, tracking)
    except BaseException as error:
        for out in stage.outs:
            if (current.folder / out).is_dir():
                shutil.rmtree(current.folder / out)
        _log(current.folder, f"{stage.name} failed: {type(error).__name__}: {error}")
        raise
    seconds = time.perf_counter() - start
    _log(current.folder, f"{stage.name} done in {seconds:.2f} s")
    return seconds


def _prepare(current: Run, _: _LazyTracking) -> None:
    from treadle.data.prepare import prepare  # each stage imports its own libraries

    now = datetime.now(tz=UTC).replace(tzinfo=None)
    prepare(current.experiment.data, root=current.root, folder=current.folder / "examples", now=now)


def _featurize(current: Run, _: _LazyTracking) -> None:
    from treadle.features.featurize import featurize

    experiment, folder = current.experiment, current.folder
    featurize(
        experiment.features,
        task=experiment.data.task,
        targets=experiment.targets,
        examples=folder / "examples",
        folder=folder / "features",
    )


def _train(current: Run, tracking: _LazyTracking) -> None:
    from treadle.training.train import train

    record = tracking.get()  # before the work: a record that cannot be opened should cost nothing

    def log(row: Mapping[str, float], step: int) -> None:
        record.log(row, step=step)

    train(current.experiment, folder=current.folder, signature=current.signatures["train"], log=log)


def _baseline(current: Run, _: _LazyTracking) -> None:
    from treadle.evaluation.baselines import fit_baselines

    fit_baselines(current.experiment, folder=current.folder)


def _evaluate(current: Run, _: _LazyTracking) -> None:
    from treadle.evaluation.evaluate import evaluate
    from treadle.evaluation.report import Origin

    git = describe_git(current.root)
    moment = datetime.now(tz=UTC)
    origin = Origin(name_run(current.values, current.signatures), git["commit"], bool(git["changed"]), moment)
    evaluate(current.experiment, folder=current.folder, origin=origin)


_STAGE_FUNCTIONS: dict[str, Callable[[Run, _LazyTracking], None]]
_STAGE_FUNCTIONS = {
    "prepare": _prepare,
    "featurize": _featurize,
    "train": _train,
    "baseline": _baseline,
    "evaluate": _evaluate,
}


# --- tracking -----------------------------------------------------------------------------------------


class _LazyTracking:
    """The run's record in W&B, opened when the first stage has something to say."""

    def __init__(self, stack: ExitStack, current: Run) -> None:
        self.stack = stack
        self.current = current
        self.opened: Tracking | None = None

    def get(self) -> Tracking:
        if self.opened is None:
            current = self.current
            about = write_provenance(current.folder, root=current.root)
            context = track(
                settings=current.experiment.tracker,
                folder=current.record_folder,
                name=current.folder.name if current.folder.parent.name == RUNS else current.experiment.name,
                signature=current.signatures["train"],
                config=current.values,
                about={**about, "changes": (current.folder / "changes.diff").read_text(encoding="utf-8")},
            )
            self.opened = self.stack.enter_context(context)
        return self.opened


@contextmanager
def _open_tracking(current: Run) -> Iterator[_LazyTracking]:
    with ExitStack() as stack:
        yield _LazyTracking(stack, current)


def _track_training(folder: Path, tracking: Tracking) -> None:
    """Hand over the epochs that the record lacks: those of a shared stage, or of spawned processes."""
    from treadle.training.history import read_history

    for row in read_history(folder / "metrics.csv"):
        step = int(row.pop("step"))
        if step > tracking.last_step:
            tracking.log(row, step=step)


def _track_evaluation(folder: Path, tracking: Tracking) -> None:
    """Hand over the evaluation: metrics, curves, bundle."""
    from treadle.evaluation.curves import read_curves

    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    values = {f"{who}/{name}": value for who, results in metrics.items() for name, value in results.items()}
    tracking.summarize({name: value for name, value in values.items() if value is not None})
    for curve in read_curves(folder / "evaluation" / "plots"):
        tracking.log_curve(name=curve.name, x=curve.kind.x, y=curve.kind.y, rows=curve.rows)
    tracking.log_bundle(folder / "bundle", name=folder.name)


_TRACKED: dict[str, Callable[[Path, Tracking], None]] = {"train": _track_training, "evaluate": _track_evaluation}


# --- folders ------------------------------------------------------------------------------------------


@contextmanager
def _claim(path: Path, *, say: Say, what: str) -> Iterator[None]:
    """Hold a lock; the system frees it when the process ends, however that is."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{what} is in use by another process; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_done(folder: Path, stage: Stage, signature: str) -> bool:
    return _read_record(folder).get(stage.name) == signature and all((folder / out).exists() for out in stage.outs)


def _read_record(folder: Path) -> dict[str, str]:
    file = folder / _RECORD
    record: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return record


def _record(folder: Path, stage: Stage, signature: str) -> None:
    record = {**_read_record(folder), stage.name: signature}
    replacement = folder / f"{_RECORD}.tmp"
    replacement.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    replacement.replace(folder / _RECORD)


def _log(folder: Path, text: str) -> None:
    with (folder / "run.log").open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M:%S} {text}\n")
