"""Every AWS event ends in the same tables as an HTTP post, within its call."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest_lambda.edge import open_edge
from ingest_lambda.lambda_function import EdgeFunction
from ingest_lambda.lambda_records import UnknownEvent
from tests.unit.ingest_lambda.test_lambda_records import golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

SOURCES = {"phones": "mobile", "watches": "wearable"}


@pytest.fixture
def function(settings: Settings, key: str) -> Iterator[EdgeFunction]:
    assert key
    changes = {"queue_sources": SOURCES, "spool_max_bytes": 0}
    function = EdgeFunction(open_edge(settings.model_copy(update=changes)))
    yield function
    function.close()


def http_event(name: str, key: str) -> dict[str, Any]:
    event = golden(name)
    event["headers"]["x-api-key"] = key
    return event


@pytest.mark.parametrize(("name", "accepted"), [("http_api_v2", 1), ("function_url", 2)])
def test_a_post_lands_within_its_call(
    function: EdgeFunction,
    key: str,
    rows: Callable[[str], pl.DataFrame],
    name: str,
    accepted: int,
) -> None:
    answer = function(http_event(name, key), None)
    assert answer["statusCode"] == HTTPStatus.ACCEPTED
    document = orjson.loads(answer["body"])
    assert document["accepted"] == accepted
    assert set(rows("landing/events")["receipt_id"]) == {document["receipt_id"]}
    again = orjson.loads(function(http_event(name, key), None)["body"])
    assert (again["accepted"], again["duplicate"]) == (0, accepted)
    assert rows("landing/events").height == accepted


def test_a_post_without_a_key_is_refused(function: EdgeFunction) -> None:
    answer = function(http_event("http_api_v2", "wrong"), None)
    assert answer["statusCode"] == HTTPStatus.UNAUTHORIZED


def test_a_queue_lands_what_it_can_and_seals_the_rest(
    function: EdgeFunction, rows: Callable[[str], pl.DataFrame]
) -> None:
    assert function(golden("sqs"), None) == {"batchItemFailures": []}
    assert sorted(rows("landing/events")["source"]) == ["mobile"] + ["wearable"] * 3
    rejected = rows("landing/rejected")
    assert set(rejected.select("source", "rule").rows()) == {
        ("mobile", "unreadable-body"),
        ("unknown", "unknown-source"),
    }
    assert not any(b"crumbs" in body for body in rejected["body_sealed"])


def test_a_stream_lands_what_it_can_and_seals_the_rest(
    function: EdgeFunction, rows: Callable[[str], pl.DataFrame]
) -> None:
    assert function(golden("kinesis"), None) == {"batchItemFailures": []}
    assert rows("landing/events").height == 3
    assert rows("landing/rejected").height == 1
    assert function(golden("kinesis"), None) == {"batchItemFailures": []}
    assert rows("landing/events").height == 3


def test_a_rule_passes_one_message(
    function: EdgeFunction, rows: Callable[[str], pl.DataFrame]
) -> None:
    answer = function(golden("iot_rule"), None)
    assert list(rows("landing/events")["receipt_id"]) == [answer["receipt_id"]]


def test_only_the_records_that_are_not_durable_come_again(
    settings: Settings, key: str, rows: Callable[[str], pl.DataFrame]
) -> None:
    assert key
    changes = {"queue_sources": SOURCES, "spool_max_bytes": 0}
    edge = open_edge(settings.model_copy(update=changes))
    function = EdgeFunction(edge)
    # The first record fills the queue; the second, of two events, finds no room.
    edge.events.max_queued_rows = 1
    failed = function(golden("kinesis"), None)["batchItemFailures"]
    assert [failure["itemIdentifier"][-4:] for failure in failed] == ["0002"]
    assert rows("landing/events").height == 1
    edge.events.max_queued_rows = 100
    assert function(golden("kinesis"), None) == {"batchItemFailures": []}
    assert rows("landing/events").height == 3
    function.close()


def test_the_bucket_s_greeting_is_answered(function: EdgeFunction) -> None:
    assert function(golden("s3_test"), None) == {"landed": 0}


def test_an_unknown_event_is_refused(function: EdgeFunction) -> None:
    with pytest.raises(UnknownEvent):
        function({"detail-type": "Scheduled Event"}, None)
