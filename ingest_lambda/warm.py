"""Fills the recent ids from `landing/events` at start, so that a restart forgets little."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from ingest_lambda.recent import RecentIds, event_key
from telemetry_platform.clock import hour_key, utc_now
from telemetry_platform.delta import open_table, storage_options
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

_LOOK_BACK = timedelta(hours=24)
# Each commit left a file. Reading them costs about a millisecond each.
_MAX_FILES = 3_000


def load_recent(settings: Settings, recent: RecentIds, capacity: int) -> int:
    """Remember the ids in the newest files of the last day.

    Returns:
        The number of ids read: at most what is in `_MAX_FILES` files, and no more files than it
        takes to reach `capacity` rows.
    """
    loaded = 0
    files = _newest_files(settings, capacity)
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
        recent.remember(event_key(str(source), event_id) for event_id in ids)
        loaded += len(ids)
    return loaded


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
