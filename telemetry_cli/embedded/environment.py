"""Settings as environment variables: the only way a child process is told anything."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from pydantic import SecretStr

from telemetry_platform.postgres import dbt_environment

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

# What a process needs from the machine. Everything else stays out: an AWS_PROFILE, a PGSSLMODE or
# an HTTP proxy of the caller's shell must not reach servers on loopback.
_INHERITED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_UNPREFIXED = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "secrets_path": "TELEMETRY_SECRETS_DIR",
}
DAGSTER_DATABASE_VARIABLE = "TELEMETRY_DAGSTER_PG_DATABASE"
CODE_SERVER_HOST_VARIABLE = "TELEMETRY_CODE_SERVER_HOST"
MAX_RUNS_VARIABLE = "TELEMETRY_MAX_CONCURRENT_RUNS"
_MAX_CONCURRENT_RUNS = 2

# What the access API reads beside what is named after it.
_ACCESS = (
    "TELEMETRY_HOME",
    "TELEMETRY_S3_ENDPOINT",
    "TELEMETRY_S3_BUCKET",
    "TELEMETRY_S3_REGION",
    "TELEMETRY_SECRETS_DIR",
    "TELEMETRY_INGEST_URL",
    "TELEMETRY_LOG_LEVEL",
    "TELEMETRY_MAX_BODY_BYTES",
    "TELEMETRY_DAGSTER_URL",
    "TELEMETRY_CONTRACTS_DIR",
    "TELEMETRY_CONTRACTS_POLL_SECONDS",
    "TELEMETRY_AUTH_FAILURE_LIMIT",
    "TELEMETRY_AUTH_FAILURE_WINDOW_SECONDS",
)
_ACCESS_PREFIX = "TELEMETRY_ACCESS_"

# Shown by `telemetry env`, in this order.
_EXPORTED = (
    "TELEMETRY_HOME",
    "TELEMETRY_POSTGRES_DSN",
    "TELEMETRY_S3_ENDPOINT",
    "TELEMETRY_S3_BUCKET",
    "TELEMETRY_S3_REGION",
    "TELEMETRY_INGEST_URL",
    "TELEMETRY_ACCESS_URL",
    "TELEMETRY_DAGSTER_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    # What `dagster.yaml` and `workspace.yaml` name, for Dagster's own command.
    "DAGSTER_HOME",
    "TELEMETRY_PG_HOST",
    "TELEMETRY_PG_PORT",
    "TELEMETRY_PG_USER",
    "TELEMETRY_PG_PASSWORD",
    DAGSTER_DATABASE_VARIABLE,
    CODE_SERVER_HOST_VARIABLE,
    "TELEMETRY_CODE_SERVER_PORT",
    MAX_RUNS_VARIABLE,
)


def machine_environment() -> dict[str, str]:
    """Return the variables that every child process inherits from this one."""
    found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {"PATH": os.defpath, **found, "TZ": "UTC"}


def settings_environment(settings: Settings) -> dict[str, str]:
    """Return `settings` as the variables it would be read from, secrets in plain text."""
    rendered: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            rendered[_UNPREFIXED.get(name, f"TELEMETRY_{name.upper()}")] = _text(value)
    return rendered


def process_environment(settings: Settings) -> dict[str, str]:
    """Return the whole environment of a child process of ours (edge, Dagster, dbt)."""
    home = settings.home
    return {
        **machine_environment(),
        **settings_environment(settings),
        **dbt_environment(settings),
        DAGSTER_DATABASE_VARIABLE: "dagster",
        CODE_SERVER_HOST_VARIABLE: "127.0.0.1",
        MAX_RUNS_VARIABLE: str(_MAX_CONCURRENT_RUNS),
        "AWS_REGION": settings.s3_region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DAGSTER_HOME": str(home / "dagster"),
        # A sensor's tick waits inside the code server for half a minute; a stop must not.
        "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "1",
        "DBT_TARGET_PATH": str(home / "dbt" / "target"),
        "DBT_LOG_PATH": str(home / "dbt" / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        # One arena per core is glibc's way to trade memory for threads we do not have.
        "MALLOC_ARENA_MAX": "2",
    }


def access_environment(settings: Settings) -> dict[str, str]:
    """Return the whole environment of the access API: it has credentials of its own alone."""
    everything = settings_environment(settings)
    return {
        **machine_environment(),
        **{name: everything[name] for name in _ACCESS if name in everything},
        **{name: text for name, text in everything.items() if name.startswith(_ACCESS_PREFIX)},
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def exported(settings: Settings) -> dict[str, str]:
    """Return what `telemetry env` prints: how other programs reach this stack."""
    running = settings.postgres_dsn is not None
    everything = process_environment(settings) if running else settings_environment(settings)
    return {name: everything[name] for name in _EXPORTED if name in everything}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)
