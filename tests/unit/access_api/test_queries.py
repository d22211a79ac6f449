"""Queries: values are bound and never part of the SQL, scopes and cursors are conditions."""

from __future__ import annotations

from typing import Any

import pytest

from access_api import datasets
from access_api.columns import Kind
from access_api.datasets import DATASETS, Dataset
from access_api.queries import Selection, end_query, rows_query

pytestmark = pytest.mark.unit

HOSTILE = "x' OR 1=1; DROP TABLE marts.fct_events; --"


def selection(dataset: Dataset, **changes: Any) -> Selection:
    wanted: dict[str, Any] = {"columns": dataset.columns, "sources": None, "filters": {}}
    return Selection(**wanted | changes)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
def test_no_value_of_a_request_becomes_sql(dataset: Dataset) -> None:
    filters = {name: [HOSTILE] for name in dataset.filters}
    key = (HOSTILE,) * len(dataset.key)
    chosen = selection(dataset, sources=(HOSTILE,), filters=filters, after=key, until=key)
    for query in (rows_query(dataset, chosen, 10), end_query(dataset, chosen, 10)):
        assert HOSTILE not in query.statement.as_string()
        assert HOSTILE in str(query.values)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
def test_a_scope_is_a_condition_of_every_dataset(dataset: Dataset) -> None:
    query = rows_query(dataset, selection(dataset, sources=("mobile",)))
    assert "%(scope)s" in query.statement.as_string()
    assert query.values["scope"] == ["mobile"]
    unlimited = rows_query(dataset, selection(dataset))
    assert "%(scope)s" not in unlimited.statement.as_string()


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
def test_a_dataset_orders_by_columns_that_it_shows(dataset: Dataset) -> None:
    names = [column.name for column in dataset.columns]
    assert len(set(names)) == len(names)
    assert set(dataset.key) <= set(names)
    assert set(dataset.filters.values()) <= set(names)
    assert dataset.time is None or dataset.time_kind() in (Kind.TIMESTAMP, Kind.DAY)


@pytest.mark.parametrize(
    ("descending", "operator", "direction"), [(False, ">", ""), (True, "<", " DESC")]
)
def test_a_page_begins_behind_the_row_of_its_cursor(
    *, descending: bool, operator: str, direction: str
) -> None:
    days = datasets.QUALITY
    chosen = selection(days, after=("2026-11-22", "mobile", "validity"), descending=descending)
    text = rows_query(days, chosen, 3).statement.as_string()
    key = '"received_day", "source", "quality_dimension"'
    assert f"({key}) {operator} (%(after_0)s::date, %(after_1)s::text" in text
    assert text.endswith(
        f'ORDER BY "received_day"{direction}, "source"{direction}, '
        f'"quality_dimension"{direction} LIMIT %(limit)s'
    )


def test_one_value_is_an_equality_and_several_are_a_choice() -> None:
    one = rows_query(datasets.EVENTS, selection(datasets.EVENTS, filters={"device": ["a"]}))
    assert '"device_id" = %(filter_device)s' in one.statement.as_string()
    assert one.values["filter_device"] == "a"
    two = rows_query(datasets.EVENTS, selection(datasets.EVENTS, filters={"device": ["a", "b"]}))
    assert '"device_id" = ANY(%(filter_device)s)' in two.statement.as_string()
