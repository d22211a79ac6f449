"""Delta tables: nothing is cut, a partition is replaced whole and alone, inputs are noted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_platform.delta import (
    Partition,
    SchemaMismatch,
    cast_strict,
    count_partition,
    ensure_table,
    input_version,
    open_table,
    partition_sizes,
    replace_partition,
    scan_partition,
    scan_table,
    storage_options,
    table_uri,
)
from telemetry_platform.layout import UTC_TIME, Table
from telemetry_platform.settings import Settings

NUMBERS = Table(
    "silver/numbers",
    {"source": pl.String, "received_hour": pl.String, "received_at": UTC_TIME, "n": pl.Int64},
)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVERYTHING: Partition = {}


def frame(hour: str, *numbers: int, source: str = "a") -> pl.DataFrame:
    rows = [{"source": source, "received_hour": hour, "received_at": NOON, "n": n} for n in numbers]
    return pl.DataFrame(rows, schema=NUMBERS.schema)


def content(settings: Settings, version: int | None = None) -> list[tuple[Any, ...]]:
    table = open_table(settings, NUMBERS.path, version)
    assert table is not None
    found = scan_table(table, EVERYTHING, NUMBERS.schema)
    return found.select("source", "received_hour", "n").sort(pl.all()).collect().rows()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.5], pl.Int64),
        ([float("nan")], pl.Int64),
        ([2**31], pl.Int32),
        ([-1], pl.UInt8),
        ([2**53 + 1], pl.Float64),
        ([1e300], pl.Float32),
        (["one"], pl.Int64),
        ([datetime(2026, 1, 1, microsecond=1)], pl.Datetime("ms")),
        ([datetime(2026, 1, 1, 12)], pl.Date),
        ([b"\xff"], pl.String),
    ],
)
def test_a_value_that_would_be_cut_is_refused_by_the_name_of_its_column(
    values: list[Any], dtype: Any
) -> None:
    with pytest.raises(SchemaMismatch, match="column 'x'") as refused:
        cast_strict(pl.DataFrame({"x": values}), pl.Schema({"x": dtype}))
    assert str(values[0]) not in str(refused.value)


@given(numbers=st.lists(st.floats(allow_nan=False) | st.integers(-(2**70), 2**70) | st.none()))
def test_a_cast_keeps_every_value_or_refuses(numbers: list[float | int | None]) -> None:
    given_frame = pl.DataFrame({"x": [None if n is None else float(n) for n in numbers]})
    given_frame = given_frame.cast(pl.Float64)
    try:
        found = cast_strict(given_frame, pl.Schema({"x": pl.Int32}))
    except SchemaMismatch:
        return
    assert found["x"].to_list() == given_frame["x"].to_list()


def test_a_cast_orders_columns_and_names_missing_ones() -> None:
    schema = pl.Schema({"a": pl.Int64, "b": pl.String})
    found = cast_strict(pl.DataFrame({"b": ["x"], "a": pl.Series([1], dtype=pl.Int8)}), schema)
    assert found.schema == schema
    with pytest.raises(SchemaMismatch, match="columns are missing: a"):
        cast_strict(pl.DataFrame({"b": ["x"]}), schema)


def test_nulls_fit_every_column() -> None:
    schema = pl.Schema({"a": pl.Int64, "b": pl.String, "c": UTC_TIME, "d": pl.List(pl.String)})
    assert cast_strict(pl.DataFrame({name: [None] for name in schema}), schema).schema == schema


def test_replacing_a_partition_again_changes_nothing_else(lake_settings: Settings) -> None:
    replace_partition(lake_settings, NUMBERS, frame("h1", 1, 2), {"received_hour": "h1"})
    replace_partition(lake_settings, NUMBERS, frame("h2", 3), {"received_hour": "h2"})
    before = content(lake_settings)
    replace_partition(lake_settings, NUMBERS, frame("h1", 1, 2), {"received_hour": "h1"})
    assert content(lake_settings) == before == [("a", "h1", 1), ("a", "h1", 2), ("a", "h2", 3)]


def test_a_partition_can_be_emptied(lake_settings: Settings) -> None:
    replace_partition(lake_settings, NUMBERS, frame("h1", 1), {"received_hour": "h1"})
    replace_partition(lake_settings, NUMBERS, frame("h1"), {"received_hour": "h1"})
    assert content(lake_settings) == []


def test_several_values_of_a_partition_column_are_replaced_together(
    lake_settings: Settings,
) -> None:
    rows = pl.concat([frame("h1", 1), frame("h1", 2, source="b"), frame("h1", 3, source="o'c")])
    replace_partition(lake_settings, NUMBERS, rows, {"received_hour": "h1"})
    where: Partition = {"received_hour": "h1", "source": ["a", "o'c"]}
    replace_partition(lake_settings, NUMBERS, frame("h1", 9), where)
    assert content(lake_settings) == [("a", "h1", 9), ("b", "h1", 2)]


def test_a_row_outside_the_partition_is_refused_and_nothing_is_written(
    lake_settings: Settings,
) -> None:
    replace_partition(lake_settings, NUMBERS, frame("h1", 1), {"received_hour": "h1"})
    with pytest.raises(Exception, match=r"(?i)predicate|constraint|invalid"):
        replace_partition(lake_settings, NUMBERS, frame("h2", 2), {"received_hour": "h1"})
    assert content(lake_settings) == [("a", "h1", 1)]


def test_a_partition_column_without_a_value_is_refused(lake_settings: Settings) -> None:
    with pytest.raises(ValueError, match="'source'"):
        replace_partition(lake_settings, NUMBERS, frame("h1"), {"source": []})


def test_the_versions_of_inputs_are_noted_by_name(lake_settings: Settings) -> None:
    assert input_version(lake_settings, NUMBERS.path, "landing:a") is None
    for name, version in (("landing:a", 7), ("landing:b", 3), ("landing:a", 9)):
        where: Partition = {"received_hour": "h1"}
        replace_partition(lake_settings, NUMBERS, frame("h1", 1), where, {name: version})
    found = {
        n: input_version(lake_settings, NUMBERS.path, n) for n in ("landing:a", "landing:b", "c")
    }
    assert found == {"landing:a": 9, "landing:b": 3, "c": None}


def test_the_version_that_is_returned_is_the_one_that_was_written(lake_settings: Settings) -> None:
    versions = [
        replace_partition(lake_settings, NUMBERS, frame("h1", n), {"received_hour": "h1"})
        for n in (1, 2)
    ]
    assert [content(lake_settings, version) for version in versions] == [
        [("a", "h1", 1)],
        [("a", "h1", 2)],
    ]


def test_a_table_that_gains_a_column_keeps_its_older_partitions(lake_settings: Settings) -> None:
    replace_partition(lake_settings, NUMBERS, frame("h1", 1), {"received_hour": "h1"})
    grown = replace(NUMBERS, columns={**NUMBERS.columns, "unit": pl.String})
    where: Partition = {"received_hour": "h1"}
    read = scan_partition(lake_settings, grown.path, where, grown.schema).collect()
    assert read["unit"].to_list() == [None]
    rows = frame("h2", 2).with_columns(unit=pl.lit("m"))
    replace_partition(lake_settings, grown, rows, {"received_hour": "h2"})
    found = scan_partition(lake_settings, grown.path, EVERYTHING, grown.schema).sort("n").collect()
    assert found.select("n", "unit").rows() == [(1, None), (2, "m")]


def test_rows_are_counted_by_partition_as_they_are(lake_settings: Settings) -> None:
    assert count_partition(None, EVERYTHING) == 0
    rows = pl.concat([frame("h1", 1, 2), frame("h1", 3, source="b"), frame("h2", 4)])
    for hour in ("h1", "h2"):
        part = rows.filter(received_hour=hour)
        replace_partition(lake_settings, NUMBERS, part, {"received_hour": hour})
    table = open_table(lake_settings, NUMBERS.path)
    assert table is not None
    table.delete("n = 2")
    sizes = partition_sizes(table).sort(pl.all()).rows()
    assert sizes == [("a", "h1", 1), ("a", "h2", 1), ("b", "h1", 1)]
    assert count_partition(table, {"received_hour": "h1"}) == 2
    assert count_partition(table, {"received_hour": ["h1", "h2"], "source": "a"}) == 2
    assert count_partition(table, {"source": "nobody"}) == 0
    assert partition_sizes(ensure_table(lake_settings, replace(NUMBERS, path="x/y"))).is_empty()


def test_a_missing_table_is_read_as_empty_and_opened_as_none(lake_settings: Settings) -> None:
    assert open_table(lake_settings, "silver/none") is None
    found = scan_partition(lake_settings, "silver/none", EVERYTHING, NUMBERS.schema).collect()
    assert found.schema == NUMBERS.schema
    assert found.is_empty()


def test_a_table_is_made_once_with_statistics_only_where_they_are_allowed(
    lake_settings: Settings,
) -> None:
    table = ensure_table(lake_settings, NUMBERS)
    again = ensure_table(lake_settings, NUMBERS)
    assert (table.version(), again.version()) == (0, 0)
    assert table.metadata().partition_columns == ["source", "received_hour"]
    configuration = table.metadata().configuration
    assert configuration["delta.dataSkippingStatsColumns"] == "received_at"


def test_those_who_make_a_table_at_once_all_have_it(lake_settings: Settings) -> None:
    together = Barrier(4, timeout=20)

    def make(place: int) -> list[str]:
        together.wait()
        table = ensure_table(lake_settings, replace(NUMBERS, path=f"x/{place // 4}"))
        return table.metadata().partition_columns

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(make, range(200)))
    assert made == [list(NUMBERS.partition_by)] * len(made)


def test_no_value_outside_the_allowed_statistics_reaches_the_log(lake_settings: Settings) -> None:
    replace_partition(lake_settings, NUMBERS, frame("h1", 424_242), {"received_hour": "h1"})
    root = lake_settings.root
    logs = open_table(lake_settings, NUMBERS.path)
    assert logs is not None
    stats = pl.DataFrame(logs.get_add_actions(flatten=True))
    assert not [name for name in stats.columns if name in ("min.n", "max.n")]
    assert root in table_uri(lake_settings, NUMBERS.path)


def test_a_bucket_is_reached_with_the_settings_credentials_and_a_directory_with_none(
    lake_settings: Settings,
) -> None:
    assert storage_options(lake_settings) == {}
    bucket = Settings.model_validate(
        {
            "s3_endpoint": "http://127.0.0.1:1",
            "aws_access_key_id": "id",
            "aws_secret_access_key": "secret",
        }
    )
    assert storage_options(bucket) == {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ALLOW_HTTP": "true",
    }
    assert table_uri(bucket, "landing/events") == "s3://telemetry-lake/landing/events"
