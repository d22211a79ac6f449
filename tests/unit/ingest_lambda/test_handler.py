"""The Lambda handler answers a golden API Gateway v2 event, and what it answers is durable."""

from __future__ import annotations

import asyncio
import base64
import gzip
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from mangum import Mangum

from ingest_lambda.app import EdgeApp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from ingest_lambda.edge import Edge

pytestmark = pytest.mark.unit


def gateway_event(key: str, body: bytes) -> dict[str, Any]:
    """Return an event as API Gateway sends it (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/v1/events",
        "rawQueryString": "source=wearable",
        "queryStringParameters": {"source": "wearable"},
        "headers": {"content-type": "application/json", "x-api-key": key, "host": "edge.example"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "edge.example",
            "http": {
                "method": "POST",
                "path": "/v1/events",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "watch/1.0",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "22/Nov/2026:14:00:00 +0000",
            "timeEpoch": 1795356000000,
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


@pytest.fixture(autouse=True)
def event_loop_of_the_thread() -> Iterator[None]:
    """Mangum runs the application on the thread's event loop, as Lambda's runtime has one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def test_a_gateway_event_lands_within_its_invocation(
    edge: Edge, key: str, rows: Callable[[str], pl.DataFrame]
) -> None:
    watch = {"device_id": "PulseON_X", "date": "2024-08-06 00:00:00.000000", "hr": 70, "steps": 4}
    event = gateway_event(key, gzip.compress(orjson.dumps(watch)))
    adapter = Mangum(EdgeApp(edge), lifespan="off")
    answer = adapter(event, None)  # ty: ignore[invalid-argument-type]
    assert answer["statusCode"] == HTTPStatus.ACCEPTED
    assert rows("landing/events")["receipt_id"][0] == orjson.loads(answer["body"])["receipt_id"]
    again = adapter(event, None)  # ty: ignore[invalid-argument-type]
    assert orjson.loads(again["body"])["duplicate"] == 1
    assert rows("landing/events").height == 1
