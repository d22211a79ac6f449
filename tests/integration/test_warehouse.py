"""The warehouse in a real Postgres: an hour replaces itself, all tables together or none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
import pytest
from psycopg import sql

from telemetry_assets.lakehouse import warehouse_schema as schema
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.quarantine_replay import attempts, load_attempts, replay_quarantine
from telemetry_assets.lakehouse.reconciling import count_loaded, judge_warehouse
from telemetry_assets.lakehouse.tables import LEDGER, QUARANTINE
from telemetry_assets.lakehouse.warehouse import create_tables, replace_registry, warehouse_load
from telemetry_contracts.frames import silver_schema
from telemetry_contracts.registry import Registry
from telemetry_platform.clock import hour_start
from telemetry_platform.replay.rejections import Selection
from telemetry_platform.settings import Settings
from tests.unit.telemetry_assets.landed import HOUR as LANDED_HOUR
from tests.unit.telemetry_assets.landed import land, watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry_assets.lakehouse.warehouse_schema import WarehouseTable

HOUR, NEXT_HOUR, NEXT_DAY = "2026-11-22T14", "2026-11-22T15", "2026-11-23T00"
NOON = datetime(2026, 11, 22, 14, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(postgres_dsn: str, registry: Registry) -> Settings:
    settings = Settings.model_validate({"postgres_dsn": postgres_dsn})
    create_tables(settings, registry)
    return settings


@pytest.fixture
def database(settings: Settings, registry: Registry) -> Iterator[psycopg.Connection]:
    """Return a connection that sees what is committed; all tables are empty."""
    assert settings.postgres_dsn is not None
    with psycopg.connect(settings.postgres_dsn.get_secret_value(), autocommit=True) as connection:
        names = [sql.Identifier("warehouse", t.name) for t in schema.all_tables(registry)]
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
        yield connection


def load(
    settings: Settings,
    table: WarehouseTable,
    frame: pl.DataFrame,
    hour: str = HOUR,
    sources: list[str] | None = None,
) -> int:
    with warehouse_load(settings, [table], hour) as opened:
        return opened.replace(table, frame, sources)


def rows(database: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query.encode()).fetchall()


def ledger(source: str, accepted: int, hour: str = HOUR) -> pl.DataFrame:
    row = {"source": source, "received_hour": hour, "accepted": accepted, "refined_at": NOON}
    counts = dict.fromkeys(("silver", "quarantined", "duplicates", "superseded", "erased"), 0)
    return pl.DataFrame([row | counts], schema=LEDGER.schema)


def partials(
    *devices: str, table: WarehouseTable = schema.PARTIALS, hour: str = HOUR
) -> pl.DataFrame:
    row = {"source": "wearable", "received_hour": hour, "source_file": "", "metric": "step_count"}
    moment = {"event_minute": NOON} if table is schema.PARTIALS else {"event_hour": NOON}
    return pl.DataFrame(
        [row | moment | {"device_id": device, "n": 3} for device in devices],
        schema=table.columns | {"received_hour": pl.String},
    )


def test_every_table_can_be_created_again_and_at_the_same_time(
    settings: Settings, registry: Registry
) -> None:
    create_tables(settings, registry)
    create_tables(settings, registry)


@pytest.mark.parametrize("source", ["mobile", "environment", "wearable"])
def test_a_silver_row_of_every_type_arrives_as_it_was(
    settings: Settings, registry: Registry, database: psycopg.Connection, source: str
) -> None:
    contract = registry[source]
    values: dict[Any, Any] = {
        pl.String: "ä;\"'\n",
        pl.Float64: 0.1 + 0.2,
        pl.Int64: 2**40,
        pl.Int32: 7,
        pl.Boolean: True,
    }
    frame = pl.DataFrame(
        {
            name: [
                (NOON if dtype.time_zone else NOON.replace(tzinfo=None))
                if isinstance(dtype, pl.Datetime)
                else values[dtype.base_type()]
            ]
            for name, dtype in silver_schema(contract).items()
        },
        schema=silver_schema(contract),
    )
    assert load(settings, schema.event_table(contract), frame) == 1
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier("warehouse", source))
    (found,) = database.execute(query).fetchall()
    wanted = frame.with_columns(received_hour=pl.lit(hour_start(HOUR))).row(0)
    assert found == wanted


def test_an_hour_replaces_itself_and_leaves_other_hours_alone(
    settings: Settings, database: psycopg.Connection
) -> None:
    for hour in (HOUR, NEXT_HOUR, NEXT_DAY):
        load(settings, schema.LEDGERS, ledger("mobile", 1, hour), hour)
    load(settings, schema.LEDGERS, ledger("mobile", 2))
    load(settings, schema.LEDGERS, ledger("mobile", 2))
    query = "SELECT received_hour, accepted FROM warehouse.ledger ORDER BY 1"
    hours = [hour_start(hour) for hour in (HOUR, NEXT_HOUR, NEXT_DAY)]
    assert rows(database, query) == [(hours[0], 2), (hours[1], 1), (hours[2], 1)]


def test_a_source_is_replaced_without_touching_the_others(
    settings: Settings, database: psycopg.Connection
) -> None:
    load(settings, schema.LEDGERS, pl.concat([ledger("mobile", 1), ledger("wearable", 1)]))
    load(settings, schema.LEDGERS, ledger("mobile", 5), sources=["mobile"])
    load(settings, schema.LEDGERS, ledger("mobile", 5).clear(), sources=["o'brien"])
    query = "SELECT source, accepted FROM warehouse.ledger ORDER BY 1"
    assert rows(database, query) == [("mobile", 5), ("wearable", 1)]


def test_a_vanished_partial_stays_with_no_rows_until_it_comes_back(
    settings: Settings, database: psycopg.Connection
) -> None:
    def load_hours(*devices: str) -> None:
        load(settings, schema.HOURS, partials(*devices, table=schema.HOURS))

    query = "SELECT device_id, n FROM warehouse.hour_partials ORDER BY 1"
    load_hours("a", "b")
    load_hours("a")
    assert rows(database, query) == [("a", 3), ("b", 0)]
    load_hours()
    assert rows(database, query) == [("a", 0), ("b", 0)]
    load_hours("b")
    assert rows(database, query) == [("a", 0), ("b", 3)]


def test_only_the_rows_that_changed_are_written(
    settings: Settings, database: psycopg.Connection
) -> None:
    query = "SELECT device_id, n, xmin::text FROM warehouse.metric_partials ORDER BY 1"
    load(settings, schema.PARTIALS, partials("a", "b", "c", "e"))
    load(settings, schema.PARTIALS, partials("a", hour=NEXT_HOUR), NEXT_HOUR)
    a, later, b, _, e = rows(database, query)
    grown = pl.when(pl.col("device_id") == "b").then(5).otherwise("n").alias("n")
    assert load(settings, schema.PARTIALS, partials("a", "b", "d", "e").with_columns(grown)) == 4
    found = rows(database, query)
    assert [row[:2] for row in found] == [("a", 3), ("a", 3), ("b", 5), ("d", 3), ("e", 3)]
    assert {a, later, e} < set(found)
    assert b not in found


def test_an_hour_of_which_most_changed_is_written_whole(
    settings: Settings, database: psycopg.Connection
) -> None:
    query = "SELECT device_id, n FROM warehouse.metric_partials ORDER BY 1"
    load(settings, schema.PARTIALS, partials("a", "b", "c"))
    load(settings, schema.PARTIALS, partials("a", hour=NEXT_HOUR), NEXT_HOUR)
    grown = pl.when(pl.col("device_id") != "a").then(5).otherwise("n").alias("n")
    assert load(settings, schema.PARTIALS, partials("a", "b", "c").with_columns(grown)) == 3
    assert rows(database, query) == [("a", 3), ("a", 3), ("b", 5), ("c", 5)]


def test_json_arrives_as_json_and_lists_as_arrays(
    settings: Settings, database: psycopg.Connection
) -> None:
    columns = schema.QUARANTINED.columns | {"received_hour": pl.String}
    reason = {"rule": "range.x", "message": 'expected "less"'}
    frame = pl.DataFrame(
        [
            {
                "source": "mobile",
                "received_hour": HOUR,
                "event_id": "e",
                "rules": ["range.x", "enum.y"],
                "reasons": json.dumps([reason]),
            }
        ],
        schema=columns,
    )
    load(settings, schema.QUARANTINED, frame)
    found = rows(database, "SELECT rules, reasons, payload FROM warehouse.quarantine")
    assert found == [(["range.x", "enum.y"], [reason], None)]


@pytest.mark.parametrize("lost", ["wearable", "quarantine", "metric_partials", "hour_partials"])
def test_a_row_that_the_warehouse_lost_does_not_add_up(
    settings: Settings, registry: Registry, database: psycopg.Connection, lost: str
) -> None:
    event = {"event_id": "e", "source": "wearable", "device_id": "d", "event_time": NOON}
    silver = pl.DataFrame([event], schema=silver_schema(registry["wearable"]))
    columns = schema.QUARANTINED.columns | {"received_hour": pl.String}
    refused = pl.DataFrame([event | {"reasons": "[]"}], schema=columns)
    load(settings, schema.event_table(registry["wearable"]), silver)
    load(settings, schema.QUARANTINED, refused)
    load(settings, schema.PARTIALS, partials("d"))
    load(settings, schema.HOURS, partials("d", table=schema.HOURS))
    figures = {"silver": 1, "quarantined": 1, "minute_values": 3, "hour_values": 3}
    account = ledger("wearable", 2).with_columns(**{k: pl.lit(v) for k, v in figures.items()})

    def adds_up() -> bool:
        counted = count_loaded(settings, ["wearable"], HOUR)
        return judge_warehouse(account, counted)["adds_up"].item()

    assert adds_up()
    database.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("warehouse", lost)))
    assert not adds_up()


def test_a_load_that_fails_leaves_every_table_as_it_was(
    settings: Settings, database: psycopg.Connection
) -> None:
    load(settings, schema.LEDGERS, ledger("mobile", 1))
    load(settings, schema.PARTIALS, partials("a"))
    without_key = partials("b").with_columns(metric=pl.lit(None, pl.String))
    tables = [schema.LEDGERS, schema.PARTIALS]
    with (
        pytest.raises(Exception, match='null value in column "metric"'),
        warehouse_load(settings, tables, HOUR) as opened,
    ):
        opened.replace(schema.LEDGERS, ledger("mobile", 9))
        opened.replace(schema.PARTIALS, without_key)
    assert rows(database, "SELECT accepted FROM warehouse.ledger") == [(1,)]
    assert rows(database, "SELECT device_id, n FROM warehouse.metric_partials") == [("a", 3)]


def test_a_block_that_raises_commits_nothing(
    settings: Settings, database: psycopg.Connection
) -> None:
    def fail() -> None:
        raise TimeoutError

    with (
        pytest.raises(TimeoutError),
        warehouse_load(settings, [schema.LEDGERS], HOUR) as opened,
    ):
        opened.replace(schema.LEDGERS, ledger("mobile", 9))
        fail()
    assert rows(database, "SELECT count(*) FROM warehouse.ledger") == [(0,)]


def test_each_day_of_arrival_has_its_own_partition(
    settings: Settings, database: psycopg.Connection
) -> None:
    for hour in (HOUR, NEXT_DAY):
        load(settings, schema.LEDGERS, ledger("mobile", 1, hour), hour)
    query = "SELECT DISTINCT tableoid::regclass::text FROM warehouse.ledger ORDER BY 1"
    days = [(f"warehouse.ledger_{day}",) for day in ("20261122", "20261123")]
    assert rows(database, query) == days


def test_a_registry_is_replaced_whole(settings: Settings, database: psycopg.Connection) -> None:
    def users(*ids: str) -> pl.DataFrame:
        rows = [{"user_id": user, "birth_year": 1980, "sex": "female"} for user in ids]
        return pl.DataFrame(rows, schema=schema.USERS.columns)

    replace_registry(settings, schema.USERS, users("u1", "u2"))
    assert replace_registry(settings, schema.USERS, users("u3")) == 1
    assert rows(database, "SELECT user_id, birth_year FROM warehouse.users") == [("u3", 1980)]


def test_the_history_of_quarantine_replays_is_loaded_whole_however_often(
    settings: Settings, registry: Registry, database: psycopg.Connection, tmp_path: Path
) -> None:
    here = settings.model_copy(update={"lake_root": str(tmp_path)})
    lake = Lake(here, registry)
    land(here, registry, "wearable", [watch(0, 7)])
    lake.build_bronze("wearable", LANDED_HOUR)
    refused = lake.together(QUARANTINE, [lake.refined("wearable", LANDED_HOUR).quarantine])
    lake.write(QUARANTINE, refused, LANDED_HOUR, ["wearable"])
    for number in (1, 2):
        replay_quarantine(lake, Selection(), "a test", dry_run=False)
        assert load_attempts(here, registry) == load_attempts(here, registry) == number
    query = "SELECT attempt_id, received_hour, rules, outcome FROM warehouse.quarantine_replays"
    found = (hour_start(LANDED_HOUR), ["range.heart_rate_bpm"], "refused")
    ids = attempts(here)["attempt_id"]
    assert sorted(rows(database, query)) == sorted((each, *found) for each in ids)


def test_a_contract_that_gains_a_field_gains_a_column(
    settings: Settings, registry: Registry, database: psycopg.Connection
) -> None:
    wearable = registry["wearable"]
    template = wearable.field("heart_rate_bpm")
    new = replace(template, name="blood_oxygen_percent", unit="%")
    grown = replace(wearable, fields=(*wearable.fields, new))
    create_tables(settings, Registry([grown]))
    frame = pl.DataFrame(
        [
            {
                "event_id": "e",
                "source": "wearable",
                "device_id": "d",
                "event_time": NOON + timedelta(minutes=1),
                "blood_oxygen_percent": 97.5,
            }
        ],
        schema=silver_schema(grown),
    )
    load(settings, schema.event_table(grown), frame)
    query = "SELECT blood_oxygen_percent, received_hour FROM warehouse.wearable"
    assert rows(database, query) == [(97.5, hour_start(HOUR))]
    database.execute("ALTER TABLE warehouse.wearable DROP COLUMN blood_oxygen_percent")
