"""The pandera schemas: silver as it is made passes, and no doctored frame does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_assets.lakehouse.refining import refine
from telemetry_assets.lakehouse.schemas import failures, silver_model
from tests.unit.telemetry_assets.landed import bronze, watch
from tests.unit.telemetry_assets.test_refining import NOBODY

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry


@pytest.fixture
def silver(registry: Registry) -> pl.DataFrame:
    events = [watch(n, 60 + n, state="asleep") for n in range(3)]
    return refine(bronze(registry, "wearable", events), NOBODY, registry["wearable"]).silver


def test_what_silver_makes_passes(registry: Registry, silver: pl.DataFrame) -> None:
    assert failures(silver_model(registry["wearable"]), silver) == []
    assert failures(silver_model(registry["wearable"]), silver.clear()) == []


@pytest.mark.parametrize(
    ("doctored", "column"),
    [
        (pl.lit(300.0).alias("heart_rate_bpm"), "heart_rate_bpm"),
        (pl.lit(-1.0).alias("step_count"), "step_count"),
        (pl.lit("dreaming").alias("sleep_state"), "sleep_state"),
        (pl.lit("same").alias("event_id"), "event_id"),
        (pl.lit(None, pl.String).alias("device_id"), "device_id"),
        (pl.lit(None, pl.Datetime("us", "UTC")).alias("event_time"), "event_time"),
        (pl.col("heart_rate_bpm").cast(pl.Int64), "heart_rate_bpm"),
    ],
    ids=["maximum", "minimum", "enum", "unique", "null device", "null time", "type"],
)
def test_a_doctored_frame_fails_by_the_name_of_its_column(
    registry: Registry, silver: pl.DataFrame, doctored: pl.Expr, column: str
) -> None:
    found = failures(silver_model(registry["wearable"]), silver.with_columns(doctored))
    assert {failure["column"] for failure in found} == {column}


def test_a_missing_and_an_additional_column_fail(registry: Registry, silver: pl.DataFrame) -> None:
    model = silver_model(registry["wearable"])
    assert failures(model, silver.drop("step_count"))
    assert failures(model, silver.with_columns(more=pl.lit(1)))


def test_a_column_that_the_contract_requires_may_not_be_null(
    registry: Registry, silver: pl.DataFrame
) -> None:
    contract = registry["wearable"]
    fields = tuple(
        replace(f, required=f.required or f.name == "step_count") for f in contract.fields
    )
    found = failures(silver_model(replace(contract, fields=fields)), silver)
    assert [failure["column"] for failure in found] == ["step_count"]


@pytest.mark.parametrize("wrong", ["Pixel 8", "pixel", "P"])
def test_text_of_another_form_fails(registry: Registry, wrong: str) -> None:
    contract = registry["wearable"]
    form = {"pattern": "^[A-Z][a-z]+$", "min_length": 2, "max_length": 6, "enum": ()}
    fields = tuple(replace(f, **form) if f.name == "sleep_state" else f for f in contract.fields)
    strict = replace(contract, fields=fields)
    rows = bronze(registry, "wearable", [watch(0, 60, state="Light")])
    sound = refine(rows, NOBODY, strict).silver
    assert failures(silver_model(strict), sound) == []
    found = failures(silver_model(strict), sound.with_columns(sleep_state=pl.lit(wrong)))
    assert {failure["column"] for failure in found} == {"sleep_state"}
    assert refine(rows.with_columns(sleep_state=pl.lit(wrong)), NOBODY, strict).silver.is_empty()
