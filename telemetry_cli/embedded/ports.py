"""Which TCP ports the embedded servers take: the preferred one, else a free one, remembered."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"

# Linux hands outgoing connections ports from 32768 on (ip_local_port_range): a server that takes
# its port from below never finds it occupied by a client after a restart.
_FREE_RANGE = range(20_000, 32_000)
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_ports(
    preferred: Mapping[str, int | None], remembered: Mapping[str, int]
) -> dict[str, int]:
    """Choose a free port for every name.

    A remembered port is kept while it is free, so addresses stay the same over restarts; then the
    preferred port is tried, then any free one.

    Args:
        preferred: The wanted port by name; None when any port will do.
        remembered: Ports of the last start by name.

    Returns:
        A port by name, all different.

    Raises:
        CommandError: No free port was found.
    """
    chosen: dict[str, int] = {}
    for name, wanted in preferred.items():
        candidates = [port for port in (remembered.get(name), wanted) if port]
        taken = set(chosen.values())
        usable = (port for port in candidates if port not in taken and is_free(port))
        chosen[name] = next(usable, None) or _any_free_port(name, taken | _wanted(preferred))
    return chosen


def _wanted(preferred: Mapping[str, int | None]) -> set[int]:
    return {port for port in preferred.values() if port}


def _any_free_port(name: str, taken: set[int]) -> int:
    source = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = source.choice(_FREE_RANGE)
        if port not in taken and is_free(port):
            return port
    raise CommandError(
        f"No free loopback port was found for {name}.",
        f"Free a port between {_FREE_RANGE.start} and {_FREE_RANGE.stop} and start again.",
    )
