"""Judges the events of one post: which land, which repeat another, which are refused.

Pure apart from the recent ids it is given: what it returns is not durable yet (`edge` sees to
that), and how a client is told is `answers`' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ingest_lambda.bodies import Body, count_lines, split_events
from ingest_lambda.landing import Rows
from ingest_lambda.problems import Problem, too_large
from ingest_lambda.recent import RecentIds, event_keys
from telemetry_contracts.bulk import NO_EVENTS, BulkReader, ReadEvents
from telemetry_contracts.reader import Reading, Refusal, Violation, as_json, compile_reader
from telemetry_platform.clock import hour_key

if TYPE_CHECKING:
    from telemetry_contracts.contract import Contract
    from telemetry_contracts.sealing import SealBox
    from telemetry_contracts.tokens import KeyRing

DECODE = "decode"
READ = "read"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DECODED_AT_ONCE = 500
_NOT_JSON = Refusal((Violation("json", None, "the line is not JSON"),))


@dataclass(frozen=True)
class Receipt:
    """What all events of one post or file have in common."""

    id: str
    source: str
    received_at: datetime
    contract_version: str
    token_key_version: int

    @property
    def received_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return (self.received_at - _EPOCH) // _MICROSECOND

    def shared_values(self) -> dict[str, Any]:
        """Return the columns that have one value in all rows of any landing table."""
        return {
            "source": self.source,
            "received_at": self.received_us,
            "received_hour": hour_key(self.received_at),
            "contract_version": self.contract_version,
            "receipt_id": self.id,
        }


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


@dataclass
class Verdicts:
    """The events of one post, judged; every position is in exactly one of the three.

    Attributes:
        accepted: Events to land.
        duplicates: Events that landed before or are landing now.
        refused: Events that cannot be read.
        waits: Commits under way that hold the first copy of a duplicate.
        keys: Keys of the accepted events, in order.
    """

    accepted: ReadEvents
    duplicates: ReadEvents
    refused: list[Refused]
    waits: set[Future[int | None]]
    keys: list[bytes]


class PostReader:
    """Reads the posts of one source: all at once what is regular, one by one what is not."""

    def __init__(self, contract: Contract, keyring: KeyRing) -> None:
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


def _columns(readings: list[tuple[int, Reading]]) -> ReadEvents:
    rows = [
        (position, one.device_id, one.event_time_us, one.event_id, one.payload)
        for position, one in readings
    ]
    return ReadEvents(*zip(*rows, strict=True))


def _too_many(max_events: int) -> Problem:
    return too_large(f"a post may bring {max_events} events")


def judge(post: ReadPost, source: str, recent: RecentIds) -> Verdicts:
    """Sort a post's events. Hold `recent.lock` until the accepted ones are claimed."""
    events = post.events
    keys = event_keys(source, events.event_ids)
    fresh, waits = recent.fresh(keys)
    if all(fresh):
        return Verdicts(events, NO_EVENTS, post.refused, waits, keys)
    known = [not new for new in fresh]
    return Verdicts(
        events.where(fresh),
        events.where(known),
        post.refused,
        waits,
        [key for key, new in zip(keys, fresh, strict=True) if new],
    )


def event_rows(verdicts: Verdicts, receipt: Receipt) -> Rows:
    """Return the rows of `landing/events` for the accepted events."""
    events = verdicts.accepted
    columns = {
        "event_id": events.event_ids,
        "device_id": events.device_ids,
        "event_time": events.event_times_us,
        "payload": events.payloads,
    }
    shared = receipt.shared_values() | {"token_key_version": receipt.token_key_version}
    return Rows(columns, shared, sum(map(len, events.payloads)))


def rejected_rows(verdicts: Verdicts, receipt: Receipt, box: SealBox) -> Rows:
    """Return the rows of `landing/rejected`: one per refused event, and there is one at least."""
    positions, stages, refusals, texts = zip(*verdicts.refused, strict=True)
    rules, fields, messages = zip(*(each.violations[0] for each in refusals), strict=True)
    sealed = box.seal_each(texts)
    columns: dict[str, Sequence[Any]] = {
        "event_index": positions,
        "stage": stages,
        "rule": rules,
        "field": fields,
        "message": messages,
        "violations": list(map(as_json, refusals)),
        "body_sealed": sealed,
    }
    return Rows(columns, receipt.shared_values(), sum(map(len, sealed)))
