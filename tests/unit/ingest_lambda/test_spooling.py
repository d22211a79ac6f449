"""Appends through an outage: everything reaches the table once, in order, whatever died when."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from ingest_lambda.appender import Appender, NotDurable
from ingest_lambda.spool import Batch, Spool
from ingest_lambda.spooling import SpoolingAppender
from telemetry_contracts.sealing import SealBox
from telemetry_platform.delta import open_table
from telemetry_platform.delta_log import DeltaLog
from telemetry_platform.layout import Table
from tests.stack_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

TABLE = Table(
    "numbers",
    {"source": pl.String, "received_hour": pl.String, "n": pl.Int64},
    statistics=("n",),
)
BOX = SealBox.generate()
PLENTY = 1_000_000


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"source": "s", "received_hour": "h", "n": list(values)})


class Writer:
    """A spooling appender on the settings' lake, and what can happen to it."""

    def __init__(self, settings: Settings, max_bytes: int = PLENTY) -> None:
        self._settings = settings
        self._max_bytes = max_bytes
        self.open()

    def open(self) -> None:
        self.spool = Spool(self._settings.spool_dir / "n.sqlite3", BOX, self._max_bytes)
        appender = Appender(self._settings, TABLE, 0.1, self.spool.app_id)
        self.sink = SpoolingAppender(appender, self.spool)

    def restart(self) -> None:
        self.sink.close()
        self.open()

    @contextmanager
    def outage(self) -> Generator[None]:
        """Take the table away, as a store that is gone does."""
        table = self._table_path()
        away = table.with_name("away")
        table.rename(away)
        table.write_text("no table")
        try:
            yield
        finally:
            table.unlink()
            away.rename(table)

    def landed(self) -> list[int]:
        table = open_table(self._settings, TABLE.path)
        assert table is not None
        return pl.scan_delta(table).select("n").collect()["n"].to_list()

    def drained(self) -> list[int]:
        wait_until(lambda: self.spool.empty, "the spool is drained")
        return self.landed()

    def _table_path(self) -> Path:
        return Path(self._settings.root) / TABLE.path


@pytest.fixture
def writer(settings: Settings) -> Iterator[Writer]:
    writer = Writer(settings)
    yield writer
    writer.sink.close()


def test_without_an_outage_nothing_waits(writer: Writer) -> None:
    assert [writer.sink.append(numbers(n)) for n in (1, 2)] == [1, 2]
    assert writer.spool.empty
    assert sorted(writer.landed()) == [1, 2]


def test_an_outage_is_bridged_and_drained_once(writer: Writer) -> None:
    writer.sink.append(numbers(1))
    with writer.outage():
        assert writer.sink.append(numbers(2)) is None
        assert writer.sink.append(numbers(3, 4)) is None
        assert not writer.spool.empty
    assert sorted(writer.drained()) == [1, 2, 3, 4]
    assert writer.sink.append(numbers(5)) is not None
    assert sorted(writer.landed()) == [1, 2, 3, 4, 5]


def test_a_process_that_ends_in_the_outage_loses_nothing(writer: Writer) -> None:
    writer.sink.append(numbers(1))
    with writer.outage():
        writer.sink.append(numbers(2))
        writer.sink.close()
    writer.open()
    assert sorted(writer.drained()) == [1, 2]


def test_a_batch_that_was_committed_and_not_dropped_is_not_committed_again(
    writer: Writer,
) -> None:
    writer.sink.append(numbers(1))
    writer.sink.append(numbers(2))
    writer.spool.append(Batch(2, numbers(2)))
    writer.restart()
    assert sorted(writer.drained()) == [1, 2]
    writer.sink.append(numbers(3))
    assert sorted(writer.landed()) == [1, 2, 3]


def test_a_late_commit_of_a_lost_attempt_is_recognised(writer: Writer, settings: Settings) -> None:
    """The store takes an entry, its answer is lost, and the same batch is prepared anew."""
    writer.sink.append(numbers(1))
    behind = DeltaLog(settings, TABLE, writer.spool.app_id)
    lost = DeltaLog(settings, TABLE, writer.spool.app_id)
    lost.commit(lost.prepare(numbers(2), 2))
    again = behind.prepare(numbers(2), 2)
    behind.commit(again)
    assert sorted(writer.landed()) == [1, 2]
    assert behind.last_sequence() == 2


def test_a_full_spool_says_so_and_recovers(settings: Settings) -> None:
    writer = Writer(settings, max_bytes=1)
    with writer.outage(), pytest.raises(NotDurable, match="full"):
        writer.sink.append(numbers(1))
    assert writer.sink.append(numbers(2)) is not None
    assert writer.landed() == [2]
    writer.sink.close()
