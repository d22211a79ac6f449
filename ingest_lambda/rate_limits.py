"""How much one sender may bring, and how often one address may fail. In memory, per process.

Used from the event loop alone. Both forget whoever was quiet longest when they know too many, so
strangers cannot fill the memory.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from ingest_lambda.problems import too_many_events

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_KNOWN = 10_000
_BURST_SECONDS = 10
# One customer is given a whole /64 (RFC 6177), so its addresses count as one.
_IPV6_PREFIX = 64


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


class _Bucket:
    __slots__ = ("filled_at", "level")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.level = float(limit.burst_events)
        self.filled_at = now

    def fill(self, limit: RateLimit, now: float) -> None:
        gained = (now - self.filled_at) * limit.events_per_second
        self.level = min(float(limit.burst_events), self.level + gained)
        self.filled_at = now


class EventBudget:
    """Token buckets of events by sender.

    A post is admitted when its sender's bucket holds one event, and takes that one. How many events
    it brought is known once it was read; `charge` then takes the others, below zero if need be, and
    later posts wait until that is made good. So the rate holds over time, a post larger than the
    burst is not refused for ever, and a refusal costs neither reading nor decoding. Posts that are
    under way at the same time may pass together before the first of them is charged.
    """

    def __init__(
        self,
        default: RateLimit | None,
        most_senders: int = _MOST_KNOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default = default
        self._most = most_senders
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def admit(self, sender: str, own: RateLimit | None) -> None:
        """Take one event from the bucket of `sender`, who may have a limit of its own.

        Raises:
            Problem: 429, with the seconds until the bucket holds one event again.
        """
        limit = own or self._default
        if limit is None:
            return
        bucket = self._bucket(sender, limit)
        if bucket.level < 1:
            raise too_many_events(math.ceil((1 - bucket.level) / limit.events_per_second))
        bucket.level -= 1

    def charge(self, sender: str, events: int) -> None:
        """Take the other events of an admitted post that turned out to bring `events`."""
        bucket = self._buckets.get(sender)
        if bucket is not None:
            bucket.level -= max(0, events - 1)

    def _bucket(self, sender: str, limit: RateLimit) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(sender)
        if bucket is None:
            bucket = self._buckets[sender] = _Bucket(limit, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(sender)
            bucket.fill(limit, now)
        return bucket


class FailureThrottle:
    """Counts the refused requests of each address in a window that its first failure opens."""

    def __init__(
        self,
        limit: int,
        window_seconds: float,
        most_addresses: int = _MOST_KNOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window = window_seconds
        self._most = most_addresses
        self._clock = clock
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, address: str | None) -> int | None:
        """Count a failure.

        Returns:
            None up to the limit; above it the whole seconds until the window ends.
        """
        network = _network(address)
        now = self._clock()
        count, end = self._windows.pop(network, (0, 0.0))
        if now >= end:
            count, end = 0, now + self._window
        count += 1
        self._windows[network] = count, end
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        return math.ceil(end - now) if count > self._limit else None

    def __len__(self) -> int:
        """Return the number of addresses that are remembered."""
        return len(self._windows)


def _network(address: str | None) -> str:
    """Return what one client is known by: its IPv4 address, or the network of its IPv6 address."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return ""  # a local socket has no address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _IPV6_PREFIX), strict=False))
