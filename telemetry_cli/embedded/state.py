"""What one home remembers of its stack: the lock, the chosen ports, the running processes."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

import psutil

from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_CLOCK_SLACK_SECONDS = 2.0


def write_private(path: Path, text: str) -> None:
    """Replace `path` with `text`, readable by its owner only, never half a file."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@dataclass(frozen=True)
class ProcessMark:
    """A process that can be recognised later: the id alone may belong to another by then."""

    pid: int
    created_at: float

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """Mark a running process."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """Return the process while it runs; None when it is gone or another has its id."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created_at) < _CLOCK_SLACK_SECONDS
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass
class StackState:
    """Contents of `stack.json`.

    Attributes:
        supervisor: The `telemetry` process that runs the stack; None after a clean stop.
        ports: Chosen port by server.
        preferred: The ports that were asked for then; another wish overrides the memory.
        processes: The servers' processes by name.
        certificate: Path of the certificate that the edge shows; None when it speaks plain HTTP.
    """

    supervisor: ProcessMark | None = None
    ports: dict[str, int] = field(default_factory=dict)
    preferred: dict[str, int | None] = field(default_factory=dict)
    processes: dict[str, ProcessMark] = field(default_factory=dict)
    certificate: str | None = None

    @classmethod
    def read(cls, home: Path) -> StackState:
        """Read the state of a home; empty when there is none or it cannot be read."""
        try:
            found = json.loads((home / "stack.json").read_text())
            supervisor = found["supervisor"]
            return cls(
                supervisor=ProcessMark(**supervisor) if supervisor else None,
                ports=found["ports"],
                preferred=found["preferred"],
                processes={name: ProcessMark(**mark) for name, mark in found["processes"].items()},
                certificate=found.get("certificate"),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, home: Path) -> None:
        """Save the state of a home."""
        write_private(home / "stack.json", json.dumps(asdict(self), indent=2))

    @property
    def running(self) -> bool:
        """Whether the supervising process is alive."""
        return self.supervisor is not None and self.supervisor.process() is not None

    def remembered(self, preferred: dict[str, int | None]) -> dict[str, int]:
        """Return the ports that were chosen for the same wishes."""
        return {
            name: port
            for name, port in self.ports.items()
            if self.preferred.get(name) == preferred.get(name)
        }


class StackLock:
    """At most one stack per home. The kernel frees the lock when its holder dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            CommandError: Another process holds it.
        """
        descriptor = os.open(self._home / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise CommandError(
                f"A stack already runs for {self._home} (process {holder or 'unknown'}).",
                f"Use it (`telemetry status`), stop it (`kill {holder or 'PID'}`), or choose "
                "another TELEMETRY_HOME.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
