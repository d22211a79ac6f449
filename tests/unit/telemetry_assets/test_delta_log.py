"""The log follower: every data change is seen, no version is skipped, compaction is no change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from telemetry_assets.lakehouse.delta_log import NO_VERSION, DeltaLog, touched_partitions
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, room, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

WATCH, ROOM = ("wearable", HOUR), ("environment", NEXT_HOUR)


def commit(*actions: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(action).encode() for action in actions)


def file_action(kind: str, **changes: Any) -> dict[str, Any]:
    values = {"source": "mobile", "received_hour": HOUR}
    return {kind: {"path": "f", "partitionValues": values, "dataChange": True} | changes}


@pytest.fixture
def log(lake_settings: Settings) -> DeltaLog:
    return DeltaLog(lake_settings, LANDING_EVENTS.path)


@pytest.mark.parametrize("kind", ["add", "remove"])
def test_added_and_removed_files_touch_their_partition(kind: str) -> None:
    text = commit({"commitInfo": {}}, {"txn": {"appId": "a", "version": 1}}, file_action(kind))
    assert touched_partitions(text) == {("mobile", HOUR)}


def test_rewritten_files_touch_nothing() -> None:
    text = commit(file_action("add", dataChange=False), file_action("remove", dataChange=False))
    assert touched_partitions(text) == set()


def test_a_table_that_does_not_exist_has_no_changes(log: DeltaLog) -> None:
    changes = log.changes_after(NO_VERSION)
    assert (changes.version, changes.partitions) == (NO_VERSION, {})


def test_changes_are_named_with_their_newest_version(
    lake_settings: Settings, registry: Registry, log: DeltaLog
) -> None:
    land(lake_settings, registry, "wearable", [watch()])
    land(lake_settings, registry, "environment", [room()], NEXT_HOUR)
    land(lake_settings, registry, "wearable", [watch(1)])
    changes = log.changes_after(NO_VERSION)
    assert (changes.version, changes.partitions) == (3, {WATCH: 3, ROOM: 2})
    later = log.changes_after(2)
    assert (later.version, later.partitions) == (3, {WATCH: 3})
    assert log.changes_after(3).partitions == {}


def test_no_version_is_skipped_however_few_are_read_at_a_time(
    lake_settings: Settings, registry: Registry, log: DeltaLog
) -> None:
    for minute in range(5):
        land(lake_settings, registry, "wearable", [watch(minute)])
    version, seen = NO_VERSION, []
    while (changes := log.changes_after(version, limit=2)).version != version:
        assert changes.version - version <= 2
        version = changes.version
        seen.extend(changes.partitions.values())
    assert version == 5
    assert seen == [1, 3, 5]


def test_compaction_is_passed_over(
    lake_settings: Settings, registry: Registry, log: DeltaLog
) -> None:
    for minute in range(3):
        land(lake_settings, registry, "wearable", [watch(minute)])
    table = open_table(lake_settings, LANDING_EVENTS.path)
    assert table is not None
    table.optimize.compact()
    changes = log.changes_after(3)
    assert (changes.version, changes.partitions) == (4, {})


def test_a_log_that_was_cleaned_up_is_replaced_by_what_the_table_holds(
    lake_settings: Settings, registry: Registry, log: DeltaLog
) -> None:
    land(lake_settings, registry, "wearable", [watch()])
    land(lake_settings, registry, "environment", [room()], NEXT_HOUR)
    table = open_table(lake_settings, LANDING_EVENTS.path)
    assert table is not None
    table.create_checkpoint()
    for version in (0, 1):
        (Path(table.table_uri.removeprefix("file://")) / f"_delta_log/{version:020}.json").unlink()
    changes = log.changes_after(NO_VERSION)
    assert (changes.version, changes.partitions) == (2, {WATCH: 2, ROOM: 2})
    assert log.changes_after(2).partitions == {}
