"""What a stack consists of: settings with real addresses, and how each server is started.

Nothing here starts, creates or writes; `stack` does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from telemetry_cli.embedded import broker, orchestrator, postgres, seaweed
from telemetry_cli.embedded.environment import (
    access_environment,
    machine_environment,
    process_environment,
)
from telemetry_cli.embedded.ports import LOOPBACK
from telemetry_cli.embedded.probes import http_refusal
from telemetry_cli.embedded.processes import Service
from telemetry_cli.embedded.roles import READER
from telemetry_cli.embedded.secrets import StackSecrets, read_secrets
from telemetry_cli.embedded.state import StackState
from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_platform.settings import Settings

_SETTING_PORTS = ("s3", "postgres", "edge", "access", "code_server", "webserver")
SERVERS = ("s3", "postgres", "edge", "access", "code-server", "webserver", "daemon")
"""The servers of a whole stack."""


def preferred_ports(settings: Settings, *, mqtt: bool = False) -> dict[str, int | None]:
    """Return the wanted port of each server; None where any will do.

    Args:
        settings: The wishes.
        mqtt: Whether the stack has a broker. From then on its port tells.
    """
    return {
        **({broker.NAME: settings.mqtt_port} if mqtt else {}),
        "s3": settings.s3_port,
        "postgres": settings.postgres_port,
        "edge": settings.edge_port,
        "access": settings.access_port,
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
    scheme = "https" if settings.tls_certificate else "http"
    return settings.model_copy(
        update={
            "home": home,
            "secrets_path": settings.secrets_dir.resolve(),
            "s3_endpoint": f"http://{LOOPBACK}:{ports['s3']}",
            "aws_access_key_id": secrets.s3_access_key,
            "aws_secret_access_key": SecretStr(secrets.s3_secret_key),
            "aws_session_token": None,
            "lake_root": None,
            "postgres_dsn": SecretStr(postgres.postgres_dsn(port, password, postgres.DATABASE)),
            "dagster_postgres_dsn": SecretStr(
                postgres.postgres_dsn(port, password, postgres.DAGSTER_DATABASE)
            ),
            "access_postgres_dsn": SecretStr(
                postgres.postgres_dsn(
                    port, secrets.postgres_reader_password, postgres.DATABASE, READER
                )
            ),
            "access_s3_access_key_id": secrets.s3_reader_access_key or None,
            "access_s3_secret_access_key": SecretStr(secrets.s3_reader_secret_key)
            if secrets.s3_reader_secret_key
            else None,
            "access_url": f"http://{LOOPBACK}:{ports['access']}",
            "access_host": LOOPBACK,
            "access_audit_path": (settings.access_audit_file).resolve(),
            "ingest_url": f"{scheme}://{LOOPBACK}:{ports['edge']}",
            "dagster_url": f"http://{LOOPBACK}:{ports['webserver']}",
            "edge_host": LOOPBACK,
            **{f"{name}_port": ports[name] for name in _SETTING_PORTS},
            "stream_open_on_loopback": True,
            "access_open_on_loopback": True,
            **_broker_settings(settings, ports),
            **_absolute(settings, "tls_certificate", "tls_key", "jwt_jwks_file"),
            "inbox_dir": (settings.inbox_dir or home / "inbox").resolve(),
            "quarantine_dir": (settings.quarantine_dir or home / "quarantine").resolve(),
        }
    )


def _broker_settings(settings: Settings, ports: Mapping[str, int]) -> dict[str, object]:
    """Return the settings of the stack's own broker; without one those of the caller stay."""
    port = ports.get(broker.NAME)
    return broker.broker_settings(settings.secrets_dir, port) if port else {}


def _absolute(settings: Settings, *names: str) -> dict[str, Path | None]:
    """Return file settings as the servers see them, which run in another directory."""
    files: dict[str, Path | None] = {name: getattr(settings, name) for name in names}
    return {name: file.resolve() if file else None for name, file in files.items()}


def running_settings(settings: Settings) -> Settings:
    """Return the settings of the stack that was last started for this home.

    Raises:
        CommandError: None ever was.
    """
    state = StackState.read(settings.home)
    if not state.ports:
        raise CommandError(
            f"No stack was ever started for {settings.home}.",
            "Run `telemetry up` first, or set TELEMETRY_HOME to the home of your stack.",
        )
    certificate = Path(state.certificate) if state.certificate else None
    started_with = settings.model_copy(update={"tls_certificate": certificate})
    return resolve(started_with, state.ports, read_secrets(settings.secrets_dir))


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
        _access_service(settings),
        orchestrator.code_server_service(settings, environment, code_location),
        orchestrator.webserver_service(settings, environment),
        orchestrator.daemon_service(settings, environment),
        *([broker.broker_service(settings, machine)] if broker.NAME in ports else []),
    )
    return {service.name: service for service in services}


def _edge_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """Return how the edge, which accepts events over HTTP, is started."""
    port = settings.edge_port
    return Service(
        name="edge",
        arguments=[sys.executable, "-m", "ingest_lambda"],
        environment=environment,
        probe=lambda _: http_refusal(port, "/readyz", settings.tls_certificate),
        address=settings.ingest_url,
        stop_seconds=30.0,
        directory=settings.home,
    )


def _access_service(settings: Settings) -> Service:
    """Return how the access API, which answers from the marts over HTTP, is started."""
    port = settings.access_port
    return Service(
        name="access",
        arguments=[sys.executable, "-m", "access_api"],
        environment=access_environment(settings),
        probe=lambda _: http_refusal(port, "/readyz"),
        address=settings.access_url,
        stop_seconds=10.0,
        directory=settings.home,
    )
