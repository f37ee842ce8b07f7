"""Ray: a task of one process for each trial."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from treadle.errors import TreadleError
from treadle.experiment import spec
from treadle.sweeps.engines.attempt import work


class Ray:
    """Tasks of a Ray cluster, or of a Ray that is started on this machine.

    Args:
        settings: of the group `sweep/engine`.
    """

    name = "ray"
    lag_s = 10.0

    def __init__(self, settings: spec.RayEngine) -> None:
        self.settings = settings
        self.promises: dict[str, Any] = {}  # by name

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            TreadleError: there is no cluster at the address.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        address = self.settings.address or os.environ.get("RAY_ADDRESS")
        here = {} if address else {"num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False}
        try:
            ray.init(
                address or "local",
                runtime_env=self.settings.runtime_env or None,
                log_to_driver=False,
                logging_level="warning",
                **here,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise TreadleError(
                f"sweep.engine.address: Ray cannot be reached at {address!r}: {str(error).splitlines()[0]}"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        ray.shutdown()

    def count_slots(self, *, num_threads: int, uses_gpu: bool) -> int:
        """As many as CPUs and GPUs of the whole cluster allow."""
        import ray

        needs = self._list_needs(num_threads=num_threads, uses_gpu=uses_gpu)
        there = ray.cluster_resources()
        return max(1, min(int(there.get(name, 0) // count) for name, count in needs.items() if count))

    def submit(self, attempt: Path, *, num_threads: int, uses_gpu: bool) -> str:
        """A task whose process ends with it, and which Ray does not repeat."""
        import ray

        needs = self._list_needs(num_threads=num_threads, uses_gpu=uses_gpu)
        memory = self.settings.memory_gb
        task = ray.remote(max_calls=1, max_retries=0)(work).options(
            num_cpus=needs["CPU"],
            num_gpus=needs["GPU"],
            memory=None if memory is None else int(memory * 1e9),
            resources=self.settings.resources or None,
        )
        promise = task.remote(str(attempt))
        name: str = promise.hex()
        self.promises[name] = promise
        return name

    def _list_needs(self, *, num_threads: int, uses_gpu: bool) -> dict[str, float]:
        gpus = self.settings.gpus
        return {"CPU": self.settings.cpus or num_threads, "GPU": int(uses_gpu) if gpus is None else gpus}

    def find_gone(self, jobs: Collection[str]) -> Mapping[str, str]:
        """Those that Ray says have ended."""
        import ray

        promises = [self.promises[name] for name in jobs]
        ended, _ = ray.wait(promises, num_returns=len(promises), timeout=0)
        return {promise.hex(): _describe_end(promise) for promise in ended}

    def cancel(self, job: str) -> None:
        """By force: the worker has been asked before."""
        import ray

        ray.cancel(self.promises[job], force=True)


def _describe_end(promise: Any) -> str:
    import ray

    try:
        ray.get(promise)
    except ray.exceptions.RayError as error:
        return f"Ray: {type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return "its Ray task ended without a word"
