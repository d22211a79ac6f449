"""What a correction of an event lands as: an event of its own that names the one it corrects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from telemetry_contracts.bulk import ReadEvents
from telemetry_contracts.canonical import derived_event_id, encode_canonical
from telemetry_contracts.contract import CORRECTION_KEY, CORRECTS_KEY, DELETE, REPLACE

if TYPE_CHECKING:
    from telemetry_contracts.reader import Reading


def replacement(source: str, target: str, reading: Reading, key: str = "") -> ReadEvents:
    """Return the event that replaces another.

    Args:
        source: The source of both.
        target: Id of the event that is replaced.
        reading: Its new values. An id among them is not kept.
        key: Tells this correction from an earlier one with the same values.
    """
    values = orjson.loads(reading.payload)
    payload = encode_canonical(values | {CORRECTS_KEY: target, CORRECTION_KEY: REPLACE})
    content = b"%d\x00%b\x00%b" % (reading.event_time_us, reading.device_id.encode(), payload)
    own_id = _own_id(source, content, key)
    return ReadEvents((0,), (reading.device_id,), (reading.event_time_us,), (own_id,), (payload,))


def deletion(source: str, target: str, asked_us: int, key: str = "") -> ReadEvents:
    """Return the event that deletes another. It is of no device.

    Args:
        source: The source of the event.
        target: Id of the event that is deleted.
        asked_us: When that was asked, in microseconds since 1970 UTC.
        key: Tells this deletion from an earlier one of the same event.
    """
    payload = encode_canonical({CORRECTS_KEY: target, CORRECTION_KEY: DELETE})
    return ReadEvents((0,), (None,), (asked_us,), (_own_id(source, payload, key),), (payload,))


def _own_id(source: str, content: bytes, key: str) -> str:
    """Return an id that is the same when the same correction is sent again."""
    return derived_event_id(
        b"%b\x00correction\x00%b\x00%b" % (source.encode(), key.encode(), content)
    )
