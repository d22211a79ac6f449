"""Replay of quarantine: shown exactly first, recorded, and done by refining the hour again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_assets.lakehouse.delta_log import NO_VERSION, DeltaLog
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.quarantine_replay import (
    QuarantineReport,
    attempts,
    replay_quarantine,
)
from telemetry_assets.lakehouse.tables import QUARANTINE, QUARANTINE_REPLAYS, REFINED_AGAIN, YES
from telemetry_contracts.registry import Registry
from telemetry_platform.clock import hour_start
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from telemetry_platform.replay.rejections import Selection
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, watch
from tests.unit.telemetry_assets.test_lake import counts, run, tables

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

SOURCE = "wearable"
RATE = "range.heart_rate_bpm"


def bounded(registry: Registry, least: float, most: float) -> Registry:
    """Return the contracts with another range of believable heart rates."""
    contract = registry[SOURCE]
    fields = [
        replace(field, minimum=least, maximum=most) if field.name == "heart_rate_bpm" else field
        for field in contract.fields
    ]
    return Registry([replace(contract, fields=tuple(fields), version="9.0.0")])


@pytest.fixture
def lake(lake_settings: Settings, registry: Registry) -> Lake:
    """Return a lake with two refined hours; three events are in quarantine."""
    land(lake_settings, registry, SOURCE, [watch(0), watch(1, 251), watch(2, 3)])
    land(lake_settings, registry, SOURCE, [watch(3), watch(4, 252, steps=-1)], NEXT_HOUR, "r2")
    found = Lake(lake_settings, registry)
    assert run(found) == counts(3, 1, 2)
    assert run(found, NEXT_HOUR) == counts(2, 1, 1)
    return found


def reopened(lake: Lake, registry: Registry) -> Lake:
    return Lake(lake.settings, registry)


def replayed(lake: Lake, *, dry_run: bool = True, **selected: Any) -> QuarantineReport:
    return replay_quarantine(lake, Selection(**selected), "test", dry_run=dry_run)


def decided(report: QuarantineReport) -> set[tuple[Any, ...]]:
    columns = ("received_hour", "rules", "outcome", "rules_now", "events")
    return {
        tuple(", ".join(v) if isinstance(v, list) else v for v in row)
        for row in report.rows.select(columns).rows()
    }


def test_a_dry_run_tells_what_a_mended_contract_would_change_and_writes_nothing(
    lake: Lake, registry: Registry
) -> None:
    before = tables(lake), tables(lake, NEXT_HOUR)
    mended = reopened(lake, bounded(registry, 20, 260))
    report = replayed(mended)
    assert decided(report) == {
        (HOUR, RATE, "released", "", 1),
        (HOUR, RATE, "refused", RATE, 1),
        (NEXT_HOUR, f"{RATE}, range.step_count", "refused", "range.step_count", 1),
    }
    assert report.hours == [(SOURCE, HOUR), (SOURCE, NEXT_HOUR)]
    assert "1 of 3 quarantined events pass today's contract. 2 hours would be" in report.summary()
    assert (tables(lake), tables(lake, NEXT_HOUR)) == before
    assert open_table(lake.settings, QUARANTINE_REPLAYS.path) is None


def test_what_the_dry_run_told_is_what_refining_again_does(lake: Lake, registry: Registry) -> None:
    mended = reopened(lake, bounded(registry, 20, 260))
    replayed(mended, dry_run=False)
    assert run(mended) == counts(3, 2, 1)
    assert run(mended, NEXT_HOUR) == counts(2, 1, 1)
    assert mended.read(QUARANTINE, NEXT_HOUR)["rules"].to_list() == [["range.step_count"]]
    assert set(mended.read(QUARANTINE, HOUR)["judged_by"]) == {"9.0.0"}


def test_applying_twice_changes_nothing_more(lake: Lake, registry: Registry) -> None:
    mended = reopened(lake, bounded(registry, 20, 260))
    replayed(mended, dry_run=False)
    run(mended), run(mended, NEXT_HOUR)
    after = tables(mended), tables(mended, NEXT_HOUR)
    again = replayed(mended, dry_run=False)
    assert (again.count("released"), again.count("refused"), again.hours) == (0, 2, [])
    run(mended), run(mended, NEXT_HOUR)
    assert (tables(mended), tables(mended, NEXT_HOUR)) == after


def test_every_attempt_is_recorded_with_who_asked(lake: Lake, registry: Registry) -> None:
    replayed(lake, dry_run=False)
    mended = reopened(lake, bounded(registry, 20, 260))
    replay_quarantine(mended, Selection(), "run 7", dry_run=False)
    history = attempts(lake.settings).sort("attempted_at")
    by_asker = {name: rows for (name,), rows in history.group_by("asked_by", maintain_order=True)}
    assert list(by_asker) == ["test", "run 7"]
    assert by_asker["test"]["outcome"].unique().to_list() == ["refused"]
    assert by_asker["test"]["events"].sum() == by_asker["run 7"]["events"].sum() == 3
    assert set(by_asker["run 7"]["contract_version"]) == {"9.0.0"}
    assert history["attempt_id"].n_unique() == 2


def test_only_hours_that_come_out_otherwise_are_asked_for(lake: Lake, registry: Registry) -> None:
    follower = DeltaLog(lake.settings, QUARANTINE_REPLAYS.path, (REFINED_AGAIN, YES))
    replayed(lake, dry_run=False)
    seen = follower.changes_after(NO_VERSION)
    assert seen.partitions == {}
    mended = reopened(lake, bounded(registry, 3, 250))
    replayed(mended, dry_run=False)
    assert set(follower.changes_after(seen.version).partitions) == {(SOURCE, HOUR)}


def test_a_narrower_contract_shows_what_would_leave_silver(lake: Lake, registry: Registry) -> None:
    narrowed = reopened(lake, bounded(registry, 70, 250))
    report = replayed(narrowed, receipts=("r1",))
    assert (HOUR, "", "withdrawn", RATE, 1) in decided(report)
    assert report.hours == [(SOURCE, HOUR)]
    assert "In silver, 1 would not pass it any more." in report.summary()
    replayed(narrowed, dry_run=False)
    assert run(narrowed) == counts(3, 0, 3)


def test_an_event_that_is_gone_from_landing_or_now_a_copy_is_told_so(
    lake: Lake, registry: Registry
) -> None:
    landing = open_table(lake.settings, LANDING_EVENTS.path)
    assert landing is not None
    lost, copied = lake.read(QUARANTINE, HOUR).sort("event_time")["event_id"]
    landing.delete(f"event_id = '{lost}'")
    assert lost != copied
    land(lake.settings, registry, SOURCE, [watch(2, 3)], "2026-01-05T13", "r0")
    report = replayed(reopened(lake, registry), since=hour_start(HOUR), until=hour_start(NEXT_HOUR))
    assert decided(report) == {
        (HOUR, RATE, "missing", "", 1),
        (HOUR, RATE, "duplicate", "", 1),
    }


@pytest.mark.parametrize(
    ("selected", "hours"),
    [
        ({}, {HOUR, NEXT_HOUR}),
        ({"rules": ("range.step_count",)}, {NEXT_HOUR}),
        ({"receipts": ("r1",)}, {HOUR}),
        ({"sources": ("mobile",)}, set()),
        ({"since": hour_start(NEXT_HOUR)}, {NEXT_HOUR}),
        ({"until": hour_start(HOUR) + timedelta(seconds=1)}, set()),
    ],
)
def test_the_selection_chooses_hours(lake: Lake, selected: dict[str, Any], hours: set[str]) -> None:
    assert set(replayed(lake, **selected).rows["received_hour"]) == hours


def test_differences_are_shown_by_rule_over_all_hours(lake: Lake, registry: Registry) -> None:
    report = replayed(reopened(lake, bounded(registry, 1, 260)))
    shown = {row[:5] for row in report.table()}
    assert shown == {
        (SOURCE, RATE, "passes", "2", "1"),
        (SOURCE, f"{RATE}, range.step_count", "refused by range.step_count", "1", "1"),
    }
    assert report.markdown().startswith("| Source | In quarantine for | Now |")
    document = report.document()
    assert document["hours_to_refine"] == [f"{SOURCE}:{HOUR}", f"{SOURCE}:{NEXT_HOUR}"]


def test_an_empty_lake_has_nothing_to_replay(lake_settings: Settings, registry: Registry) -> None:
    report = replayed(Lake(lake_settings, registry), dry_run=False)
    assert report.summary() == (
        "0 of 0 quarantined events pass today's contract. No hour comes out otherwise."
    )
    assert attempts(lake_settings).is_empty()
