"""The HTTP route that corrects an event: `PUT` replaces it, `DELETE` deletes it.

A correction is an event of its own and lands like any other. Whether the event that it names ever
landed is judged in silver, because no edge knows all of them.
"""

from __future__ import annotations

import uuid
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from ingest_lambda.bodies import read_body, split_events
from ingest_lambda.problems import Problem, unreadable
from ingest_lambda.routes import Door, EventRoute
from telemetry_contracts.corrections import deletion, replacement
from telemetry_contracts.reader import Refusal

if TYPE_CHECKING:
    from ingest_lambda.admission import Receipt
    from ingest_lambda.answers import Answer
    from ingest_lambda.auth import Gate
    from ingest_lambda.calls import Call
    from ingest_lambda.edge import Edge
    from ingest_lambda.idempotency import Replays
    from telemetry_contracts.bulk import ReadEvents

PATH = "/v1/events/{id}"
METHODS = ("PUT", "DELETE")


class CorrectionRoute(EventRoute):
    """The ASGI application of one event's address. It answers as a post is answered."""

    def __init__(self, edge: Edge, replays: Replays, gate: Gate) -> None:
        super().__init__(Door(PATH, None, HTTPStatus.ACCEPTED), edge, replays, gate)
        self._max_text = edge.settings.max_decompressed_bytes

    async def _receive(self, call: Call) -> Answer:
        source = self._source(call)
        sender = await self._gate.admit(call, source)
        target = _event_id(call.path)
        body = await call.body(self._max_body)
        key = self._replay_key(call)

        async def correct() -> Answer:
            answer = await self._correct(call, source, target, body)
            self._gate.charge(sender, 1)
            return answer

        if key is None:
            return await correct()
        digest = blake2b(body, digest_size=16, key=f"{call.method}{target}".encode()).digest()
        return await self._replays.once((sender.id, source, key), digest, correct)

    async def _correct(self, call: Call, source: str, target: str, body: bytes) -> Answer:
        contracts = self._edge.contracts
        receipt = self._edge.receipt(source, contract=contracts.registry[source])
        key = self._replay_key(call) or ""
        if call.method == "DELETE":
            return await self._edge.land_one(
                deletion(source, target, receipt.received_us, key), receipt
            )
        return await self._edge.land_one(self._replaced(call, receipt, target, body), receipt)

    def _replaced(self, call: Call, receipt: Receipt, target: str, body: bytes) -> ReadEvents:
        if not body:
            raise unreadable("the body is empty")
        content_type, coding = (
            call.header(n) or "" for n in (b"content-type", b"content-encoding")
        )
        events = split_events(read_body(body, content_type, coding, self._max_text))
        if len(events) != 1:
            raise unreadable("a replacement is one event")
        try:
            event = orjson.loads(events[0])
        except orjson.JSONDecodeError:
            raise unreadable("the event is not JSON") from None
        read = self._edge.contracts.readers[receipt.source].read_one(event)
        if isinstance(read, Refusal):
            raise _refused(read)
        if read.has_client_id and read.event_id != target:
            raise unreadable("the event has another id than the address")
        return replacement(receipt.source, target, read, self._replay_key(call) or "")


def _event_id(path: str) -> str:
    """Return the event that an address names.

    Raises:
        Problem: 400 when that is no event id.
    """
    try:
        return str(uuid.UUID(path.rpartition("/")[2]))
    except ValueError:
        detail = "an event is named by the event_id of its answer, a UUID"
        raise Problem(HTTPStatus.BAD_REQUEST, "event-id", detail) from None


def _refused(refusal: Refusal) -> Problem:
    """422: the replacement cannot be read by the contract. Nothing of it is kept."""
    reasons = (
        f"{each.field}: {each.message}" if each.field else each.message
        for each in refusal.violations
    )
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "event", "; ".join(reasons))
