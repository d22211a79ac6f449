"""A message is over when everything in it is durable, accepted or sealed."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import orjson
import pytest

from ingest_lambda.messages import Message, MessageIntake
from ingest_lambda.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from ingest_lambda.answers import Answer
    from ingest_lambda.edge import Edge

pytestmark = pytest.mark.unit


def phone(number: int) -> bytes:
    time_of_it = f"2026-01-05T10:00:00.{number:06d}"
    return orjson.dumps({"session": {"id": "s", "timestamp": time_of_it}})


def take(edge: Edge, *messages: Message) -> list[Answer]:
    async def all_of() -> list[Answer]:
        intake = MessageIntake(edge)
        return await asyncio.gather(*(intake.take("mqtt", message) for message in messages))

    return asyncio.run(all_of())


def test_events_land_and_a_redelivery_adds_nothing(
    edge: Edge, rows: Callable[[str], pl.DataFrame]
) -> None:
    lines = gzip.compress(phone(1) + b"\n" + phone(2))
    answers = take(edge, Message("mobile", lines), Message("mobile", lines))
    assert sorted((each.accepted, each.duplicate) for each in answers) == [(0, 2), (2, 0)]
    assert rows("landing/events").height == 2


def test_a_message_that_cannot_be_taken_apart_is_sealed_whole(
    edge: Edge, rows: Callable[[str], pl.DataFrame]
) -> None:
    refused = {
        Message("mobile", b"no JSON"): ("mobile", "unreadable-body"),
        Message("mobile", b""): ("mobile", "unreadable-body"),
        Message("mobile", b"\x1f\x8b\x08 broken"): ("mobile", "unreadable-body"),
        Message("mobile", phone(1), "image/png"): ("mobile", "unsupported"),
        Message("toaster", phone(2)): ("unknown", "unknown-source"),
        Message(None, phone(3)): ("unknown", "unknown-source"),
    }
    answers = take(edge, *refused)
    assert [each.rejected for each in answers] == [1] * 6
    kept = {
        edge.box.open(row["body_sealed"]): (row["source"], row["rule"])
        for row in rows("landing/rejected").iter_rows(named=True)
    }
    assert kept == {message.body: expected for message, expected in refused.items()}
    counted = edge.metrics.exposition().decode()
    assert 'edge_events_total{outcome="rejected",source="unknown"} 2.0' in counted
    assert 'edge_messages_total{door="mqtt",outcome="refused"} 6.0' in counted


def test_an_event_that_the_contract_refuses_is_sealed_alone(
    edge: Edge, rows: Callable[[str], pl.DataFrame]
) -> None:
    body = b"[" + phone(1) + b',{"nothing": 1}]'
    (answer,) = take(edge, Message("mobile", body))
    assert (answer.accepted, answer.rejected) == (1, 1)
    assert rows("landing/events").height == rows("landing/rejected").height == 1


def test_a_message_that_cannot_be_stored_now_is_not_taken(edge: Edge) -> None:
    edge.events.max_queued_rows = 1
    two_events = b"[" + phone(2) + b"," + phone(3) + b"]"
    with pytest.raises(Problem) as refused:
        take(edge, Message("mobile", phone(1)), Message("mobile", two_events))
    assert refused.value.retry_after
    text = edge.metrics.exposition().decode()
    assert 'edge_messages_total{door="mqtt",outcome="deferred"} 1.0' in text
    assert 'outcome="refused"' not in text
