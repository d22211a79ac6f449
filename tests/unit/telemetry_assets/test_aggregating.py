"""Gold: partials of any split merge to what the whole would give; profiles follow the device."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_assets.lakehouse.aggregating import (
    device_profiles,
    metric_partials,
    required_columns,
)
from telemetry_assets.lakehouse.refining import refine
from telemetry_assets.lakehouse.tables import DEVICE_PROFILES, METRIC_PARTIALS
from telemetry_contracts.frames import silver_schema
from tests.unit.telemetry_assets.landed import NOON, bronze, room, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

NOBODY = pl.DataFrame(
    schema={"event_id": pl.String, "receipt_id": pl.String, "received_at": pl.Datetime("us", "UTC")}
)


def silver(registry: Registry, source: str, events: list[dict[str, Any]]) -> pl.DataFrame:
    found = refine(bronze(registry, source, events), NOBODY, registry[source])
    assert found.quarantine.is_empty()
    return found.silver


def merge(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Merge two partials as the marts do (Chan, Golub, LeVeque 1983)."""
    n = one["n"] + two["n"]
    delta = two["mean"] - one["mean"]
    return {
        "n": n,
        "mean": one["mean"] + delta * two["n"] / n,
        "m2": one["m2"] + two["m2"] + delta**2 * one["n"] * two["n"] / n,
        "total": one["total"] + two["total"],
        "minimum": min(one["minimum"], two["minimum"]),
        "maximum": max(one["maximum"], two["maximum"]),
    }


