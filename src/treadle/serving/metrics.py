"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one server, by model and bundle."""

    def __init__(self, *, count_waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        of_bundle = ["model", "bundle"]
        self._requests = self._make(Counter, "requests", "Requests", [*of_bundle, "protocol", "code"])
        self._rows = self._make(Counter, "rows", "Rows that were asked for", [*of_bundle, "outcome"])
        engine = [*of_bundle, "engine"]
        self._engines = self._make(Counter, "engine_rows", "Rows that were predicted, by what computed", engine)
        self._polars = self._make(Counter, "polars_rows", "Rows that only Polars could read", of_bundle)
        self._seconds = Histogram(
            "treadle_request_seconds",
            "Time from a request's body to its answer",
            [*of_bundle, "protocol"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "treadle_batch_rows", "Rows of a batch", of_bundle, buckets=_ROWS, registry=self._registry
        )
        self._bundle = Gauge("treadle_bundle_loaded_seconds", "When it was loaded", of_bundle, registry=self._registry)
        self._failed = Counter("treadle_reload_failures", "Bundles that were not loaded", registry=self._registry)
        self._lost = Counter("treadle_log_lost_rows", "Predictions that were not recorded", registry=self._registry)
        self._events = self._make(
            Counter,
            "events",
            "Events that were taken, or refused; of those taken, late and never known ones",
            ["model", "table", "outcome"],
        )
        self._shadow = self._make(
            Counter, "shadow_rows", "Rows offered to the shadow, by what became of them", [*of_bundle, "outcome"]
        )
        self._canary = self._make(
            Counter, "canary_failures", "Rows that the champion answered for a canary that failed", of_bundle
        )
        self._refusals = self._make(
            Counter, "canary_refusals", "Rows that the champion predicted for a canary that refused them", of_bundle
        )
        self._newest = Gauge(
            "treadle_newest_event_seconds",
            "When the newest event is known",
            ["model", "table"],
            registry=self._registry,
        )
        self._log_up = Gauge("treadle_event_log_up", "Whether the log of events answers", registry=self._registry)
        self._rebuilds = Gauge(
            "treadle_event_log_rebuilds",
            "How often the log was another one, emptied or restored, and the state was made anew",
            registry=self._registry,
        )
        Gauge("treadle_waiting_rows", "Rows that wait", registry=self._registry).set_function(count_waiting)

    def _make(self, kind: type[Counter], name: str, text: str, labels: list[str]) -> Counter:
        return kind(f"treadle_{name}", text, labels, registry=self._registry)

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
