"""Group commit: what waits travels together, a future speaks for exactly its rows."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import polars as pl
import pytest

from ingest_lambda import landing
from ingest_lambda.appender import Appender, NotDurable
from ingest_lambda.landing import Committer, FrameRows, QueueFull, Rows
from telemetry_platform.delta import SchemaMismatch, open_table
from telemetry_platform.layout import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry_platform.settings import Settings

pytestmark = pytest.mark.unit

TABLE = Table(
    "numbers",
    {"source": pl.String, "received_hour": pl.String, "n": pl.Int32},
    statistics=("n",),
)


class HeldAppender(Appender):
    """An appender whose first commit waits until the test lets it go."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, TABLE)
        self.entered = Event()
        self.go = Event()
        self.heights: list[int] = []

    def append(self, frame: pl.DataFrame, sequence: int | None = None) -> int:
        self.entered.set()
        assert self.go.wait(60)
        self.heights.append(frame.height)
        return super().append(frame, sequence)


@pytest.fixture
def held(settings: Settings) -> HeldAppender:
    return HeldAppender(settings)


@pytest.fixture
def committer(held: HeldAppender) -> Iterator[Committer]:
    committer = Committer(held)
    yield committer
    held.go.set()
    committer.close()


def rows(*numbers: int) -> Rows:
    return Rows({"n": list(numbers)}, {"source": "s", "received_hour": "h"}, 0)


def landed(settings: Settings) -> list[int]:
    table = open_table(settings, TABLE.path)
    assert table is not None
    return sorted(pl.scan_delta(table).collect()["n"])


def test_what_waits_during_a_commit_is_the_next_commit(
    committer: Committer, held: HeldAppender, settings: Settings
) -> None:
    first = committer.submit(rows(0))
    assert held.entered.wait(60)
    later = [committer.submit(rows(n)) for n in range(1, 6)]
    frame = pl.DataFrame({"source": "s", "received_hour": "h", "n": [6, 7]})
    later.append(committer.submit(FrameRows(frame)))
    assert not first.done()
    assert committer.queued_rows == 8
    held.go.set()
    assert (first.result(60), {commit.result(60) for commit in later}) == (1, {2})
    assert held.heights == [1, 7]
    assert landed(settings) == list(range(8))


def test_a_full_queue_takes_nothing(
    committer: Committer, held: HeldAppender, settings: Settings
) -> None:
    committer.max_queued_rows = 3
    committer.submit(rows(1, 2))
    with pytest.raises(QueueFull):
        committer.submit(rows(3, 4))
    held.go.set()
    committer.close()
    assert landed(settings) == [1, 2]
    assert committer.queued_rows == 0


def test_closing_commits_what_is_queued(
    committer: Committer, held: HeldAppender, settings: Settings
) -> None:
    committer.submit(rows(1))
    assert held.entered.wait(60)
    last = committer.submit(rows(2))
    held.go.set()
    committer.close()
    assert last.done()
    assert landed(settings) == [1, 2]


def test_a_value_that_does_not_fit_fails_its_own_group_alone(
    committer: Committer, held: HeldAppender, settings: Settings
) -> None:
    first = committer.submit(rows(1))
    assert held.entered.wait(60)
    too_big = pl.DataFrame({"source": "s", "received_hour": "h", "n": [2**40]})
    wrong = committer.submit(FrameRows(too_big))
    held.go.set()
    assert isinstance(wrong.exception(60), SchemaMismatch)
    assert first.exception(60) is None
    assert committer.submit(rows(3)).exception(60) is None
    assert landed(settings) == [1, 3]


def test_two_appenders_on_one_table_lose_and_double_nothing(settings: Settings) -> None:
    committers = [Committer(Appender(settings, TABLE)) for _ in range(2)]
    for n in range(20):
        committers[n % 2].submit(rows(n))
    for committer in committers:
        committer.close()
    assert landed(settings) == list(range(20))


def test_storage_that_is_gone_fails_in_time_and_recovers(
    settings: Settings, tmp_path: Path
) -> None:
    appender = Appender(settings, TABLE, give_up_seconds=0.2)
    frame = pl.DataFrame(
        {"source": "s", "received_hour": "h", "n": [1]}, schema_overrides={"n": pl.Int32}
    )
    lake, aside = tmp_path / "lake", tmp_path / "aside"
    lake.rename(aside)
    lake.write_bytes(b"no directory")
    with pytest.raises(NotDurable):
        appender.append(frame)
    lake.unlink()
    aside.rename(lake)
    appender.append(frame)
    assert landed(settings) == [1]


def test_a_commit_waits_while_posts_keep_joining_it(
    committer: Committer, held: HeldAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.go.set()
    joining = iter(range(2, 5))

    def lull(_: float) -> None:
        for number in joining:
            committer.submit(rows(number))
            return

    monkeypatch.setattr(landing.time, "sleep", lull)
    committer.submit(rows(1)).result(60)
    assert held.heights == [4]


def test_a_commit_does_not_wait_for_ever(
    committer: Committer, held: HeldAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.go.set()
    monkeypatch.setattr(landing, "_LONGEST_GATHERING_SECONDS", 0.0)
    joined = []

    def lull(_: float) -> None:
        joined.append(committer.submit(rows(len(joined) + 2)))

    monkeypatch.setattr(landing.time, "sleep", lull)
    committer.submit(rows(1)).result(60)
    assert held.heights[0] <= 2
