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
        self.spool = Spool(self.spool_file, BOX, self._max_bytes)

        def reach() -> Appender:
            return Appender(self._settings, TABLE, 0.1, self.spool.app_id)

        appender = None if self._table_path().is_file() else reach()
        self.sink = SpoolingAppender(TABLE, self.spool, reach, appender)

    def restart(self) -> None:
        self.sink.close()
        self.open()

    @contextmanager
    def outage(self) -> Generator[None]:
        """Take the table away, as a store that is gone does."""
        table = self._table_path()
        away, back = table.with_name("away"), table.with_name("back")
        table.rename(away)
        table.write_text("no table")
        back.symlink_to(away, target_is_directory=True)
        try:
            yield
        finally:
            # In one step: who drains would make a table anew where there is none.
            back.replace(table)

    @property
    def spool_file(self) -> Path:
        return self._settings.spool_dir / "n.sqlite3"

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


def test_a_process_that_starts_in_an_outage_loses_nothing(writer: Writer) -> None:
    """Numbers that went straight to the table left no trace in the spool but their reservation."""
    for n in (1, 2, 3):
        writer.sink.append(numbers(n))
    with writer.outage():
        writer.restart()
        assert (writer.sink.is_open, writer.sink.version, writer.sink.waiting) == (
            False,
            None,
            True,
        )
        assert writer.sink.append(numbers(4)) is None
        writer.restart()
        assert writer.sink.append(numbers(5)) is None
    assert sorted(writer.drained()) == [1, 2, 3, 4, 5]
    wait_until(lambda: not writer.sink.waiting, "the table is open")
    assert writer.sink.append(numbers(6)) is not None
    assert sorted(writer.landed()) == [1, 2, 3, 4, 5, 6]


def test_an_error_nobody_foresaw_does_not_end_the_draining(settings: Settings) -> None:
    spool = Spool(settings.spool_dir / "n.sqlite3", BOX, PLENTY)
    errors = [RuntimeError("unforeseen"), KeyError("unforeseen")]

    def reach() -> Appender:
        if errors:
            raise errors.pop()
        return Appender(settings, TABLE, 0.1, spool.app_id)

    sink = SpoolingAppender(TABLE, spool, reach)
    assert sink.append(numbers(1)) is None
    wait_until(lambda: spool.empty, "the spool is drained")
    sink.close()
    table = open_table(settings, TABLE.path)
    assert table is not None
    assert pl.scan_delta(table).select("n").collect()["n"].to_list() == [1]


def test_a_spool_restored_from_a_copy_is_not_drained_and_not_lost(writer: Writer) -> None:
    file = writer.spool_file
    writer.sink.close()
    copy = file.read_bytes()
    writer.open()
    writer.sink.append(numbers(1))
    with writer.outage():
        writer.sink.close()
        file.write_bytes(copy)
        writer.open()
        assert writer.sink.append(numbers(2)) is None
    wait_until(lambda: writer.sink.refusal is not None, "the table is refused")
    assert "restored from a copy" in (writer.sink.refusal or "")
    with pytest.raises(NotDurable, match="restored from a copy"):
        writer.sink.append(numbers(3))
    assert writer.landed() == [1]
    assert not writer.spool.empty


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
