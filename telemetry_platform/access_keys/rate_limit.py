"""How much one sender may bring over time, as a key says it. Counting is the edge's work."""

from __future__ import annotations

import math
from dataclasses import dataclass

_BURST_SECONDS = 10


@dataclass(frozen=True)
class RateLimit:
    """A token bucket.

    Attributes:
        events_per_second: What the bucket gains.
        burst_events: What it holds: the events that may come at once after a pause, at least 1.
    """

    events_per_second: float
    burst_events: int

    @classmethod
    def of(cls, events_per_second: float, burst_events: int | None = None) -> RateLimit:
        """Return a limit whose burst is by default what 10 s of the rate bring.

        Raises:
            ValueError: The rate is not above 0, or the burst is below 1.
        """
        if not (math.isfinite(events_per_second) and events_per_second > 0):
            raise ValueError("a rate is a number of events a second above 0")
        if burst_events is None:
            burst_events = max(1, math.ceil(events_per_second * _BURST_SECONDS))
        if burst_events < 1:
            raise ValueError("a burst is at least 1 event")
        return cls(events_per_second, burst_events)
