"""Where every Delta table lies and which columns it has.

Columns that follow from a contract are added by whoever writes the table; what is common to all
sources is settled here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

UTC_TIME = pl.Datetime("us", "UTC")
SOURCE = "source"
RECEIVED_HOUR = "received_hour"
PARTITION = (SOURCE, RECEIVED_HOUR)

_LOG_RETENTION = "interval 7 days"


@dataclass(frozen=True)
class Table:
    """A Delta table: its path under the lake's root, columns, partitioning and statistics.

    Attributes:
        statistics: Columns that may leave minima and maxima in the Delta log. Those that can hold
            a token or a body of a person never do.
    """

    path: str
    columns: dict[str, pl.DataType | type[pl.DataType]]
    partition_by: tuple[str, ...] = PARTITION
    statistics: tuple[str, ...] = ("received_at",)
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def schema(self) -> pl.Schema:
        """The table's columns in order."""
        return pl.Schema(self.columns)

    @property
    def configuration(self) -> dict[str, str]:
        """Delta table properties."""
        return {
            "delta.dataSkippingStatsColumns": ",".join(self.statistics),
            "delta.logRetentionDuration": _LOG_RETENTION,
            **self.properties,
        }


def landing_input(source: str, hour: str) -> str:
    """Return the name under which bronze notes the landing version that it was derived from."""
    return f"landing:{source}:{hour}"


_APPENDED = {"delta.checkpointInterval": "20", "delta.appendOnly": "false"}

LANDING_EVENTS = Table(
    "landing/events",
    {
        "event_id": pl.String,
        SOURCE: pl.String,
        "device_id": pl.String,
        "event_time": UTC_TIME,
        "received_at": UTC_TIME,
        RECEIVED_HOUR: pl.String,
        "payload": pl.String,
        "contract_version": pl.String,
        "receipt_id": pl.String,
        "token_key_version": pl.Int32,
    },
    statistics=("event_time", "received_at"),
    properties=_APPENDED,
)

LANDING_REJECTED = Table(
    "landing/rejected",
    {
        "receipt_id": pl.String,
        "event_index": pl.Int32,
        SOURCE: pl.String,
        "received_at": UTC_TIME,
        RECEIVED_HOUR: pl.String,
        "stage": pl.String,
        "rule": pl.String,
        "field": pl.String,
        "message": pl.String,
        "violations": pl.String,
        "body_sealed": pl.Binary,
        "contract_version": pl.String,
    },
    properties=_APPENDED,
)
"""One row per refused event: its first violation in columns, all of them as JSON."""

LANDING_FILES = Table(
    "landing/files",
    {
        "receipt_id": pl.String,
        "file": pl.String,
        "sha256": pl.String,
        "size_bytes": pl.Int64,
        SOURCE: pl.String,
        "rows": pl.Int64,
        "accepted": pl.Int64,
        "duplicate": pl.Int64,
        "rejected": pl.Int64,
        "outcome": pl.String,
        "message": pl.String,
        "received_at": UTC_TIME,
        RECEIVED_HOUR: pl.String,
    },
    properties=_APPENDED,
)
"""One row per processed file. `outcome` is `landed`, `repeated` or `unreadable`; `message` says why
it is unreadable, or what was assumed to read it."""

LANDING_FILE_ERRORS = Table(
    "landing/file_errors",
    {
        "receipt_id": pl.String,
        "file": pl.String,
        SOURCE: pl.String,
        "row_number": pl.Int64,
        "column_name": pl.String,
        "rule": pl.String,
        "value": pl.String,
        "message": pl.String,
        "received_at": UTC_TIME,
        RECEIVED_HOUR: pl.String,
    },
    properties=_APPENDED,
)
"""One row per thing wrong in a file, rows counted from 1 after the header; personal values as
tokens. A file that is unreadable as a whole has one row, without a number."""

LANDING_REPLAYS = Table(
    "landing/replays",
    {
        "receipt_id": pl.String,
        "event_index": pl.Int32,
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "attempted_at": UTC_TIME,
        "contract_version": pl.String,
        "outcome": pl.String,
        "rule": pl.String,
        "event_id": pl.String,
    },
    statistics=("attempted_at",),
    properties=_APPENDED,
)
"""One row per attempt to repair a refused event, in the hour of the event's arrival.

`outcome` is `landed`, `duplicate` or `refused`; `rule` says which rule refuses it now.
"""
