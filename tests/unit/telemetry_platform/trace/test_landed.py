"""Landed rows by receipt and event id: found in few files, with the commit that brought them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_platform.clock import hour_key, hour_start, utc_now
from telemetry_platform.delta import open_table, replace_partition
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.ids import new_receipt_id
from telemetry_platform.layout import (
    LANDING_EVENTS,
    RECEIVED_HOUR,
    SOURCE,
    Table,
    landing_input,
)
from telemetry_platform.trace.commits import CommitLog, open_lake
from telemetry_platform.trace.landed import FILE, LandingTable, first_commit

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

EVENT = "00120740-aace-8ae7-95c3-96eb0baacd3a"
OTHER = "38b87e8e-c19f-8c14-ab6a-0372212fa04e"
BRONZE = Table(
    "bronze/mobile",
    {name: LANDING_EVENTS.schema[name] for name in ("event_id", RECEIVED_HOUR, "received_at")},
    partition_by=(RECEIVED_HOUR,),
)


def land(settings: Settings, receipt: str, at: datetime, *event_ids: str) -> int:
    """Land events as the edge does; returns the version that holds them."""
    rows = [
        {
            "event_id": event_id,
            "source": "mobile",
            "device_id": "phone",
            "event_time": at,
            "received_at": at,
            "received_hour": hour_key(at),
            "payload": '{"secret": 1}',
            "contract_version": "1.0.0",
            "receipt_id": receipt,
            "token_key_version": 1,
        }
        for event_id in event_ids
    ]
    log = DeltaLog(settings, LANDING_EVENTS)
    try:
        return log.commit(log.prepare(pl.DataFrame(rows, schema=LANDING_EVENTS.schema)))
    finally:
        log.close()


def landing(settings: Settings) -> LandingTable:
    return LandingTable(settings, open_lake(settings), LANDING_EVENTS)


def files_of(settings: Settings, hour: str) -> list[Path]:
    folder = Path(str(settings.lake_root)) / f"landing/events/source=mobile/received_hour={hour}"
    return list(folder.iterdir())


def test_a_receipt_has_its_rows_and_their_commit_and_no_payload(lake_settings: Settings) -> None:
    now, receipt = utc_now(), new_receipt_id()
    land(lake_settings, new_receipt_id(), now, OTHER)
    version = land(lake_settings, receipt, now, EVENT)
    land(lake_settings, new_receipt_id(), now, OTHER)
    table = landing(lake_settings)
    (row,) = table.of_receipt(receipt, now).to_dicts()
    assert row["event_id"] == EVENT
    assert "payload" not in row
    found = table.landing_of(row)
    assert found.commit is not None
    assert (found.commit.version, found.path, found.certain) == (version, row[FILE], True)
    assert not found.compacted


def test_only_files_that_may_hold_the_receipt_are_opened(lake_settings: Settings) -> None:
    now, receipt = utc_now(), new_receipt_id()
    before = now - timedelta(hours=3)
    land(lake_settings, new_receipt_id(), before, OTHER)
    land(lake_settings, receipt, now, EVENT)
    for file in files_of(lake_settings, hour_key(before)):
        file.unlink()
    table = landing(lake_settings)
    assert table.of_receipt(receipt, now).height == 1
    assert table.of_event(EVENT, "mobile", now).height == 1


def test_the_commit_is_found_after_its_hour_was_compacted(lake_settings: Settings) -> None:
    now, receipt = utc_now(), new_receipt_id()
    # Only files of one hour are joined.
    earlier = max(now - timedelta(seconds=5), hour_start(hour_key(now)))
    land(lake_settings, new_receipt_id(), earlier, OTHER)
    version = land(lake_settings, receipt, now, EVENT)
    delta = open_table(lake_settings, LANDING_EVENTS.path)
    assert delta is not None
    delta.optimize.compact()
    table = landing(lake_settings)
    (row,) = table.of_receipt(receipt, now).to_dicts()
    found = table.landing_of(row)
    assert found.commit is not None
    assert (found.commit.version, found.certain, found.compacted) == (version, True, True)


def test_of_commits_that_overlap_none_is_called_certain_after_compaction(
    lake_settings: Settings,
) -> None:
    now, receipt = utc_now(), new_receipt_id()
    land(lake_settings, new_receipt_id(), now, OTHER)
    land(lake_settings, receipt, now, EVENT)
    delta = open_table(lake_settings, LANDING_EVENTS.path)
    assert delta is not None
    delta.optimize.compact()
    table = landing(lake_settings)
    (row,) = table.of_receipt(receipt, now).to_dicts()
    assert not table.landing_of(row).certain


def test_an_event_that_waits_is_found_in_the_hours_that_have_grown(
    lake_settings: Settings,
) -> None:
    now = utc_now()
    hour, before = hour_key(now), hour_key(now - timedelta(hours=2))
    land(lake_settings, new_receipt_id(), now, EVENT)
    land(lake_settings, new_receipt_id(), hour_start(before), EVENT)
    table = landing(lake_settings)
    assert table.sizes() == {("mobile", hour): 1, ("mobile", before): 1}
    rows, whole = table.among(EVENT, [("mobile", before)])
    assert (rows[RECEIVED_HOUR].to_list(), whole) == ([before], True)
    assert table.among(EVENT, [])[0].is_empty()


def test_bronze_is_the_first_commit_that_had_read_the_landing_version(
    lake_settings: Settings,
) -> None:
    now = utc_now()
    hour = hour_key(now)
    frame = pl.DataFrame([{"event_id": EVENT, RECEIVED_HOUR: hour, "received_at": now}])
    versions = [
        replace_partition(
            lake_settings,
            BRONZE,
            frame,
            {RECEIVED_HOUR: where},
            {landing_input("mobile", where): read},
        )
        for where, read in ((hour, 1), (hour, 4), (hour, 6))
    ]
    log = CommitLog(open_lake(lake_settings), BRONZE.path)
    found = first_commit(log, {RECEIVED_HOUR: hour}, now, (landing_input("mobile", hour), 3))
    assert found is not None
    assert found.version == versions[1]
    assert first_commit(log, {RECEIVED_HOUR: hour}, now, (landing_input("mobile", hour), 9)) is None
    assert first_commit(log, {SOURCE: "mobile"}, now) is None
