"""Reading posts: every event is read or refused, whatever company it is in."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
import pytest

from ingest_lambda.bodies import Body
from ingest_lambda.post_reader import DECODE, READ, PostReader
from ingest_lambda.problems import Problem

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

pytestmark = pytest.mark.unit

MOST = 5
GOOD = b'{"session":{"id":"s","timestamp":"2026-01-05T10:00:00"}}'
ODD = b'{"session":{"id":"s","timestamp":"2026-01-05T10:00:01"},"new_field":[1]}'
BAD = b'{"battery":{"level":3}}'
WORSE = b'{"session":{"id":"s","timestamp":"never"},"battery":{"level":"full"}}'


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


def test_an_event_reads_the_same_whatever_the_posts_before_it_brought(reader: PostReader) -> None:
    bodies = [
        array(GOOD, GOOD),
        Body(GOOD + b"\n" + GOOD, is_lines=True),
        Body(GOOD, is_lines=False),
    ]
    expected = [reader.read(body, MOST) for body in bodies]
    for body, post in zip(bodies, expected, strict=True):
        refused = [reader.read(array(BAD, GOOD, WORSE, WORSE, WORSE), MOST) for _ in range(2)]
        assert refused[0] == refused[1]
        found = reader.read(body, MOST)
        assert [list(column) for column in found.events] == [list(column) for column in post.events]
        assert not found.refused


def test_a_post_of_refused_events_alone_gives_each_its_reasons(reader: PostReader) -> None:
    for _ in range(2):
        post = reader.read(array(WORSE, BAD, WORSE, WORSE), MOST)
        assert [(each.position, len(each.refusal.violations)) for each in post.refused] == [
            (0, 2),
            (1, 1),
            (2, 2),
            (3, 2),
        ]


def test_refused_events_come_in_their_order_whatever_refused_them(reader: PostReader) -> None:
    post = reader.read(array(BAD, b'{"a":"\xff"}', WORSE, GOOD), MOST)
    assert [(each.position, each.stage) for each in post.refused] == [
        (0, READ),
        (1, DECODE),
        (2, READ),
    ]


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


@pytest.mark.parametrize(
    "text",
    [b"", b" \n ", b"nonsense", b"[1,", b"[" * 5_000, b"[1 2]", b"[1[2]", b"[1]]", b"[NaN,]"],
)
@pytest.mark.parametrize("is_lines", [False, True])
def test_a_body_without_json_is_refused(reader: PostReader, text: bytes, *, is_lines: bool) -> None:
    with pytest.raises(Problem) as caught:
        reader.read(Body(text, is_lines), MOST)
    assert caught.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "text",
    [
        b'{"session":{"id":"a","timestamp":"2026-01-05T10:00:00"},"session":%b}',
        b'{"session":{"id":"a"},"sess\\u0069on":%b}',
        b'{"event_id":"one","event_id":"other","session":%b}',
        b'{"new":1,"new":2,"session":{"id":"a"},"session":%b}',
    ],
)
def test_of_a_key_that_comes_twice_the_last_counts_however_it_is_read(
    reader: PostReader, text: bytes
) -> None:
    twice = text % b'{"id":"b","timestamp":"2026-01-05T10:00:01"}'
    once = orjson.dumps(orjson.loads(twice))
    expected = reader.read(Body(once, is_lines=False), MOST).events
    for body in (array(twice), array(BAD, twice), Body(twice, is_lines=True)):
        events = reader.read(body, MOST).events
        assert (events.device_ids[-1], events.event_ids[-1], events.payloads[-1]) == (
            expected.device_ids[0],
            expected.event_ids[0],
            expected.payloads[0],
        )
    assert expected.device_ids[0] == "session:b"


@pytest.mark.parametrize("year", ["1970", "2199"])
def test_a_time_that_cannot_be_believed_is_read_and_left_to_silver(
    reader: PostReader, year: str
) -> None:
    event = {"session": {"id": "s", "timestamp": f"{year}-01-05T10:00:00"}}
    post = reader.read(Body(orjson.dumps(event), is_lines=False), MOST)
    assert len(post.events.positions) == 1
    assert not post.refused


@pytest.mark.parametrize("year", ["1969", "2200"])
def test_a_time_that_is_another_unit_is_refused_and_kept(reader: PostReader, year: str) -> None:
    text = b'{"session":{"id":"s","timestamp":"%b-01-05T10:00:00"}}' % year.encode()
    post = reader.read(Body(text, is_lines=False), MOST)
    assert [(each.refusal.violations[0].rule, each.text) for each in post.refused] == [
        ("time", text)
    ]


@pytest.mark.parametrize(
    ("value", "stage"),
    [
        (b'"\\ud800"', DECODE),
        (b"NaN", DECODE),
        (b'"\x00"', DECODE),
        (b"9" * 5_000, DECODE),
        (b'"\xed\xa0\x80"', DECODE),
        (b"1e999", DECODE),
        (b'"\\u0000"', READ),
    ],
)
def test_text_and_numbers_that_are_none_are_refused_alone(
    reader: PostReader, value: bytes, stage: str
) -> None:
    bad = GOOD[:-1] + b',"new":' + value + b"}"
    post = reader.read(array(GOOD, bad, GOOD), MOST)
    assert list(post.events.positions) == [0, 2]
    assert [(each.stage, each.text) for each in post.refused] == [(stage, bad)]
