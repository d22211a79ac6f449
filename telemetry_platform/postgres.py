"""The one place that opens Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import psycopg
    from pydantic import SecretStr

    from telemetry_platform.settings import Settings

DEFAULT_PORT = 5432


class NotConfigured(RuntimeError):
    """A setting that this operation needs is missing."""


def dsn(settings: Settings) -> str:
    """Return the address of the analytics database.

    Raises:
        NotConfigured: TELEMETRY_POSTGRES_DSN is not set.
    """
    return _required(settings.postgres_dsn, "TELEMETRY_POSTGRES_DSN")


def reader_dsn(settings: Settings, statement_seconds: float) -> str:
    """Return the address of the analytics database for one who reads, in UTC.

    Args:
        settings: Where it is.
        statement_seconds: After how long a statement is given up.

    Raises:
        NotConfigured: TELEMETRY_ACCESS_POSTGRES_DSN is not set.
    """
    from psycopg.conninfo import make_conninfo

    address = _required(settings.access_postgres_dsn, "TELEMETRY_ACCESS_POSTGRES_DSN")
    milliseconds = round(statement_seconds * 1000)
    options = f"-c timezone=UTC -c statement_timeout={milliseconds}"
    return make_conninfo(address, options=options, connect_timeout=5)


def connect(settings: Settings, *, autocommit: bool = False) -> psycopg.Connection:
    """Open a connection to the analytics database, in UTC."""
    import psycopg

    return psycopg.connect(
        dsn(settings), autocommit=autocommit, connect_timeout=10, options="-c timezone=UTC"
    )


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that dbt's profile reads."""
    parts = urlsplit(dsn(settings))
    return {
        "TELEMETRY_PG_HOST": parts.hostname or "127.0.0.1",
        "TELEMETRY_PG_PORT": str(parts.port or DEFAULT_PORT),
        "TELEMETRY_PG_USER": unquote(parts.username or ""),
        "TELEMETRY_PG_PASSWORD": unquote(parts.password or ""),
        "TELEMETRY_PG_DATABASE": parts.path.lstrip("/"),
    }


def _required(value: SecretStr | None, name: LiteralString) -> str:
    if value is None:
        raise NotConfigured(f"{name} is not set; `telemetry env` prints it for a running stack")
    return value.get_secret_value()
