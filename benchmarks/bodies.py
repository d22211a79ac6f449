"""Request bodies for the load generator: phone events of a fixed size, each of them new."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT_BYTES: Final = 480

_HEAD: Final = (
    '{{"event_id":"{event_id}","device":{{"id":"p-{phone:04d}","model":"Pixel 8",'
    '"manufacturer":"Google","sdk":34}},"user":{{"email":"p{phone:04d}@mail.example.org"}},'
    '"battery":{{"level":{level}}},"network":{{"wifiName":"\\"bench\\"",'
    '"wifiIP":"192.0.2.20","connectivity":"wifi"}},"app":{{"name":"{name}",'
    '"version":"1.0.0","buildNumber":"1"}},"sensor":{{"accelerometer":{{"x":0.1,"y":9.7,"z":0.3}}}},'
    '"session":{{"id":"{session}","timestamp":"{timestamp}"}}}}'
)


def mobile_event(number: int, run: uuid.UUID, timestamp: str) -> bytes:
    """Return the n-th event of a run: exactly ``EVENT_BYTES`` long, with an id of its own.

    Args:
        number: From 0; decides id, phone, session and battery level.
        run: Makes the ids of two runs differ.
        timestamp: ISO 8601 with microseconds and without a zone, as the phones write it.
    """
    phone = number % 1_000
    values = {
        "event_id": uuid.uuid5(run, str(number)),
        "phone": phone,
        "level": 10 + number % 90,
        "session": uuid.uuid5(run, f"session {phone}"),
        "timestamp": timestamp,
    }
    short = len(_HEAD.format(**values, name=""))
    return _HEAD.format(**values, name="a" * (EVENT_BYTES - short)).encode()


def broken_event(number: int, run: uuid.UUID, timestamp: str) -> bytes:
    """Return the n-th event with what edges refuse: in turn a level that is no number, no time."""
    event = mobile_event(number, run, timestamp)
    if number % 2:
        return event.replace(b'"level":', b'"level":"full","was":', 1)
    return event.replace(b'"timestamp":', b'"at":', 1)


def mobile_posts(  # noqa: PLR0913 - what a load may vary in
    posts: int,
    events: int,
    run: uuid.UUID,
    timestamp: str,
    *,
    invalid_percent: int = 0,
    lines: bool = False,
) -> Iterator[bytes]:
    """Yield bodies of ``events`` events each, made when they are asked for.

    Args:
        posts: Number of bodies.
        events: Events in each; a single one is sent as an object of its own.
        run: Makes the ids of two runs differ.
        timestamp: When the events happened.
        invalid_percent: How many of each hundred events are broken, spread evenly.
        lines: NDJSON compressed with zstd instead of a JSON array.
    """

    def event(number: int) -> bytes:
        spread = number * invalid_percent // 100 != (number + 1) * invalid_percent // 100
        return (broken_event if spread else mobile_event)(number, run, timestamp)

    bodies = ([event(post * events + n) for n in range(events)] for post in range(posts))
    if lines:
        compress = zstandard.ZstdCompressor(level=3).compress
        yield from (compress(b"\n".join(body)) for body in bodies)
    elif events == 1:
        yield from (body[0] for body in bodies)
    else:
        yield from (b"[" + b",".join(body) + b"]" for body in bodies)
