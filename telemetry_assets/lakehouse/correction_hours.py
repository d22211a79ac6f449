"""Which hours a correction concerns: what an hour must know of others, and who does not follow yet.

What is compared is what the tables hold, not what a run has changed: a run that was killed in
between loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.arrivals import events_before
from telemetry_assets.lakehouse.correcting import (
    APPLIED,
    DELETION,
    IS_CORRECTION,
    UNKNOWN,
    Elsewhere,
    former,
    winners,
)
from telemetry_assets.lakehouse.tables import CORRECTIONS, SUPERSEDED, silver_table
from telemetry_platform.delta import open_table, scan_table
from telemetry_platform.layout import RECEIVED_HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from deltalake import DeltaTable

    from telemetry_assets.lakehouse.correction_log import CorrectionLog
    from telemetry_contracts.contract import Contract

_VERSION = pl.Schema(
    {
        "event_id": pl.String,
        "corrected_event_id": pl.String,
        RECEIVED_HOUR: pl.String,
        "is_correction": pl.Boolean,
    }
)


def elsewhere(
    log: CorrectionLog,
    landing: Callable[[], DeltaTable],
    source: str,
    hour: str,
    bronze: pl.DataFrame,
) -> Elsewhere:
    """Return what other hours know that decides about corrections in this one.

    Args:
        log: The corrections that are known.
        landing: Opens `landing/events`; it is asked for hours with corrections alone.
        source: The source.
        hour: The hour.
        bronze: Its rows, at least `event_id` and `corrects`.
    """
    later = _later_corrections(log, source, hour, bronze)
    named = bronze["corrects"].drop_nulls().unique()
    if named.is_empty():
        return Elsewhere(corrections=later)
    return Elsewhere(events_before(landing(), source, hour, named), later)


def corrected_otherwise(
    log: CorrectionLog, contract: Contract, hour: str, bronze: pl.DataFrame, relied_on: Elsewhere
) -> set[str]:
    """Return the hours whose silver does not follow the corrections that are known now.

    Args:
        log: The corrections that are known, those of `hour` among them.
        contract: The source's contract.
        hour: The hour, whose silver is written.
        bronze: Its rows, at least `event_id` and `corrects`.
        relied_on: What `hour` was refined by.

    Returns:
        Hours before or after it, and `hour` itself when one became known meanwhile.
    """
    later = _later_corrections(log, contract.source, hour, bronze)
    events = bronze.filter(~IS_CORRECTION)["event_id"]
    itself = set() if later.equals(relied_on.corrections) else {hour}
    return _behind(log, contract, hour, relied_on.landed) | _waiting(later, events) | itself


def _later_corrections(
    log: CorrectionLog, source: str, hour: str, bronze: pl.DataFrame
) -> pl.DataFrame:
    """Return corrections that landed after `hour` and name an event that it is about."""
    later = log.rows(CORRECTIONS, source, hour).filter(pl.col(RECEIVED_HOUR) > hour)
    if later.is_empty():
        return later
    named = pl.concat([bronze["event_id"], bronze["corrects"].drop_nulls()])
    concerned = pl.col("corrected_event_id").is_in(named.implode())
    return later.filter(concerned).sort("received_at", "correction_id")


def _waiting(corrections: pl.DataFrame, events: pl.Series) -> set[str]:
    """Return the hours of corrections that had not found their event, which is among `events`."""
    found = corrections.filter(
        pl.col("outcome") == UNKNOWN, pl.col("corrected_event_id").is_in(events.implode())
    )
    return set(found[RECEIVED_HOUR])


def _behind(log: CorrectionLog, contract: Contract, hour: str, landed: pl.DataFrame) -> set[str]:
    """Return other hours whose silver does not follow the corrections of `hour`."""
    if not log.corrects(contract.source, hour):
        return set()
    all_hours = log.rows(CORRECTIONS, contract.source)
    own = all_hours.filter(pl.col(RECEIVED_HOUR) == hour)
    named = own.select("corrected_event_id").unique()
    every = all_hours.join(named, on="corrected_event_id", how="semi")
    holding = winners(every)
    versions = _versions(every, landed).filter(pl.col(RECEIVED_HOUR) != hour)
    gone = former(versions.join(holding, on="corrected_event_id"))
    otherwise = _superseded_otherwise(log, contract.source, hour, named, holding)
    return _still_in_silver(log, contract, gone) | otherwise


def _still_in_silver(log: CorrectionLog, contract: Contract, gone: pl.DataFrame) -> set[str]:
    table = silver_table(contract)
    delta = None if gone.is_empty() else open_table(log.settings, table.path)
    if delta is None:
        return set()
    names = ("event_id", "correction_id", RECEIVED_HOUR)
    schema = pl.Schema({name: table.schema[name] for name in names})
    hours = gone[RECEIVED_HOUR].unique().to_list()
    held = scan_table(delta, {RECEIVED_HOUR: hours}, schema).select(
        pl.coalesce("correction_id", "event_id").alias("event_id"), RECEIVED_HOUR
    )
    still = held.join(gone.lazy(), on=["event_id", RECEIVED_HOUR], how="semi").collect()
    return set(still[RECEIVED_HOUR])


def _superseded_otherwise(
    log: CorrectionLog, source: str, hour: str, named: pl.DataFrame, holding: pl.DataFrame
) -> set[str]:
    """Return hours that say of an event that another correction holds, or one that does not."""
    said = (
        log.rows(SUPERSEDED, source)
        .filter(pl.col("fate") != DELETION, pl.col(RECEIVED_HOUR) != hour)
        .join(named, on="corrected_event_id", how="semi")
    )
    true = holding.select("corrected_event_id", "correction_id")
    other = said.join(true, on=["corrected_event_id", "correction_id"], how="anti")
    return set(other[RECEIVED_HOUR])


def _versions(corrections: pl.DataFrame, landed: pl.DataFrame) -> pl.DataFrame:
    """Return what landed of the corrected events: themselves and the replacements that count."""
    events = landed.select(
        "event_id",
        pl.col("event_id").alias("corrected_event_id"),
        RECEIVED_HOUR,
        pl.lit(value=False).alias("is_correction"),
    )
    counted = corrections.filter(pl.col("outcome") == APPLIED).select(
        pl.col("correction_id").alias("event_id"),
        "corrected_event_id",
        RECEIVED_HOUR,
        pl.lit(value=True).alias("is_correction"),
    )
    return pl.concat([_VERSION.to_frame(), events, counted])
