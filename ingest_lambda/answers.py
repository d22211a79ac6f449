"""What a client is told: one status per event, and counts that add up to the post."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from ingest_lambda.admission import Receipt, Verdicts

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
REJECTED = "rejected"


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


def answer(receipt: Receipt, verdicts: Verdicts) -> Answer:
    """Return the answer to a post whose outcome is durable."""
    events = _outcomes(verdicts)
    counts = len(verdicts.accepted), len(verdicts.duplicates), len(verdicts.refused)
    document = {
        "receipt_id": receipt.id,
        "received_at": receipt.received_at,
        "source": receipt.source,
        ACCEPTED: counts[0],
        DUPLICATE: counts[1],
        REJECTED: counts[2],
        "events": events,
    }
    return Answer(receipt.id, orjson.dumps(document, option=orjson.OPT_UTC_Z), *counts)


def _outcomes(verdicts: Verdicts) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [
        {"index": index, "status": ACCEPTED, "event_id": reading.event_id}
        for index, reading in verdicts.accepted
    ]
    events += [
        {"index": index, "status": DUPLICATE, "event_id": event_id}
        for index, event_id in verdicts.duplicates
    ]
    events += [
        {
            "index": index,
            "status": REJECTED,
            "reasons": [violation._asdict() for violation in refusal.violations],
        }
        for index, _, refusal, _ in verdicts.refused
    ]
    if verdicts.duplicates or verdicts.refused:
        events.sort(key=_index)
    return events


def _index(event: dict[str, Any]) -> int:
    return event["index"]
