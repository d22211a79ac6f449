"""The marts against a real Postgres: what an arrival hour changes, and what it must leave alone."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from telemetry_assets.lakehouse import partitioning
from tests.integration.warehouse_rows import DAY, METRICS, Event, insert, lake, write_partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.integration,
    # dbt's own imports warn, and it leaves its log files to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PROJECT = Path(__file__).parents[2] / "dbt_project"
WAREHOUSE = Path(__file__).with_name("warehouse_fixture.sql")
HOURS = (10, 11, 12)
# Load times belong to the run that loaded, not to the data.
VOLATILE = ("loaded_at", "load_seconds")
BROKEN = ("error", "fail", "runtime error")
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


@pytest.fixture(scope="module")
def invoke_dbt(
    postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., None]]:
    """Call dbt in this process with one manifest; a node that fails fails the test."""
    # Imported here: it takes seconds, and only these tests pay for it.
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    address = conninfo_to_dict(postgres_dsn)
    folder = tmp_path_factory.mktemp("dbt")
    with pytest.MonkeyPatch.context() as patch:
        for name, key in (
            ("HOST", "host"),
            ("PORT", "port"),
            ("USER", "user"),
            ("PASSWORD", "password"),
            ("DATABASE", "dbname"),
        ):
            patch.setenv(f"TELEMETRY_PG_{name}", str(address[key]))
        patch.setenv("DBT_TARGET_PATH", str(folder / "target"))
        patch.setenv("DBT_LOG_PATH", str(folder / "logs"))
        patch.setenv("DBT_PROJECT_DIR", str(PROJECT))
        patch.setenv("DBT_PROFILES_DIR", str(PROJECT))
        parsed = dbtRunner().invoke(["parse", "--quiet"])
        assert isinstance(parsed.result, Manifest), parsed.exception
        runner = dbtRunner(manifest=parsed.result)

        def invoke(command: str, *arguments: str) -> None:
            result = runner.invoke([command, "--quiet", "--no-write-json", *arguments])
            nodes = getattr(result.result, "results", [])
            failed = [f"{n.node.name}: {n.message}" for n in nodes if n.status in BROKEN]
            assert result.success, failed or result.exception

        yield invoke


class Marts:
    """The warehouse and the marts of one test."""

    def __init__(self, connection: psycopg.Connection, invoke_dbt: Callable[..., None]) -> None:
        self.connection = connection
        self.build = invoke_dbt

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


@pytest.fixture(scope="module")
def built_project(postgres_dsn: str, invoke_dbt: Callable[..., None]) -> str:
    """A database with empty warehouse tables, and everything built and tested on them."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(WAREHOUSE.read_bytes())
        partitioning.install(connection)
    invoke_dbt("build")
    return postgres_dsn


@pytest.fixture
def marts(built_project: str, invoke_dbt: Callable[..., None]) -> Iterator[Marts]:
    """Empty warehouse tables and marts, and a small registry."""
    with psycopg.connect(built_project, autocommit=True) as connection:
        connection.execute("""
            do $$ begin
                execute (
                    select 'truncate ' || string_agg(format('%I.%I', schemaname, tablename), ', ')
                    from pg_tables where schemaname in ('warehouse', 'intermediate', 'marts')
                );
            end $$
        """)
        for device in ("watch-1", "silent-1"):
            row = {"device_id": device, "user_id": "u", "place_name": "home"}
            insert(connection, "devices", row)
        insert(connection, "users", {"user_id": "u", "birth_year": 1981, "sex": "female"})
        yield Marts(connection, invoke_dbt)


def test_a_full_build_passes_its_tests_and_repeats_itself(marts: Marts) -> None:
    for hour in HOURS:
        write_partition(marts.connection, lake(), hour)
    marts.build("build")
    once = marts.rows()
    marts.build("run")
    assert marts.rows() == once
    assert marts.query("select bool_and(adds_up), count(*) from marts.rpt_reconciliation") == [
        (True, 9)
    ]


def test_hours_out_of_order_give_what_a_rebuild_gives(marts: Marts) -> None:
    marts.refine(lake(), 12, 10, 11)
    by_hour = marts.rows()
    marts.build("run")
    assert marts.rows() == by_hour


def test_hours_of_two_days_in_one_run_give_what_a_rebuild_gives(marts: Marts) -> None:
    arrivals = (10, 11, 30)
    events = [replace(event, arrived=arrivals[i % 3]) for i, event in enumerate(lake())]
    marts.refine(events, arrivals[0])
    for hour in arrivals:
        write_partition(marts.connection, events, hour)
    marts.follow(*arrivals)
    together = marts.rows()
    marts.build("run")
    assert marts.rows() == together


