"""AWS events in their documented forms are told apart and taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from ingest_lambda.lambda_records import (
    Form,
    StoredObject,
    UnknownEvent,
    form_of,
    iot_message,
    kinesis_records,
    sqs_records,
    stored_objects,
)

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[2] / "golden" / "lambda"


def golden(name: str) -> dict[str, Any]:
    return orjson.loads((GOLDEN / f"{name}.json").read_bytes())


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("http_api_v2", Form.HTTP),
        ("function_url", Form.HTTP),
        ("sqs", Form.SQS),
        ("kinesis", Form.KINESIS),
        ("iot_rule", Form.IOT),
        ("s3_put", Form.S3),
        ("s3_test", Form.S3_TEST),
    ],
)
def test_each_form_is_recognised(name: str, form: Form) -> None:
    assert form_of(golden(name)) is form


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": []},
        {"Records": [{"eventSource": "aws:dynamodb"}]},
        {"Records": [{"eventSource": "aws:sqs"}, {"eventSource": "aws:s3"}]},
        {"detail-type": "Scheduled Event", "source": "aws.events"},
    ],
)
def test_another_event_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(UnknownEvent):
        form_of(event)


def test_a_queue_names_the_source_unless_the_message_does() -> None:
    records = sqs_records(golden("sqs"), {"phones": "mobile"})
    assert [record.message.source for record in records] == [
        "mobile",
        "wearable",
        "mobile",
        "toaster",
    ]
    assert records[1].message.content_type == "application/x-ndjson"
    assert records[2].message.body == b"no JSON at all"
    assert records[0].id == "059f36b4-87a3-44ab-83d2-66197597a701"


def test_a_queue_that_nobody_mapped_has_no_source() -> None:
    assert sqs_records(golden("sqs"), {})[0].message.source is None


def test_a_stream_brings_bytes_and_is_acknowledged_by_sequence_number() -> None:
    records = kinesis_records(golden("kinesis"), {"watches": "wearable"})
    assert {record.message.source for record in records} == {"wearable"}
    assert records[2].message.body == b"\xff\x00 no JSON"
    assert records[0].id.endswith("0001")


def test_the_rule_passes_source_and_payload() -> None:
    message = iot_message(golden("iot_rule"))
    assert message.source == "mobile"
    assert orjson.loads(message.body)["session"]["id"] == "golden"


def test_keys_of_objects_are_decoded() -> None:
    assert stored_objects(golden("s3_put")) == [
        StoredObject("telemetry-lake", "inbox/room 1,north.csv"),
        StoredObject("telemetry-lake", "inbox/mobile/phones.ndjson"),
    ]


def test_a_removed_object_is_no_object_to_land() -> None:
    event = golden("s3_put")
    event["Records"][0]["eventName"] = "ObjectRemoved:Delete"
    assert len(stored_objects(event)) == 1
