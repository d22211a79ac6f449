"""Counts what became of the accepted events of one source and hour, each figure in its own table.

Whether the figures add up is `reconciling`'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from deltalake.exceptions import DeltaError

from telemetry_assets.lakehouse.tables import (
    DUPLICATES,
    HOUR_PARTIALS,
    LEDGER,
    METRIC_PARTIALS,
    QUARANTINE,
    silver_table,
)
from telemetry_platform.clock import utc_now
from telemetry_platform.delta import count_partition, open_table
from telemetry_platform.layout import LANDING_EVENTS, RECEIVED_HOUR, SOURCE, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_assets.lakehouse.hourly_tables import HourlyTables
    from telemetry_contracts.contract import Contract
    from telemetry_platform.delta import Partition
    from telemetry_platform.settings import Settings


def account(
    tables: HourlyTables,
    contract: Contract,
    hour: str,
    counted: tuple[int, int],
    made: Mapping[str, pl.DataFrame],
) -> pl.DataFrame:
    """Return the row of the ledger.

    Args:
        tables: The tables of the lake.
        contract: The source's contract.
        hour: The arrival hour.
        counted: How many events were accepted, and how many superseded.
        made: Rows, by path, of tables that are being written with the ledger.

    Returns:
        One row of `tables.LEDGER`.
    """
    source, silver = contract.source, silver_table(contract)
    accepted, superseded = counted
    metrics = tables.columns(silver, hour, [column.name for column in contract.metrics])
    ours: Partition = {SOURCE: source, RECEIVED_HOUR: hour}
    row = {
        SOURCE: source,
        RECEIVED_HOUR: hour,
        "accepted": accepted,
        "silver": tables.count(silver, {RECEIVED_HOUR: hour}),
        "quarantined": tables.count(QUARANTINE, ours),
        "duplicates": tables.count(DUPLICATES, ours),
        "superseded": superseded,
        "erased": 0,
        "metric_values": sum(column.count() for column in metrics.iter_columns()),
        "minute_values": _aggregated(tables, METRIC_PARTIALS, source, hour, made),
        "hour_values": _aggregated(tables, HOUR_PARTIALS, source, hour, made),
        "refined_at": utc_now(),
    }
    return pl.DataFrame([row], schema=LEDGER.schema)


def count_accepted(settings: Settings, source: str, hour: str, version: int | None) -> int:
    """Return how many events had landed in a version of landing, from its log.

    All that have landed by now when the log of that version is cleaned up.
    """
    where: Partition = {SOURCE: source, RECEIVED_HOUR: hour}
    try:
        landing = open_table(settings, LANDING_EVENTS.path, version)
    except DeltaError:
        landing = None
    # A version whose log is gone may be told as a missing table, too.
    if landing is None:
        landing = open_table(settings, LANDING_EVENTS.path)
    return count_partition(landing, where)


def _aggregated(
    tables: HourlyTables, table: Table, source: str, hour: str, made: Mapping[str, pl.DataFrame]
) -> int:
    """Count the values that one source's partials of an hour hold."""
    rows = made[table.path].lazy() if table.path in made else tables.scan(table, hour, [source])
    held = rows.filter(pl.col(SOURCE) == source).select(pl.col("n").sum())
    return int(held.collect().item())
