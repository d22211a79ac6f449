"""SQL over a lake of local files: what is read, what is left alone, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest

from telemetry_platform.delta import ensure_table, replace_partition
from telemetry_platform.lake_sql.database import LakeDatabase
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, UTC_TIME, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_platform.settings import Settings

HOURS = [f"2026-11-{day:02d}T{hour:02d}" for day in (1, 2) for hour in range(4)]
SOURCES = ("mobile", "wearable")
LEDGER = Table(
    "gold/ledger",
    {
        SOURCE: pl.String,
        RECEIVED_HOUR: pl.String,
        "rows": pl.Int64,
        "refined_at": UTC_TIME,
        "rules": pl.List(pl.String),
        "payload": pl.String,
    },
)
MOMENT = datetime(2026, 11, 1, 10, tzinfo=UTC)


def _row(source: str, hour: str, rows: int) -> dict[str, object]:
    return {
        SOURCE: source,
        RECEIVED_HOUR: hour,
        "rows": rows,
        "refined_at": MOMENT,
        "rules": ["a", "b"],
        "payload": None,
        "share": 0.5,
    }


def _write(settings: Settings, table: Table, source: str, hour: str, rows: int) -> None:
    frame = pl.DataFrame([_row(source, hour, rows)]).select(list(table.schema)).cast(table.schema)
    replace_partition(settings, table, frame, {SOURCE: source, RECEIVED_HOUR: hour})


@pytest.fixture
def lake(lake_settings: Settings) -> Iterator[LakeDatabase]:
    """Return a lake with a table of 16 partitions, a file and a row each."""
    rows = [_row(source, hour, rows) for rows, hour in enumerate(HOURS) for source in SOURCES]
    frame = pl.DataFrame(rows).select(list(LEDGER.schema)).cast(LEDGER.schema)
    replace_partition(lake_settings, LEDGER, frame, {SOURCE: list(SOURCES), RECEIVED_HOUR: HOURS})
    with LakeDatabase(lake_settings) as database:
        yield database


@pytest.mark.parametrize(
    ("condition", "files"),
    [
        ("received_hour = '2026-11-01T02'", 2),
        ("received_hour = '2026-11-01T02' AND source = 'mobile'", 1),
        ("received_hour >= '2026-11-02' AND received_hour < '2026-11-02T02'", 4),
        ("received_hour IN ('2026-11-01T00', '2026-11-02T00') AND source <> 'mobile'", 2),
        ("received_hour LIKE '2026-11-02%'", 8),
        ("left(received_hour, 10) = '2026-11-02' AND source LIKE 'w%'", 4),
        ("source = 'nobody'", 0),
        ("true", 16),
    ],
)
def test_a_condition_on_the_partition_opens_only_files_of_its_partitions(
    lake: LakeDatabase, condition: str, files: int
) -> None:
    query = f"SELECT rows, payload FROM gold.ledger WHERE {condition}"  # noqa: S608
    assert lake.frame(query).height == files
    assert len(lake.files.opened) == files


def test_a_join_prunes_each_table(lake: LakeDatabase) -> None:
    query = """
        SELECT a.rows, b.rows AS others
        FROM gold.ledger AS a JOIN gold.ledger AS b USING (received_hour)
        WHERE received_hour = '2026-11-01T01' AND a.source = 'mobile' AND b.source = 'wearable'
    """
    assert lake.frame(query).rows() == [(1, 1)]
    assert len(lake.files.opened) == 2


def test_only_the_columns_that_are_asked_for_are_fetched(lake_settings: Settings) -> None:
    wide = Table(
        "bronze/wide",
        {RECEIVED_HOUR: pl.String, "n": pl.Int64, "noise": pl.Int64},
        ("received_hour",),
    )
    noise = pl.Series("noise", range(1_000_000)).shuffle(seed=1)
    frame = pl.DataFrame([noise]).with_columns(
        pl.lit(HOURS[0]).alias(RECEIVED_HOUR), n=pl.lit(1, pl.Int64)
    )
    replace_partition(
        lake_settings, wide, frame.select(list(wide.schema)), {RECEIVED_HOUR: HOURS[0]}
    )
    with LakeDatabase(lake_settings) as lake:
        assert lake.frame("SELECT sum(n)::BIGINT FROM bronze.wide").item() == 1_000_000
        narrow = lake.files.bytes_read
        assert (
            lake.frame("SELECT count(noise) FROM bronze.wide WHERE noise >= 0").item() == 1_000_000
        )
        assert lake.files.bytes_read > 10 * narrow


def test_values_come_as_the_table_has_them(lake: LakeDatabase) -> None:
    frame = lake.frame(
        "SELECT * FROM gold.ledger WHERE source = 'mobile' ORDER BY received_hour LIMIT 1"
    )
    assert frame.columns == list(LEDGER.schema)
    assert frame.row(0) == ("mobile", HOURS[0], 0, MOMENT, ["a", "b"], None)


def test_what_is_written_meanwhile_is_in_the_next_answer(lake: LakeDatabase) -> None:
    count = "SELECT count(*) FROM gold.ledger"
    assert lake.frame(count).item() == 16
    _write(lake.settings, LEDGER, "mobile", "2026-11-03T00", 1)
    assert lake.frame(count).item() == 17


def test_a_column_that_came_later_is_null_in_older_files(lake: LakeDatabase) -> None:
    later = Table("gold/ledger", {**LEDGER.columns, "share": pl.Float64})
    _write(lake.settings, later, "mobile", "2026-11-03T00", 1)
    frame = lake.frame("SELECT share FROM gold.ledger ORDER BY received_hour DESC")
    assert frame["share"].to_list() == [0.5, *[None] * 16]


def test_a_table_without_rows_has_its_columns(lake_settings: Settings) -> None:
    ensure_table(lake_settings, LEDGER)
    with LakeDatabase(lake_settings) as lake:
        frame = lake.frame("SELECT * FROM gold.ledger")
        assert frame.is_empty()
        assert frame.columns == list(LEDGER.schema)


def test_listing_shows_every_table(lake: LakeDatabase) -> None:
    _write(lake.settings, Table("silver/mobile", LEDGER.columns), "mobile", HOURS[0], 1)
    assert lake.tables() == ["silver.mobile", "gold.ledger"]
    assert lake.frame("SHOW ALL TABLES")["name"].to_list() == ["ledger", "mobile"]


def test_the_lake_cannot_be_written_to(lake: LakeDatabase) -> None:
    for statement in (
        "COPY (SELECT 1) TO 'lake://gold/ledger/more.parquet'",
        "INSERT INTO gold.ledger (rows) VALUES (1)",
        "DELETE FROM gold.ledger",
    ):
        with pytest.raises(duckdb.Error):
            lake.execute(statement)
    assert lake.frame("SELECT count(*) FROM gold.ledger").item() == 16


def test_no_extension_is_downloaded_for_a_question(lake: LakeDatabase) -> None:
    with pytest.raises(duckdb.Error, match="extension"):
        lake.execute("SELECT * FROM read_parquet('s3://telemetry-lake/gold/ledger/x.parquet')")
