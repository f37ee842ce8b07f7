"""Group `serving`: how `treadle serve` answers requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from treadle.experiment.spec.base import Duration, Spec
from treadle.schema import Count, Positive


class Limits(Spec):
    """What a request may ask for, and how long it may wait."""

    rows: Count
    """Rows of a request; more answer 413."""
    body_mb: Positive
    """Size of a request's body; a larger one answers 413 [MB]."""
    queue: Count
    """Rows that wait for the model; what comes on top answers 503."""
    seconds: Positive
    """Time until a request that has no answer is given up with 504 [s]."""


class PredictionLog(Spec):
    """The record of each prediction, in Parquet files."""

    folder: str | None
    """Where the files go; null: nothing is recorded."""
    share: Annotated[float, Field(ge=0, le=1)]
    """Share of the predictions that is recorded."""
    columns: list[str] | None
    """Columns of the rows that are recorded, but for those marked `private`; null: all of them."""
    roll: Duration
    """Time that one file covers [duration]."""


class Events(Spec):
    """Events that a server takes at `/events/<table>`, and completes rows from: `asof` and `history`."""

    store: Literal["memory", "sqlite", "redis"] | None
    """Where they are kept: in memory alone, in the file `path`, or in Redis; null: no events are taken."""
    path: str
    """File of `store: sqlite`; servers of one machine may share it."""
    url: str
    """Address of `store: redis`, which several machines may share."""
    tables: dict[str, str]
    """Files of tables that events are joined with, by name, where they are not those of the training."""
    keep: Duration
    """How long events stay there at least, for a bundle that looks back further than the present one [duration]."""


class Shadow(Spec):
    """A challenger that is asked what the server has answered, in a process of its own."""

    bundle: str | None
    """A run's folder, a bundle, or `challenger`: what `treadle rollout start` named; null: there is none."""
    queue: Count
    """Rows that may wait for it; what comes on top is dropped, and counted."""
    seconds: Positive
    """Time that it may take for a batch; then its process is ended, and started again [s]."""


class Canary(Spec):
    """A challenger that answers a share of the requests."""

    bundle: str | None
    """A run's folder, a bundle, or `challenger`: what `treadle rollout start` named; null: there is none."""
    share: Annotated[float, Field(ge=0, le=1)]
    """Share of the keys that it answers."""
    key: str | None
    """Column of the rows, such as a customer's number; all rows of one key are answered by the same bundle."""


EngineName = Literal["auto", "eager", "onnx", "aoti"]


class Serving(Spec):
    """How `treadle serve` answers requests; no part of any run."""

    name: str | None = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the model in addresses and metrics; null: that of the champion, or of the run's folder."""
    host: str
    """Address to listen on; 127.0.0.1: of this machine alone."""
    port: int = Field(ge=0, le=65_535)
    """Port to listen on; 0: any that is free."""
    token_file: str | None
    """File that holds the token of every request; null: `token_env`."""
    token_env: str
    """Environment variable that holds the token, where it is set."""
    allow_anonymous: bool
    """Whether it may listen on the addresses of other machines without a token."""
    protocols: Annotated[list[Literal["rows", "oip", "mlflow"]], Field(min_length=1)]
    """What it speaks: plain rows, the Open Inference Protocol V2, MLflow's /invocations."""
    engine: EngineName = "auto"  # the default is for a conf/serving that is older than the key
    """What computes: `eager` is torch itself, `onnx` and `aoti` an export of the run (`treadle export`), which must
    give the bundle's numbers; auto: its ONNX export where there is one, else torch."""
    batch_rows: Count
    """Rows that the model takes at once, of all requests that have arrived while it was busy."""
    limits: Limits
    """Limits of a request."""
    reload: Duration | None
    """How often it looks for a new champion, or for another bundle of the run; null: on SIGHUP alone [duration]."""
    drain: Duration
    """Time in which a server that is ended answers what it has accepted [duration]."""
    log: PredictionLog
    """The record of predictions."""
    events: Events
    """Events from which the past of a row is completed."""
    shadow: Shadow
    """A challenger beside the answer."""
    canary: Canary
    """A challenger that answers a share."""
