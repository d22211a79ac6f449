"""A trace as data: the arrivals of an event, the events of a receipt, and their steps in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


class Outcome(StrEnum):
    """What became of one arrival of an event."""

    KEPT = "kept"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    """A correction replaced or deleted it, or it is a deletion."""
    REJECTED = "rejected"
    REPAIRED = "repaired"
    """Refused by the edge, and put right by a replay since."""
    WAITING = "waiting"
    """Landed, and not refined yet."""
    ERASED = "erased"
    """The marts still know it, landing does not."""


class State(StrEnum):
    """How far a step has come."""

    DONE = "done"
    WAITING = "waiting"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Step:
    """One step of a way.

    Attributes:
        name: `received`, `landed`, `bronze`, `silver`, `partials` or `marts`.
        at: When it happened (UTC); None when that is not known.
        table: Delta table, or Postgres table for `marts`.
        version: Version of the Delta table that the commit made.
        file: Path of the Parquet file in the table, or of the CSV file.
        detail: The step in words.
    """

    name: str
    state: State
    at: datetime | None = None
    table: str | None = None
    version: int | None = None
    file: str | None = None
    detail: str = ""

    def document(self) -> dict[str, Any]:
        """Return the step as JSON values, times as datetimes."""
        return {
            "step": self.name,
            "state": self.state.value,
            "at": self.at,
            "table": self.table,
            "version": self.version,
            "file": self.file,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Reason:
    """A rule that stopped an event, and what it expects."""

    rule: str
    dimension: str | None
    field: str | None
    message: str


@dataclass(frozen=True)
class First:
    """The arrival that a duplicate lost to."""

    receipt_id: str | None
    received_at: datetime
    received_hour: str


@dataclass(frozen=True)
class MartRow:
    """A row of a metric mart that the event is a part of."""

    mart: str
    metric: str
    begins: datetime
    n: int
    average: float | None


@dataclass
class Arrival:
    """One event under one receipt.

    Attributes:
        corrected_event_id: The event that it is a version of, when a correction was made.
        correction_id: The correction that superseded it; of a kept event, the one that brought it.
        fate: `replaced`, `deleted` or `deletion` of what is superseded.
        event_index: Place in the post of an event that the edge refused; those have no id.
        mart_rows: Metrics of the minute, hour and day that the event falls into.
    """

    source: str
    outcome: Outcome
    receipt_id: str | None
    received_at: datetime
    received_hour: str
    event_id: str | None = None
    event_index: int | None = None
    device_id: str | None = None
    event_time: datetime | None = None
    source_file: str | None = None
    source_row: int | None = None
    reasons: list[Reason] = field(default_factory=list)
    first: First | None = None
    corrected_event_id: str | None = None
    correction_id: str | None = None
    correction_receipt_id: str | None = None
    fate: str | None = None
    loaded_at: datetime | None = None
    steps: list[Step] = field(default_factory=list)
    mart_rows: list[MartRow] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the arrival as JSON values, times as datetimes."""
        first = self.first
        return {
            "event_id": self.event_id,
            "event_index": self.event_index,
            "source": self.source,
            "outcome": self.outcome.value,
            "receipt_id": self.receipt_id,
            "received_at": self.received_at,
            "received_hour": self.received_hour,
            "device_id": self.device_id,
            "event_time": self.event_time,
            "source_file": self.source_file,
            "source_row": self.source_row,
            "reasons": [vars(reason) for reason in self.reasons],
            "first": vars(first) if first else None,
            "corrected_event_id": self.corrected_event_id,
            "correction_id": self.correction_id,
            "fate": self.fate,
            "steps": [step.document() for step in self.steps],
            "mart_rows": [vars(row) for row in self.mart_rows],
        }


@dataclass
class Trace:
    """What was found for an id.

    Attributes:
        kind: `receipt` or `event`.
        at: When a receipt was given.
        arrivals: All arrivals of an event, the first one first; of a receipt some events, those
            that were stopped first.
        counts: Events of a receipt by outcome.
        steps: The way of a receipt's events as a whole, one list a source.
        notes: What limits this trace, in words.
    """

    id: str
    kind: str
    at: datetime | None
    arrivals: list[Arrival]
    counts: dict[str, int] = field(default_factory=dict)
    steps: dict[str, list[Step]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Events of the receipt, or arrivals of the event."""
        return sum(self.counts.values()) if self.counts else len(self.arrivals)

    def document(self) -> dict[str, Any]:
        """Return the trace as JSON values, times as datetimes."""
        return {
            "id": self.id,
            "kind": self.kind,
            "given_at": self.at,
            "counts": self.counts,
            "steps": {
                source: [step.document() for step in steps] for source, steps in self.steps.items()
            },
            "events": [arrival.document() for arrival in self.arrivals],
            "listed": len(self.arrivals),
            "total": self.total,
            "notes": self.notes,
        }


def clock(moment: datetime) -> str:
    """Return a moment to the millisecond, such as `2026-11-22 14:00:00.123` (UTC)."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}"
