"""The warehouse and the marts of a test, followed by dbt, and what the marts must hold."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from telemetry_platform.settings import Settings
from tests.integration.warehouse_rows import DAY, METRICS, Event, write_partition

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

# Load times belong to the run that loaded, not to the data.
VOLATILE = ("loaded_at", "load_seconds")
HOT_PATH = ("tag:all", "tag:mobile", "tag:environment", "tag:wearable")
TABLES = (
    "marts.fct_events",
    "marts.fct_environment_readings",
    "marts.fct_mobile_sessions",
    "marts.fct_wearable_days",
    "marts.agg_metric_hours",
    "marts.agg_metric_days",
    "marts.agg_file_metrics",
    "marts.rpt_data_quality",
    "intermediate.int_device_versions",
)
Rows = dict[str, set[str]]


class Marts:
    """The warehouse and the marts of one test."""

    def __init__(self, connection: psycopg.Connection, invoke_dbt: Callable[..., None]) -> None:
        self.connection = connection
        self.build = invoke_dbt

    @property
    def settings(self) -> Settings:
        """Settings that keep the events of one day before today."""
        info = self.connection.info
        address = make_conninfo(info.dsn, password=info.password)
        return Settings.model_validate({"postgres_dsn": address, "retention_days": 1})

    def refine(self, events: list[Event], *hours: int) -> None:
        """Write the partitions of these arrival hours and let the marts follow each."""
        for hour in hours:
            write_partition(self.connection, events, hour)
            self.follow(hour)

    def follow(self, *hours: int) -> None:
        """Let the marts follow these arrival hours, in one run."""
        named = " ".join(f"{DAY + timedelta(hours=hour):%Y-%m-%dT%H}" for hour in hours)
        self.build("run", "--select", *HOT_PATH, "--vars", json.dumps({"received_hour": named}))

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a query, seen outside any transaction."""
        return self.connection.execute(sql.SQL(text)).fetchall()  # ty: ignore[invalid-argument-type]

    def rows(self) -> Rows:
        """Every row of every mart as text, without what depends on the time of the run."""
        marts = self.query(
            "select table_name from information_schema.tables"
            " where table_schema in ('marts', 'intermediate')"
        )
        found = {}
        for (mart,) in marts:
            schema = "intermediate" if mart.startswith("int_") else "marts"
            cursor = self.connection.execute(
                sql.SQL("select to_jsonb(t) from {} as t").format(sql.Identifier(schema, mart))
            )
            found[mart] = {
                json.dumps({k: v for k, v in row.items() if not k.startswith(VOLATILE)})
                for (row,) in cursor
            }
        return found

    def versions(self) -> list[list[tuple[Any, ...]]]:
        """The transaction that wrote each row of the tables: equal when nothing was rewritten."""
        statement = "select xmin::text, ctid::text, tableoid from {} order by 3, 2"
        return [self.query(statement.format(mart)) for mart in TABLES]


def assert_aggregates(marts: Marts, events: list[Event]) -> None:
    """The marts of metrics hold what the values of these events come to."""
    buckets = {
        "agg_metric_minutes": ("event_minute", lambda t: t.replace(second=0)),
        "agg_metric_hours": ("event_hour", lambda t: t.replace(minute=0, second=0)),
        "agg_metric_days": ("event_day", lambda t: t.date()),
    }
    for mart, (column, bucket) in buckets.items():
        expected = direct(events, lambda e, bucket=bucket: bucket(e.event_time))
        assert_statistics(marts, mart, column, expected)
    files = [event for event in events if event.source_file]
    assert_statistics(
        marts, "agg_file_metrics", "source_file", direct(files, lambda e: e.source_file)
    )


def direct(
    events: list[Event], bucket: Callable[[Event], Any]
) -> dict[tuple[Any, ...], list[float]]:
    """The values of each source, device, metric and bucket, in event-time order."""
    values = defaultdict(list)
    for event in sorted(events, key=lambda e: e.event_time):
        for metric in METRICS:
            if metric in event.values:
                key = (event.source, event.device_id, metric, bucket(event))
                values[key].append(event.values[metric])
    return values


def assert_statistics(
    marts: Marts, mart: str, column: str, expected: dict[tuple[Any, ...], list[float]]
) -> None:
    """The mart holds exactly these keys, with the statistics of their values."""
    statement = sql.SQL("""
        select source, device_id, metric, {}, n, average, minimum, maximum, total,
            standard_deviation, first_value, last_value
        from {}
    """).format(sql.Identifier(column), sql.Identifier("marts", mart))
    rows = marts.connection.execute(statement).fetchall()
    assert {row[:4] for row in rows} == set(expected)
    for row in rows:
        values = expected[row[:4]]
        n, average, minimum, maximum, total, deviation, first, last = row[4:]
        assert (n, minimum, maximum) == (len(values), min(values), max(values))
        assert (first, last) == (values[0], values[-1])
        assert average == pytest.approx(statistics.fmean(values), rel=1e-9)
        assert total == pytest.approx(math.fsum(values), rel=1e-9)
        if n == 1:
            assert deviation is None
        else:
            assert deviation == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-9)
