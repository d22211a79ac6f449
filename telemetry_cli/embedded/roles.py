"""The database's roles, one that owns what we make and one that reads the marts alone; settings.

`deploy/docker/create-databases.sh` does the same for the containers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

OWNER = "telemetry"
READER = "telemetry_reader"

_KEEP_FOR_OWNER = """
    DO $$ BEGIN
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    END $$
"""
# dbt makes each mart anew, so the owner's tables to come are granted as well as those there are.
GRANT_READING = """
    DO $$ BEGIN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO telemetry_reader', current_database());
    END $$;
    CREATE SCHEMA IF NOT EXISTS marts AUTHORIZATION telemetry;
    GRANT USAGE ON SCHEMA marts TO telemetry_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA marts TO telemetry_reader;
    ALTER DEFAULT PRIVILEGES FOR ROLE telemetry IN SCHEMA marts
        GRANT SELECT ON TABLES TO telemetry_reader;
    ALTER ROLE telemetry_reader SET default_transaction_read_only = on;
    ALTER ROLE telemetry_reader SET statement_timeout = '60s';
    ALTER ROLE telemetry_reader SET idle_in_transaction_session_timeout = '60s';
"""

# A run is some four hundred commits of Dagster's. A crash of the machine may take the last moments
# of them, never one without all later ones: the sensor then asks again for what it has forgotten.
RECORD_WITHOUT_WAITING = b"ALTER DATABASE dagster SET synchronous_commit = off"


def ensure_role(connection: psycopg.Connection, name: str, password: str) -> None:
    """Create a role that may log in where it is missing, and set its password."""
    present = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
    verb = "ALTER" if present.fetchone() else "CREATE"
    connection.execute(
        sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(name), sql.Literal(password)
        )
    )


def keep_for_owner(connection: psycopg.Connection) -> None:
    """Let no role but the owner and superusers into the connection's database."""
    connection.execute(_KEEP_FOR_OWNER)


def grant_reading(connection: psycopg.Connection) -> None:
    """Let the reader read the marts of the connection's database, those to come too."""
    connection.execute(GRANT_READING)
