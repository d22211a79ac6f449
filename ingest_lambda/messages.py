"""Takes messages of brokers and queues into an edge: doors where nobody waits for an answer.

What an HTTP client would be told as a problem is sealed in `landing/rejected` instead, because the
message would otherwise come back forever. How a message arrived and is acknowledged is the door's
matter (`mqtt_bridge`, `lambda_records`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter

from ingest_lambda.answers import Answer
from ingest_lambda.bodies import Sent
from ingest_lambda.problems import Problem, internal, unknown_source
from telemetry_contracts.reader import Violation

if TYPE_CHECKING:
    from ingest_lambda.edge import Edge

UNKNOWN_SOURCE = "unknown"
TAKEN, REFUSED, DEFERRED = "taken", "refused", "deferred"
_log = logging.getLogger(__name__)


class Message(NamedTuple):
    """What a broker or queue delivered.

    Attributes:
        source: The source it is said to be of, None when nobody says.
        body: One event, an array or lines of events; gzip is recognised.
        content_type: Media type, empty when nobody says.
    """

    source: str | None
    body: bytes
    content_type: str = ""


class MessageIntake:
    """Makes the outcome of messages durable."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._count = Counter(
            "edge_messages",
            "Messages of brokers and queues by outcome.",
            ("door", "outcome"),
            registry=edge.metrics.registry,
        )

    async def take(self, door: str, message: Message) -> Answer:
        """Return once everything in the message is durable, accepted or refused.

        Args:
            door: How it came, as metrics name it.
            message: What came.

        Raises:
            Problem: Storage is away (503). The message must not be acknowledged.
        """
        try:
            taken, outcome = await self._take(message)
        except Problem:
            self._count.labels(door, DEFERRED).inc()
            raise
        self._count.labels(door, outcome).inc()
        return taken

    async def _take(self, message: Message) -> tuple[Answer, str]:
        try:
            return await self._receive(message), TAKEN
        except Problem as problem:
            if problem.retry_after is not None:
                raise
            return await self._refuse(message, problem), REFUSED
        except Exception as error:  # noqa: BLE001  (the boundary of a message)
            _log.error("unexpected", exc_info=error)
            return await self._refuse(message, internal()), REFUSED

    async def _receive(self, message: Message) -> Answer:
        source = message.source
        if source is None or source not in self._edge.registry:
            raise unknown_source(self._edge.registry.sources)
        return await self._edge.receive(source, Sent(message.body, message.content_type))

    async def _refuse(self, message: Message, problem: Problem) -> Answer:
        """Seal a message as one rejected event."""
        known = message.source is not None and message.source in self._edge.registry
        source = message.source if message.source and known else UNKNOWN_SOURCE
        violation = Violation(problem.kind, None, problem.detail)
        return await self._edge.refuse(source, message.body, violation)
