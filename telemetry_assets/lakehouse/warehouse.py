"""Loads Postgres: an arrival hour replaces what the same hour had loaded before.

All tables of a run are replaced in one transaction, so no reader sees one without the others. The
open hour is loaded again and again while it grows, so rows that stand already are not written.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_assets.lakehouse import partitioning
from telemetry_assets.lakehouse.warehouse_columns import (
    missing_columns,
    narrow_columns,
    present_columns,
    widen_columns,
)
from telemetry_assets.lakehouse.warehouse_schema import SCHEMA, WarehouseTable, all_tables
from telemetry_platform.clock import hour_start
from telemetry_platform.layout import RECEIVED_HOUR
from telemetry_platform.postgres import connect, dsn

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

_ANALYZE_FROM_ROWS = 20_000
_MOST = 0.5
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
        present = present_columns(connection, tables)
        if (
            partitioning.is_installed(connection)
            and not missing_columns(present, tables)
            and not narrow_columns(present, tables)
        ):
            return
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_DDL_LOCK,))
        partitioning.install(connection)
        connection.execute(_MARTS_BUILD_DDL)
        for table in tables:
            for statement in table.ddl():
                connection.execute(statement.encode())
        # A contract may have gained a field since its table was created.
        present = present_columns(connection, tables)
        for table, column in missing_columns(present, tables):
            connection.execute(table.column_ddl(column).encode())
        widen_columns(connection, narrow_columns(present, tables))


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
        for table in missing:
            partitioning.make_partitions(connection, table.qualified, [day])


class WarehouseLoad:
    """One transaction that replaces an arrival hour in several tables."""

    def __init__(self, connection: Any, hour: str) -> None:  # noqa: ANN401
        self._connection = connection
        self._hour = hour_start(hour)
        self._grown: list[WarehouseTable] = []

    def lock(self) -> None:
        """Wait for other loads of this hour: each must see what the one before has left."""
        with self._connection.cursor() as cursor:
            name = f"{SCHEMA} {self._hour:%Y-%m-%dT%H}"
            cursor.execute(f"SELECT pg_advisory_xact_lock(hashtextextended('{name}', 0))")

    def replace(
        self, table: WarehouseTable, frame: pl.DataFrame, sources: Sequence[str] | None = None
    ) -> int:
        """Replace the hour's rows of `table`, of some sources or of all.

        Args:
            table: The table to load.
            frame: New rows, `received_hour` as the Delta tables hold it.
            sources: Limits what is replaced to these sources.

        Returns:
            The number of rows that the hour now has, tombstones not counted.
        """
        where = f"{RECEIVED_HOUR} = '{self._hour:%Y-%m-%d %H}:00+00'"
        if sources is not None:
            names = ", ".join("'" + name.replace("'", "''") + "'" for name in sources)
            where += f" AND source IN ({names})"
        come = self._loaded(table, frame)
        with self._connection.cursor() as cursor:
            if table.key:
                standing = self._standing(cursor, table, where)
                gone, come = difference(standing, come, table)
                self._delete(cursor, table, where, gone, whole=gone.height == standing.height)
            else:
                cursor.execute(f"DELETE FROM {table.qualified} WHERE {where}")  # noqa: S608
            if not come.is_empty():
                # In the order of its index, so that Postgres fills one page of it after another.
                self._ingest(cursor, table, come.sort(table.searched))
        if come.height >= _ANALYZE_FROM_ROWS:
            self._grown.append(table)
        return frame.height

    def analyze(self) -> None:
        """Let Postgres count what grew much: without it the marts are planned for empty tables.

        Only the columns that are searched by are counted.
        """
        with self._connection.cursor() as cursor:
            for table in self._grown:
                cursor.execute(f"ANALYZE {table.qualified} ({', '.join(table.searched)})")

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

    def _standing(self, cursor: Any, table: WarehouseTable, where: str) -> pl.DataFrame:  # noqa: ANN401
        columns = ", ".join(table.columns)
        cursor.execute(f"SELECT {columns} FROM {table.qualified} WHERE {where}")  # noqa: S608
        return cursor.fetch_polars().cast(table.columns)

    def _delete(
        self,
        cursor: Any,  # noqa: ANN401
        table: WarehouseTable,
        where: str,
        keys: pl.DataFrame,
        *,
        whole: bool,
    ) -> None:
        if keys.is_empty():
            return
        if whole:
            cursor.execute(f"DELETE FROM {table.qualified} WHERE {where}")  # noqa: S608
            return
        staging = f"gone_{table.name}"
        cursor.adbc_ingest(staging, keys, mode="create", temporary=True)
        cursor.execute(
            f"DELETE FROM {table.qualified} WHERE {where} AND ({', '.join(table.key)}) "  # noqa: S608
            f"IN (SELECT {', '.join(table.key)} FROM {staging})"
        )
        cursor.execute(f"DROP TABLE {staging}")


def difference(
    standing: pl.DataFrame, wanted: pl.DataFrame, table: WarehouseTable
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find what turns an hour's rows into others.

    Args:
        standing: Rows that are there.
        wanted: Rows that should be there, with the same columns.
        table: Its key tells rows apart; with tombstones, a key that is not wanted stays, with n = 0
            and no other value.

    Returns:
        The keys of the rows to delete, and the rows to insert afterwards: all of them when most
        have changed, because to delete an hour whole is cheaper than to look for its rows.
    """
    if table.tombstones:
        kept = [RECEIVED_HOUR, *table.key]
        vanished = standing.join(wanted, on=kept, how="anti").select(kept)
        marks = vanished.with_columns(pl.lit(0, pl.Int64).alias("n"))
        wanted = pl.concat([wanted, marks], how="diagonal")
    if standing.is_empty():
        return standing.select(table.key), wanted
    columns = wanted.columns
    gone = standing.join(wanted, on=columns, how="anti", nulls_equal=True).select(table.key)
    if gone.height > standing.height * _MOST:
        return standing.select(table.key), wanted
    return gone, wanted.join(standing, on=columns, how="anti", nulls_equal=True)


@contextmanager
def warehouse_load(
    settings: Settings, tables: Sequence[WarehouseTable], hour: str
) -> Generator[WarehouseLoad]:
    """Open a load of `hour`; it is committed when the block ends and undone when it raises."""
    from adbc_driver_postgresql import dbapi

    create_day(settings, tables, hour)
    with dbapi.connect(dsn(settings)) as connection:
        load = WarehouseLoad(connection, hour)
        load.lock()
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
