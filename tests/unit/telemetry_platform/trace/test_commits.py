"""Commits by time: found in long logs by few reads, and never guessed when a log was cleaned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from telemetry_platform.trace.commits import CommitLog, open_lake, read_commit

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
TABLE = "landing/events"
ENTRIES = 2_000


def moment(version: int) -> datetime:
    """Return when an entry was written: ten seconds after the one before."""
    return BEGIN + timedelta(seconds=10 * version)


@pytest.fixture
def log(lake_settings: Settings) -> Path:
    """Write a log of many entries."""
    folder = Path(str(lake_settings.lake_root)) / TABLE / "_delta_log"
    folder.mkdir(parents=True)
    for version in range(ENTRIES):
        at = int(moment(version).timestamp() * 1000)
        info = {"commitInfo": {"timestamp": at, "operation": "WRITE"}}
        (folder / f"{version:020d}.json").write_bytes(orjson.dumps(info))
    return folder


def opened(settings: Settings) -> CommitLog:
    return CommitLog(open_lake(settings), TABLE)


def test_a_moment_is_found_by_reading_a_dozen_entries_of_thousands(
    lake_settings: Settings, log: Path
) -> None:
    found = opened(lake_settings)
    assert found.newest == ENTRIES - 1
    first = next(found.since(moment(1234)))
    assert first.version == 1234
    assert len(found._read) <= 16, "the search reads more than it has to"
    assert log.exists()


def test_nothing_is_told_of_a_time_whose_entries_were_cleaned_up(
    lake_settings: Settings, log: Path
) -> None:
    for version in range(500):
        (log / f"{version:020d}.json").unlink()
    found = opened(lake_settings)
    assert list(found.since(moment(100))) == []
    assert next(found.since(moment(700))).version == 700


def test_the_newest_version_is_known_behind_a_checkpoint(
    lake_settings: Settings, log: Path
) -> None:
    (log / "_last_checkpoint").write_text('{"version": 1990, "size": 1}')
    assert opened(lake_settings).newest == ENTRIES - 1


def test_a_table_that_does_not_exist_has_no_commits(lake_settings: Settings) -> None:
    found = opened(lake_settings)
    assert found.newest == -1
    assert list(found.since(BEGIN)) == []


def test_an_entry_says_files_times_and_inputs() -> None:
    add = {
        "path": "source=mobile/received_hour=2026-11-01T00/a.parquet",
        "partitionValues": {"source": "mobile", "received_hour": "2026-11-01T00"},
        "dataChange": True,
        "stats": '{"numRecords": 7, "minValues": {"received_at": "2026-11-01T00:00:01.000Z"}, '
        '"maxValues": {"received_at": "2026-11-01T00:00:02.000Z"}}',
    }
    lines = [
        {"commitInfo": {"timestamp": 1_793_491_200_000}},
        {"add": add},
        {"txn": {"appId": "landing:mobile:2026-11-01T00", "version": 3}},
    ]
    commit = read_commit("bronze/mobile", 5, b"\n".join(map(orjson.dumps, lines)))
    (added,) = commit.added
    assert (commit.version, commit.inputs) == (5, {"landing:mobile:2026-11-01T00": 3})
    assert (added.rows, added.new_rows) == (7, True)
    assert added.covers(BEGIN + timedelta(seconds=1.5))
    assert not added.covers(BEGIN + timedelta(seconds=3))
    assert added.is_of({"source": "mobile"})
    assert not added.is_of({"source": "wearable"})
