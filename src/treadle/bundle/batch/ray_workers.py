"""Workers of a Ray cluster: each holds the bundle, and predicts parts as they come.

Rows are read, and predictions written, by one process in the order of the rows, so that a batch resumes and its output
has the same bytes, whoever predicted it. The bundle travels to the workers: no file system has to be shared.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from treadle.bundle.batch.predict import Part, Predicted, predict_part
from treadle.bundle.store import load
from treadle.errors import TreadleError
from treadle.experiment.spec import OnBreach
from treadle.schema import UsableCode

START_S = 300.0  # until the first worker is there: a process imports torch, and a cluster may add machines
MORE_S = 20.0  # for the others
AHEAD = 2  # parts that each worker has at a time: the next one is there when it has done one


class RayWorkers:
    """Actors that hold a bundle."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self._actors = actors

    def map(self, parts: Iterator[Part], *, set_apart: bool) -> Iterator[Predicted]:
        """What becomes of each part, in their order.

        Raises:
            TreadleError: the rows of a part cannot be read, or a worker is gone.
        """
        import ray

        waiting: deque[Any] = deque()
        for number, part in enumerate(parts):
            if len(waiting) == AHEAD * len(self._actors):
                yield _get(waiting.popleft())
            actor = self._actors[number % len(self._actors)]
            waiting.append(actor.predict.remote(ray.put(part), set_apart))
        while waiting:
            yield _get(waiting.popleft())


def _get(promise: Any) -> Predicted:
    import ray

    try:
        found: Predicted = ray.get(promise)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, TreadleError):
            raise error.cause from error
        raise
    except ray.exceptions.ActorDiedError as error:
        raise TreadleError(f"--ray: a worker has ended: {str(error).strip().splitlines()[-1]}") from error
    except ray.exceptions.RayError as error:
        fix = "the same command goes on where this one stopped"
        raise TreadleError(f"--ray: a worker is gone: {str(error).strip().splitlines()[0]}; {fix}") from error
    return found


class _Actor:
    """A bundle in a process of the cluster."""

    def __init__(self, packed: bytes, targets: Sequence[str], on_breach: OnBreach | None, code: UsableCode) -> None:
        with TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder, filter="data")
            self._bundle = load(folder, targets=targets, on_breach=on_breach, code=code)

    def start(self) -> None:
        """Once it answers, it holds the bundle."""

    def predict(self, part: Part, set_apart: bool) -> Predicted:  # noqa: FBT001 - Ray's call
        return predict_part(self._bundle, part, set_apart=set_apart)


@contextmanager
def open_ray(
    address: str,
    *,
    bundle: Path,
    targets: Sequence[str],
    on_breach: OnBreach | None,
    code: UsableCode,
) -> Iterator[RayWorkers]:
    """A worker on each CPU of a cluster, as long as the context lasts.

    Args:
        address: of the cluster, such as ray://head:10001 or auto; local: a Ray that is started on this machine.
        bundle: its folder.
        targets: as `load` takes them; what they name must be installed on every machine.
        on_breach: likewise.
        code: likewise.

    Raises:
        TreadleError: Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise TreadleError("--ray needs Ray, which is not installed: `pip install 'treadle[ray]'`") from error
    here = {"num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level="warning", **here)
    except Exception as error:  # Ray raises many kinds, also bare ones
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if address == "local":
            raise TreadleError(f"--ray: Ray cannot be started here: {reason}") from error
        raise TreadleError(f"--ray: Ray cannot be reached at {address!r}: {reason}; local starts one here") from error
    try:
        count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        packed = ray.put(_pack(bundle))
        make = ray.remote(num_cpus=1)(_Actor)
        actors = [make.remote(packed, list(targets), on_breach, code) for _ in range(count)]
        yield RayWorkers(_take_started(actors))
    finally:
        ray.shutdown()


def _take_started(actors: Sequence[Any]) -> list[Any]:
    """Those that have begun: on a cluster with other work the rest might wait for ever.

    Raises:
        TreadleError: none has, or a worker cannot load the bundle.
    """
    import ray

    starts = {actor.start.remote(): actor for actor in actors}
    first, _ = ray.wait(list(starts), num_returns=1, timeout=START_S)
    if not first:
        raise TreadleError(f"--ray: no CPU of the cluster was free within {START_S:g} s; try again later")
    started, rest = ray.wait(list(starts), num_returns=len(starts), timeout=MORE_S)
    for promise in rest:
        ray.kill(starts[promise])
    for promise in started:
        try:
            ray.get(promise)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise TreadleError(f"--ray: a worker cannot load the bundle: {reason}") from error
    return [starts[promise] for promise in started]


def _pack(bundle: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(bundle, arcname=".")
    return stream.getvalue()
