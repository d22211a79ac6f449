"""What a client is told: one status per event, and counts that add up to the post."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from itertools import repeat
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from telemetry_contracts.reader import as_json

if TYPE_CHECKING:
    from ingest_lambda.admission import Receipt, Verdicts

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
REJECTED = "rejected"
_ENCODER = msgspec.json.Encoder()


class Answer(NamedTuple):
    """An answer ready to be sent, and to be sent again for the same Idempotency-Key."""

    receipt_id: str
    body: bytes
    accepted: int
    duplicate: int
    rejected: int

    def status(self, success: HTTPStatus) -> HTTPStatus:
        """Return `success`, or 422 when every event was refused."""
        if self.rejected and not self.accepted and not self.duplicate:
            return HTTPStatus.UNPROCESSABLE_ENTITY
        return success


class EventOutcome(msgspec.Struct, omit_defaults=True, gc=False):
    """What became of one event of a post."""

    index: int
    status: str
    event_id: str | None = None
    reasons: msgspec.Raw | None = None


class _Document(msgspec.Struct):
    receipt_id: str
    received_at: datetime
    source: str
    accepted: int
    duplicate: int
    rejected: int
    events: list[EventOutcome]


def answer(receipt: Receipt, verdicts: Verdicts) -> Answer:
    """Return the answer to a post whose outcome is durable."""
    accepted, duplicates, refused = verdicts.accepted, verdicts.duplicates, verdicts.refused
    counts = len(accepted.positions), len(duplicates.positions), len(refused)
    document = _Document(
        receipt.id, receipt.received_at, receipt.source, *counts, _outcomes(verdicts)
    )
    return Answer(receipt.id, _ENCODER.encode(document), *counts)


def _outcomes(verdicts: Verdicts) -> list[EventOutcome]:
    accepted, duplicates = verdicts.accepted, verdicts.duplicates
    events = list(map(EventOutcome, accepted.positions, repeat(ACCEPTED), accepted.event_ids))
    events += map(EventOutcome, duplicates.positions, repeat(DUPLICATE), duplicates.event_ids)
    events += [
        EventOutcome(each.position, REJECTED, None, msgspec.Raw(as_json(each.refusal)))
        for each in verdicts.refused
    ]
    if duplicates.positions or verdicts.refused:
        events.sort(key=attrgetter("index"))
    return events
