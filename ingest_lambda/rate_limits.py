"""How much one sender may bring. In memory, per process.

Used from the event loop alone. It forgets whoever was quiet longest when it knows too many.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from ingest_lambda.problems import too_many_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_platform.access_keys.rate_limit import RateLimit

_MOST_KNOWN = 10_000


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
