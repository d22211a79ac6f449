"""Dagster's processes: code server, webserver, daemon, and the instance they share."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry_cli.embedded.ports import LOOPBACK
from telemetry_cli.embedded.probes import graphql, http_refusal, tcp_refusal
from telemetry_cli.embedded.processes import Service
from telemetry_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_platform.settings import Settings

CODE_LOCATION = "telemetry_assets.definitions"
_PROJECT = Path(__file__).resolve().parents[2]
_PREPARATION_SECONDS = 600.0
_LOG_LEVEL = "warning"
_LOG_FORMAT = ("--log-format", "json")

_PREPARE = """
from telemetry_assets.marts_build import build_when_new
from telemetry_platform.settings import get_settings
build_when_new(get_settings())
"""
_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
  name locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_DAEMONS = """{ instance { daemonHealth { allDaemonStatuses {
  daemonType required healthy lastHeartbeatTime } } } }"""


def project_file(name: str) -> Path:
    """Return a file that lies at the top of the project.

    Raises:
        CommandError: It is not there.
    """
    path = _PROJECT / name
    if not path.exists():
        raise CommandError(
            f"{name} was not found in {_PROJECT}.",
            "Run `telemetry` from a clone of the project, installed with `make setup`.",
        )
    return path


def prepare_instance(settings: Settings) -> None:
    """Put the instance configuration into DAGSTER_HOME and make dbt's directories."""
    directory = settings.home / "dagster"
    directory.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(project_file("dagster.yaml"), directory / "dagster.yaml")
    for part in ("target", "logs"):
        (settings.home / "dbt" / part).mkdir(mode=0o700, parents=True, exist_ok=True)


def marts_preparation(environment: Mapping[str, str]) -> Service:
    """Return how the dbt project is parsed for the code server, and new marts are built.

    It is a process of its own that ends: dbt takes 150 MB that this process would keep.
    """
    return Service(
        name="prepare",
        arguments=[sys.executable, "-c", _PREPARE],
        environment=environment,
        probe=lambda _: None,
        address="",
        deadline_seconds=_PREPARATION_SECONDS,
        directory=_PROJECT,
    )


def code_server_service(
    settings: Settings, environment: Mapping[str, str], code_location: str
) -> Service:
    """Return how the code server is started: it imports our definitions and runs runs."""
    port = settings.code_server_port
    return Service(
        name="code-server",
        arguments=[
            *_dagster("telemetry_assets.code_server"),
            *("--host", LOOPBACK, "--port", str(port)),
            "--python-file" if code_location.endswith(".py") else "--module-name",
            code_location,
            *("--location-name", "telemetry"),
            # Runs must use the interpreter of this server, whatever PATH says.
            "--use-python-environment-entry-point",
            *("--working-directory", str(_PROJECT), "--log-level", _LOG_LEVEL, *_LOG_FORMAT),
        ],
        environment=environment,
        probe=lambda _: tcp_refusal(port),
        address=f"grpc://{LOOPBACK}:{port}",
        deadline_seconds=120.0,
        stop_seconds=2.0,
        directory=_PROJECT,
    )


def webserver_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """Return how the webserver (Dagster's UI and GraphQL) is started."""
    port = settings.webserver_port
    return Service(
        name="webserver",
        arguments=[
            *_dagster("dagster_webserver"),
            *("--host", LOOPBACK, "--port", str(port)),
            *("--workspace", str(project_file("workspace.yaml"))),
            *("--dagster-log-level", _LOG_LEVEL, *_LOG_FORMAT),
        ],
        environment=environment,
        probe=lambda _: http_refusal(port, "/server_info"),
        address=f"http://{LOOPBACK}:{port}",
        deadline_seconds=120.0,
        directory=settings.home,
    )


def daemon_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """Return how the daemon (sensors, schedules, queue, monitoring) is started."""
    port = settings.webserver_port
    return Service(
        name="daemon",
        arguments=[
            *_dagster("dagster._daemon"),
            *("run", "--workspace", str(project_file("workspace.yaml"))),
            *("--log-level", _LOG_LEVEL, *_LOG_FORMAT),
        ],
        environment=environment,
        probe=lambda started_at: _daemon_refusal(port, started_at),
        address="(no port)",
        deadline_seconds=120.0,
        # A tick that is cut off is taken up again at the next start.
        stop_seconds=2.0,
        directory=settings.home,
    )


def location_refusal(port: int) -> str | None:
    """Return why the code location is not loaded in the webserver, or None when it is."""
    try:
        found = graphql(port, _LOCATIONS)
    except OSError as error:
        return str(error)
    entries = found.get("workspaceOrError", {}).get("locationEntries", [])
    if not entries:
        return "the webserver knows no code location"
    state = entries[0].get("locationOrLoadError") or {"message": "still loading"}
    return state.get("message")


def _daemon_refusal(port: int, started_at: float) -> str | None:
    """Return which part of the daemon has no heartbeat since `started_at`, or None.

    A heartbeat of an earlier daemon counts as healthy for half an hour, so its time is compared.
    """
    try:
        found = graphql(port, _DAEMONS)
    except OSError as error:
        return str(error)
    statuses = found.get("instance", {}).get("daemonHealth", {}).get("allDaemonStatuses", [])
    silent = [
        status["daemonType"]
        for status in statuses
        if status["required"]
        and not (status["healthy"] and (status["lastHeartbeatTime"] or 0.0) >= started_at)
    ]
    if not statuses:
        return "no daemon status yet"
    return f"no heartbeat yet of {', '.join(silent)}" if silent else None


def _dagster(module: str) -> list[str]:
    return [sys.executable, "-m", module]
