"""The one partitioning: hours of arrival, UTC, the running hour included."""

from __future__ import annotations

import dagster as dg

from telemetry_platform.clock import HOUR_FORMAT, hour_start
from telemetry_platform.settings import get_settings

SOURCES_TAG = "telemetry/sources"
VERSION_TAG = "telemetry/landing_version"

arrival_hours = dg.HourlyPartitionsDefinition(
    start_date=hour_start(get_settings().partitions_start),
    timezone="UTC",
    fmt=HOUR_FORMAT,
    end_offset=1,
)

RETRIES = dg.RetryPolicy(
    max_retries=3, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""For outages of the object store or Postgres; every step can be repeated at will."""
