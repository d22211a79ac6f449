"""Judges the events of one post: which land, which repeat another, which are refused.

Pure apart from the recent ids it is given: what it returns is not durable yet (`edge` sees to
that), and how a client is told is `answers`' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ingest_lambda.landing import Rows
from ingest_lambda.recent import RecentIds, event_keys
from telemetry_contracts.bulk import NO_EVENTS, ReadEvents
from telemetry_contracts.reader import as_json
from telemetry_platform.clock import hour_key

if TYPE_CHECKING:
    from ingest_lambda.post_reader import ReadPost, Refused
    from telemetry_contracts.sealing import SealBox

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


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
