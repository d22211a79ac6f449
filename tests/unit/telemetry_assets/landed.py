"""Landed events for tests: made by the reader itself, as the edge makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_contracts.corrections import deletion, replacement
from telemetry_contracts.frames import parse_payload
from telemetry_contracts.reader import Reading, compile_reader
from telemetry_contracts.tokens import KeyRing
from telemetry_platform.clock import hour_start
from telemetry_platform.delta import ensure_table
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

HOUR, NEXT_HOUR = "2026-01-05T14", "2026-01-05T15"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
KEYS = KeyRing({1: bytes(range(32))})


def watch(minute: float = 0, rate: Any = 60, device: str = "w", **more: Any) -> dict[str, Any]:
    """Return one watch event, `minute` minutes after NOON."""
    moment = NOON + timedelta(minutes=minute)
    return {"device_id": device, "date": moment.isoformat(), "hr": rate, **more}


def room(minute: float = 0, temperature: float = 21.0, **more: Any) -> dict[str, Any]:
    """Return one reading of a room sensor."""
    moment = NOON + timedelta(minutes=minute)
    return {"device_id": "s", "timestamp": moment.isoformat(), "temperature": temperature, **more}


def landed(
    registry: Registry,
    source: str,
    events: list[dict[str, Any]],
    hour: str = HOUR,
    receipt: str = "r1",
) -> pl.DataFrame:
    """Read events as the edge does; each arrives a second after the one before."""
    reader = compile_reader(registry[source], KEYS)
    rows = []
    for place, event in enumerate(events):
        reading = reader.read(event)
        assert isinstance(reading, Reading), reading
        rows.append(
            {
                "event_id": reading.event_id,
                "source": source,
                "device_id": reading.device_id,
                "event_time": datetime.fromtimestamp(reading.event_time_us / 1e6, UTC),
                "received_at": hour_start(hour) + timedelta(seconds=place),
                "received_hour": hour,
                "payload": reading.payload.decode(),
                "contract_version": registry[source].version,
                "receipt_id": receipt,
                "token_key_version": 1,
            }
        )
    return pl.DataFrame(rows, schema=LANDING_EVENTS.schema)


def bronze(
    registry: Registry,
    source: str,
    events: list[dict[str, Any]],
    hour: str = HOUR,
    receipt: str = "r1",
) -> pl.DataFrame:
    """Return bronze rows of events."""
    return parse_payload(landed(registry, source, events, hour, receipt), registry[source])


def land(  # noqa: PLR0913, PLR0917 - hour and receipt are seldom given
    settings: Settings,
    registry: Registry,
    source: str,
    events: list[dict[str, Any]],
    hour: str = HOUR,
    receipt: str = "r1",
) -> None:
    """Append events to `landing/events`."""
    table = ensure_table(settings, LANDING_EVENTS)
    landed(registry, source, events, hour, receipt).write_delta(table, mode="append")


def land_correction(  # noqa: PLR0913, PLR0917 - when and under which key is seldom given
    settings: Settings,
    registry: Registry,
    source: str,
    target: str,
    event: dict[str, Any] | None,
    hour: str = NEXT_HOUR,
    second: int = 10,
    key: str = "",
) -> str:
    """Append what replaces an event by another, or deletes it without one; returns its id."""
    received = hour_start(hour) + timedelta(seconds=second)
    if event is None:
        found = deletion(source, target, round(received.timestamp() * 1_000_000), key)
    else:
        reading = compile_reader(registry[source], KEYS).read(event)
        assert isinstance(reading, Reading), reading
        found = replacement(source, target, reading, key)
    row = {
        "event_id": found.event_ids[0],
        "source": source,
        "device_id": found.device_ids[0],
        "event_time": datetime.fromtimestamp(found.event_times_us[0] / 1e6, UTC),
        "received_at": received,
        "received_hour": hour,
        "payload": found.payloads[0].decode(),
        "contract_version": registry[source].version,
        "receipt_id": f"c-{hour}-{second:02}",
        "token_key_version": 1,
    }
    table = ensure_table(settings, LANDING_EVENTS)
    pl.DataFrame([row], schema=LANDING_EVENTS.schema).write_delta(table, mode="append")
    return found.event_ids[0]
