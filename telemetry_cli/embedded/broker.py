"""The embedded MQTT broker (`amqtt`) for `telemetry up --mqtt`: one user, loopback, MQTT 3.1.1.

For trying things out. It forgets what it has not delivered when it ends, so elsewhere another one
is used (`docs/adr/0008-other-doors.md`).
"""

from __future__ import annotations

import secrets
import signal
import sys
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import SecretStr

from telemetry_cli.embedded.ports import LOOPBACK
from telemetry_cli.embedded.probes import tcp_refusal
from telemetry_cli.embedded.processes import Service
from telemetry_cli.embedded.state import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from telemetry_platform.settings import Settings

NAME = "mqtt"
USER = "telemetry"
PASSWORD_FILE = "mqtt_password"  # noqa: S105  (the name of a file)
_CONFIGURATION, _USERS = "mqtt_broker.yaml", "mqtt_users"
_PASSWORD_BYTES = 24


def embedded_url(port: int) -> str:
    """Return the broker's address."""
    return f"mqtt://{LOOPBACK}:{port}"


def broker_settings(secrets_dir: Path, port: int) -> dict[str, Any]:
    """Return how the edge's bridge reaches the broker; no password before `prepare_broker`."""
    file = secrets_dir / PASSWORD_FILE
    return {
        "mqtt_port": port,
        "mqtt_url": embedded_url(port),
        "mqtt_username": USER,
        "mqtt_password": SecretStr(file.read_text().strip()) if file.exists() else None,
        "mqtt_version": "3.1.1",
        "mqtt_shared_group": "",
    }


def prepare_broker(secrets_dir: Path, port: int) -> None:
    """Write the broker's configuration, and a password when there is none."""
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    file = secrets_dir / PASSWORD_FILE
    if not file.exists():
        write_private(file, secrets.token_urlsafe(_PASSWORD_BYTES) + "\n")
    hashed = PasswordHash((Argon2Hasher(),)).hash(file.read_text().strip())
    write_private(secrets_dir / _USERS, f"{USER}:{hashed}\n")
    configuration = {
        "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
        "plugins": {
            "amqtt.plugins.authentication.FileAuthPlugin": {
                "password_file": str(secrets_dir / _USERS)
            }
        },
    }
    write_private(secrets_dir / _CONFIGURATION, yaml.safe_dump(configuration))


def broker_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """Return how the broker is started."""
    port = settings.mqtt_port
    configuration = settings.secrets_dir / _CONFIGURATION
    return Service(
        name=NAME,
        arguments=[sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(configuration)],
        environment=environment,
        probe=lambda _: tcp_refusal(port),
        address=settings.mqtt_url or "",
        # It ends in order on Ctrl-C alone.
        stop_signal=signal.SIGINT,
        directory=settings.home,
    )
