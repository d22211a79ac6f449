"""Takes AWS events apart: which form an event has, and the messages in it. Pure.

The forms are those of the AWS Lambda developer guide ("Using Lambda with Amazon SQS", "... Kinesis
Data Streams", "... Amazon S3", "... API Gateway") and, for IoT, of the rule in `deploy/aws`.
"""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from ingest_lambda.messages import Message

Event = dict[str, Any]


class Form(StrEnum):
    """What sent an event."""

    HTTP = "http"
    SQS = "sqs"
    KINESIS = "kinesis"
    S3 = "s3"
    S3_TEST = "s3-test"
    IOT = "iot"


_RECORDS = {"aws:sqs": Form.SQS, "aws:kinesis": Form.KINESIS, "aws:s3": Form.S3}


class UnknownEvent(ValueError):
    """An event of no form that is understood here."""


class QueueRecord(NamedTuple):
    """One record of a batch.

    Attributes:
        id: Names it in `batchItemFailures`.
        message: What it brings.
    """

    id: str
    message: Message


class StoredObject(NamedTuple):
    """An object that was put into a bucket."""

    bucket: str
    key: str


def form_of(event: Event) -> Form:
    """Return what sent an event.

    Raises:
        UnknownEvent: It has none of the forms.
    """
    if "requestContext" in event:
        return Form.HTTP
    if event.get("Event") == "s3:TestEvent":
        return Form.S3_TEST
    if "topic" in event and "payload_base64" in event:
        return Form.IOT
    senders = {record.get("eventSource") for record in event.get("Records", ())}
    form = _RECORDS.get(senders.pop()) if len(senders) == 1 else None
    if form is None:
        raise UnknownEvent("the event comes from none of HTTP, SQS, Kinesis, IoT rule and S3")
    return form


def sqs_records(event: Event, sources: dict[str, str]) -> list[QueueRecord]:
    """Return the messages of a queue.

    The source is the message attribute `source`, else what `sources` says of the queue's name.
    """
    return [
        QueueRecord(
            record["messageId"],
            Message(
                _attribute(record, "source") or sources.get(_name(record["eventSourceARN"])),
                record["body"].encode(),
                _attribute(record, "content_type") or "",
            ),
        )
        for record in event["Records"]
    ]


def kinesis_records(event: Event, sources: dict[str, str]) -> list[QueueRecord]:
    """Return the records of a stream; `sources` says what those of each stream are."""
    return [
        QueueRecord(
            record["kinesis"]["sequenceNumber"],
            Message(
                sources.get(_name(record["eventSourceARN"])),
                base64.b64decode(record["kinesis"]["data"]),
            ),
        )
        for record in event["Records"]
    ]


def iot_message(event: Event) -> Message:
    """Return the message that the rule passed on, with the source that it read from the topic."""
    return Message(event.get("source"), base64.b64decode(event["payload_base64"]))


def stored_objects(event: Event) -> list[StoredObject]:
    """Return the objects of an S3 event; their keys come URL-encoded."""
    return [
        StoredObject(record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"]))
        for record in event["Records"]
        if record["eventName"].startswith("ObjectCreated:")
    ]


def _attribute(record: Event, name: str) -> str | None:
    return record.get("messageAttributes", {}).get(name, {}).get("stringValue")


def _name(arn: str) -> str:
    """Return the last part of an ARN: `…:ACCOUNT:QUEUE` or `…:ACCOUNT:stream/STREAM`."""
    return arn.rpartition(":")[2].rpartition("/")[2]
