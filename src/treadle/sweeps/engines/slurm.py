"""SLURM, by submitit."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from treadle.errors import TreadleError
from treadle.experiment import spec
from treadle.experiment.durations import parse_duration
from treadle.sweeps.engines.attempt import work

_WARNING_S = 90  # before the time limit of a job, when it is told to save
_ENDED = {
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
}
_NETWORK_LAG_S, _LOCAL_LAG_S = 60.0, 2.0


class Slurm:
    """Jobs of `sbatch`; with `cluster: local` processes of this machine, as submitit starts them.

    Args:
        settings: of the group `sweep/engine`.
        folder: of the sweep; submitit's files lie in `slurm` there.

    Raises:
        TreadleError: this machine has no `sbatch`.
    """

    name = "slurm"

    def __init__(self, settings: spec.SlurmEngine, *, folder: Path) -> None:
        import submitit

        self.settings = settings
        self.lag_s = _LOCAL_LAG_S if settings.cluster == "local" else _NETWORK_LAG_S
        self.jobs: dict[str, Any] = {}  # by name
        try:
            self.executor = submitit.AutoExecutor(folder / "slurm", cluster=settings.cluster)
        except RuntimeError as error:
            raise TreadleError(
                f"sweep.engine: {error} Run the command where sbatch is, or try it on this machine by "
                "sweep.engine.cluster=local"
            ) from error
        minutes = parse_duration(settings.time).total_seconds() / 60
        setup = {f"{settings.cluster}_setup": settings.setup} if settings.setup else {}
        self.executor.update_parameters(
            name=folder.name,
            timeout_min=max(1, round(minutes)),
            mem_gb=settings.memory_gb,
            stderr_to_stdout=True,
            slurm_partition=settings.partition,
            slurm_account=settings.account,
            slurm_qos=settings.qos,
            slurm_signal_delay_s=min(_WARNING_S, round(minutes * 6)),
            slurm_additional_parameters={"no_requeue": True, **settings.options},
            **setup,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Processes of this machine are waited for: those that were left have been cancelled."""
        for job in self.jobs.values() if self.settings.cluster == "local" else ():
            job.wait()

    def count_slots(self, *, num_threads: int, uses_gpu: bool) -> int:  # noqa: ARG002 - as any cluster is asked
        """Never asked: `sweep.workers=auto` is refused."""
        raise AssertionError("a queue has no number of slots")

    def submit(self, attempt: Path, *, num_threads: int, uses_gpu: bool) -> str:
        """A job of one task.

        Raises:
            TreadleError: SLURM does not take it.
        """
        from submitit.core.utils import FailedJobError

        cpus, gpus = self.settings.cpus or num_threads, self.settings.gpus
        self.executor.update_parameters(cpus_per_task=cpus, gpus_per_node=int(uses_gpu) if gpus is None else gpus)
        try:
            job = self.executor.submit(work, str(attempt))
        except FailedJobError as error:
            raise TreadleError(f"sweep.engine: sbatch refuses the job: {' '.join(str(error).split())}") from error
        name: str = job.job_id
        self.jobs[name] = job
        return name

    def find_gone(self, jobs: Collection[str]) -> Mapping[str, str]:
        """Those that the queue lists as ended, or no longer; none where it does not answer."""
        if self.settings.cluster == "local":
            return {name: "its process was killed" for name in jobs if self.jobs[name].done()}
        listed = _read_queue()
        if listed is None:
            return {}
        gone = {name: listed.get(name, "GONE") for name in jobs if listed.get(name, "GONE") in {"GONE", *_ENDED}}
        return {name: f"SLURM job {name}: {state}" for name, state in gone.items()}

    def cancel(self, job: str) -> None:
        """By `scancel`."""
        self.jobs[job].cancel(check=False)


def _read_queue() -> dict[str, str] | None:
    """State of this user's jobs, also of those that have ended within the last minutes; None where nobody answers."""
    command = ["squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", "--format=%i %T"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no text of the user's
    if answer.returncode:
        return None
    return dict(line.split(maxsplit=1) for line in answer.stdout.splitlines() if line.strip())
