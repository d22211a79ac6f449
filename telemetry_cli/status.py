"""`telemetry status`: which servers of this home run, what they take, and whether they answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psutil
import typer

from telemetry_cli.embedded.secrets import read_secrets
from telemetry_cli.embedded.services import describe, running_settings
from telemetry_cli.embedded.state import ProcessMark, StackState
from telemetry_cli.output import JsonOption, print_json, print_table
from telemetry_platform.settings import Settings, get_settings

if TYPE_CHECKING:
    from telemetry_cli.embedded.processes import Service

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class ServiceStatus:
    """What is known about one process. Memory counts it and its children."""

    name: str
    healthy: bool
    pid: int | None
    memory_mebibytes: float
    address: str
    problem: str | None


def register(app: typer.Typer) -> None:
    """Add the command to the `telemetry` program."""
    app.command("status")(status)


def status(as_json: JsonOption = False) -> None:
    """Show each server of this home: process, memory, address, and whether it answers.

    Exit code 1 when a server is down or does not answer.
    """
    found = stack_status(get_settings())
    healthy = all(entry.healthy for entry in found)
    total = sum(entry.memory_mebibytes for entry in found)
    if as_json:
        services = [asdict(entry) for entry in found]
        print_json({"healthy": healthy, "memory_mebibytes": total, "services": services})
    else:
        rows = [
            (
                entry.name,
                "[green]healthy[/]" if entry.healthy else "[red]down[/]",
                str(entry.pid or ""),
                f"{entry.memory_mebibytes:,.0f}",
                entry.address if entry.healthy else entry.problem or "",
            )
            for entry in found
        ]
        title = f"{'Up' if healthy else 'Not up'}; {total:,.0f} MiB"
        print_table(title, ("Server", "State", "PID", "MiB", "Address or problem"), rows)
    if not healthy:
        raise typer.Exit(1)


def stack_status(settings: Settings) -> list[ServiceStatus]:
    """Return the state of the supervisor and of every server of this home.

    Raises:
        CommandError: No stack was ever started for this home.
    """
    state = StackState.read(settings.home)
    resolved = running_settings(settings)
    services = describe(resolved, read_secrets(resolved.secrets_dir), state.ports)
    supervisor = state.supervisor.process() if state.supervisor else None
    first = ServiceStatus(
        name="telemetry up",
        healthy=supervisor is not None,
        pid=supervisor.pid if supervisor else None,
        memory_mebibytes=_memory(supervisor, children=False),
        address=str(resolved.home),
        problem=None if supervisor else "no `telemetry up` runs for this home",
    )
    with ThreadPoolExecutor(len(services)) as pool:
        rest = pool.map(
            lambda service: _ask(service, state.processes.get(service.name)), services.values()
        )
        return [first, *rest]


def _ask(service: Service, mark: ProcessMark | None) -> ServiceStatus:
    process = mark.process() if mark else None
    problem = service.probe(mark.created_at) if mark and process else "not running"
    return ServiceStatus(
        name=service.name,
        healthy=problem is None,
        pid=process.pid if process else None,
        memory_mebibytes=_memory(process, children=True),
        address=service.address,
        problem=problem,
    )


def _memory(process: psutil.Process | None, *, children: bool) -> float:
    if process is None:
        return 0.0
    try:
        family = [process, *(process.children(recursive=True) if children else [])]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0
    for member in family:
        try:
            # Shared pages are counted once over all who share them, so that sums are true.
            memory = member.memory_full_info()
            total += getattr(memory, "pss", 0) or memory.rss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return round(total / _MEBIBYTE, 1)
