"""Turns rows of marts and landing tables into arrivals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry_platform.clock import hour_key
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE
from telemetry_platform.trace.steps import Arrival, First, Outcome, Reason, State, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

Key = tuple[str, str, str | None]
"""Tells the arrivals of one event apart: source, arrival hour, receipt."""

_SETTLED = {"landed", "duplicate"}


def of_row(row: dict[str, Any], outcome: Outcome) -> Arrival:
    """Return the arrival that a row of a mart or of `landing/events` stands for."""
    return Arrival(
        source=row["source"],
        outcome=outcome,
        receipt_id=row["receipt_id"],
        received_at=row["received_at"],
        received_hour=row["received_hour"],
        event_id=row["event_id"],
        device_id=row.get("device_id"),
        event_time=row.get("event_time"),
        source_file=row.get("source_file"),
        source_row=row.get("source_row"),
        loaded_at=row.get("loaded_at"),
        corrected_event_id=row.get("corrected_event_id"),
        correction_id=row.get("correction_id"),
        correction_receipt_id=row.get("correction_receipt_id"),
        fate=row.get("fate"),
    )


def of_duplicate(row: dict[str, Any]) -> Arrival:
    """Return the arrival of a row of `marts.rpt_duplicates`."""
    found = of_row(row, Outcome.DUPLICATE)
    at = row["first_received_at"]
    found.first = First(row["first_receipt_id"], at, hour_key(at))
    return found


def of_reasons(rows: Iterable[dict[str, Any]]) -> list[Arrival]:
    """Return the arrivals of rows of `marts.rpt_quarantine`, which has a row for each reason."""
    found: dict[tuple[str, str, str], Arrival] = {}
    for row in rows:
        # An hour quarantines an id once: a second arrival would be a duplicate.
        key = (row["source"], row["received_hour"], row["event_id"])
        if key not in found:
            found[key] = of_row(row, Outcome.QUARANTINED)
        found[key].reasons.append(
            Reason(row["rule"], row["dimension"], row["field"], row["message"])
        )
    return list(found.values())


def of_refused(row: dict[str, Any], attempt: dict[str, Any] | None) -> Arrival:
    """Return the arrival of a row of `landing/rejected`.

    Args:
        row: The row.
        attempt: The last row of `landing/replays` about the event, if there is one.
    """
    repaired = attempt is not None and attempt["outcome"] in _SETTLED
    found = Arrival(
        source=row[SOURCE],
        outcome=Outcome.REPAIRED if repaired else Outcome.REJECTED,
        receipt_id=row["receipt_id"],
        received_at=row["received_at"],
        received_hour=row[RECEIVED_HOUR],
        event_index=row["event_index"],
        reasons=[Reason(row["rule"], row["stage"], row["field"], row["message"])],
    )
    if attempt is not None:
        text = f"judged again: {attempt['outcome']}"
        text += f" as {attempt['event_id']}" if attempt["event_id"] else f" ({attempt['rule']})"
        found.steps = [Step("replayed", State.DONE, attempt["attempted_at"], detail=text)]
    return found


def key_of(arrival: Arrival) -> Key:
    """Return what tells an arrival from the others of its event."""
    return arrival.source, arrival.received_hour, arrival.receipt_id


def stopped_first(found: Iterable[Arrival]) -> list[Arrival]:
    """Return arrivals in the order in which they are listed."""
    return sorted(found, key=lambda each: (each.outcome is Outcome.KEPT, each.event_id or ""))
