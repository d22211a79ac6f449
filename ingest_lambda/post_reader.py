"""Reads the events of one post by the contract of its source: the costly part of a post.

Nothing here waits, writes or remembers an event, so it can be done in any process.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ingest_lambda.bodies import Body, count_lines, split_events
from ingest_lambda.problems import Problem, too_large
from telemetry_contracts.bulk import BulkReader, ReadEvents
from telemetry_contracts.reader import Reading, Refusal, Violation, compile_reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry_contracts.contract import Contract
    from telemetry_contracts.tokens import KeyRing

DECODE = "decode"
READ = "read"
_DECODED_AT_ONCE = 500
_NOT_JSON = Refusal((Violation("json", None, "the line is not JSON"),))


class Refused(NamedTuple):
    """An event that cannot be read.

    Attributes:
        position: Its place in the post, from 0.
        stage: `decode` when it is not JSON, else `read`.
        refusal: Every reason.
        text: Its bytes as they were sent.
    """

    position: int
    stage: str
    refusal: Refusal
    text: bytes


class ReadPost(NamedTuple):
    """The events of one post, read; every position is in exactly one of the two."""

    events: ReadEvents
    refused: list[Refused]


class PostReader:
    """Reads the posts of one source: all at once what is regular, one by one what is not."""

    def __init__(self, contract: Contract, keyring: KeyRing) -> None:
        self.contract = contract
        self._bulk = BulkReader(contract, keyring)
        self._single = compile_reader(contract, keyring)
        # After a post that could not be read as one, the next is not tried as one either.
        self._mixed = False

    def read(self, body: Body, max_events: int) -> ReadPost:
        """Read every event of a body by the contract. The costly part; needs no lock.

        Raises:
            Problem: 400 when the body is neither JSON nor NDJSON, 413 when it has too many events.
        """
        found = None if self._mixed else self._read_whole(body)
        regular = None
        if found is not None:
            count, regular = found
            if count > max_events:
                raise _too_many(max_events)
            if len(regular.positions) == count:
                return ReadPost(regular, [])
        texts = split_events(body)
        if len(texts) > max_events:
            raise _too_many(max_events)
        if regular is None:
            regular = self._bulk.read_each(texts)
        self._mixed = len(regular.positions) < len(texts)
        return self._read_rest(texts, regular)

    def read_one(self, event: object) -> Reading | Refusal:
        """Read one decoded event."""
        return self._single.read(event)

    def _read_whole(self, body: Body) -> tuple[int, ReadEvents] | None:
        """Read a body as one; None when its events must be told apart with more care."""
        text = body.text
        if text.lstrip().startswith(b"[") and not body.is_lines:
            return self._bulk.read_array(text)
        found = self._bulk.read_lines(text)
        # The decoder takes several events in one line too, which NDJSON does not have.
        return found if found is not None and 0 < found[0] == count_lines(text) else None

    def _read_rest(self, texts: list[bytes], regular: ReadEvents) -> ReadPost:
        """Read or refuse the events that are not regular, some at a time to hold few decoded."""
        rest = sorted(set(range(len(texts))).difference(regular.positions))
        readings: list[tuple[int, Reading]] = []
        refused: list[Refused] = []
        for start in range(0, len(rest), _DECODED_AT_ONCE):
            positions: list[int] = []
            events: list[Any] = []
            for position in rest[start : start + _DECODED_AT_ONCE]:
                try:
                    events.append(orjson.loads(texts[position]))
                    positions.append(position)
                except orjson.JSONDecodeError:
                    refused.append(Refused(position, DECODE, _NOT_JSON, texts[position]))
            outcomes = self._single.read_each(events)
            for position, outcome in zip(positions, outcomes, strict=True):
                if isinstance(outcome, Refusal):
                    refused.append(Refused(position, READ, outcome, texts[position]))
                else:
                    readings.append((position, outcome))
        refused.sort(key=attrgetter("position"))
        return ReadPost(regular + _columns(readings) if readings else regular, refused)


def compile_readers(
    contracts: Mapping[str, Contract], keyring: KeyRing, before: Mapping[str, PostReader]
) -> dict[str, PostReader]:
    """Return a reader for each source; those of contracts that did not change are kept."""
    return {
        source: before[source]
        if source in before and before[source].contract == contract
        else PostReader(contract, keyring)
        for source, contract in contracts.items()
    }


def _columns(readings: list[tuple[int, Reading]]) -> ReadEvents:
    rows = [
        (position, one.device_id, one.event_time_us, one.event_id, one.payload)
        for position, one in readings
    ]
    return ReadEvents(*zip(*rows, strict=True))


def _too_many(max_events: int) -> Problem:
    return too_large(f"a post may bring {max_events} events")
