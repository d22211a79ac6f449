"""The log writer: what it commits is a Delta table to others, and no race loses or doubles rows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry_platform import checkpointing
from telemetry_platform.delta import open_table, replace_partition
from telemetry_platform.delta_log import DeltaLog, TableUnsuitable
from telemetry_platform.layout import UTC_TIME, Table
from telemetry_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.unit

TABLE = Table(
    "landing/numbers",
    {
        "source": pl.String,
        "received_hour": pl.String,
        "n": pl.Int32,
        "received_at": UTC_TIME,
        "payload": pl.String,
    },
)
HOUR = "2026-11-22T14"
NOON = datetime(2026, 11, 22, 12, 0, 0, 123_456, UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    return Settings(lake_root=str(tmp_path))


@pytest.fixture
def opened(lake: Settings) -> Iterator[Callable[[], DeltaLog]]:
    """Return what opens one more writer on the table; all are closed at the end."""
    logs: list[DeltaLog] = []

    def make() -> DeltaLog:
        logs.append(DeltaLog(lake, TABLE))
        return logs[-1]

    yield make
    for log in logs:
        log.close()


def frame(*numbers: int, source: str = "a", at: datetime = NOON) -> pl.DataFrame:
    columns = {"source": source, "received_hour": HOUR, "n": list(numbers), "received_at": at}
    return pl.DataFrame(columns).select(
        *(pl.col(name).cast(TABLE.schema[name]) for name in columns), payload=pl.lit("tok_1_x")
    )


def delta_of(lake: Settings) -> DeltaTable:
    delta = open_table(lake, TABLE.path)
    assert delta is not None
    return delta


def numbers(lake: Settings) -> list[int]:
    return pl.scan_delta(delta_of(lake)).collect()["n"].sort().to_list()


def test_others_read_what_was_appended(lake: Settings, opened: Callable[[], DeltaLog]) -> None:
    log = opened()
    written = pl.concat([frame(1, 2), frame(3, source="b")])
    assert log.commit(log.prepare(written)) == 1
    read = pl.scan_delta(delta_of(lake)).collect().select(written.columns).sort("n")
    assert read.equals(written)
    assert delta_of(lake).version() == 1
    actions = pl.DataFrame(delta_of(lake).get_add_actions(flatten=True))
    assert sorted(actions["partition.source"]) == ["a", "b"]
    assert actions["num_records"].sum() == 3


def test_only_the_columns_meant_for_it_leave_statistics(
    lake: Settings, opened: Callable[[], DeltaLog], tmp_path: Path
) -> None:
    log = opened()
    log.commit(log.prepare(frame(1)))
    entry = tmp_path / TABLE.path / "_delta_log" / f"{1:020d}.json"
    add = next(a["add"] for a in map(json.loads, entry.read_text().splitlines()) if "add" in a)
    assert set(json.loads(add["stats"])["minValues"]) == {"received_at"}
    assert "tok_1_x" not in entry.read_text()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(offset=st.integers(0, 10**9))
def test_a_time_is_never_skipped_by_its_statistics(
    lake: Settings, opened: Callable[[], DeltaLog], offset: int
) -> None:
    moment = NOON + timedelta(microseconds=offset)
    log = opened()
    log.commit(log.prepare(frame(offset % 1000, at=moment)))
    found = pl.scan_delta(delta_of(lake)).filter(pl.col("received_at") == moment).collect()
    assert found.height >= 1


def test_a_commit_whose_answer_was_lost_is_not_repeated(
    lake: Settings, opened: Callable[[], DeltaLog]
) -> None:
    first, late = opened(), opened()
    prepared = first.prepare(frame(1, 2))
    version = first.commit(prepared)
    assert late.commit(prepared) == version
    assert delta_of(lake).version() == version
    assert numbers(lake) == [1, 2]


def test_racing_writers_lose_and_double_nothing(
    lake: Settings, opened: Callable[[], DeltaLog]
) -> None:
    logs = [opened() for _ in range(3)]

    def write(writer: int) -> None:
        for n in range(15):
            logs[writer].commit(logs[writer].prepare(frame(writer * 100 + n)))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    assert numbers(lake) == [w * 100 + n for w in range(3) for n in range(15)]
    assert delta_of(lake).version() == 45


def test_deltalake_may_write_in_between(lake: Settings, opened: Callable[[], DeltaLog]) -> None:
    log = opened()
    for n in range(4):
        log.commit(log.prepare(frame(n)))
        write_deltalake(delta_of(lake), frame(10 + n), mode="append")
    delta_of(lake).optimize.compact()
    log.commit(log.prepare(frame(20)))
    assert numbers(lake) == [0, 1, 2, 3, 10, 11, 12, 13, 20]
    replace_partition(lake, TABLE, frame(7), {"source": "a", "received_hour": HOUR})
    log.commit(log.prepare(frame(8)))
    assert numbers(lake) == [7, 8]


def test_a_table_that_got_another_schema_is_left_alone(
    lake: Settings, opened: Callable[[], DeltaLog]
) -> None:
    log = opened()
    delta_of(lake).alter.add_columns([Field("new", PrimitiveType("string"))])
    with pytest.raises(TableUnsuitable):
        log.commit(log.prepare(frame(1)))
    with pytest.raises(TableUnsuitable):
        DeltaLog(lake, TABLE)


def test_a_property_that_changes_is_no_obstacle(
    lake: Settings, opened: Callable[[], DeltaLog]
) -> None:
    log = opened()
    delta_of(lake).alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
    assert log.commit(log.prepare(frame(1))) == 2
    assert numbers(lake) == [1]


def test_checkpoints_are_made(
    lake: Settings, opened: Callable[[], DeltaLog], tmp_path: Path
) -> None:
    log = opened()
    for n in range(25):
        log.commit(log.prepare(frame(n)))
    log.close()
    last = json.loads((tmp_path / TABLE.path / "_delta_log" / "_last_checkpoint").read_bytes())
    assert last["version"] >= 20
    assert numbers(lake) == list(range(25))


def test_a_checkpoint_that_fails_is_told_and_commits_go_on(
    lake: Settings,
    opened: Callable[[], DeltaLog],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(checkpointing, "_SECONDS", 0.0)
    log = opened()
    for n in range(25):
        log.commit(log.prepare(frame(n)))
    log.close()
    assert "checkpoint failed" in caplog.text
    assert numbers(lake) == list(range(25))


@pytest.mark.parametrize("value", ["a/b", "", "a=b", "a b", "é"])
def test_a_partition_that_paths_do_not_keep_is_refused(
    opened: Callable[[], DeltaLog], value: Any
) -> None:
    with pytest.raises(ValueError, match="partition value"):
        opened().prepare(frame(1, source=value))
