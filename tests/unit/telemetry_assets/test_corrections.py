"""Corrections: the last one holds, whatever is refined first and however often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from telemetry_assets.lakehouse.aggregating import hour_partials, metric_partials
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.reconciling import judge_lake
from telemetry_assets.lakehouse.tables import (
    CORRECTIONS,
    DUPLICATES,
    METRIC_PARTIALS,
    QUARANTINE,
    SUPERSEDED,
    bronze_table,
    silver_table,
)
from telemetry_platform.delta import open_table
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, land_correction, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

SOURCE = "wearable"
THIRD_HOUR = "2026-01-05T16"
HOURS = (HOUR, NEXT_HOUR, THIRD_HOUR)
FIRST, SECOND = (f"00000000-0000-7000-8000-{number:012}" for number in (1, 2))


@pytest.fixture
def lake(lake_settings: Settings, registry: Registry) -> Lake:
    return Lake(lake_settings, registry)


def post(lake: Lake, event_id: str, rate: Any = 60, hour: str = HOUR) -> None:
    event = watch(0, rate, event_id=event_id)
    land(lake.settings, lake.registry, SOURCE, [event], hour, f"r-{event_id[-2:]}-{hour}")


def correct(  # noqa: PLR0913, PLR0917 - when and under which key is seldom given
    lake: Lake,
    target: str,
    rate: Any = None,
    hour: str = NEXT_HOUR,
    second: int = 10,
    key: str = "",
) -> str:
    """Land a replacement with another heart rate, or a deletion without one; returns its id."""
    event = None if rate is None else watch(0, rate)
    return land_correction(lake.settings, lake.registry, SOURCE, target, event, hour, second, key)


def refine_hour(lake: Lake, hour: str) -> list[str]:
    """Refine one hour as a run does; returns the hours that are out of date by it."""
    lake.build_bronze(SOURCE, hour)
    refined = lake.refined(SOURCE, hour)
    contract = lake.registry[SOURCE]
    lake.write(silver_table(contract), refined.silver, hour)
    lake.write_corrections(SOURCE, hour)
    overtaken = lake.overtaken(SOURCE, hour)
    lake.write(QUARANTINE, lake.together(QUARANTINE, [refined.quarantine]), hour, [SOURCE])
    lake.write(DUPLICATES, lake.together(DUPLICATES, [refined.duplicates]), hour, [SOURCE])
    lake.write_superseded(hour, [SOURCE])
    silver = lake.gold_input(SOURCE, hour)
    made = {
        "gold/metric_partials": metric_partials(silver, contract),
        "gold/hour_partials": hour_partials(silver, contract),
    }
    lake.write(METRIC_PARTIALS, made["gold/metric_partials"], hour, [SOURCE])
    judged = judge_lake(lake.ledger(SOURCE, hour, made))
    assert judged["adds_up"].all(), judged
    return overtaken


def refine_all(lake: Lake, *first: str) -> None:
    """Refine hours in an order, each in a process of its own, and then what these ask for."""
    waiting = list(first)
    for _ in range(20):
        if not waiting:
            return
        asked = refine_hour(Lake(lake.settings, lake.registry), waiting.pop(0))
        waiting += [hour for hour in asked if hour not in waiting]
    raise AssertionError("hours ask for each other without end")


def state(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that the lake says of events, without regard to order."""
    fresh = Lake(lake.settings, lake.registry)
    tables = (silver_table(lake.registry[SOURCE]), QUARANTINE, DUPLICATES, SUPERSEDED, CORRECTIONS)
    return {
        table.path: sorted(
            (
                row
                for hour in HOURS
                for row in fresh.read(table, hour).drop("landing_version", strict=False).rows()
            ),
            key=str,
        )
        for table in tables
    }


def silver(lake: Lake) -> dict[str, tuple[float, str | None]]:
    """Return heart rate and correction by event id; ids are unique over the hours."""
    table = silver_table(lake.registry[SOURCE])
    frames = [Lake(lake.settings, lake.registry).read(table, hour) for hour in HOURS]
    rows = pl.concat(frames).select("event_id", "heart_rate_bpm", "correction_id").rows()
    assert len({row[0] for row in rows}) == len(rows), rows
    return {row[0]: (row[1], row[2]) for row in rows}


def fates(lake: Lake) -> dict[str, tuple[str, str | None]]:
    frames = [Lake(lake.settings, lake.registry).read(SUPERSEDED, hour) for hour in HOURS]
    rows = pl.concat(frames).select("event_id", "fate", "correction_id").rows()
    return {row[0]: (row[1], row[2]) for row in rows}


def test_a_replacement_has_the_events_id_and_the_former_values_are_kept(lake: Lake) -> None:
    post(lake, FIRST, 60)
    post(lake, SECOND, 80)
    correction = correct(lake, FIRST, 65)
    refine_all(lake, HOUR, NEXT_HOUR)
    assert silver(lake) == {FIRST: (65.0, correction), SECOND: (80.0, None)}
    assert fates(lake) == {FIRST: ("replaced", correction)}
    bronze = lake.read(bronze_table(lake.registry[SOURCE]), HOUR)
    assert sorted(bronze["heart_rate_bpm"]) == [60.0, 80.0]


def test_a_deletion_leaves_no_row_and_both_events_are_accounted_for(lake: Lake) -> None:
    post(lake, FIRST, 60)
    correction = correct(lake, FIRST)
    refine_all(lake, HOUR, NEXT_HOUR)
    assert silver(lake) == {}
    assert fates(lake) == {FIRST: ("deleted", correction), correction: ("deletion", None)}


