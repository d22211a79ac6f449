"""Loading by difference: what it deletes and inserts makes the rows that are wanted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from telemetry_assets.lakehouse.warehouse import difference
from telemetry_assets.lakehouse.warehouse_schema import HOURS, PARTIALS, WarehouseTable

HOUR = datetime(2026, 1, 5, 14, tzinfo=UTC)
VALUES = st.dictionaries(
    st.sampled_from("abcd"), st.sampled_from([None, 0.1, 0.1 + 1e-16, 2.0, -0.0]), max_size=4
)


def frame(table: WarehouseTable, values: dict[str, float | None]) -> pl.DataFrame:
    """One row a device: its mean, and n = 1."""
    same: dict[str, Any] = {**dict.fromkeys(table.key, "x"), table.key[-1]: HOUR, "n": 1}
    rows = [
        same | {"received_hour": HOUR, "device_id": device, "mean": mean}
        for device, mean in values.items()
    ]
    return pl.DataFrame(rows, schema=table.columns)


def apply(standing: pl.DataFrame, wanted: pl.DataFrame, table: WarehouseTable) -> pl.DataFrame:
    gone, come = difference(standing, wanted, table)
    left = standing.join(gone, on=table.key, how="anti")
    assert left.height == standing.height - gone.height
    return pl.concat([left, come]).sort("device_id")


@given(before=VALUES, after=VALUES)
def test_the_difference_makes_what_is_wanted_of_what_stands(
    before: dict[str, float | None], after: dict[str, float | None]
) -> None:
    standing, wanted = frame(PARTIALS, before), frame(PARTIALS, after)
    assert apply(standing, wanted, PARTIALS).equals(wanted.sort("device_id"))
    gone, come = difference(wanted, wanted, PARTIALS)
    assert gone.is_empty()
    assert come.is_empty()


@given(before=VALUES, after=VALUES)
def test_a_vanished_key_is_marked_once_and_no_other(
    before: dict[str, float | None], after: dict[str, float | None]
) -> None:
    wanted = frame(HOURS, after)
    marked = apply(frame(HOURS, before), wanted, HOURS)
    counts = dict(marked.select("device_id", "n").rows())
    assert counts == dict.fromkeys(before, 0) | dict.fromkeys(after, 1)
    gone, come = difference(marked, wanted, HOURS)
    assert gone.is_empty()
    assert come.is_empty()
