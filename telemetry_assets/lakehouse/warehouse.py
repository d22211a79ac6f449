"""Loads Postgres: an arrival hour replaces what the same hour had loaded before.

All tables of a run are replaced in one transaction, so no reader sees one without the others.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_assets.lakehouse.warehouse_schema import SCHEMA, WarehouseTable, all_tables
from telemetry_platform.clock import hour_start
from telemetry_platform.layout import RECEIVED_HOUR
from telemetry_platform.postgres import connect, dsn

if TYPE_CHECKING:
    import psycopg

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

_ANALYZE_FROM_ROWS = 20_000
# Two processes that create the same table at once would fail in Postgres' catalogue.
_DDL_LOCK = 4_207_186_019
_MARTS_BUILD = "marts_build"
_MARTS_BUILD_DDL = (
    f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{_MARTS_BUILD} "
    "(fingerprint text NOT NULL, built_at timestamptz NOT NULL)"
).encode()


def create_tables(settings: Settings, registry: Registry) -> None:
    """Create what is missing of schema `warehouse`. Safe to call again and at the same time."""
    tables = all_tables(registry)
    with connect(settings) as connection:
        if not _missing_columns(connection, tables):
            return
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_DDL_LOCK,))
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.execute(_MARTS_BUILD_DDL)
        for table in tables:
            for statement in table.ddl():
                connection.execute(statement.encode())
        # A contract may have gained a field since its table was created.
        for table, column in _missing_columns(connection, tables):
            connection.execute(table.column_ddl(column).encode())


def _missing_columns(
    connection: psycopg.Connection, tables: Sequence[WarehouseTable]
) -> list[tuple[WarehouseTable, str]]:
    rows = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = ANY(%s)",
        (SCHEMA, [table.name for table in tables]),
    )
    present = set(rows.fetchall())
    return [(t, column) for t in tables for column in t.columns if (t.name, column) not in present]


def create_day(settings: Settings, tables: Sequence[WarehouseTable], hour: str) -> None:
    """Create the day partitions that hold `hour` where they are missing."""
    day = hour_start(hour).date()
    name = f"%\\_{day:%Y%m%d}"
    with connect(settings) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = %s AND relname LIKE %s",
            (SCHEMA, name),
        ).fetchall()
        present = {row[0] for row in found}
        missing = [
            table
            for table in tables
            if table.by_day and f"{table.name}_{day:%Y%m%d}" not in present
        ]
        if not missing:
            return
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_DDL_LOCK,))
        for table in missing:
            statement = table.partition_ddl(f"{day}", f"{day + timedelta(days=1)}")
            connection.execute(statement.encode())


class WarehouseLoad:
    """One transaction that replaces an arrival hour in several tables."""

    def __init__(self, connection: Any, hour: str) -> None:  # noqa: ANN401
        self._connection = connection
        self._hour = hour_start(hour)
        self._grown: list[WarehouseTable] = []

    def replace(
        self, table: WarehouseTable, frame: pl.DataFrame, sources: Sequence[str] | None = None
    ) -> int:
        """Replace the hour's rows of `table`, of some sources or of all.

        Args:
            table: The table to load.
            frame: New rows, `received_hour` as the Delta tables hold it.
            sources: Limits what is replaced to these sources.

        Returns:
            The number of rows loaded, tombstones not counted.
        """
        where = f"{RECEIVED_HOUR} = '{self._hour:%Y-%m-%d %H}:00+00'"
        if sources is not None:
            names = ", ".join("'" + name.replace("'", "''") + "'" for name in sources)
            where += f" AND source IN ({names})"
        with self._connection.cursor() as cursor:
            if table.tombstones:
                self._remember(cursor, table, where)
            cursor.execute(f"DELETE FROM {table.qualified} WHERE {where}")  # noqa: S608
            if not frame.is_empty():
                self._ingest(cursor, table, self._loaded(table, frame))
            if table.tombstones:
                self._leave_tombstones(cursor, table)
        if frame.height >= _ANALYZE_FROM_ROWS:
            self._grown.append(table)
        return frame.height

    def analyze(self) -> None:
        """Let Postgres count what grew much: without it the marts are planned for empty tables."""
        with self._connection.cursor() as cursor:
            for table in self._grown:
                cursor.execute(f"ANALYZE {table.qualified}")

    def _loaded(self, table: WarehouseTable, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            pl.lit(self._hour).cast(pl.Datetime("us", "UTC")).alias(RECEIVED_HOUR)
        ).select(list(table.columns))

    def _ingest(self, cursor: Any, table: WarehouseTable, frame: pl.DataFrame) -> None:  # noqa: ANN401
        if not table.json:
            cursor.adbc_ingest(table.name, frame, mode="append", db_schema_name=SCHEMA)
            return
        # The driver copies binary text, which a jsonb column refuses: cast on the server instead.
        staging = f"load_{table.name}"
        cursor.adbc_ingest(staging, frame, mode="create", temporary=True)
        columns = ", ".join(
            f"{name}::jsonb" if name in table.json else name for name in table.columns
        )
        cursor.execute(
            f"INSERT INTO {table.qualified} ({', '.join(table.columns)}) "  # noqa: S608
            f"SELECT {columns} FROM {staging}"
        )
        cursor.execute(f"DROP TABLE {staging}")

    def _remember(self, cursor: Any, table: WarehouseTable, where: str) -> None:  # noqa: ANN401
        keys = ", ".join(table.tombstones)
        cursor.execute(
            f"CREATE TEMPORARY TABLE before_{table.name} AS "  # noqa: S608
            f"SELECT DISTINCT {keys} FROM {table.qualified} WHERE {where}"
        )

    def _leave_tombstones(self, cursor: Any, table: WarehouseTable) -> None:  # noqa: ANN401
        keys = ", ".join(table.tombstones)
        same = " AND ".join(f"now.{key} = before.{key}" for key in table.tombstones)
        cursor.execute(
            f"INSERT INTO {table.qualified} ({keys}, n) "  # noqa: S608
            f"SELECT {keys}, 0 FROM before_{table.name} AS before WHERE NOT EXISTS "
            f"(SELECT FROM {table.qualified} AS now WHERE {same})"
        )
        cursor.execute(f"DROP TABLE before_{table.name}")


@contextmanager
def warehouse_load(
    settings: Settings, tables: Sequence[WarehouseTable], hour: str
) -> Generator[WarehouseLoad]:
    """Open a load of `hour`; it is committed when the block ends and undone when it raises."""
    from adbc_driver_postgresql import dbapi

    create_day(settings, tables, hour)
    with dbapi.connect(dsn(settings)) as connection:
        load = WarehouseLoad(connection, hour)
        yield load
        connection.commit()
        load.analyze()
        connection.commit()


def replace_registry(settings: Settings, table: WarehouseTable, frame: pl.DataFrame) -> int:
    """Replace a reference table with `frame`; returns its number of rows."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(dsn(settings)) as connection, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table.qualified}")  # noqa: S608
        if not frame.is_empty():
            rows = frame.select(list(table.columns))
            cursor.adbc_ingest(table.name, rows, mode="append", db_schema_name=SCHEMA)
        connection.commit()
    return frame.height