def test_an_event_and_its_correction_in_one_hour_take_one_pass(lake: Lake) -> None:
    post(lake, FIRST, 60)
    post(lake, SECOND, 60)
    correction = correct(lake, FIRST, 65, HOUR)
    correct(lake, SECOND, None, HOUR, 11)
    assert refine_hour(lake, HOUR) == []
    assert silver(lake) == {FIRST: (65.0, correction)}


@pytest.mark.parametrize("order", [HOURS, HOURS[::-1], (NEXT_HOUR, HOUR, THIRD_HOUR)])
def test_whatever_is_refined_first_the_same_comes_out(lake: Lake, order: tuple[str, ...]) -> None:
    post(lake, FIRST, 60)
    post(lake, SECOND, 80)
    correct(lake, FIRST, 65, NEXT_HOUR, 10)
    correct(lake, FIRST, None, NEXT_HOUR, 20)
    correct(lake, SECOND, None, NEXT_HOUR, 30)
    last = correct(lake, FIRST, 70, THIRD_HOUR, 5)
    refine_all(lake, *order)
    assert silver(lake) == {FIRST: (70.0, last)}
    before = state(lake)
    for again in order:
        assert refine_hour(Lake(lake.settings, lake.registry), again) == []
    assert state(lake) == before


def test_a_late_correction_of_an_hour_that_is_over_wins_only_if_it_arrived_last(lake: Lake) -> None:
    post(lake, FIRST, 60)
    refine_all(lake, HOUR)
    last = correct(lake, FIRST, 70, THIRD_HOUR)
    refine_all(lake, THIRD_HOUR)
    correct(lake, FIRST, 65, NEXT_HOUR)
    refine_all(lake, NEXT_HOUR)
    assert silver(lake) == {FIRST: (70.0, last)}


def test_a_correction_of_an_event_nobody_sent_is_quarantined_until_it_comes(lake: Lake) -> None:
    correction = correct(lake, FIRST, 65)
    deletion_id = correct(lake, SECOND, None, NEXT_HOUR, 11)
    refine_all(lake, NEXT_HOUR)
    kept = Lake(lake.settings, lake.registry).read(QUARANTINE, NEXT_HOUR)
    assert dict(kept.select("event_id", "rules").rows()) == {
        correction: ["known.corrects"],
        deletion_id: ["known.corrects"],
    }
    assert kept["payload"].str.contains(FIRST).any()
    # A spool that drains lands what had arrived earlier.
    post(lake, FIRST, 60)
    refine_all(lake, HOUR)
    assert silver(lake) == {FIRST: (65.0, correction)}


def test_a_correction_cannot_be_corrected_by_its_own_id(lake: Lake) -> None:
    post(lake, FIRST, 60)
    correction = correct(lake, FIRST, 65, HOUR)
    correct(lake, correction, None, HOUR, 20)
    correct(lake, correction, 90, NEXT_HOUR)
    refine_all(lake, *HOURS)
    assert silver(lake) == {FIRST: (65.0, correction)}
    assert Lake(lake.settings, lake.registry).read(QUARANTINE, NEXT_HOUR).height == 1


def test_a_replacement_that_a_rule_refuses_changes_nothing(lake: Lake) -> None:
    post(lake, FIRST, 60)
    correct(lake, FIRST, 7)
    refine_all(lake, *HOURS)
    assert silver(lake) == {FIRST: (60.0, None)}
    (row,) = Lake(lake.settings, lake.registry).read(QUARANTINE, NEXT_HOUR).to_dicts()
    assert row["rules"] == ["range.heart_rate_bpm"]


def test_a_quarantined_event_can_be_put_right(lake: Lake) -> None:
    post(lake, FIRST, 7)
    correction = correct(lake, FIRST, 70)
    refine_all(lake, *HOURS)
    assert silver(lake) == {FIRST: (70.0, correction)}
    assert Lake(lake.settings, lake.registry).read(QUARANTINE, HOUR).height == 1


def test_the_same_correction_sent_again_is_a_duplicate(lake: Lake) -> None:
    post(lake, FIRST, 60)
    correction = correct(lake, FIRST, 65)
    assert correct(lake, FIRST, 65, THIRD_HOUR) == correction
    assert correct(lake, FIRST, 65, THIRD_HOUR, key="again") != correction
    refine_all(lake, *HOURS)
    assert silver(lake)[FIRST][0] == 65.0
    assert Lake(lake.settings, lake.registry).read(DUPLICATES, THIRD_HOUR).height == 1


def test_a_copy_of_a_deleted_event_does_not_bring_it_back(lake: Lake) -> None:
    post(lake, FIRST, 60)
    correct(lake, FIRST)
    post(lake, FIRST, 60, THIRD_HOUR)
    refine_all(lake, *HOURS)
    assert silver(lake) == {}
    assert Lake(lake.settings, lake.registry).read(DUPLICATES, THIRD_HOUR).height == 1


def test_an_hour_without_corrections_writes_nothing_about_them(lake: Lake) -> None:
    post(lake, FIRST, 60)
    refine_all(lake, HOUR)
    delta = open_table(lake.settings, CORRECTIONS.path)
    assert delta is not None
    assert delta.version() == 0
    assert open_table(lake.settings, SUPERSEDED.path) is None


def test_a_device_cannot_pass_an_event_off_as_a_correction(lake: Lake) -> None:
    event = watch(0, 60, _corrects=SECOND, _correction="delete", event_id=FIRST)
    post(lake, SECOND, 80)
    land(lake.settings, lake.registry, SOURCE, [event], NEXT_HOUR, "odd")
    refine_all(lake, *HOURS)
    assert silver(lake) == {FIRST: (60.0, None), SECOND: (80.0, None)}
