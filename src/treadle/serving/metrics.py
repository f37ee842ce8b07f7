"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_BUNDLE = ("model", "bundle")  # labels
_TABLE = ("model", "table")


class Metrics:
    """Counters of one server, by model and bundle."""

    def __init__(self, *, count_waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._count("requests", "Requests", *_BUNDLE, "protocol", "code")
        self._rows = self._count("rows", "Rows that were asked for", *_BUNDLE, "outcome")
        self._engines = self._count("engine_rows", "Rows that were predicted, by what computed", *_BUNDLE, "engine")
        self._polars = self._count("polars_rows", "Rows that only Polars could read", *_BUNDLE)
        duration = "Time from a request's body to its answer"
        self._seconds = self._spread("request_seconds", duration, *_BUNDLE, "protocol", buckets=_SECONDS)
        self._batches = self._spread("batch_rows", "Rows of a batch", *_BUNDLE, buckets=_ROWS)
        self._bundle = self._show("bundle_loaded_seconds", "When it was loaded", *_BUNDLE)
        self._failed = self._count("reload_failures", "Bundles that were not loaded")
        self._lost = self._count("log_lost_rows", "Predictions that were not recorded")
        taken = "Events that were taken, or refused; of those taken, late and never known ones"
        self._events = self._count("events", taken, *_TABLE, "outcome")
        offered = "Rows offered to the shadow, by what became of them"
        self._shadow = self._count("shadow_rows", offered, *_BUNDLE, "outcome")
        failed = "Rows that the champion answered for a canary that failed"
        self._canary = self._count("canary_failures", failed, *_BUNDLE)
        refused = "Rows that the champion predicted for a canary that refused them"
        self._refusals = self._count("canary_refusals", refused, *_BUNDLE)
        self._newest = self._show("newest_event_seconds", "When the newest event is known", *_TABLE)
        self._log_up = self._show("event_log_up", "Whether the log of events answers")
        rebuilt = "How often the log was another one, emptied or restored, and the state was made anew"
        self._rebuilds = self._show("event_log_rebuilds", rebuilt)
        self._show("waiting_rows", "Rows that wait").set_function(count_waiting)

    def _count(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"treadle_{name}", text, labels, registry=self._registry)

    def _show(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"treadle_{name}", text, labels, registry=self._registry)

    def _spread(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"treadle_{name}", text, labels, buckets=buckets, registry=self._registry)

    def count_request(self, model: str, bundle: str, *, protocol: str, code: int, seconds: float) -> None:
        """One request with its answer."""
        self._requests.labels(model, bundle, protocol, str(code)).inc()
        self._seconds.labels(model, bundle, protocol).observe(seconds)

    def count_batch(
        self, model: str, bundle: str, *, predicted: int, refused: int, by_polars: int, engine: str
    ) -> None:
        """One batch."""
        self._batches.labels(model, bundle).observe(predicted + refused)
        self._rows.labels(model, bundle, "predicted").inc(predicted)
        self._rows.labels(model, bundle, "refused").inc(refused)
        self._engines.labels(model, bundle, engine).inc(predicted)
        self._polars.labels(model, bundle).inc(by_polars)

    def note_bundle(self, model: str, bundle: str, *, time: float) -> None:
        """Another bundle answers from now on [seconds since 1970]."""
        self._bundle.clear()
        self._bundle.labels(model, bundle).set(time)

    def count_failed_reload(self) -> None:
        """A bundle was not loaded."""
        self._failed.inc()

    def count_lost(self, rows: int) -> None:
        """Predictions that could not be written."""
        self._lost.inc(rows)

    def count_events(self, model: str, table: str, outcome: str, number: int) -> None:
        """Events by what became of them."""
        self._events.labels(model, table, outcome).inc(number)

    def count_shadow(self, model: str, bundle: str, outcome: str, number: int) -> None:
        """Rows that were offered to the shadow: answered, refused, failed, late, lost or dropped."""
        self._shadow.labels(model, bundle, outcome).inc(number)

    def count_canary_failures(self, model: str, bundle: str, number: int) -> None:
        """Rows that the champion had to answer."""
        self._canary.labels(model, bundle).inc(number)

    def count_canary_refusals(self, model: str, bundle: str, number: int) -> None:
        """Rows that the canary refused and the champion predicted."""
        self._refusals.labels(model, bundle).inc(number)

    def note_newest_event(self, model: str, table: str, *, seconds: float) -> None:
        """The latest moment at which an event is known [seconds since 1970]."""
        self._newest.labels(model, table).set(seconds)

    def note_event_log(self, *, up: bool, rebuilds: int) -> None:
        """Whether the log of events answers, and how often another one took its place."""
        self._log_up.set(up)
        self._rebuilds.set(rebuilds)

    def write(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
