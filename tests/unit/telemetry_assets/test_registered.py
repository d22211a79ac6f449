"""The registry as it was at the moment of each event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.refining import refine
from telemetry_assets.lakehouse.registered import DEVICES
from tests.unit.telemetry_assets.landed import HOUR, bronze, land, watch
from tests.unit.telemetry_assets.test_refining import NOBODY

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings


def registered(*rows: tuple[str, str, datetime | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"device_id": d, "time_zone": z, "registered_at": at} for d, z, at in rows],
        schema=DEVICES,
    )


def zones(registry: Registry, devices: pl.DataFrame | None) -> list[tuple[str | None, str | None]]:
    events = [watch(20), watch(0), watch(10), watch(5, device="stranger")]
    rows = bronze(registry, "wearable", events)
    found = refine(rows, NOBODY, registry["wearable"], devices).silver
    assert found["received_at"].is_sorted(), "rows stay in order of arrival"
    local = found["local_time"].dt.to_string("%H:%M")
    return list(zip(found["time_zone"], local, strict=True))


def test_a_device_has_the_zone_that_it_was_registered_in_at_the_time(registry: Registry) -> None:
    moved = datetime(2026, 1, 5, 12, 10, tzinfo=UTC)
    devices = registered(
        ("w", "Asia/Tokyo", moved), ("w", "Europe/Sofia", None), ("x", "UTC", None)
    )
    assert zones(registry, devices) == [
        ("Asia/Tokyo", "21:20"),
        ("Europe/Sofia", "14:00"),
        ("Asia/Tokyo", "21:10"),
        (None, None),
    ]


def test_the_first_registration_stands_for_the_time_before_it(registry: Registry) -> None:
    later = datetime(2026, 6, 1, tzinfo=UTC)
    assert zones(registry, registered(("w", "Europe/Sofia", later)))[0] == ("Europe/Sofia", "14:20")
    both = registered(("w", "Europe/Sofia", later), ("w", "Asia/Tokyo", later.replace(month=7)))
    assert zones(registry, both)[0] == ("Europe/Sofia", "14:20")


def test_without_a_registry_there_is_no_local_time(registry: Registry) -> None:
    assert zones(registry, None) == [(None, None)] * 4


def write(settings: Settings, *lines: str) -> Path:
    file = settings.home / "lake" / "reference" / "devices.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([",".join(DEVICES), *lines]) + "\n")
    return file


def test_the_registry_in_the_bucket_counts_as_it_is_now_and_a_broken_one_as_none(
    registry: Registry, lake_settings: Settings
) -> None:
    def zone(minute: int) -> str | None:
        land(lake_settings, registry, "wearable", [watch(minute)])
        lake.build_bronze("wearable", HOUR)
        return lake.refined("wearable", HOUR).silver["time_zone"][-1]

    lake = Lake(lake_settings, registry)
    assert zone(0) is None
    write(lake_settings, "w,u,home,1.5,2.5,Europe/Sofia,2026-01-01T00:00:00Z")
    assert zone(1) == "Europe/Sofia"
    write(lake_settings, "w,u,home,north,2.5,Asia/Tokyo,2026-01-01T00:00:00Z")
    assert zone(2) is None
