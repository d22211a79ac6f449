"""How long a POST takes to become a mart row: polls the marts while posts are being sent."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from device_sim.ledger import Entry

POLL_SECONDS = 0.25
_NOT_YET = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
# An answer may carry milliseconds where the table has microseconds.
_ROUNDING = timedelta(milliseconds=1)
_LATEST = "SELECT source, max(received_at) FROM marts.fct_events GROUP BY source"


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds from the start of a POST to the first poll that saw its arrival time in the marts."""

    posts: int
    p50: float
    p95: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Figures | None:
        """Return the figures of some posts; None when there were none."""
        if not seconds:
            return None
        ordered = sorted(seconds)
        cuts = quantiles(ordered, n=100, method="inclusive") if len(ordered) > 1 else ordered * 99
        return cls(len(ordered), cuts[49], cuts[94], ordered[-1])


@dataclass(slots=True)
class _Lane:
    """Posts of one source on their way, in the order of their arrival at the edge."""

    waiting: deque[tuple[datetime, datetime]] = field(default_factory=deque)
    seconds: list[float] = field(default_factory=list)


class FreshnessWatch:
    """Polls `max(received_at)` of each source in a thread of its own until it is closed."""

    def __init__(self, dsn: str) -> None:
        """Prepare a watch over the marts at `dsn`; entering it starts the polls."""
        self._dsn = dsn
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="freshness", daemon=True)

    def __enter__(self) -> Self:
        """Start to poll."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to poll; what was measured stays."""
        self._end.set()
        self._thread.join()

    def add(self, entry: Entry) -> None:
        """Wait for the rows of one answered post; posts that stored nothing are left out."""
        if not entry.accepted or entry.received_at is None:
            return
        received_at = datetime.fromisoformat(entry.received_at)
        with self._lock:
            lane = self._lanes.setdefault(entry.source, _Lane())
            lane.waiting.append((received_at, entry.sent_at))

    @property
    def waiting(self) -> int:
        """Posts that were not seen in the marts yet."""
        with self._lock:
            return sum(len(lane.waiting) for lane in self._lanes.values())

    def figures(self) -> dict[str, Figures]:
        """Return the figures by source, and those of all sources under `all`."""
        with self._lock:
            measured = {source: list(lane.seconds) for source, lane in self._lanes.items()}
        measured["all"] = [each for seconds in measured.values() for each in seconds]
        found = {source: Figures.of(seconds) for source, seconds in measured.items()}
        return {source: each for source, each in found.items() if each is not None}

    def _poll(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True, connect_timeout=10) as connection:
            while not self._end.wait(POLL_SECONDS):
                try:
                    rows = connection.execute(_LATEST).fetchall()
                except _NOT_YET:
                    continue
                self._see(datetime.now(UTC), rows)

    def _see(self, now: datetime, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._lock:
            for source, latest in rows:
                lane = self._lanes.get(source)
                if lane is None:
                    continue
                seen = [pair for pair in lane.waiting if pair[0] <= latest + _ROUNDING]
                lane.seconds += [(now - sent_at).total_seconds() for _, sent_at in seen]
                lane.waiting = deque(pair for pair in lane.waiting if pair[0] > latest + _ROUNDING)
