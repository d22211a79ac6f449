"""Which copy of an event came first: the arrival hours around an hour, ids only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.tables import silver_table
from telemetry_contracts.contract import CORRECTS_KEY
from telemetry_platform.clock import HOUR, hour_key, hour_start
from telemetry_platform.delta import open_table, partition_sizes, scan_table
from telemetry_platform.layout import LANDING_EVENTS, RECEIVED_HOUR, SOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltalake import DeltaTable

    from telemetry_contracts.contract import Contract
    from telemetry_platform.delta import Partition
    from telemetry_platform.settings import Settings

# Within another value of the payload the quotation marks would be escaped.
_CORRECTING = f'"{CORRECTS_KEY}":'
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


def events_before(landing: DeltaTable, source: str, hour: str, ids: pl.Series) -> pl.DataFrame:
    """Return where events landed before `hour` that have one of `ids`; corrections are no events.

    It looks through all hours, and so takes the longer the more has landed.

    Returns:
        Columns `event_id` and `received_hour`, one row for each hour of an event.
    """
    names = ("event_id", RECEIVED_HOUR)
    schema = pl.Schema(dict.fromkeys(names, pl.String))
    before = partition_sizes(landing).filter(
        pl.col(SOURCE) == source, pl.col(RECEIVED_HOUR) < pl.lit(hour)
    )
    if ids.is_empty() or before.is_empty():
        return schema.to_frame()
    hours = before[RECEIVED_HOUR].to_list()
    for columns in (names, (*names, "payload")):
        # Payloads are much to read: only of hours that have such an id.
        where: Partition = {SOURCE: source, RECEIVED_HOUR: hours}
        rows = scan_table(landing, where, pl.Schema(dict.fromkeys(columns, pl.String)))
        found = rows.join(_among(ids), on="event_id", how="semi").collect()
        hours = found[RECEIVED_HOUR].unique().to_list()
        if not hours:
            return schema.to_frame()
    events = found.filter(~pl.col("payload").str.contains(_CORRECTING, literal=True))
    return events.select(names).unique().sort(names)


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
    names = ("event_id", RECEIVED_HOUR, "correction_id")
    schema = pl.Schema({name: table.schema[name] for name in names})
    # A replacement has the id of what it replaces, which is no copy of it.
    held = scan_table(delta, {RECEIVED_HOUR: hours}, schema).filter(
        pl.col("correction_id").is_null()
    )
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
