"""Corrections: the last one holds, whatever is refined first and however often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import (
    CORRECTIONS,
    DUPLICATES,
    QUARANTINE,
    SUPERSEDED,
    bronze_table,
)
from telemetry_platform.delta import open_table
from tests.unit.telemetry_assets.hour_runs import (
    FIRST,
    HOURS,
    SECOND,
    SOURCE,
    THIRD_HOUR,
    fates,
    refine_all,
    refine_hour,
    silver,
    state,
)
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, land_correction, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings


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


def test_refining_an_hour_again_changes_nothing(lake: Lake) -> None:
    post(lake, FIRST, 60)
    post(lake, SECOND, 80)
    correct(lake, FIRST, 65, NEXT_HOUR, 10)
    correct(lake, FIRST, None, NEXT_HOUR, 20)
    correct(lake, SECOND, None, NEXT_HOUR, 30)
    last = correct(lake, FIRST, 70, THIRD_HOUR, 5)
    refine_all(lake, *HOURS)
    assert silver(lake) == {FIRST: (70.0, last)}
    before = state(lake)
    for again in HOURS:
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
