"""How tables in Postgres are cut by day: the functions for it, joined partitions and retention.

`partitions.sql` says which days are a partition. The horizon `kept_from` stands in
`warehouse.retention` and only moves forward: what is measured before it is no longer loaded into
the marts, so a day that was dropped never comes back in part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry_assets.lakehouse.warehouse_schema import (
    DUPLICATED,
    QUARANTINED,
    SCHEMA,
    SUPERSEDED_EVENTS,
)
from telemetry_platform.clock import utc_now
from telemetry_platform.postgres import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

MARTS = "marts"
_FUNCTIONS = Path(__file__).with_name("partitions.sql").read_bytes()
_VERSION = hashlib.sha256(_FUNCTIONS).hexdigest()
_MAKER = f"{SCHEMA}.make_partitions(regclass, date[])"
_TABLES = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}; CREATE SCHEMA IF NOT EXISTS {MARTS}_partitions; "
    f"CREATE TABLE IF NOT EXISTS {SCHEMA}.retention "
    "(kept_from date NOT NULL, set_at timestamptz NOT NULL DEFAULT now());"
)
_PARTITIONED = """
SELECT format('%%I.%%I', n.nspname, c.relname), n.nspname, c.relname,
    coalesce(pg_stat_get_last_analyze_time(c.oid) < now() - interval '1 day', true)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'p' AND n.nspname = ANY(%s) AND c.relname NOT LIKE '%%\\_\\_dbt\\_%%' ORDER BY 1
"""
_HORIZON = "SELECT max(kept_from) FROM warehouse.retention"
_MOVE_HORIZON = "INSERT INTO warehouse.retention (kept_from) VALUES (%s)"
_DROP = "SELECT name, days::text, row_count, dropped FROM warehouse.drop_before(%s::regclass, %s)"
# Below the server's `deadlock_timeout` of 1 s: who tidies gives way to those who load and read.
_GIVE_WAY = b"SET LOCAL lock_timeout = '800ms'"
# The warehouse goes by arrival. A device's clock may be ahead, so it keeps a day more.
_ARRIVAL_MARGIN = timedelta(days=1)
# Models that are no partitioned tables, but consist of single events as well.
_DELETED = (("fct_mobile_sessions", "started_at"),)


@dataclass(frozen=True)
class Tidied:
    """What became of a part of a table.

    Attributes:
        table: The table with its schema.
        what: `dropped`, `rows deleted`, `joined` or `busy`: somebody else used the table.
        part: Partition or days; empty when busy.
        rows: Rows that went, an estimate where a partition was dropped; of `joined` the number of
            partitions that became one.
    """

    table: str
    what: str
    part: str = ""
    rows: int = 0


def is_installed(connection: psycopg.Connection) -> bool:
    """Tell whether the database has the functions as they are now."""
    row = connection.execute(
        "SELECT obj_description(to_regprocedure(%s), 'pg_proc') = %s", (_MAKER, _VERSION)
    ).fetchone()
    return bool(row and row[0])


def install(connection: psycopg.Connection) -> None:
    """Create the functions, the schema of the marts' partitions and the table of the horizon."""
    connection.execute(_TABLES.encode())
    connection.execute(_FUNCTIONS)
    connection.execute(f"COMMENT ON FUNCTION {_MAKER} IS '{_VERSION}'".encode())


def make_partitions(connection: psycopg.Connection, table: str, days: list[date]) -> int:
    """Create the partitions that these days need; returns how many were missing."""
    row = connection.execute(
        f"SELECT {SCHEMA}.make_partitions(%s::regclass, %s)".encode(), (table, days)
    ).fetchone()
    return row[0] if row else 0


def kept_from(connection: psycopg.Connection) -> date | None:
    """Return the first day that is kept; None when nothing was ever dropped."""
    row = connection.execute(_HORIZON).fetchone()
    return row[0] if row else None


def tidy(settings: Settings, registry: Registry, today: date | None = None) -> list[Tidied]:
    """Drop what retention lets go, and join the partitions of what is long past.

    Each table is a transaction of its own, which is given up for this time when somebody else
    holds the table. Can be repeated at will.

    Args:
        settings: The database, and `retention_days`.
        registry: Contracts, whose events are in tables of their own.
        today: The day (UTC) that `retention_days` are counted back from.
    """
    day = today or utc_now().date()
    done: list[Tidied] = []
    with connect(settings, autocommit=True) as connection:
        if not is_installed(connection):
            return done
        horizon = _move_horizon(connection, settings, day)
        tables = connection.execute(_PARTITIONED, ([SCHEMA, MARTS],)).fetchall()
        arriving = {*registry, QUARANTINED.name, DUPLICATED.name, SUPERSEDED_EVENTS.name}
        for table, schema, name, is_unknown in tables:
            if horizon and schema == MARTS:
                done += _given_way(connection, table, _drop, horizon)
            elif horizon and name in arriving:
                done += _given_way(connection, table, _drop, horizon - _ARRIVAL_MARGIN)
            done += _joined(connection, table)
            if is_unknown:
                # Nobody else counts a partitioned table: autovacuum sees its partitions alone.
                connection.execute(f"ANALYZE ONLY {table}".encode())
        for name, column in _DELETED if horizon else ():
            done += _given_way(connection, f"{MARTS}.{name}", _delete, (column, horizon))
    return done


def _move_horizon(connection: psycopg.Connection, settings: Settings, today: date) -> date | None:
    """Return the first day that is kept, after the setting moved it forward."""
    before = kept_from(connection)
    if settings.retention_days is None:
        return before
    wanted = today - timedelta(days=settings.retention_days)
    if before is None or wanted > before:
        connection.execute(_MOVE_HORIZON, (wanted,))
        return wanted
    return before


def _joined(connection: psycopg.Connection, table: str) -> Iterator[Tidied]:
    while True:
        done = _given_way(connection, table, _join, None)
        yield from done
        if not done or done[0].what == "busy":
            return


def _given_way(
    connection: psycopg.Connection,
    table: str,
    work: Any,  # noqa: ANN401  (one of the functions below)
    argument: Any,  # noqa: ANN401
) -> list[Tidied]:
    """Do this in a transaction; the runs of the model wait for it, readers wait for its end."""
    from psycopg.errors import DeadlockDetected, LockNotAvailable

    try:
        with connection.transaction():
            connection.execute(_GIVE_WAY)
            # As dbt's models do: macro `lock_model`.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (table,))
            return work(connection, table, argument)
    except (LockNotAvailable, DeadlockDetected):
        return [Tidied(table, "busy")]


def _drop(connection: psycopg.Connection, table: str, horizon: date) -> list[Tidied]:
    rows = connection.execute(_DROP, (table, horizon)).fetchall()
    return [
        Tidied(table, "dropped" if dropped else "rows deleted", f"{name} {days}", count)
        for name, days, count, dropped in rows
    ]


def _join(connection: psycopg.Connection, table: str, _: None) -> list[Tidied]:
    row = connection.execute(
        f"SELECT {SCHEMA}.join_partitions(%s::regclass)".encode(), (table,)
    ).fetchone()
    return [Tidied(table, "joined", rows=row[0])] if row and row[0] else []


def _delete(connection: psycopg.Connection, table: str, limit: tuple[str, date]) -> list[Tidied]:
    column, horizon = limit
    found = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    if not (found and found[0]):
        return []
    gone = connection.execute(
        f"DELETE FROM {table} WHERE {column} < %s::timestamp AT TIME ZONE 'UTC'".encode(),  # noqa: S608
        (horizon,),
    ).rowcount
    return [Tidied(table, "rows deleted", f"before {horizon}", gone)] if gone else []
