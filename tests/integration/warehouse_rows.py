"""Rows of the warehouse for tests of the marts.

A small lake is kept as a list of events; its partitions are written into the warehouse tables as
the refinery writes them. Nothing here knows the marts.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

DAY = datetime(2026, 11, 22, tzinfo=UTC)
SOURCES = ("mobile", "environment", "wearable")
METRICS = ("temperature_celsius", "heart_rate_bpm", "step_count", "heart_rate_asleep_bpm")
STATISTICS = (
    "n",
    "mean",
    "m2",
    "total",
    "minimum",
    "maximum",
    "first_value",
    "first_at",
    "last_value",
    "last_at",
)


@dataclass(frozen=True)
class Event:
    """One silver event: `arrived` is its arrival hour of DAY, `at` its event minute of DAY."""

    event_id: str
    source: str
    device_id: str
    arrived: int
    at: float
    values: dict[str, Any] = field(default_factory=dict)
    place: str = "here"
    source_file: str | None = None

    @property
    def event_time(self) -> datetime:
        return DAY + timedelta(minutes=self.at)

    @property
    def received_hour(self) -> datetime:
        return DAY + timedelta(hours=self.arrived)


def lake() -> list[Event]:
    """Three sources over three arrival hours, with late events, a file and a device that moves."""
    events = []
    for i in range(90):
        place = "here" if i < 40 else "there"
        events.append(
            Event(
                f"e{i}",
                "environment",
                "sensor-1",
                10 + i // 30,
                600 + 2 * i,
                {"temperature_celsius": 20 + 0.1 * (i % 7)},
                place,
            )
        )
        state = "asleep" if i < 50 else "awake"
        pulse = 50.0 + i % 11
        events.append(
            Event(
                f"w{i}",
                "wearable",
                "watch-1",
                10 + i // 30,
                600 + 2 * i,
                {"heart_rate_bpm": pulse, "step_count": float(i % 4), "sleep_state": state}
                | ({"heart_rate_asleep_bpm": pulse} if state == "asleep" else {}),
            )
        )
    # The file repeats minutes that were posted, and holds an earlier day.
    events += [
        Event(
            f"f{i}",
            "environment",
            "sensor-1",
            12,
            minute,
            {"temperature_celsius": 1e6 + i / 3},
            source_file="2026-11.csv",
        )
        for i, minute in enumerate([-30.0, 610.0, 610.5, 700.0])
    ]
    # One session spans two arrival hours, the other stays in one.
    events += [
        Event(
            f"m{i}",
            "mobile",
            "phone-1",
            arrived,
            minute,
            {"session_id": session, "battery_level_percent": 90.0 - i},
        )
        for i, (session, arrived, minute) in enumerate(
            [("long", 10, 630), ("long", 10, 640), ("long", 12, 650), ("short", 11, 700)]
        )
    ]
    return events


def partials(
    events: list[Event], bucket: Callable[[datetime], datetime]
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The mergeable statistics of one partition, by source, device, file, metric and bucket."""
    groups = defaultdict(list)
    for event in sorted(events, key=lambda e: e.event_time):
        start = bucket(event.event_time)
        for metric in METRICS:
            if metric in event.values:
                key = (event.source, event.device_id, event.source_file or "", metric, start)
                groups[key].append((event.event_time, event.values[metric]))
    rows = {}
    for key, timed in groups.items():
        values = [value for _, value in timed]
        mean = statistics.fmean(values)
        rows[key] = (
            len(values),
            mean,
            sum((v - mean) ** 2 for v in values),
            sum(values),
            min(values),
            max(values),
            values[0],
            timed[0][0],
            values[-1],
            timed[-1][0],
        )
    return rows


def insert(connection: psycopg.Connection, table: str, row: dict[str, Any]) -> None:
    """Add one row to a warehouse table."""
    connection.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier("warehouse", table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        ),
        list(row.values()),
    )


def write_partition(connection: psycopg.Connection, events: list[Event], hour: int) -> None:
    """Replace one arrival hour in the warehouse. A partial whose key vanished stays with n = 0."""
    held = [event for event in events if event.arrived == hour]
    received_hour = DAY + timedelta(hours=hour)
    keys = connection.execute(
        "select source, device_id, source_file, metric, event_hour"
        " from warehouse.hour_partials where received_hour = %s",
        [received_hour],
    ).fetchall()
    for table in (
        *SOURCES,
        "metric_partials",
        "hour_partials",
        "device_profiles",
        "ledger",
        "rule_outcomes",
    ):
        connection.execute(
            sql.SQL("delete from {} where received_hour = %s").format(
                sql.Identifier("warehouse", table)
            ),
            [received_hour],
        )
    for event in held:
        common = {
            "event_id": event.event_id,
            "source": event.source,
            "device_id": event.device_id,
            "event_time": event.event_time,
            "received_at": received_hour,
            "received_hour": received_hour,
            "receipt_id": f"rcp_{hour}",
            "contract_version": "1.0.0",
            "source_file": event.source_file,
        }
        insert(connection, event.source, common | event.values)
    minutes = partials(held, lambda moment: moment.replace(second=0, microsecond=0))
    hours = partials(held, lambda moment: moment.replace(minute=0, second=0, microsecond=0))
    gone: dict[tuple[Any, ...], tuple[Any, ...]] = {key: (0,) for key in set(keys) - set(hours)}
    for table, bucket, rows in (
        ("metric_partials", "event_minute", minutes),
        ("hour_partials", "event_hour", hours | gone),
    ):
        names = ("source", "device_id", "source_file", "metric", bucket, *STATISTICS)
        for key, values in rows.items():
            row = dict(zip(names, (*key, *values), strict=False))
            insert(connection, table, row | {"received_hour": received_hour})
    write_profiles(connection, held, received_hour)
    for table in SOURCES:
        count = sum(event.source == table for event in held)
        values = sum(row[0] for key, row in minutes.items() if key[0] == table)
        insert(
            connection,
            "ledger",
            {
                "received_hour": received_hour,
                "source": table,
                "accepted": count,
                "silver": count,
                "quarantined": 0,
                "duplicates": 0,
                "superseded": 0,
                "erased": 0,
                "metric_values": values,
                "minute_values": values,
                "hour_values": values,
                "refined_at": received_hour + timedelta(hours=1),
            },
        )
        insert(
            connection,
            "rule_outcomes",
            {
                "received_hour": received_hour,
                "source": table,
                "dimension": "validity",
                "rule": "range",
                "field": "x",
                "checked": count,
                "failed": 0,
            },
        )
    connection.commit()


def write_profiles(
    connection: psycopg.Connection, events: list[Event], received_hour: datetime
) -> None:
    """Add the runs of unchanged attributes of one partition."""
    ordered = sorted(events, key=lambda e: (e.source, e.device_id, e.event_time))
    for (source, device, place), run in groupby(
        ordered, key=lambda e: (e.source, e.device_id, e.place)
    ):
        times = [event.event_time for event in run]
        insert(
            connection,
            "device_profiles",
            {
                "received_hour": received_hour,
                "source": source,
                "device_id": device,
                "valid_from": times[0],
                "valid_to": times[-1],
                "n": len(times),
                "attributes": json.dumps({"location_id": place}),
            },
        )