@given(parts=st.lists(st.lists(st.floats(-50, 80), min_size=1, max_size=8), min_size=1, max_size=5))
def test_merged_partials_equal_a_direct_computation(
    registry: Registry, parts: list[list[float]]
) -> None:
    contract = registry["environment"]
    columns = silver_schema(contract)
    merged: dict[str, Any] | None = None
    for values in parts:
        rows = [
            {
                "event_id": f"{place}",
                "device_id": "s",
                "event_time": NOON + timedelta(seconds=place),
                "temperature_celsius": value,
            }
            for place, value in enumerate(values)
        ]
        (partial,) = metric_partials(pl.DataFrame(rows, schema=columns), contract).to_dicts()
        merged = partial if merged is None else merge(merged, partial)
    assert merged is not None
    values = [value for part in parts for value in part]
    assert merged["n"] == len(values)
    assert (merged["minimum"], merged["maximum"]) == (min(values), max(values))
    assert math.isclose(merged["mean"], statistics.fmean(values), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(merged["total"], math.fsum(values), rel_tol=1e-9, abs_tol=1e-9)
    direct = statistics.pvariance(values) * len(values)
    assert math.isclose(merged["m2"], direct, rel_tol=1e-9, abs_tol=1e-7)


def test_values_far_from_zero_keep_their_variance(registry: Registry) -> None:
    contract = registry["environment"]
    rows = [
        {"event_id": str(i), "event_time": NOON, "device_id": "s", "pressure_hpa": 1e9 + i % 2}
        for i in range(1000)
    ]
    frame = pl.DataFrame(rows, schema=silver_schema(contract))
    assert metric_partials(frame, contract)["m2"].to_list() == [250.0]


def test_a_partial_is_of_one_device_file_metric_and_minute(registry: Registry) -> None:
    events = [watch(0.1, 60, steps=1), watch(0.9, 70), watch(1.0, 80), watch(0, 90, device="v")]
    found = metric_partials(silver(registry, "wearable", events), registry["wearable"])
    assert found.schema == METRIC_PARTIALS.schema
    minute = [(row["event_minute"] - NOON) // timedelta(minutes=1) for row in found.to_dicts()]
    keys = zip(found["metric"], found["device_id"], minute, found["n"], found["total"], strict=True)
    assert sorted(keys) == [
        ("heart_rate_bpm", "v", 0, 1, 90.0),
        ("heart_rate_bpm", "w", 0, 2, 130.0),
        ("heart_rate_bpm", "w", 1, 1, 80.0),
        ("step_count", "w", 0, 1, 1.0),
    ]
    assert set(found["source_file"]) == {""}


def test_first_and_last_follow_event_time_not_arrival(registry: Registry) -> None:
    events = [watch(0.5, 70), watch(0.2, 60), watch(0.8, 80)]
    (row,) = metric_partials(silver(registry, "wearable", events), registry["wearable"]).to_dicts()
    assert (row["first_value"], row["last_value"]) == (60.0, 80.0)
    assert row["first_at"] == NOON + timedelta(seconds=12)
    assert row["last_at"] == NOON + timedelta(seconds=48)


def test_files_have_partials_of_their_own(registry: Registry) -> None:
    frame = silver(registry, "wearable", [watch(0, 60), watch(0.1, 70)])
    frame = frame.with_columns(source_file=pl.Series(["a.csv", None], dtype=pl.String))
    found = metric_partials(frame, registry["wearable"])
    assert sorted(found["source_file"]) == ["", "a.csv"]


def moving(registry: Registry, places: list[tuple[float, float] | None]) -> list[dict[str, Any]]:
    events = [
        room(minute, temperature=20 + minute / 100)
        | ({} if place is None else {"location": {"latitude": place[0], "longitude": place[1]}})
        for minute, place in enumerate(places)
    ]
    found = device_profiles(silver(registry, "environment", events), registry["environment"])
    return [
        {
            "latitude": json.loads(row["attributes"])["latitude"],
            "from": (row["valid_from"] - NOON) // timedelta(minutes=1),
            "to": (row["valid_to"] - NOON) // timedelta(minutes=1),
            "n": row["n"],
        }
        for row in found.to_dicts()
    ]


def test_a_device_that_moves_and_comes_back_has_three_spans(registry: Registry) -> None:
    here, there = (57.1, -2.1), (42.6, 23.3)
    assert moving(registry, [here, here, there, here]) == [
        {"latitude": 57.1, "from": 0, "to": 1, "n": 2},
        {"latitude": 42.6, "from": 2, "to": 2, "n": 1},
        {"latitude": 57.1, "from": 3, "to": 3, "n": 1},
    ]


def test_an_attribute_that_is_left_out_is_taken_as_unchanged(registry: Registry) -> None:
    here = (57.1, -2.1)
    assert moving(registry, [None, here, None]) == [{"latitude": 57.1, "from": 0, "to": 2, "n": 3}]


def test_spans_of_one_device_do_not_run_into_another(registry: Registry) -> None:
    events = [
        room(0, location={"latitude": 1, "longitude": 1}),
        room(1, device_id="t"),
        room(2, location={"latitude": 1, "longitude": 1}),
    ]
    found = device_profiles(silver(registry, "environment", events), registry["environment"])
    assert sorted(found.select("device_id", "n").rows()) == [("s", 2), ("t", 1)]
    attributes = dict(found.select("device_id", "attributes").rows())
    assert json.loads(attributes["t"])["latitude"] is None


def test_a_source_without_attributes_has_one_span_a_device(registry: Registry) -> None:
    events = [watch(0), watch(30), watch(5, device="v")]
    found = device_profiles(silver(registry, "wearable", events), registry["wearable"])
    assert found.schema == DEVICE_PROFILES.schema
    assert found.select("device_id", "attributes", "n").sort("device_id").rows() == [
        ("v", "{}", 1),
        ("w", "{}", 2),
    ]


@pytest.mark.parametrize("source", ["mobile", "environment", "wearable"])
def test_gold_reads_no_column_it_does_not_name_and_no_rows_give_none(
    registry: Registry, source: str
) -> None:
    contract = registry[source]
    empty = pl.DataFrame(schema=silver_schema(contract)).select(required_columns(contract))
    assert metric_partials(empty, contract).schema == METRIC_PARTIALS.schema
    assert device_profiles(empty, contract).schema == DEVICE_PROFILES.schema


def test_gold_is_the_same_from_the_columns_it_names(registry: Registry) -> None:
    frame = silver(registry, "environment", [room(0), room(1, 22.0)])
    contract = registry["environment"]
    narrow = frame.select(required_columns(contract))
    assert metric_partials(narrow, contract).equals(metric_partials(frame, contract))
    assert device_profiles(narrow, contract).equals(device_profiles(frame, contract))


def test_partials_are_the_same_to_the_bit_on_any_number_of_threads() -> None:
    # Polars asks for the number of threads once in a process.
    results = {
        subprocess.run(
            [sys.executable, "-c", _PARTIALS_OF_MANY],
            env={**os.environ, "POLARS_MAX_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "5")
    }
    assert len(results) == 1
    assert b"heart_rate_bpm" in results.pop()


# Minutes with dozens of values that no float holds exactly.
_PARTIALS_OF_MANY = """
import polars as pl
from telemetry_assets.lakehouse.aggregating import metric_partials
from telemetry_contracts.registry import load_registry
from tests.unit.telemetry_assets.landed import watch
from tests.unit.telemetry_assets.test_aggregating import silver

registry = load_registry()
events = [watch(n % 241 / 60, 40 + n * 7 % 140, f"w{n % 7}") for n in range(700)]
frame = silver(registry, "wearable", events)
frame = frame.with_columns(pl.col("heart_rate_bpm") + pl.col("heart_rate_bpm").sqrt())
print(metric_partials(frame, registry["wearable"]).rows())
"""
