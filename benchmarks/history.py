"""A long history in Postgres: minutes and readings of sensors and watches, and marts of them.

The rows are made by the database itself, in the order of their arrival, in the tables that a load
fills; the marts then come from them by dbt, as they do from any history.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from telemetry_assets.lakehouse.warehouse import create_day, create_tables
from telemetry_assets.lakehouse.warehouse_schema import HOURS, LEDGERS, PARTIALS, event_table
from telemetry_cli.embedded.environment import process_environment
from telemetry_contracts.registry import load_registry
from telemetry_platform.clock import HOUR, hour_key, hour_start, utc_now
from telemetry_platform.postgres import connect

if TYPE_CHECKING:
    import psycopg

    from telemetry_platform.settings import Settings

SENSORS: Final = 900
WATCHES: Final = 200
_SERIES: Final = 2 * SENSORS + WATCHES
_PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"
_SECONDS = 7_200

_MINUTES = """
INSERT INTO warehouse.metric_partials (source, received_hour, device_id, source_file, metric,
    event_minute, n, mean, m2, total, minimum, maximum, first_value, first_at, last_value, last_at)
SELECT s.source, date_trunc('hour', at), s.device_id, '', s.metric,
    at, 1, v, 0, v, v, v, v, at, v, at
FROM generate_series(%(begin)s::timestamptz, %(end)s::timestamptz - interval '1 minute',
    interval '1 minute') AS at
CROSS JOIN series AS s
CROSS JOIN LATERAL (SELECT s.base + extract(minute FROM at)::float8 / 10 AS v) AS made
"""
_HOURS = """
INSERT INTO warehouse.hour_partials (source, received_hour, device_id, source_file, metric,
    event_hour, n, mean, m2, total, minimum, maximum, first_value, first_at, last_value, last_at)
SELECT s.source, at, s.device_id, '', s.metric,
    at, 60, s.base + 3, 180, 60 * (s.base + 3), s.base, s.base + 6, s.base, at, s.base + 6,
    at + interval '59 minutes'
FROM generate_series(%(begin)s::timestamptz, %(end)s::timestamptz - interval '1 hour',
    interval '1 hour') AS at
CROSS JOIN series AS s
"""
_READINGS = """
INSERT INTO warehouse.environment (event_id, source, device_id, event_time, received_at,
    received_hour, receipt_id, contract_version, token_key_version, shape,
    temperature_celsius, relative_humidity_percent, location_id, sensor_type)
SELECT gen_random_uuid()::text, 'environment', 'sensor-' || n %% %(sensors)s, at, at,
    date_trunc('hour', at), 'rcp_' || n / 100, '1.0.0', 1, 'reading',
    20 + n %% 10, 40 + n %% 20, (n %% %(sensors)s)::text, 'BME280'
FROM generate_series(0, %(rows)s::bigint - 1) AS n
CROSS JOIN LATERAL (
    SELECT %(begin)s::timestamptz
        + (%(end)s::timestamptz - %(begin)s::timestamptz) * (n / %(rows)s::float8) AS at
) AS made
"""
_LEDGER = """
INSERT INTO warehouse.ledger (source, received_hour, accepted, silver, quarantined, duplicates,
    erased, metric_values, minute_values, hour_values, refined_at)
SELECT 'environment', at, 0, 0, 0, 0, 0, 0, 0, 0, at
FROM generate_series(%(begin)s::timestamptz, %(end)s::timestamptz - interval '1 hour',
    interval '1 hour') AS at
"""
_SERIES_TABLE = """
CREATE TEMPORARY TABLE series AS
SELECT 'environment' AS source, 'sensor-' || d AS device_id, m AS metric,
    (20 + d %% 7)::float8 AS base
FROM generate_series(0, %(sensors)s - 1) AS d,
    unnest(array['temperature_celsius', 'relative_humidity_percent']) AS m
