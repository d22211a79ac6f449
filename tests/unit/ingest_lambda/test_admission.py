"""Reading posts: every event is read or refused, whatever company it is in."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
import pytest

from ingest_lambda.admission import DECODE, READ, PostReader
from ingest_lambda.bodies import Body
from ingest_lambda.problems import Problem

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit

MOST = 5
GOOD = b'{"session":{"id":"s","timestamp":"2026-01-05T10:00:00"}}'
ODD = b'{"session":{"id":"s","timestamp":"2026-01-05T10:00:01"},"new_field":[1]}'
BAD = b'{"battery":{"level":3}}'


@pytest.fixture
def reader(registry: Registry, keyring: KeyRing) -> PostReader:
    return PostReader(registry["mobile"], keyring)


def array(*texts: bytes) -> Body:
    return Body(b"[" + b",".join(texts) + b"]", is_lines=False)


def test_regular_odd_and_bad_events_keep_their_places(reader: PostReader) -> None:
    post = reader.read(array(BAD, GOOD, ODD, BAD, GOOD), MOST)
    assert list(post.events.positions) == [1, 2, 4]
    assert [(each.position, each.stage, each.text) for each in post.refused] == [
        (0, READ, BAD),
        (3, READ, BAD),
    ]
    assert orjson.loads(post.events.payloads[1])["_extras"] == '{"new_field":[1]}'


def test_an_event_reads_the_same_alone_and_in_any_company(reader: PostReader) -> None:
    alone = reader.read(Body(GOOD, is_lines=False), MOST).events
    for body in (array(GOOD), array(BAD, GOOD), array(ODD, GOOD), Body(GOOD, is_lines=True)):
        events = reader.read(body, MOST).events
        assert (events.event_ids[-1], events.payloads[-1]) == (
            alone.event_ids[0],
            alone.payloads[0],
        )


def test_text_that_is_not_utf8_is_refused_alone(reader: PostReader) -> None:
    post = reader.read(array(GOOD, b'{"a":"\xff"}'), MOST)
    assert list(post.events.positions) == [0]
    assert [(each.position, each.stage) for each in post.refused] == [(1, DECODE)]


@pytest.mark.parametrize("text", [GOOD, ODD, BAD])
@pytest.mark.parametrize("is_lines", [False, True])
def test_too_many_events_are_refused(reader: PostReader, text: bytes, *, is_lines: bool) -> None:
    many = [text] * (MOST + 1)
    body = Body(b"\n".join(many), is_lines=True) if is_lines else array(*many)
    with pytest.raises(Problem) as caught:
        reader.read(body, MOST)
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize("text", [GOOD, ODD])
def test_two_events_in_one_line_are_refused(reader: PostReader, text: bytes) -> None:
    with pytest.raises(Problem) as caught:
        reader.read(Body(text + b" " + text, is_lines=True), MOST)
    assert caught.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("text", [b"", b" \n ", b"nonsense", b"[1,", b"[" * 5_000, b'["\\ud800"]'])
@pytest.mark.parametrize("is_lines", [False, True])
def test_a_body_without_json_is_refused(reader: PostReader, text: bytes, *, is_lines: bool) -> None:
    with pytest.raises(Problem) as caught:
        reader.read(Body(text, is_lines), MOST)
    assert caught.value.status == HTTPStatus.BAD_REQUEST
