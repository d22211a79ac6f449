"""How often one address may fail to show a good key. In memory, per process.

Used from the event loop alone. It forgets whoever was quiet longest when it knows too many, so
strangers cannot fill the memory.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_KNOWN = 10_000
# One customer is given a whole /64 (RFC 6177), so its addresses count as one.
_IPV6_PREFIX = 64


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
