"""The marts against a real Postgres: what an arrival hour changes, and what it must leave alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from telemetry_assets.lakehouse import partitioning
from telemetry_assets.lakehouse.partitioning import tidy
from telemetry_contracts.registry import Registry
from tests.integration.dbt_marts import Marts, assert_aggregates
from tests.integration.warehouse_rows import DAY, Event, insert, lake, write_partition

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
BROKEN = ("error", "fail", "runtime error")


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


OLD = Event("old", "environment", "sensor-1", 10, -60 * 24 * 400, {"temperature_celsius": 1.0})
_PARTITIONS = """
    select regexp_replace(tableoid::regclass::text, '_b$', ''), count(*)
    from marts.fct_events group by 1 order by 1
"""
_DAYS_OF_A_PARTITION = """
    select to_char(lower(days), case
        when upper(days) - lower(days) = 1 then 'YYYYMMDD'
        when upper(days) - lower(days) > 31 then 'YYYY' else 'YYYYMM' end)
    from warehouse.partition_span('{:%Y-%m-%d}', (now() at time zone 'UTC')::date) as days
"""
_WITHOUT_PARTITIONS = """
    create table marts.former as select * from marts.{0};
    drop table marts.{0} cascade;
    alter table marts.former rename to {0}
"""


def partition(marts: Marts, mart: str, moment: datetime) -> str:
    """Name of the partition that holds a moment: a day's, or a month's that is long past by now."""
    ((found,),) = marts.query(_DAYS_OF_A_PARTITION.format(moment))
    return f"marts_partitions.{mart}_{found}"


def test_events_are_in_the_partition_of_their_day_however_late_they_come(marts: Marts) -> None:
    events = [*lake(), OLD]
    marts.refine(events, 10, 12)
    arrived = [e for e in events if e.arrived in (10, 12)]
    expected = Counter(partition(marts, "fct_events", e.event_time) for e in arrived)
    assert dict(marts.query(_PARTITIONS)) == expected
    assert expected[partition(marts, "fct_events", OLD.event_time)] == 1
    assert marts.query("select bool_and(adds_up) from marts.rpt_reconciliation") == [(True,)]


def test_a_question_about_a_time_opens_the_partitions_of_that_time_alone(marts: Marts) -> None:
    marts.refine([*lake(), OLD], 10)
    question = "explain select * from marts.{} where event_time >= '{}' and event_time < '{}'"
    for mart in ("fct_events", "fct_environment_readings"):
        plan = str(marts.query(question.format(mart, DAY, DAY + timedelta(hours=1))))
        assert partition(marts, mart, DAY).partition(".")[2] in plan
        assert plan.count(f" on {mart}_") == 1


def test_a_mart_without_partitions_is_cut_by_day_and_loses_no_row(marts: Marts) -> None:
    marts.refine(lake(), *HOURS)
    before = marts.rows()
    for mart in ("fct_events", "fct_environment_readings"):
        marts.connection.execute(_WITHOUT_PARTITIONS.format(mart).encode())
    marts.follow(11)
    assert marts.rows() == before
    assert marts.query("select count(*) from pg_partitioned_table") == [(0,)]
    marts.build("run", "--select", "fct_events+", "fct_environment_readings+")
    assert marts.rows() == before
    assert marts.query("select count(*) from pg_partitioned_table") == [(2,)]


def test_what_retention_lets_go_never_comes_back_in_part(marts: Marts) -> None:
    early = [
        replace(e, at=e.at - 60 * 24, values=e.values | {"session_id": "early"})
        if e.source == "mobile"
        else replace(e, at=e.at - 60 * 24)
        for e in lake()
    ]
    events = [*early, *(replace(e, event_id=f"{e.event_id}-now") for e in lake())]
    marts.refine([OLD, *events], 10, 12)
    kept = marts.query("select event_id from marts.fct_events where event_time >= '2026-11-22'")
    tidied = tidy(marts.settings, Registry([]), today=DAY.date() + timedelta(days=1))
    assert {t.what for t in tidied} == {"dropped", "rows deleted"}
    assert sorted(marts.query("select event_id from marts.fct_events")) == sorted(kept)
    # A late event of a day that is gone, and everything derived anew from what the warehouse has.
    late = replace(early[0], event_id="late", arrived=12)
    marts.refine([OLD, *events, late], 12)
    assert_retained(marts, kept)
    marts.build("run")
    assert_retained(marts, kept)


def assert_retained(marts: Marts, kept: list[tuple[str]]) -> None:
    """The marts hold these events, and the accounts say why they are fewer than silver's."""
    assert sorted(marts.query("select event_id from marts.fct_events")) == sorted(kept)
    for mart, time in (
        ("fct_environment_readings", "event_time"),
        ("fct_mobile_sessions", "started_at"),
        ("fct_sleep_episodes", "started_at"),
    ):
        question = "select min({}) >= '{}' from marts.{}"
        assert marts.query(question.format(time, DAY, mart)) == [(True,)]
    account = """
        select bool_and(adds_up), sum(expired_rows) > 0, sum(silver) = sum(mart_rows + expired_rows)
        from marts.rpt_reconciliation
    """
    assert marts.query(account) == [(True, True, True)]
