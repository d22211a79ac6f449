"""Fills the recent ids from `landing/events` and its spool, so that a restart forgets little."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from ingest_lambda.recent import RecentIds, event_keys
from telemetry_contracts.sealing import SealBroken
from telemetry_platform.clock import hour_key, utc_now
from telemetry_platform.delta import open_table, storage_options
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from ingest_lambda.spool import Spool
    from telemetry_platform.settings import Settings

_LOOK_BACK = timedelta(hours=24)
# Each commit left a file. The newest are read first, and for no longer than a start may take.
_MAX_FILES = 3_000
_FILES_AT_ONCE = 200
_BUDGET_SECONDS = 3.0


def load_recent(settings: Settings, recent: RecentIds, capacity: int) -> int:
    """Remember the ids in the newest files of the last day.

    Returns:
        The number of ids read: no more files than it takes to reach `capacity` rows, and no more
        than a few seconds allow.
    """
    loaded = 0
    end = time.monotonic() + _BUDGET_SECONDS
    files = _newest_files(settings, capacity)
    batches = [files.slice(n, _FILES_AT_ONCE) for n in range(0, files.height, _FILES_AT_ONCE)]
    keys: list[list[bytes]] = []
    for batch in batches:
        keys.append(_keys(settings, batch))
        loaded += len(keys[-1])
        if time.monotonic() > end:
            break
    # Oldest first, because the youngest are kept longest.
    for part in reversed(keys):
        recent.remember(part)
    return loaded


def recall_spooled(recent: RecentIds, spool: Spool) -> None:
    """Remember the events that an earlier process left in the spool, one batch after another."""
    for sequence in spool.sequences():
        try:
            batch = spool.get(sequence)
        except SealBroken:
            # The thread that drains the spool says so, again and again.
            continue
        if batch is not None:
            for (source,), rows in batch.frame.group_by("source"):
                recent.remember(event_keys(str(source), rows["event_id"]))


def _keys(settings: Settings, files: pl.DataFrame) -> list[bytes]:
    keys: list[bytes] = []
    for (source,), group in files.group_by("source"):
        ids = (
            pl.scan_parquet(
                group["uri"].to_list(),
                storage_options=storage_options(settings) or None,
                hive_partitioning=False,
            )
            .select("event_id")
            .collect()["event_id"]
        )
        keys += event_keys(str(source), ids)
    return keys


def _newest_files(settings: Settings, capacity: int) -> pl.DataFrame:
    """Return source and uri of the files to read; none when the table does not exist."""
    delta = open_table(settings, LANDING_EVENTS.path)
    if delta is None:
        return pl.DataFrame(schema={"source": pl.String, "uri": pl.String})
    first_hour = hour_key(utc_now() - _LOOK_BACK)
    return (
        pl.DataFrame(delta.get_add_actions(flatten=True))
        .lazy()
        .filter(pl.col("partition.received_hour") >= first_hour)
        .sort("modification_time", descending=True)
        .filter(pl.col("num_records").cum_sum().shift(1, fill_value=0) < capacity)
        .head(_MAX_FILES)
        .select(
            pl.col("partition.source").alias("source"),
            pl.concat_str(pl.lit(f"{settings.root}/{LANDING_EVENTS.path}/"), pl.col("path")).alias(
                "uri"
            ),
        )
        .collect()
    )