def test_an_hour_that_runs_twice_rewrites_no_row(marts: Marts) -> None:
    marts.refine(lake(), *HOURS)
    before = marts.versions()
    marts.refine(lake(), 11)
    assert marts.versions() == before


def test_aggregates_equal_a_direct_computation(marts: Marts) -> None:
    marts.refine(lake(), *HOURS)
    assert_aggregates(marts, lake())


def test_the_same_events_in_other_arrival_hours_give_the_same_aggregates(marts: Marts) -> None:
    scattered = [replace(e, arrived=10 + i * i % 3) for i, e in enumerate(reversed(lake()))]
    marts.refine(scattered, 12, 10, 11)
    assert_aggregates(marts, lake())


def test_a_late_event_changes_its_own_minute_hour_and_day_alone(marts: Marts) -> None:
    marts.refine(lake(), *HOURS)
    before = marts.rows()
    late = Event("late", "environment", "sensor-1", 13, 604, {"temperature_celsius": 31.0})
    marts.refine([*lake(), late], 13)
    after = marts.rows()
    for mart in ("agg_metric_minutes", "agg_metric_hours", "agg_metric_days"):
        (gone,), (come,) = before[mart] - after[mart], after[mart] - before[mart]
        assert json.loads(come)["n"] == json.loads(gone)["n"] + 1
        assert json.loads(come)["maximum"] == max(31.0, json.loads(gone)["maximum"])
    unchanged = ("agg_file_metrics", "fct_mobile_sessions", "fct_wearable_days", "dim_devices")
    assert {mart: after[mart] for mart in unchanged} == {mart: before[mart] for mart in unchanged}


def test_what_a_partition_no_longer_holds_leaves_the_marts(marts: Marts) -> None:
    marts.refine(lake(), *HOURS)
    kept = [e for e in lake() if not (e.arrived == 11 and e.source in {"mobile", "wearable"})]
    kept = [e for e in kept if not e.source_file]
    marts.refine(kept, 11, 12)
    assert marts.query("select session_id from marts.fct_mobile_sessions") == [("long",)]
    assert marts.query("select count(*) from marts.agg_file_metrics") == [(0,)]
    by_hour = marts.rows()
    marts.build("run")
    assert marts.rows() == by_hour


def test_an_hour_that_is_now_empty_leaves_no_row(marts: Marts) -> None:
    marts.refine(lake(), *HOURS)
    marts.refine([], *HOURS)
    filled = {
        mart
        for mart, rows in marts.rows().items()
        if rows and not mart.startswith(("rpt_", "dim_", "int_registered"))
    }
    assert filled == set()
    assert marts.query("select device_id from marts.dim_devices order by 1") == [
        ("silent-1",),
        ("watch-1",),
    ]


def test_a_device_that_moves_has_a_row_per_place_in_event_time(marts: Marts) -> None:
    places = """
        select location_id, valid_from, valid_to, is_current from marts.dim_devices
        where device_id = 'sensor-2' order by valid_from
    """
    first, second, back = (
        Event("a", "environment", "sensor-2", 10, 600, place="garden"),
        Event("b", "environment", "sensor-2", 11, 660, place="attic"),
        Event("c", "environment", "sensor-2", 12, 630, place="cellar"),
    )
    marts.refine([first, second, back], 11, 10)
    at = [event.event_time for event in (first, second, back)]
    assert marts.query(places) == [("garden", at[0], at[1], False), ("attic", at[1], None, True)]
    marts.refine([first, second, back], 12)
    assert marts.query(places) == [
        ("garden", at[0], at[2], False),
        ("cellar", at[2], at[1], False),
        ("attic", at[1], None, True),
    ]
    # The arrival of hour 12 turns out to have been sent from the garden.
    marts.refine([first, second, replace(back, place="garden")], 12)
    assert marts.query(places) == [("garden", at[0], at[1], False), ("attic", at[1], None, True)]


def test_a_row_or_a_partial_that_is_lost_after_silver_is_reported(marts: Marts) -> None:
    write_partition(marts.connection, lake(), 10)
    marts.connection.execute("delete from warehouse.wearable where event_id = 'w3'")
    marts.connection.execute("""
        delete from warehouse.metric_partials
        where source = 'environment' and event_minute = timestamptz '2026-11-22 10:00+00'
    """)
    marts.build("run")
    report = "select source, adds_up from marts.rpt_reconciliation order by 1"
    assert marts.query(report) == [("environment", False), ("mobile", True), ("wearable", False)]


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
