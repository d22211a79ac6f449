"""The one partitioning: hours of arrival, UTC, the running hour included."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from telemetry_platform.clock import HOUR_FORMAT, hour_start
from telemetry_platform.settings import get_settings

SOURCES_TAG = "telemetry/sources"
BACKFILL_TAG = "dagster/backfill"
PARTITION_TAG = "dagster/partition"
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
VERSION_TAG = "telemetry/landing_version"

arrival_hours = dg.HourlyPartitionsDefinition(
    start_date=hour_start(get_settings().partitions_start),
    timezone="UTC",
    fmt=HOUR_FORMAT,
    end_offset=1,
)

HOURS_A_RUN = dg.BackfillPolicy.multi_run(max_partitions_per_run=24)
"""How many hours a run of a backfill refines: starting a run costs more than a quiet hour does."""

RETRIES = dg.RetryPolicy(
    max_retries=3, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""For outages of the object store or Postgres; every step can be repeated at will."""


def hours_of(tags: Mapping[str, str]) -> list[str]:
    """Return the hours that a run is about: one, those of its range, or none."""
    if PARTITION_TAG in tags:
        return [tags[PARTITION_TAG]]
    ends = [tags[tag] for tag in RANGE_TAGS if tag in tags]
    if len(ends) < len(RANGE_TAGS):
        return []
    return list(arrival_hours.get_partition_keys_in_range(dg.PartitionKeyRange(*ends)))
