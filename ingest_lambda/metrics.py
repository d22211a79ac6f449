"""What the edge counts, in Prometheus' terms. Labels never hold a value of an event."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ingest_lambda.answers import ACCEPTED, DUPLICATE, REJECTED, Answer
from ingest_lambda.spool import Spool

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 20)
_SIZES = (1, 10, 100, 1_000, 5_000, 10_000, 50_000, 100_000)


class Metrics:
    """The counters and histograms of one edge."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._posts = Counter(
            "edge_posts", "Posts answered.", ("route", "status"), registry=self.registry
        )
        self._events = Counter(
            "edge_events", "Events answered.", ("source", "outcome"), registry=self.registry
        )
        self._acks = Histogram(
            "edge_ack_seconds",
            "From the request's headers to its answer.",
            ("route",),
            buckets=_LATENCY,
            registry=self.registry,
        )
        self._commit_seconds = Histogram(
            "edge_commit_seconds",
            "Time of one Delta commit, retries included.",
            ("table",),
            buckets=_LATENCY,
            registry=self.registry,
        )
        self._commit_rows = Histogram(
            "edge_commit_rows",
            "Rows in one Delta commit.",
            ("table",),
            buckets=_SIZES,
            registry=self.registry,
        )
        self._queued = Gauge(
            "edge_queued_rows", "Rows not yet durable.", ("table",), registry=self.registry
        )
        self._open = Gauge(
            "edge_table_open",
            "Whether the table was reached; 0 from a start while storage is away until it is back.",
            ("table",),
            registry=self.registry,
        )
        self._spool_bytes = Gauge(
            "edge_spool_bytes",
            "Sealed bytes that wait on the local disk while storage is away.",
            ("table",),
            registry=self.registry,
        )
        self._spool_age = Gauge(
            "edge_spool_age_seconds",
            "How long the oldest of them wait.",
            ("table",),
            registry=self.registry,
        )
        self._version = Gauge(
            "edge_table_version",
            "Newest table version that this edge committed or passed; NaN while it is not open.",
            ("table",),
            registry=self.registry,
        )
        self._version_lag = Gauge(
            "edge_table_version_lag",
            "Versions of other writers in storage that come after it; NaN when storage does not "
            "say.",
            ("table",),
            registry=self.registry,
        )
        self._refused_contracts = Gauge(
            "edge_contracts_refused",
            "Contract files that are not followed; /readyz says why.",
            registry=self.registry,
        )
        self._auth_failures = Counter(
            "edge_auth_failures", "Requests refused for their key.", registry=self.registry
        )
        self._files = Counter(
            "edge_files", "Files of the inbox by outcome.", ("outcome",), registry=self.registry
        )

    def posted(self, route: str, status: int, seconds: float) -> None:
        """Count one answered post."""
        self._posts.labels(route, status).inc()
        self._acks.labels(route).observe(seconds)

    def answered(self, source: str, answer: Answer) -> None:
        """Count the outcomes of one post or file."""
        outcomes = (
            (ACCEPTED, answer.accepted),
            (DUPLICATE, answer.duplicate),
            (
                REJECTED,
                answer.rejected,
            ),
        )
        for outcome, count in outcomes:
            if count:
                self._events.labels(source, outcome).inc(count)

    def on_commit(self, table: str) -> Callable[[int, float], None]:
        """Return the observer of one table's commits."""
        rows, seconds = self._commit_rows.labels(table), self._commit_seconds.labels(table)

        def observe(count: int, elapsed: float) -> None:
            rows.observe(count)
            seconds.observe(elapsed)

        return observe

    def watch_queue(self, table: str, queued: Callable[[], int]) -> None:
        """Read the gauge of queued rows from `queued` whenever it is scraped."""
        self._queued.labels(table).set_function(queued)

    def watch_open(self, table: str, is_open: Callable[[], bool]) -> None:
        """Read whether the table was reached whenever it is scraped."""
        self._open.labels(table).set_function(is_open)

    def watch_spool(self, table: str, spool: Spool) -> None:
        """Read the gauges of a table's spool whenever they are scraped."""
        self._spool_bytes.labels(table).set_function(lambda: spool.bytes)
        self._spool_age.labels(table).set_function(lambda: spool.age_seconds)

    def watch_version(
        self, table: str, version: Callable[[], float], lag: Callable[[], float]
    ) -> None:
        """Read the gauges of a table's version whenever they are scraped; neither may wait."""
        self._version.labels(table).set_function(version)
        self._version_lag.labels(table).set_function(lag)

    def watch_contracts(self, refused: Callable[[], int]) -> None:
        """Read how many contract files are refused whenever it is scraped."""
        self._refused_contracts.set_function(refused)

    def auth_failed(self) -> None:
        """Count a request refused for its key."""
        self._auth_failures.inc()

    def filed(self, outcome: str) -> None:
        """Count a file of the inbox."""
        self._files.labels(outcome).inc()

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)
