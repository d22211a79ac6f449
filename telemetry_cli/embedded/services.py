"""What a stack consists of: settings with real addresses, and how each server is started.

Nothing here starts, creates or writes; `stack` does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pydantic import SecretStr

from telemetry_cli.embedded import orchestrator, postgres, seaweed
from telemetry_cli.embedded.environment import machine_environment, process_environment
from telemetry_cli.embedded.ports import LOOPBACK
from telemetry_cli.embedded.probes import http_refusal
from telemetry_cli.embedded.processes import Service
from telemetry_cli.embedded.secrets import StackSecrets, read_secrets
from telemetry_cli.embedded.state import StackState
from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_platform.settings import Settings

_SETTING_PORTS = ("s3", "postgres", "edge", "code_server", "webserver")
SERVERS = ("s3", "postgres", "edge", "code-server", "webserver", "daemon")
"""The servers of a whole stack."""


def preferred_ports(settings: Settings) -> dict[str, int | None]:
    """Return the wanted port of each server; None where any will do."""
    return {
        "s3": settings.s3_port,
        "postgres": settings.postgres_port,
        "edge": settings.edge_port,
        "code_server": settings.code_server_port,
        "webserver": settings.webserver_port,
        **dict.fromkeys(seaweed.PORT_NAMES),
    }


def resolve(settings: Settings, ports: Mapping[str, int], secrets: StackSecrets) -> Settings:
    """Return `settings` with the addresses and credentials of the embedded servers.

    Addresses that the caller's shell carries (from an earlier `telemetry env`) are replaced: the
    embedded stack always talks to its own servers.
    """
    home = settings.home.resolve()
    password, port = secrets.postgres_password, ports["postgres"]
    return settings.model_copy(
        update={
            "home": home,
            "secrets_path": settings.secrets_dir.resolve(),
            "s3_endpoint": f"http://{LOOPBACK}:{ports['s3']}",
            "aws_access_key_id": secrets.s3_access_key,
            "aws_secret_access_key": SecretStr(secrets.s3_secret_key),
            "lake_root": None,
            "postgres_dsn": SecretStr(postgres.postgres_dsn(port, password, postgres.DATABASE)),
            "dagster_postgres_dsn": SecretStr(
                postgres.postgres_dsn(port, password, postgres.DAGSTER_DATABASE)
            ),
            "ingest_url": f"http://{LOOPBACK}:{ports['edge']}",
            "dagster_url": f"http://{LOOPBACK}:{ports['webserver']}",
            "edge_host": LOOPBACK,
            **{f"{name}_port": ports[name] for name in _SETTING_PORTS},
            "stream_open_on_loopback": True,
            "inbox_dir": (settings.inbox_dir or home / "inbox").resolve(),
            "quarantine_dir": (settings.quarantine_dir or home / "quarantine").resolve(),
        }
    )


def running_settings(settings: Settings) -> Settings:
    """Return the settings of the stack that was last started for this home.

    Raises:
        CommandError: None ever was.
    """
    ports = StackState.read(settings.home).ports
    if not ports:
        raise CommandError(
            f"No stack was ever started for {settings.home}.",
            "Run `telemetry up` first, or set TELEMETRY_HOME to the home of your stack.",
        )
    return resolve(settings, ports, read_secrets(settings.secrets_dir))


def describe(
    settings: Settings,
    secrets: StackSecrets,
    ports: Mapping[str, int],
    code_location: str = orchestrator.CODE_LOCATION,
) -> dict[str, Service]:
    """Return how each server is started and asked for its health, by name, in order of start.

    Args:
        settings: Resolved settings.
        secrets: Credentials of the servers.
        ports: A port for every name of `preferred_ports`.
        code_location: Module of the Dagster definitions.
    """
    environment = process_environment(settings)
    machine = machine_environment()
    database = postgres.PostgresServer(settings.home, ports["postgres"], secrets)
    services = (
        seaweed.seaweed_service(settings, ports, machine),
        database.service(machine),
        _edge_service(settings, environment),
        orchestrator.code_server_service(settings, environment, code_location),
        orchestrator.webserver_service(settings, environment),
        orchestrator.daemon_service(settings, environment),
    )
    return {service.name: service for service in services}


def _edge_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """Return how the edge, which accepts events over HTTP, is started."""
    port = settings.edge_port
    return Service(
        name="edge",
        arguments=[sys.executable, "-m", "ingest_lambda"],
        environment=environment,
        probe=lambda _: http_refusal(port, "/readyz"),
        address=settings.ingest_url,
        stop_seconds=15.0,
        directory=settings.home,
    )
