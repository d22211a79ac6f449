"""Requests in ASGI's terms: headers that decide come once, bodies have an end."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import pytest

from ingest_lambda.calls import Call, ClientGone
from ingest_lambda.problems import Problem

pytestmark = pytest.mark.unit

LIMIT = 10


def call(*headers: tuple[bytes, bytes], parts: tuple[bytes, ...] = (), gone: bool = False) -> Call:
    """Return a request whose body comes in parts; then it ends, or its client is gone."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request"})

    async def receive() -> Any:
        return messages.pop(0)

    return Call({"type": "http", "headers": list(headers), "query_string": b""}, receive)


@pytest.mark.parametrize(
    "name",
    [b"authorization", b"content-encoding", b"content-type", b"idempotency-key", b"x-api-key"],
)
def test_a_header_that_decides_comes_once(name: bytes) -> None:
    with pytest.raises(Problem) as caught:
        call((name, b"one"), (b"accept", b"a"), (name, b"other"))
    assert caught.value.status == HTTPStatus.BAD_REQUEST


def test_other_headers_may_come_twice() -> None:
    found = call((b"x-forwarded-for", b"one"), (b"x-forwarded-for", b"other"))
    assert found.header(b"x-forwarded-for") == "one"


def test_a_body_is_put_together() -> None:
    assert asyncio.run(call(parts=(b"abc", b"", b"def")).body(LIMIT)) == b"abcdef"


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"5"),)], ids=["unsaid", "lied"])
def test_a_body_in_parts_is_refused_as_soon_as_it_is_too_large(headers: Any) -> None:
    without_end = call(*headers, parts=(b"x" * LIMIT, b"x"), gone=True)
    with pytest.raises(Problem) as caught:
        asyncio.run(without_end.body(LIMIT))
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_client_that_leaves_has_sent_no_body() -> None:
    with pytest.raises(ClientGone):
        asyncio.run(call(parts=(b"abc",), gone=True).body(LIMIT))
