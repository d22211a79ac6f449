"""The whole stack on this machine: what starts when, with which settings, and how it ends."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from telemetry_cli.embedded import broker, orchestrator, seaweed
from telemetry_cli.embedded.environment import process_environment
from telemetry_cli.embedded.ports import PortLeases, choose_ports
from telemetry_cli.embedded.postgres import PostgresServer
from telemetry_cli.embedded.processes import (
    Service,
    StartCancelledError,
    Supervisor,
    end_leftovers,
)
from telemetry_cli.embedded.secrets import ensure_secrets
from telemetry_cli.embedded.services import describe, preferred_ports, resolve
from telemetry_cli.embedded.state import ProcessMark, StackLock, StackState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from rich.console import Console

    from telemetry_platform.settings import Settings
    from telemetry_platform.signals import EndFlag

# Whoever writes ends before whoever stores; servers of one row end together.
_STOP_ORDER = (
    ("daemon", "webserver", "edge", "access"),
    ("code-server",),
    ("s3", "postgres", broker.NAME),
)
_NEEDS = {
    "s3": (),
    "postgres": (),
    broker.NAME: (),
    "edge": ("s3",),
    "access": ("postgres",),
    "code-server": ("postgres",),
    "webserver": ("postgres",),
    "daemon": ("postgres", "code-server"),
}


class EmbeddedStack:
    """Object store, Postgres, edge, access API and Dagster on loopback, our child processes.

    Use as a context manager: entering takes the home's lock and resolves the settings, `start`
    starts the servers, leaving stops them.

    Attributes:
        settings: Resolved settings: real addresses and credentials.
        timings: Seconds each server took to become ready, by name.
    """

    def __init__(
        self,
        settings: Settings,
        console: Console | None = None,
        *,
        code_location: str = orchestrator.CODE_LOCATION,
        only: Collection[str] | None = None,
        mqtt: bool = False,
    ) -> None:
        """Name the stack.

        Args:
            settings: Wishes (home, preferred ports) and limits.
            console: Where to tell which server is ready; silent without it.
            code_location: Module, or path of a Python file, with the Dagster definitions.
            only: Names of the servers to start, such as `{"s3", "postgres"}`; all without it.
            mqtt: Whether to start a broker too, and the edge's bridge to it.
        """
        self.settings = settings
        self.timings: dict[str, float] = {}
        self._console = console
        self._code_location = code_location
        self._only = only
        self._mqtt = mqtt
        self._writing = threading.Lock()
        self._services: dict[str, Service] = {}
        self._exit = ExitStack()
        self._state = StackState()

    def __enter__(self) -> Self:
        """Take the home and prepare it; nothing is started yet.

        Raises:
            CommandError: A stack already runs for this home, or it cannot be prepared.
        """
        home = self.settings.home.resolve()
        home.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            undo.enter_context(StackLock(home))
            before = StackState.read(home)
            end_leftovers(before.processes)
            wanted = preferred_ports(self.settings, mqtt=self._mqtt)
            leases = undo.enter_context(PortLeases())
            ports = choose_ports(wanted, before.remembered(wanted), leases)
            self._secrets = ensure_secrets(self.settings.secrets_dir)
            if self._mqtt:
                broker.prepare_broker(self.settings.secrets_dir.resolve(), ports[broker.NAME])
            self.settings = resolve(self.settings, ports, self._secrets)
            certificate = self.settings.tls_certificate
            self._state = StackState(
                supervisor=ProcessMark.of(os.getpid()),
                ports=ports,
                preferred=wanted,
                certificate=str(certificate) if certificate else None,
            )
            self._supervisor = undo.enter_context(Supervisor(home / "logs"))
            self._prepare(ports)
            self._remember()
            self._exit = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what runs and free the home."""
        with self._exit:
            self.stop()
            self._state.supervisor = None
            self._remember()

    @property
    def services(self) -> Mapping[str, Service]:
        """The servers of this stack by name, in the order of their start."""
        return self._services

    @property
    def processes(self) -> dict[str, ProcessMark]:
        """The running servers' processes by name."""
        return self._supervisor.marks

    def environment(self) -> dict[str, str]:
        """Return the whole environment of a process that works with this stack."""
        return process_environment(self.settings)

    def start(self, cancelled: EndFlag | None = None) -> float:
        """Start every server, those that do not need each other at the same time.

        Args:
            cancelled: When it is set, the start is given up; what runs already is stopped again.

        Returns:
            The seconds until all were ready, or until the start was given up.

        Raises:
            CommandError: One did not start; the others are stopped again.
        """
        began = time.monotonic()
        jobs: dict[str, Future[None]] = {}

        def given_up() -> bool:
            broken = any(job.done() and job.exception() for job in list(jobs.values()))
            return broken or (cancelled is not None and cancelled.is_set())

        with ThreadPoolExecutor(len(self._services)) as pool:
            for name in self._services:
                awaited = [jobs[other] for other in _NEEDS[name] if other in jobs]
                jobs[name] = pool.submit(self._start, name, awaited, given_up)
        failed = [error for job in jobs.values() if (error := job.exception()) is not None]
        if failed:
            self.stop()
        # The others gave up because of the first real failure; that one is worth telling.
        for error in failed:
            if not isinstance(error, StartCancelledError):
                raise error
        return time.monotonic() - began

    def stop(self) -> None:
        """End every server in order: writers first, then the stores. Harmless when stopped."""
        for names in _STOP_ORDER:
            self._supervisor.stop(names)
        self._remember()

    def kill(self, name: str) -> None:
        """End one server and its children with SIGKILL, as a crash would."""
        self._supervisor.kill(name)
        self._remember()

    def restart(self, name: str) -> None:
        """End one server, if it runs, and start it again at the same address."""
        self._supervisor.stop([name])
        self._start(name)

    def revive(self) -> list[str]:
        """Start servers again that ended by themselves.

        Returns:
            Their names.
        """
        names = self._supervisor.dead()
        for name in sorted(names, key=list(self._services).index):
            self.restart(name)
        return names

    def _prepare(self, ports: Mapping[str, int]) -> None:
        settings = self.settings
        for directory in (settings.inbox_dir, settings.quarantine_dir):
            if directory:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        orchestrator.prepare_instance(settings)
        seaweed.prepare_store(settings, self._secrets)
        self._postgres = PostgresServer(settings.home, ports["postgres"], self._secrets)
        self._postgres.ensure_directory()
        self._services = {
            name: service
            for name, service in describe(
                settings, self._secrets, ports, self._code_location
            ).items()
            if self._only is None or name in {*self._only, broker.NAME}
        }

    def _start(
        self,
        name: str,
        after: Sequence[Future[None]] = (),
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        for job in after:
            job.result()
        if name == "postgres":
            self._postgres.prepare()
        if name == "code-server" and self._code_location == orchestrator.CODE_LOCATION:
            self._supervisor.run(orchestrator.marts_preparation(self.environment()), given_up)
        self.timings[name] = self._supervisor.start(self._services[name], given_up)
        if name == "postgres":
            self._postgres.ensure_databases()
        self._remember()
        if self._console:
            self._console.print(f"[green]ready[/] {name} ({self.timings[name]:.1f} s)")

    def _remember(self) -> None:
        with self._writing:
            self._state.processes = self._supervisor.marks
            self._state.write(self.settings.home)
