"""Which copy of an event came first: the arrival hours around an hour, ids only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.tables import silver_table
from telemetry_platform.clock import HOUR, hour_key, hour_start
from telemetry_platform.delta import open_table, partition_sizes, scan_table
from telemetry_platform.layout import LANDING_EVENTS, RECEIVED_HOUR, SOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltalake import DeltaTable

    from telemetry_contracts.contract import Contract
    from telemetry_platform.delta import Partition
    from telemetry_platform.settings import Settings

_ARRIVAL_COLUMNS = ("event_id", "receipt_id", "received_at", RECEIVED_HOUR)


def hours_before(landing: DeltaTable, contract: Contract, hour: str) -> pl.DataFrame:
    """Return the hours of the dedup window before `hour` that have rows, with their number."""
    first = hour_key(hour_start(hour) - max(contract.dedup_window, HOUR))
    return (
        partition_sizes(landing)
        .filter(
            pl.col(SOURCE) == contract.source,
            pl.col(RECEIVED_HOUR) >= pl.lit(first),
            pl.col(RECEIVED_HOUR) < pl.lit(hour),
        )
        .sort(RECEIVED_HOUR)
    )


def earlier_arrivals(
    landing: DeltaTable, contract: Contract, hours: pl.DataFrame, ids: pl.Series
) -> pl.DataFrame:
    """Return what landed in `hours` with one of `ids`.

    Returns:
        Columns `event_id`, `receipt_id`, `received_at` and `received_hour`, a row for each copy.
    """
    schema = pl.Schema({name: LANDING_EVENTS.schema[name] for name in _ARRIVAL_COLUMNS})
    if hours.is_empty() or ids.is_empty():
        return schema.to_frame()
    where: Partition = {SOURCE: contract.source, RECEIVED_HOUR: hours[RECEIVED_HOUR].to_list()}
    return scan_table(landing, where, schema).join(_among(ids), on="event_id", how="semi").collect()


def later_hours(
    settings: Settings, contract: Contract, ids: Mapping[str, pl.Series]
) -> dict[str, list[str]]:
    """Return, by hour, the hours of the dedup window after it whose silver holds one of its ids.

    Args:
        settings: Where the lake is.
        contract: The source's contract.
        ids: Event ids by hour.
    """
    table = silver_table(contract)
    delta = open_table(settings, table.path)
    sought = pl.concat(ids.values())
    if delta is None or sought.is_empty():
        return {hour: [] for hour in ids}
    window = max(contract.dedup_window, HOUR)
    last = {hour: hour_key(hour_start(hour) + window) for hour in ids}
    refined = partition_sizes(delta)[RECEIVED_HOUR]
    hours = refined.filter((refined > min(ids)) & (refined <= last[max(ids)])).to_list()
    if not hours:
        return {hour: [] for hour in ids}
    schema = pl.Schema({name: table.schema[name] for name in ("event_id", RECEIVED_HOUR)})
    held = scan_table(delta, {RECEIVED_HOUR: hours}, schema)
    shared = held.join(_among(sought), on="event_id", how="semi").collect()
    there = pl.col(RECEIVED_HOUR)
    return {
        hour: shared.filter(
            pl.col("event_id").is_in(of_hour.implode()), there > hour, there <= last[hour]
        )[RECEIVED_HOUR]
        .unique()
        .sort()
        .to_list()
        for hour, of_hour in ids.items()
    }


def _among(ids: pl.Series) -> pl.LazyFrame:
    return pl.LazyFrame({"event_id": ids.unique()})
