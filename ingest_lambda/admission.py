"""Judges the events of one post: which land, which repeat another, which are refused.

Pure apart from the recent ids it is given: what it returns is not durable yet (`edge` sees to
that), and how a client is told is `answers`' work.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from ingest_lambda.landing import Rows
from ingest_lambda.recent import RecentIds, event_key
from telemetry_contracts.reader import EventReader, Reading, Refusal, Violation
from telemetry_platform.clock import hour_key

if TYPE_CHECKING:
    from ingest_lambda.bodies import Element
    from telemetry_contracts.sealing import SealBox

DECODE = "decode"
READ = "read"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
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

    def shared_columns(self, count: int) -> dict[str, list]:
        """Return the columns that are the same in all `count` rows of any landing table."""
        return {
            "source": [self.source] * count,
            "received_at": [self.received_us] * count,
            "received_hour": [hour_key(self.received_at)] * count,
            "contract_version": [self.contract_version] * count,
            "receipt_id": [self.id] * count,
        }


@dataclass
class Verdicts:
    """The events of one post, judged; every index is in exactly one of the three.

    Attributes:
        accepted: Index and reading of events to land.
        duplicates: Index and event id of events that landed before or are landing now.
        refused: Index, refusal and the original bytes of what cannot be read.
        waits: Commits under way that hold the first copy of a duplicate.
        keys: Keys of the accepted events, in order.
    """

    accepted: list[tuple[int, Reading]] = field(default_factory=list)
    duplicates: list[tuple[int, str]] = field(default_factory=list)
    refused: list[tuple[int, str, Refusal, Element]] = field(default_factory=list)
    waits: set[Future[int]] = field(default_factory=set)
    keys: list[bytes] = field(default_factory=list)


def read_all(elements: list[Element], reader: EventReader) -> list[Reading | Refusal]:
    """Read every element by its contract. The costly part; needs no lock."""
    return [_NOT_JSON if e.raw is not None else reader.read(e.value) for e in elements]


def judge(
    elements: list[Element],
    readings: list[Reading | Refusal],
    source: str,
    recent: RecentIds,
) -> Verdicts:
    """Sort a post's events. Hold `recent.lock` until the accepted ones are claimed."""
    verdicts = Verdicts()
    read: list[tuple[int, Reading]] = []
    for index, reading in enumerate(readings):
        if isinstance(reading, Reading):
            read.append((index, reading))
        else:
            element = elements[index]
            stage = READ if element.raw is None else DECODE
            verdicts.refused.append((index, stage, reading, element))
    keys = [event_key(source, reading.event_id) for _, reading in read]
    fresh, verdicts.waits = recent.fresh(keys)
    for event, key, new in zip(read, keys, fresh, strict=True):
        if new:
            verdicts.accepted.append(event)
            verdicts.keys.append(key)
        else:
            verdicts.duplicates.append((event[0], event[1].event_id))
    return verdicts


def event_rows(verdicts: Verdicts, receipt: Receipt) -> Rows:
    """Return the rows of `landing/events` for the accepted events."""
    readings = [reading for _, reading in verdicts.accepted]
    count = len(readings)
    columns = {
        "event_id": [reading.event_id for reading in readings],
        "device_id": [reading.device_id for reading in readings],
        "event_time": [reading.event_time_us for reading in readings],
        "payload": [reading.payload.decode() for reading in readings],
        "token_key_version": [receipt.token_key_version] * count,
        **receipt.shared_columns(count),
    }
    return Rows(columns, sum(len(reading.payload) for reading in readings))


def rejected_rows(verdicts: Verdicts, receipt: Receipt, box: SealBox) -> Rows:
    """Return the rows of `landing/rejected`: one per refused event, its body sealed."""
    refused = verdicts.refused
    first = [refusal.violations[0] for _, _, refusal, _ in refused]
    sealed = [box.seal(element.source_bytes()) for _, _, _, element in refused]
    columns = {
        "event_index": [index for index, _, _, _ in refused],
        "stage": [stage for _, stage, _, _ in refused],
        "rule": [violation.rule for violation in first],
        "field": [violation.field for violation in first],
        "message": [violation.message for violation in first],
        "violations": [_as_json(refusal) for _, _, refusal, _ in refused],
        "body_sealed": sealed,
        **receipt.shared_columns(len(refused)),
    }
    return Rows(columns, sum(map(len, sealed)))


def _as_json(refusal: Refusal) -> str:
    return orjson.dumps([violation._asdict() for violation in refusal.violations]).decode()
