"""Which landed hours the warehouse holds already, for a follower that has lost its place.

An hour of the warehouse is loaded in one transaction, so a count of it stands for all its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

from telemetry_assets.lakehouse.warehouse_schema import FILES, LEDGERS, REJECTED, SCHEMA
from telemetry_platform.delta import open_table, partition_sizes
from telemetry_platform.layout import LANDING_EVENTS, LANDING_FILES, LANDING_REJECTED
from telemetry_platform.postgres import connect

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

_LOADED: dict[str, tuple[str, LiteralString]] = {
    LANDING_EVENTS.path: (LEDGERS.name, "sum(accepted)"),
    LANDING_REJECTED.path: (REJECTED.name, "count(*)"),
    LANDING_FILES.path: (FILES.name, "count(*)"),
}


def settled_hours(settings: Settings, path: str) -> set[tuple[str, str]]:
    """Return (source, hour) of a landing table whose rows are all in the warehouse.

    A partition only grows, so one that has as many rows as were loaded has not changed since.

    Args:
        settings: Where lake and warehouse are; without a warehouse nothing is settled.
        path: `landing/events`, `landing/rejected` or `landing/files`.

    Raises:
        psycopg.OperationalError: The warehouse does not answer.
    """
    landing = open_table(settings, path)
    if landing is None or settings.postgres_dsn is None:
        return set()
    name, counted = _LOADED[path]
    loaded = _loaded(settings, name, counted)
    return {
        (source, hour)
        for source, hour, rows in partition_sizes(landing).rows()
        if loaded.get((source, hour)) == rows
    }


def _loaded(settings: Settings, name: str, counted: LiteralString) -> dict[tuple[str, str], int]:
    from psycopg import sql

    query = sql.SQL(
        "SELECT source, to_char(received_hour, 'YYYY-MM-DD\"T\"HH24'), {}::bigint "
        "FROM {} GROUP BY 1, 2"
    ).format(sql.SQL(counted), sql.Identifier(SCHEMA, name))
    with connect(settings) as connection:
        there = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.{name}",)).fetchone()
        if there is None or there[0] is None:
            return {}
        rows = connection.execute(query).fetchall()
    return {(source, hour): count for source, hour, count in rows}
