"""Compaction: closed hours have few files, the same rows, and nobody has to look again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from telemetry_assets.lakehouse.compaction import compact_closed_hours
from telemetry_assets.lakehouse.delta_log import DeltaLog as Follower
from telemetry_platform.delta import open_table
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import LANDING_EVENTS

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

CLOSED, OPEN = "2026-01-05T09", "2026-01-05T10"
NOW = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
TOKEN = "tok_1_abcdefgh"


def rows(number: int, hour: str) -> pl.DataFrame:
    values = {
        "event_id": f"id-{hour}-{number}",
        "source": "mobile",
        "device_id": TOKEN,
        "event_time": NOW,
        "received_at": NOW,
        "received_hour": hour,
        "payload": f'{{"wifi_name":"{TOKEN}"}}',
        "contract_version": "1.0.0",
        "receipt_id": f"r{number}",
        "token_key_version": 1,
    }
    return pl.DataFrame([values], schema=LANDING_EVENTS.schema)


@pytest.fixture
def crowded(lake_settings: Settings) -> Settings:
    log = DeltaLog(lake_settings, LANDING_EVENTS)
    for number in range(10):
        for hour in (CLOSED, OPEN):
            log.commit(log.prepare(rows(number, hour)))
    log.close()
    return lake_settings


def files(settings: Settings) -> dict[str, int]:
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    return dict(actions.group_by("partition.received_hour").len().rows())


def landed(settings: Settings) -> pl.DataFrame:
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    return pl.scan_delta(table).collect().sort("event_id")


def test_closed_hours_are_joined_and_the_open_one_is_left(crowded: Settings) -> None:
    before = landed(crowded)
    (done,) = compact_closed_hours(crowded, [LANDING_EVENTS], NOW, least_files=8)
    assert (done.source, done.hour, done.files_before, done.files_after) == (
        "mobile",
        CLOSED,
        10,
        1,
    )
    assert files(crowded) == {CLOSED: 1, OPEN: 10}
    assert landed(crowded).equals(before)
    assert compact_closed_hours(crowded, [LANDING_EVENTS], NOW, least_files=2) == []


def test_few_files_are_not_worth_it(crowded: Settings) -> None:
    assert compact_closed_hours(crowded, [LANDING_EVENTS], NOW, least_files=11) == []


def test_nothing_is_refined_again(crowded: Settings) -> None:
    follower = Follower(crowded, LANDING_EVENTS.path)
    seen = follower.changes_after(-1)
    compact_closed_hours(crowded, [LANDING_EVENTS], NOW, least_files=8)
    later = follower.changes_after(seen.version)
    assert later.version > seen.version
    assert later.partitions == {}


def test_the_edge_appends_on_after_it(crowded: Settings) -> None:
    log = DeltaLog(crowded, LANDING_EVENTS)
    compact_closed_hours(crowded, [LANDING_EVENTS], NOW, least_files=8)
    log.commit(log.prepare(rows(99, OPEN)))
    assert landed(crowded).height == 21


def test_no_statistics_hold_a_token(crowded: Settings) -> None:
    compact_closed_hours(crowded, [LANDING_EVENTS], NOW, least_files=8)
    table = open_table(crowded, LANDING_EVENTS.path)
    assert table is not None
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    named = [name for name in actions.columns if name.startswith(("min.", "max."))]
    assert {name.partition(".")[2] for name in named} <= set(LANDING_EVENTS.statistics)
    (joined,) = [path for path in table.file_uris() if CLOSED in path]
    data = Path(joined).read_bytes()
    assert data.endswith(b"PAR1")
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    assert b"event_id" in footer
    assert TOKEN.encode() not in footer


def test_tables_that_do_not_exist_yet_are_passed_over(lake_settings: Settings) -> None:
    assert compact_closed_hours(lake_settings, [LANDING_EVENTS], NOW, least_files=2) == []
