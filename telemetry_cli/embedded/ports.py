"""Which TCP ports the embedded servers take: the preferred one, else a free one, remembered."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"

# Linux hands outgoing connections ports from 32768 on (ip_local_port_range): a server that takes
# its port from below never finds it occupied by a client after a restart.
_FREE_RANGE = range(20_000, 32_000)
_ATTEMPTS = 200


class PortLeases:
    """Ports that this process has claimed from other stacks on the machine, until it ends.

    A free port is not enough: a server binds seconds after its port was chosen, and gRPC binds with
    SO_REUSEPORT, so two code servers would share one port and run each other's runs. Each claim is
    a locked file, which the kernel frees when its holder dies.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / "telemetry-ports"
        self._held: list[int] = []

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give all ports back."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def take(self, port: int) -> bool:
        """Claim a port; false when another stack has it or a server listens there."""
        descriptor = self._open(self._directory / f"{port}.lock")
        if descriptor is None:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            claimed = is_free(port)
        except BlockingIOError:
            claimed = False
        if claimed:
            self._held.append(descriptor)
        else:
            os.close(descriptor)
        return claimed

    def _open(self, path: Path) -> int | None:
        """Open a lock file that every user of the machine can lock; None when that is refused."""
        self._directory.mkdir(exist_ok=True)
        with suppress(PermissionError):
            self._directory.chmod(0o1777)
        for flags in (os.O_RDONLY, os.O_RDONLY | os.O_CREAT):
            # Without O_CREAT first: a sticky directory refuses it on another user's file.
            with suppress(FileNotFoundError, PermissionError):
                return os.open(path, flags | os.O_NOFOLLOW, 0o644)
        return None


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
    preferred: Mapping[str, int | None], remembered: Mapping[str, int], leases: PortLeases
) -> dict[str, int]:
    """Claim a free port for every name.

    A remembered port is kept while it is free, so addresses stay the same over restarts; then the
    preferred port is tried, then any free one.

    Args:
        preferred: The wanted port by name; None when any port will do.
        remembered: Ports of the last start by name.
        leases: Takes the claims.

    Returns:
        A port by name, all different.

    Raises:
        CommandError: No free port was found.
    """
    chosen: dict[str, int] = {}
    for name, wanted in preferred.items():
        candidates = (port for port in (remembered.get(name), wanted) if port)
        found = next((port for port in candidates if leases.take(port)), None)
        chosen[name] = found or _any_port(name, leases)
    return chosen


def _any_port(name: str, leases: PortLeases) -> int:
    source = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = source.choice(_FREE_RANGE)
        if leases.take(port):
            return port
    raise CommandError(
        f"No free loopback port was found for {name}.",
        f"Free a port between {_FREE_RANGE.start} and {_FREE_RANGE.stop} and start again.",
    )
