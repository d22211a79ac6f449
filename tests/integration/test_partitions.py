"""How tables in a real Postgres are cut by day, joined when days are long past, and let go."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from telemetry_assets.lakehouse import partitioning
from telemetry_assets.lakehouse import warehouse_schema as schema
from telemetry_assets.lakehouse.partitioning import make_partitions, tidy
from telemetry_assets.lakehouse.warehouse import create_day, create_tables
from telemetry_platform.clock import utc_now
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_contracts.registry import Registry

TODAY = utc_now().date()
READINGS = "marts.readings"
_CREATE = """
    CREATE SCHEMA IF NOT EXISTS marts;
    DROP TABLE IF EXISTS marts.readings;
    CREATE TABLE marts.readings (device text NOT NULL, event_time timestamptz NOT NULL)
    PARTITION BY RANGE (event_time);
    CREATE INDEX ON marts.readings (device, event_time);
    CREATE UNIQUE INDEX ON marts.readings (event_time, device);
    TRUNCATE warehouse.retention
"""


@pytest.fixture(scope="module")
def settings(postgres_dsn: str, registry: Registry) -> Settings:
    settings = Settings.model_validate({"postgres_dsn": postgres_dsn})
    create_tables(settings, registry)
    return settings


@pytest.fixture
def database(settings: Settings) -> Iterator[psycopg.Connection]:
    """Return a connection to an empty table that is cut by day, with nothing let go."""
    assert settings.postgres_dsn is not None
    with psycopg.connect(settings.postgres_dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute(_CREATE.encode())
        yield connection


def parts(database: psycopg.Connection, table: str = READINGS) -> list[tuple[date, date]]:
    """The first day of each partition and the day after its last."""
    query = "SELECT lower(days), upper(days) FROM warehouse.partitions_of(%s::regclass)"
    return database.execute(query, (table,)).fetchall()


def measure(database: psycopg.Connection, *days: date) -> None:
    """Write a reading at the first and at the last moment of each day."""
    make_partitions(database, READINGS, list(days))
    for day in days:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for moment in (begin, begin + timedelta(days=1) - timedelta(microseconds=1)):
            database.execute("INSERT INTO marts.readings VALUES ('d', %s)", (moment,))


def readings(database: psycopg.Connection) -> list[Any]:
    query = "SELECT event_time AT TIME ZONE 'UTC' FROM marts.readings ORDER BY 1"
    return [row[0] for row in database.execute(query.encode())]


def day(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.mark.parametrize(
    ("measured", "begins", "ends"),
    [
        (date(2026, 11, 23), date(2026, 11, 23), date(2026, 11, 24)),
        (date(2026, 11, 24), date(2026, 11, 24), date(2026, 11, 25)),
        (date(2026, 11, 1), date(2026, 11, 1), date(2026, 11, 2)),
        (date(2026, 10, 31), date(2026, 10, 1), date(2026, 11, 1)),
        (date(2025, 1, 1), date(2025, 1, 1), date(2025, 2, 1)),
        (date(2024, 12, 31), date(2024, 1, 1), date(2025, 1, 1)),
        (date(1970, 1, 1), date(1970, 1, 1), date(1971, 1, 1)),
    ],
)
def test_what_is_long_past_is_in_months_and_years(
    database: psycopg.Connection, measured: date, begins: date, ends: date
) -> None:
    found = database.execute(
        "SELECT lower(s), upper(s) FROM warehouse.partition_span(%s, '2026-11-23') AS s",
        (measured,),
    ).fetchone()
    assert found == (begins, ends)


def test_partitions_are_made_for_days_that_have_none(database: psycopg.Connection) -> None:
    assert make_partitions(database, READINGS, [day(0), day(-1), day(0)]) == 2
    assert make_partitions(database, READINGS, [day(-1), day(0)]) == 0
    assert parts(database) == [(day(0), day(-1)), (day(-1), day(-2))]


def test_an_archive_of_many_years_has_few_partitions(database: psycopg.Connection) -> None:
    archive = [day(n) for n in range(4000)]
    make_partitions(database, READINGS, archive)
    assert len(parts(database)) <= 45 + 24 + 11
    assert make_partitions(database, READINGS, archive) == 0


def test_a_table_without_partitions_stays_as_it_is(database: psycopg.Connection) -> None:
    assert make_partitions(database, "warehouse.users", [day(0)]) == 0


def test_days_that_are_long_past_become_one_month_and_keep_rows_and_indexes(
    settings: Settings, registry: Registry, database: psycopg.Connection
) -> None:
    month = date(TODAY.year - 1, 6, 1)
    days = [month, month + timedelta(days=1), month + timedelta(days=29)]
    for each in days:
        # As they were made when they were new.
        name = f"marts_partitions.readings_{each:%Y%m%d}"
        database.execute(f"CREATE TABLE {name} (LIKE marts.readings)".encode())
        database.execute(
            f"ALTER TABLE marts.readings ATTACH PARTITION {name} FOR VALUES "
            f"FROM ('{each} 00:00+00') TO ('{each + timedelta(days=1)} 00:00+00')".encode()
        )
    measure(database, *days, day(0))
    before = readings(database)
    (done,) = tidy(settings, registry)
    assert (done.table, done.what, done.rows) == (READINGS, "joined", 3)
    assert parts(database) == [(month, date(TODAY.year - 1, 7, 1)), (day(0), day(-1))]
    assert readings(database) == before
    indexes = (
        "SELECT count(*) FROM pg_indexes WHERE tablename LIKE 'readings\\_2%' GROUP BY tablename"
    )
    assert database.execute(indexes.encode()).fetchall() == [(2,), (2,)]
    late = month + timedelta(days=10)
    assert make_partitions(database, READINGS, [late]) == 0
    assert tidy(settings, registry) == []


def test_retention_drops_exactly_the_days_before_it(
    settings: Settings, registry: Registry, database: psycopg.Connection
) -> None:
    measure(database, *(day(n) for n in range(5)))
    two = settings.model_copy(update={"retention_days": 2})
    done = tidy(two, registry)
    assert {(t.table, t.what) for t in done} == {(READINGS, "dropped")}
    assert {moment.date() for moment in readings(database)} == {day(0), day(1), day(2)}
    assert len(readings(database)) == 6
    assert tidy(two, registry) == []


def test_of_a_month_that_is_partly_kept_the_days_before_go(
    settings: Settings, registry: Registry, database: psycopg.Connection
) -> None:
    month = date(TODAY.year - 1, 6, 1)
    days = [month + timedelta(days=n) for n in range(4)]
    measure(database, *days)
    horizon = settings.model_copy(update={"retention_days": (TODAY - days[2]).days})
    (done,) = tidy(horizon, registry)
    assert (done.what, done.rows) == ("rows deleted", 4)
    assert {moment.date() for moment in readings(database)} == set(days[2:])


def test_a_longer_retention_brings_no_day_back(
    settings: Settings, registry: Registry, database: psycopg.Connection
) -> None:
    tidy(settings.model_copy(update={"retention_days": 2}), registry)
    tidy(settings.model_copy(update={"retention_days": 9}), registry)
    assert partitioning.kept_from(database) == day(2)
    tidy(settings, registry)
    assert partitioning.kept_from(database) == day(2)


def test_the_warehouse_lets_arrivals_go_a_day_later_and_keeps_its_ledger(
    settings: Settings, registry: Registry, database: psycopg.Connection
) -> None:
    tables = [schema.event_table(registry["wearable"]), schema.QUARANTINED, schema.LEDGERS]
    for n in range(6):
        create_day(settings, tables, f"{day(n)}T00")
    tidy(settings.model_copy(update={"retention_days": 2}), registry)
    for name in ("warehouse.wearable", "warehouse.quarantine"):
        assert [begins for begins, _ in parts(database, name)] == [day(3), day(2), day(1), day(0)]
    assert len(parts(database, "warehouse.ledger")) >= 6


def test_a_table_that_somebody_reads_is_left_for_the_next_time(
    settings: Settings, registry: Registry, database: psycopg.Connection
) -> None:
    measure(database, day(0), day(5))
    two = settings.model_copy(update={"retention_days": 2})
    assert settings.postgres_dsn is not None
    with psycopg.connect(settings.postgres_dsn.get_secret_value()) as reader:
        reader.execute("SELECT FROM marts.readings")
        assert [(t.table, t.what) for t in tidy(two, registry)] == [(READINGS, "busy")]
    assert [(t.table, t.what) for t in tidy(two, registry)] == [(READINGS, "dropped")]
