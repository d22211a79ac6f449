"""A few quarantined events to look at: every rule has its turn before one has many."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

ROWS = 15
# A page shows the first few without scrolling.
COLUMNS = dict.fromkeys(
    (
        *("rule", "value", "expected", "source", "device_id"),
        *("event_id", "receipt_id", "event_time", "judged_by"),
    ),
    pl.String,
)


def preview(quarantine: pl.DataFrame, rows: int = ROWS) -> pl.DataFrame:
    """Return some events with one reason a row.

    Args:
        quarantine: Rows of `silver/quarantine`.
        rows: How many rows at most.

    Returns:
        The columns `COLUMNS`. `value` is what the event held in the field, personal values as
        tokens; it is empty for a rule over several fields.
    """
    turn = pl.int_range(pl.len()).over("source", "rules")
    chosen = (
        quarantine.explode("rules")
        .sort("received_at", "event_id")
        .with_columns(turn.alias("turn"))
        .sort("turn", "source", "rules", maintain_order=True)
        .head(rows)
        .sort("source", "rules", maintain_order=True)
    )
    return pl.DataFrame([_row(event) for event in chosen.iter_rows(named=True)], schema=COLUMNS)


def _row(event: dict[str, Any]) -> dict[str, str | None]:
    reason = next(r for r in json.loads(event["reasons"]) if r["rule"] == event["rules"])
    values = json.loads(event["payload"]) | {
        "event_time": f"{event['event_time']:%Y-%m-%d %H:%M:%S}"
    }
    value = values.get(reason["field"])
    return {
        "source": event["source"],
        "rule": event["rules"],
        "value": None if value is None else str(value),
        "expected": reason["message"].removeprefix("expected "),
        "device_id": event["device_id"],
        "event_time": values["event_time"],
        "event_id": event["event_id"],
        "receipt_id": event["receipt_id"],
        "judged_by": event["judged_by"],
    }
