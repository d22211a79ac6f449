"""The Delta tables of bronze, silver and gold."""

from __future__ import annotations

import polars as pl

from telemetry_contracts.contract import Contract
from telemetry_contracts.frames import UTC_TIME, bronze_schema, silver_schema
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, Table

_BY_HOUR = (RECEIVED_HOUR,)


def bronze_table(contract: Contract) -> Table:
    """Return `bronze/<source>`: landed events as typed columns."""
    return Table(
        f"bronze/{contract.source}",
        dict(bronze_schema(contract)),
        partition_by=_BY_HOUR,
        statistics=("event_time", "received_at"),
    )


def silver_table(contract: Contract) -> Table:
    """Return `silver/<source>`: unique, valid, enriched events."""
    return Table(
        f"silver/{contract.source}",
        dict(silver_schema(contract)),
        partition_by=_BY_HOUR,
        statistics=("event_time", "received_at"),
    )


QUARANTINE = Table(
    "silver/quarantine",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "event_id": pl.String,
        "device_id": pl.String,
        "event_time": UTC_TIME,
        "received_at": UTC_TIME,
        "receipt_id": pl.String,
        "contract_version": pl.String,
        "rules": pl.List(pl.String),
        "reasons": pl.String,
        "payload": pl.String,
        "judged_by": pl.String,
        "landing_version": pl.Int64,
        "source_file": pl.String,
        "source_row": pl.Int64,
    },
)
"""One row per event that a rule refused; `reasons` is a JSON list, `payload` what was refused.

`contract_version` is the edge's, `judged_by` the version whose rules refused the event;
`landing_version` is the version of `landing/events` that it was read from.
"""

REFINED_AGAIN = "refined_again"
YES, NO = "yes", "no"
QUARANTINE_REPLAYS = Table(
    "silver/quarantine_replays",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        REFINED_AGAIN: pl.String,
        "attempt_id": pl.String,
        "asked_by": pl.String,
        "attempted_at": UTC_TIME,
        "contract_version": pl.String,
        "rules": pl.List(pl.String),
        "outcome": pl.String,
        "rules_now": pl.List(pl.String),
        "events": pl.Int64,
        "examples": pl.List(pl.String),
    },
    partition_by=(SOURCE, RECEIVED_HOUR, REFINED_AGAIN),
    statistics=("attempted_at",),
)
"""What each replay of quarantine decided: events by hour, the rules before and the rules now.

`outcome` is one of `rejudging`; `refined_again` is `yes` for an hour that had to be refined again,
which the landing sensor then asks for.
"""

DUPLICATES = Table(
    "silver/duplicates",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "event_id": pl.String,
        "receipt_id": pl.String,
        "received_at": UTC_TIME,
        "first_receipt_id": pl.String,
        "first_received_at": UTC_TIME,
    },
)
"""One row per landed event whose id had landed before, and the event it lost to."""


SUPERSEDED = Table(
    "silver/superseded",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "event_id": pl.String,
        "corrected_event_id": pl.String,
        "device_id": pl.String,
        "event_time": UTC_TIME,
        "received_at": UTC_TIME,
        "receipt_id": pl.String,
        "fate": pl.String,
        "correction_id": pl.String,
        "correction_receipt_id": pl.String,
        "correction_received_at": UTC_TIME,
    },
)
"""One row per landed event that a correction took out of silver, and per deletion.

`event_id` is what landed, `corrected_event_id` the event it is a version of; `fate` is one of
`correcting`. `correction_*` is the correction that holds now; bronze keeps the former values.
"""

CORRECTIONS = Table(
    "silver/corrections",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "correction_id": pl.String,
        "corrected_event_id": pl.String,
        "correction": pl.String,
        "outcome": pl.String,
        "received_at": UTC_TIME,
        "receipt_id": pl.String,
    },
)
"""One row per correction that landed: `replace` or `delete`, and an outcome of `correcting`.

Small. Hours look here for what became of their events later.
"""


def _partials(name: str, bucket: str) -> Table:
    return Table(
        name,
        {
            SOURCE: pl.String,
            RECEIVED_HOUR: pl.String,
            "device_id": pl.String,
            "source_file": pl.String,
            "metric": pl.String,
            bucket: UTC_TIME,
            "n": pl.Int64,
            "mean": pl.Float64,
            "m2": pl.Float64,
            "total": pl.Float64,
            "minimum": pl.Float64,
            "maximum": pl.Float64,
            "first_value": pl.Float64,
            "first_at": UTC_TIME,
            "last_value": pl.Float64,
            "last_at": UTC_TIME,
        },
    )


METRIC_PARTIALS = _partials("gold/metric_partials", "event_minute")
HOUR_PARTIALS = _partials("gold/hour_partials", "event_hour")
"""The same by event hour: what hours, days and files are merged from."""

DEVICE_PROFILES = Table(
    "gold/device_profiles",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "device_id": pl.String,
        "valid_from": UTC_TIME,
        "valid_to": UTC_TIME,
        "attributes": pl.String,
        "n": pl.Int64,
    },
)

LEDGER = Table(
    "gold/ledger",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "accepted": pl.Int64,
        "silver": pl.Int64,
        "quarantined": pl.Int64,
        "duplicates": pl.Int64,
        "superseded": pl.Int64,
        "erased": pl.Int64,
        "metric_values": pl.Int64,
        "minute_values": pl.Int64,
        "hour_values": pl.Int64,
        "refined_at": UTC_TIME,
    },
)
"""What became of an hour's accepted events, and how many values of metrics its silver has.

`minute_values` and `hour_values` are how many of these the partials hold: the sum of their n.
"""

RULE_OUTCOMES = Table(
    "gold/rule_outcomes",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "dimension": pl.String,
        "rule": pl.String,
        "field": pl.String,
        "severity": pl.String,
        "checked": pl.Int64,
        "failed": pl.Int64,
    },
)
