"""Request bodies for the load generator: phone events of a fixed size, each of them new."""

from __future__ import annotations

import uuid
from typing import Final

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


def mobile_posts(posts: int, events: int, run: uuid.UUID, timestamp: str) -> list[bytes]:
    """Return bodies: JSON arrays of ``events`` events, or single objects when it is 1."""
    if events == 1:
        return [mobile_event(number, run, timestamp) for number in range(posts)]
    return [
        b"["
        + b",".join(
            mobile_event(post * events + number, run, timestamp) for number in range(events)
        )
        + b"]"
        for post in range(posts)
    ]
