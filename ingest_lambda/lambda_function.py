"""One edge inside a Lambda instance: every AWS event goes to the same handler as HTTP does.

A call ends when its events are committed, so nothing is under way while the instance is frozen. How
an event is taken apart is `lambda_records`' matter.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mangum import Mangum

from ingest_lambda.app import EdgeApp
from ingest_lambda.lambda_objects import ObjectIntake
from ingest_lambda.lambda_records import (
    Event,
    Form,
    QueueRecord,
    form_of,
    iot_message,
    kinesis_records,
    sqs_records,
    stored_objects,
)
from ingest_lambda.messages import MessageIntake
from ingest_lambda.problems import Problem

if TYPE_CHECKING:
    from ingest_lambda.edge import Edge

_log = logging.getLogger(__name__)


class EdgeFunction:
    """Answers the events of one Lambda instance, one after another."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._sources = edge.settings.queue_sources
        self._intake = MessageIntake(edge)
        self._objects = ObjectIntake(edge, self._intake)
        self._loop = asyncio.new_event_loop()
        # Mangum runs the application on the thread's loop, and newer Pythons make none.
        asyncio.set_event_loop(self._loop)
        self._http = Mangum(EdgeApp(edge), lifespan="off")

    def __call__(self, event: Event, context: Any) -> Any:  # noqa: ANN401  (Lambda's own types)
        """Return the answer that the sender of an event understands.

        For HTTP that is a response, for queues and streams the records to be sent again.

        Raises:
            UnknownEvent: Nothing here understands the event.
            Problem: Storage is away; Lambda calls again with the same event.
            ObjectsNotLanded: Objects stay in the inbox.
        """
        match form_of(event):
            case Form.HTTP:
                return self._http(event, context)
            case Form.SQS:
                return self._batch(Form.SQS, sqs_records(event, self._sources))
            case Form.KINESIS:
                return self._batch(Form.KINESIS, kinesis_records(event, self._sources))
            case Form.IOT:
                taken = self._loop.run_until_complete(
                    self._intake.take(Form.IOT, iot_message(event))
                )
                return {"receipt_id": taken.receipt_id}
            case Form.S3:
                landed = self._loop.run_until_complete(self._objects.land(stored_objects(event)))
                return {"landed": landed}
            case Form.S3_TEST:
                return {"landed": 0}

    def close(self) -> None:
        """Close the edge. Lambda itself never asks for it."""
        self._edge.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        asyncio.set_event_loop(None)

    def _batch(self, door: Form, records: list[QueueRecord]) -> dict[str, list[dict[str, str]]]:
        """Take all records at once, so that they share commits; name those that must come again.

        See "Reporting batch item failures" in the Lambda developer guide.
        """
        failed = self._loop.run_until_complete(self._take_all(door, records))
        return {"batchItemFailures": [{"itemIdentifier": record} for record in failed]}

    async def _take_all(self, door: Form, records: list[QueueRecord]) -> list[str]:
        taken = await asyncio.gather(*(self._is_taken(door, record) for record in records))
        return [record.id for record, done in zip(records, taken, strict=True) if not done]

    async def _is_taken(self, door: Form, record: QueueRecord) -> bool:
        try:
            await self._intake.take(door, record.message)
        except Problem as problem:
            _log.warning("deferred", extra={"door": door, "problem": problem.kind})
            return False
        return True
