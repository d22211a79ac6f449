"""The lake, landing to gold, on a local directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from telemetry_assets.lakehouse.aggregating import metric_partials
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import (
    DUPLICATES,
    LEDGER,
    METRIC_PARTIALS,
    QUARANTINE,
    RULE_OUTCOMES,
    bronze_table,
    silver_table,
)
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, room, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

SOURCE = "wearable"


@pytest.fixture
def lake(lake_settings: Settings, registry: Registry) -> Lake:
    return Lake(lake_settings, registry)


def named(event: dict[str, Any], number: int) -> dict[str, Any]:
    return event | {"event_id": f"00000000-0000-7000-8000-{number:012}"}


def run(lake: Lake, hour: str = HOUR, source: str = SOURCE) -> dict[str, int]:
    """Refine one hour of one source as a run does; returns its ledger."""
    lake.build_bronze(source, hour)
    refined = lake.refined(source, hour)
    lake.write(silver_table(lake.registry[source]), refined.silver, hour)
    lake.write(QUARANTINE, lake.together(QUARANTINE, [refined.quarantine]), hour, [source])
    lake.write(DUPLICATES, lake.together(DUPLICATES, [refined.duplicates]), hour, [source])
    partials = metric_partials(lake.gold_input(source, hour), lake.registry[source])
    lake.write(METRIC_PARTIALS, partials, hour, [source])
    lake.write(RULE_OUTCOMES, lake.rule_outcomes(source, hour), hour, [source])
    ledger = lake.ledger(source, hour)
    lake.write(LEDGER, ledger, hour, [source])
    return ledger.select("accepted", "silver", "quarantined", "duplicates", "erased").row(
        0, named=True
    )


def tables(lake: Lake, hour: str = HOUR) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of an hour in every table, without the time of the run."""
    contract = lake.registry[SOURCE]
    found = (bronze_table(contract), silver_table(contract), QUARANTINE, DUPLICATES)
    frames = {table.path: lake.read(table, hour) for table in (*found, METRIC_PARTIALS, LEDGER)}
    return {path: frame.drop("refined_at", strict=False).rows() for path, frame in frames.items()}


def counts(accepted: int, silver: int, quarantined: int = 0, duplicates: int = 0) -> dict[str, int]:
    return {
        "accepted": accepted,
        "silver": silver,
        "quarantined": quarantined,
        "duplicates": duplicates,
        "erased": 0,
    }


def test_an_hour_goes_from_landing_to_gold_and_adds_up(lake: Lake) -> None:
    events = [watch(0), watch(1, 7), named(watch(2), 1), named(watch(3), 1)]
    land(lake.settings, lake.registry, SOURCE, events)
    assert run(lake) == counts(4, 2, 1, 1)
    assert lake.read(METRIC_PARTIALS, HOUR)["n"].sum() == 2


def test_the_same_hour_twice_changes_nothing(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [watch(0), watch(1, 7), named(watch(2), 1)])
    run(lake)
    before = tables(lake)
    run(Lake(lake.settings, lake.registry))
    assert tables(lake) == before


def test_one_hour_and_source_leave_the_others_alone(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [watch(0), watch(1, 7)])
    run(lake)
    before = tables(lake)
    land(lake.settings, lake.registry, SOURCE, [watch(2, 8)], NEXT_HOUR)
    land(lake.settings, lake.registry, "environment", [room(), room(1, 999.0)])
    assert run(lake, NEXT_HOUR) == counts(1, 0, 1)
    assert run(lake, source="environment") == counts(2, 1, 1)
    after = tables(lake)
    for path, rows in before.items():
        assert set(map(str, rows)) <= set(map(str, after[path]))
    assert after["silver/wearable"] == before["silver/wearable"]


def test_an_event_that_came_an_hour_before_is_a_duplicate_now(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [named(watch(0, 61), 1)], HOUR, "first")
    land(lake.settings, lake.registry, SOURCE, [named(watch(0, 62), 1)], NEXT_HOUR, "second")
    assert run(lake, NEXT_HOUR) == counts(1, 0, 0, 1)
    assert lake.read(DUPLICATES, NEXT_HOUR)["first_receipt_id"].to_list() == ["first"]
    assert run(lake, HOUR) == counts(1, 1)


def test_an_hour_that_is_joined_late_names_the_hours_that_kept_a_later_copy(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [named(watch(0, 62), 1)], NEXT_HOUR, "second")
    assert run(lake, NEXT_HOUR) == counts(1, 1)
    assert lake.overtaken(SOURCE, NEXT_HOUR) == []
    land(lake.settings, lake.registry, SOURCE, [named(watch(0, 61), 1)], HOUR, "first")
    assert run(lake, HOUR) == counts(1, 1)
    assert lake.overtaken(SOURCE, HOUR) == [NEXT_HOUR]
    assert run(lake, NEXT_HOUR) == counts(1, 0, 0, 1)
    assert lake.overtaken(SOURCE, HOUR) == []


