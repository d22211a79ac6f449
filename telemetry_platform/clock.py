"""The one clock, and how its time names an arrival partition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

HOUR_FORMAT = "%Y-%m-%dT%H"
HOUR = timedelta(hours=1)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def hour_key(moment: datetime) -> str:
    """Return the partition that `moment` belongs to, such as `2026-11-22T14` (UTC)."""
    return moment.astimezone(UTC).isoformat(timespec="hours").partition("+")[0]


def hour_start(key: str) -> datetime:
    """Return the first moment of a partition.

    Raises:
        ValueError: `key` is not an hour such as `2026-11-22T14`.
    """
    return datetime.strptime(key, HOUR_FORMAT).replace(tzinfo=UTC)
