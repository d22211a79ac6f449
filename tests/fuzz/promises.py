"""What reading a body promises, whatever its bytes are; the fuzzer and hypothesis ask the same."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import orjson

from ingest_lambda.bodies import Body, read_body
from ingest_lambda.post_reader import PostReader, ReadPost
from ingest_lambda.problems import Problem
from telemetry_contracts.conversions import LATEST
from telemetry_contracts.reader import EventReader, Reading, Refusal, compile_reader

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_contracts.tokens import KeyRing

MAX_EVENTS = 50
MAX_BYTES = 20_000
# A coded body hides its JSON from the mutations, so most come without a coding.
TYPES = ("application/json", "application/x-ndjson", "text/plain", "")
CODINGS = (*("",) * 5, "identity", "gzip", "zstd", "deflate")
_LATEST_US = int(LATEST.timestamp()) * 1_000_000


class Promises:
    """Reads bodies as the edge does and asserts what it promises about the outcome."""

    def __init__(self, registry: Registry, keyring: KeyRing) -> None:
        self.sources = registry.sources
        self._readers = [PostReader(registry[source], keyring) for source in registry]
        self._singles = [compile_reader(registry[source], keyring) for source in registry]

    def keep(self, source: int, content_type: str, coding: str, sent: bytes) -> str:
        """Read one body.

        Args:
            source: Place of the source in `sources`.
            content_type: Media type it is sent with.
            coding: Content coding it is sent with.
            sent: Its bytes.

        Returns:
            The kind of outcome: the problem's status and kind, or what became of the events.

        Raises:
            AssertionError: A promise is broken. Any other exception breaks one as well.
        """
        try:
            body = read_body(sent, content_type, coding, MAX_BYTES)
            post = self._readers[source].read(body, MAX_EVENTS)
        except Problem as problem:
            assert 400 <= problem.status < 500, problem.status
            return f"{int(problem.status)} {problem.kind}"
        _every_element_is_accounted_for(body, post)
        _refused_texts_are_what_was_sent(body, post)
        _accepted_events_can_land(post)
        _events_read_as_they_do_alone(body, post, self._singles[source])
        return _kind(post)


def _every_element_is_accounted_for(body: Body, post: ReadPost) -> None:
    places = sorted([*post.events.positions, *(each.position for each in post.refused)])
    assert places == list(range(len(places))), places
    assert len(places) <= MAX_EVENTS
    elements = _elements(body)
    assert elements is None or elements == len(places), (elements, places)


def _elements(body: Body) -> int | None:
    """Count the events of a body with another reader; None when that cannot tell."""
    if body.is_lines:
        return len(body.text.split(b"\n")) - sum(
            not line.strip() for line in body.text.split(b"\n")
        )
    try:
        document = json.loads(body.text)
    except (ValueError, RecursionError):
        return None
    return len(document) if isinstance(document, list) else 1


def _refused_texts_are_what_was_sent(body: Body, post: ReadPost) -> None:
    start = 0
    for each in post.refused:
        start = body.text.find(each.text, start)
        assert start >= 0, each
        start += len(each.text)
        assert each.refusal.violations


def _accepted_events_can_land(post: ReadPost) -> None:
    for device, time_us, event_id, payload in zip(*post.events[1:], strict=True):
        assert device
        assert "\x00" not in device
        assert 0 <= time_us < _LATEST_US
        assert str(uuid.UUID(event_id)) == event_id
        document = orjson.loads(payload)
        assert all(value != "\x00" and not isinstance(value, dict) for value in document.values())


def _events_read_as_they_do_alone(body: Body, post: ReadPost, single: EventReader) -> None:
    """Compare with another decoder and reader, as far as those can take the body apart."""
    try:
        document = orjson.loads(body.text)
    except orjson.JSONDecodeError:
        return
    events = document if isinstance(document, list) and not body.is_lines else [document]
    for position, *row in zip(*post.events, strict=True):
        reading = single.read(events[position])
        assert isinstance(reading, Reading), reading
        assert row == [*reading[:4]], (row, reading)
    for each in post.refused:
        assert isinstance(single.read(events[each.position]), Refusal), each


def _kind(post: ReadPost) -> str:
    if post.refused:
        rule = post.refused[0].refusal.violations[0].rule
        return f"some refused: {rule}" if post.events.positions else f"all refused: {rule}"
    return "all read" if post.events.positions else "no events"