@pytest.mark.parametrize("same_process", [True, False])
def test_an_hour_that_was_overtaken_while_it_was_refined_names_itself(
    lake: Lake, *, same_process: bool
) -> None:
    land(lake.settings, lake.registry, SOURCE, [named(watch(0, 62), 1)], NEXT_HOUR, "second")
    assert run(lake, NEXT_HOUR) == counts(1, 1)
    land(lake.settings, lake.registry, SOURCE, [named(watch(0, 61), 1)], HOUR, "first")
    later = lake if same_process else Lake(lake.settings, lake.registry)
    assert later.overtaken(SOURCE, NEXT_HOUR) == [NEXT_HOUR]


def test_an_hour_beyond_the_dedup_window_is_not_overtaken(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [named(watch(), 1)], HOUR)
    run(lake, HOUR)
    for hour, overtaken in (("2025-12-29T13", []), ("2025-12-29T14", [HOUR])):
        land(lake.settings, lake.registry, SOURCE, [named(watch(), 1)], hour)
        run(lake, hour)
        assert lake.overtaken(SOURCE, hour) == overtaken


def test_an_id_comes_back_as_new_after_the_dedup_window(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [named(watch(), 1)], "2025-12-29T13")
    land(lake.settings, lake.registry, SOURCE, [named(watch(), 1)], HOUR)
    land(lake.settings, lake.registry, SOURCE, [named(watch(), 2)], "2025-12-29T14")
    land(lake.settings, lake.registry, SOURCE, [named(watch(), 2)], HOUR)
    assert run(lake) == counts(2, 1, 0, 1)


@pytest.mark.parametrize("same_process", [True, False])
def test_what_lands_during_a_run_waits_for_the_next(lake: Lake, *, same_process: bool) -> None:
    land(lake.settings, lake.registry, SOURCE, [watch(0)])
    lake.build_bronze(SOURCE, HOUR)
    land(lake.settings, lake.registry, SOURCE, [watch(1), watch(2)])
    later = lake if same_process else Lake(lake.settings, lake.registry)
    later.write(silver_table(lake.registry[SOURCE]), later.refined(SOURCE, HOUR).silver, HOUR)
    ledger = later.ledger(SOURCE, HOUR)
    assert ledger.select("accepted", "silver").row(0) == (1, 1)
    assert run(lake) == counts(3, 3)


def test_a_row_lost_from_silver_shows_in_the_ledger(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [watch(0), watch(1)])
    run(lake)
    table = open_table(lake.settings, silver_table(lake.registry[SOURCE]).path)
    assert table is not None
    table.delete(f"event_id = '{lake.silver(SOURCE, HOUR)['event_id'][0]}'")
    ledger = Lake(lake.settings, lake.registry).ledger(SOURCE, HOUR)
    assert ledger.select("accepted", "silver").row(0) == (2, 1)


def test_a_landing_log_that_was_cleaned_up_does_not_break_the_ledger(lake: Lake) -> None:
    land(lake.settings, lake.registry, SOURCE, [watch(0)])
    run(lake)
    land(lake.settings, lake.registry, "environment", [room()])
    table = open_table(lake.settings, LANDING_EVENTS.path)
    assert table is not None
    table.create_checkpoint()
    for version in (0, 1):
        _log(lake, version).unlink()
    ledger = Lake(lake.settings, lake.registry).ledger(SOURCE, HOUR)
    assert ledger.select("accepted", "silver").row(0) == (1, 1)


def test_an_hour_without_events_is_written_as_an_empty_one(lake: Lake) -> None:
    assert run(lake) == counts(0, 0)
    assert lake.read(LEDGER, HOUR).height == 1


def test_no_personal_value_reaches_a_file_of_the_lake(lake: Lake, tmp_path: Path) -> None:
    secret = "ada@example.org"
    land(lake.settings, lake.registry, SOURCE, [watch(0, email=secret), watch(1, 7, email=secret)])
    run(lake)
    files = [file for file in (tmp_path / "lake").rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not [file for file in files if secret.encode() in file.read_bytes()]
    frames = [
        pl.scan_delta(file.parent.parent).collect()
        for file in files
        if file.name == f"{0:020}.json"
    ]
    assert not any(secret in str(frame.to_dicts()) for frame in frames)


def _log(lake: Lake, version: int) -> Path:
    return Path(lake.settings.root) / LANDING_EVENTS.path / f"_delta_log/{version:020}.json"
