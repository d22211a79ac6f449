"""Rows of the lake for pages, over tables on a local directory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import SecretStr

from access_api.pages.lake_samples import LakeAway, LakeSamples
from telemetry_platform.delta import replace_partition
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, Table

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit
THINGS = Table("silver/things", {SOURCE: pl.String, RECEIVED_HOUR: pl.String, "n": pl.Int64})


@pytest.fixture
def settings(lake_settings: Settings) -> Settings:
    own = {"access_s3_access_key_id": "a", "access_s3_secret_access_key": SecretStr("b")}
    return lake_settings.model_copy(update=own)


def put(settings: Settings, source: str, hour: str, numbers: list[int]) -> None:
    frame = pl.DataFrame({SOURCE: source, RECEIVED_HOUR: hour, "n": numbers}, THINGS.schema)
    replace_partition(settings, THINGS, frame, {SOURCE: source, RECEIVED_HOUR: hour})


def rows(
    settings: Settings, sources: list[str] | None = None, path: str = THINGS.path
) -> list[dict[str, Any]]:
    return asyncio.run(LakeSamples(settings).rows(path, sources, 2, 60))


def test_rows_are_those_of_the_newest_hour_that_has_some(settings: Settings) -> None:
    put(settings, "mobile", "2026-11-22T10", [1])
    put(settings, "mobile", "2026-11-22T11", [2, 3, 4])
    put(settings, "wearable", "2026-11-22T12", [5])
    put(settings, "wearable", "2026-11-22T12", [])
    found = rows(settings)
    assert len(found) == 2
    assert {row[RECEIVED_HOUR] for row in found} == {"2026-11-22T11"}


def test_rows_of_other_sources_stay_out(settings: Settings) -> None:
    put(settings, "mobile", "2026-11-22T10", [1])
    put(settings, "wearable", "2026-11-22T12", [5])
    assert [row["n"] for row in rows(settings, ["mobile"])] == [1]
    assert rows(settings, ["environment"]) == []


def test_a_table_that_is_not_there_has_no_rows(settings: Settings) -> None:
    assert rows(settings, path="silver/nothing") == []


def test_a_lake_that_cannot_be_read_says_so(settings: Settings) -> None:
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1", "lake_root": None})
    assert away.root.startswith("s3://")
    with pytest.raises(LakeAway):
        rows(away)


def test_without_an_account_nothing_is_read(lake_settings: Settings) -> None:
    samples = LakeSamples(lake_settings)
    assert not samples.allowed
    with pytest.raises(LakeAway):
        asyncio.run(samples.rows(THINGS.path, None, 1, 60))