UNION ALL
SELECT 'wearable', 'watch-' || d, 'step_count', (d %% 5)::float8
FROM generate_series(0, %(watches)s - 1) AS d
"""
_PEOPLE = """
INSERT INTO warehouse.users (user_id, birth_year, sex)
SELECT 'user-' || d, 1950 + d %% 50, 'female' FROM generate_series(0, %(watches)s - 1) AS d;
"""
_OWNERS = """
INSERT INTO warehouse.devices (device_id, user_id)
SELECT 'watch-' || d, 'user-' || d FROM generate_series(0, %(watches)s - 1) AS d
"""
_ANALYZE_LOADED = (
    b"ANALYZE warehouse.metric_partials, warehouse.hour_partials, warehouse.environment"
)


@dataclass(frozen=True)
class Span:
    """Hours of history, and how many readings they hold."""

    begin: datetime
    end: datetime
    readings: int

    @property
    def minute_rows(self) -> int:
        """Rows of `warehouse.metric_partials`."""
        return _SERIES * 60 * self.hours

    @property
    def hours(self) -> int:
        """How many hours it has."""
        return (self.end - self.begin) // HOUR


def spans(minute_rows: int, readings: int, share: float) -> tuple[Span, Span]:
    """Return the latest `share` of a history that ends with the last closed hour, and the rest.

    Args:
        minute_rows: Rows of `metric_partials` of the whole, about.
        readings: Rows of `environment` of the whole.
        share: Part of the hours in the first span.
    """
    end = hour_start(hour_key(utc_now()))
    hours = max(2, round(minute_rows / (_SERIES * 60)))
    late = max(1, round(share * hours))
    middle, begin = end - late * HOUR, end - hours * HOUR
    several = round(readings * late / hours)
    return Span(middle, end, several), Span(begin, middle, readings - several)


def prepare(settings: Settings) -> None:
    """Create the warehouse's tables, with people and their watches."""
    create_tables(settings, load_registry())
    with connect(settings) as connection:
        for statement in (_PEOPLE, _OWNERS):
            connection.execute(statement.encode(), {"watches": WATCHES})


def add(settings: Settings, span: Span) -> None:
    """Write a span into the warehouse; its indexes are made again afterwards."""
    events = event_table(load_registry()["environment"])
    for back in range(span.hours):
        create_day(settings, [events, LEDGERS], hour_key(span.begin + back * HOUR))
    names = [events.name, PARTIALS.name, HOURS.name]
    many = span.hours > 1
    with connect(settings, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        kept = _drop_indexes(connection, names) if many else []
        connection.execute(_SERIES_TABLE.encode(), {"sensors": SENSORS, "watches": WATCHES})
        limits = {"begin": span.begin, "end": span.end}
        for statement in (_MINUTES, _HOURS, _LEDGER):
            connection.execute(statement.encode(), limits)
        connection.execute(
            _READINGS.encode(), {**limits, "rows": span.readings, "sensors": SENSORS}
        )
        for statement in kept:
            connection.execute(statement.encode())
        # A load does the same for what it has filled.
        connection.execute(b"ANALYZE" if many else _ANALYZE_LOADED)


def _drop_indexes(connection: psycopg.Connection, names: list[str]) -> list[str]:
    found = connection.execute(
        "SELECT format('%%I.%%I', schemaname, indexname), indexdef FROM pg_indexes "
        "WHERE schemaname = 'warehouse' AND tablename = ANY(%s)",
        (names,),
    ).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}".encode())
    # As they were, those of a partitioned table would be on none of its partitions.
    return [definition.replace(" ON ONLY ", " ON ") for _, definition in found]


def build_marts(settings: Settings, hour: datetime | None = None) -> float:
    """Run dbt over all history, or over one arrival hour.

    Returns:
        Seconds that the models took together, without the start of dbt.
    """
    words = ["run", "--full-refresh"]
    if hour is not None:
        words = ["run", "--vars", orjson.dumps({"received_hour": hour_key(hour)}).decode()]
    with tempfile.TemporaryDirectory() as target:
        subprocess.run(
            [Path(sys.executable).with_name("dbt"), "--quiet", *words, "--target-path", target],
            cwd=_PROJECT,
            env=process_environment(settings),
            check=True,
            timeout=_SECONDS,
        )
        seconds = orjson.loads((Path(target) / "run_results.json").read_bytes())["elapsed_time"]
    if hour is None:
        # What autovacuum does within a minute.
        with connect(settings, autocommit=True) as connection:
            connection.execute(b"ANALYZE")
    return seconds


def next_hour(span: Span, readings: int) -> Span:
    """Return the hour after a span."""
    return Span(span.end, span.end + timedelta(hours=1), readings)
