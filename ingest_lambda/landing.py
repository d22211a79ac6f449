"""Group commit: many posts, one Delta commit, and nobody is answered before it.

A committer serves one table in one process. While a commit is under way everything that arrives
gathers in the next group, so the group grows with the load; an idle edge commits within
milliseconds. How one frame becomes durable exactly once is `appender`'s matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, repeat
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import polars as pl

from ingest_lambda.appender import NotDurable
from telemetry_platform.delta import cast_strict

if TYPE_CHECKING:
    from ingest_lambda.appender import Appender
    from ingest_lambda.spooling import SpoolingAppender

MAX_QUEUED_ROWS = 250_000
MAX_QUEUED_BYTES = 128 * 1024 * 1024
_ROW_OVERHEAD_BYTES = 150
_GATHERED_ROWS = 20_000
_LULL_SECONDS = 0.004
_LONGEST_GATHERING_SECONDS = 0.04
CROWD = 16
"""Posts that together need not wait for more."""

CROWD_ROWS = 2_000
"""Rows that together need not wait for more."""


class QueueFull(RuntimeError):
    """More waits to be committed than the committer may hold; nothing was taken."""


@dataclass
class Rows:
    """Rows of one post as plain values; times are microseconds since 1970 UTC.

    Attributes:
        columns: One value a row.
        shared: Columns that have the same value in every row.
        payload_bytes: Bytes of the largest column.
    """

    columns: dict[str, Sequence[Any]]
    shared: dict[str, Any]
    payload_bytes: int

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    @property
    def size(self) -> int:
        """Approximate bytes in memory."""
        return self.payload_bytes + _ROW_OVERHEAD_BYTES * self.count


@dataclass
class FrameRows:
    """Rows that are a frame already, as the inbox has them."""

    frame: pl.DataFrame

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.frame.height

    @property
    def size(self) -> int:
        """Approximate bytes in memory."""
        return int(self.frame.estimated_size())


@dataclass
class _Group:
    """What becomes one commit."""

    parts: list[Rows | FrameRows] = field(default_factory=list)
    rows: int = 0
    crowded: Event = field(default_factory=Event)


class Committer:
    """Gathers rows into groups and commits one group at a time. Thread-safe.

    Attributes:
        name: Path of the table.
        failing: Whether the last commit failed for good.
        max_queued_rows: More rows than these never wait, unless one part alone has them.
    """

    def __init__(
        self,
        appender: Appender | SpoolingAppender,
        spacing_seconds: float = 0.0,
        on_commit: Callable[[int, float], None] | None = None,
    ) -> None:
        """Serve `appender`'s table.

        Args:
            appender: Writes one frame durably.
            spacing_seconds: How far apart commits are while few posts wait. Every commit leaves a
                file, so a trickle of posts would otherwise leave many small ones.
            on_commit: Told the rows and seconds of each commit.
        """
        self.name = appender.name
        self.failing = False
        self.max_queued_rows = MAX_QUEUED_ROWS
        self._appender = appender
        self._spacing = spacing_seconds
        self._last_commit = 0.0
        self._on_commit = on_commit
        self._lock = Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"commit-{appender.name}")
        self._open: tuple[_Group, Future[int | None]] | None = None
        self._queued_rows = 0
        self._queued_bytes = 0
        self._closing = False

    def submit(self, rows: Rows | FrameRows) -> Future[int | None]:
        """Queue rows for the next commit.

        Returns:
            A future of the table version that holds the rows, None while they wait in the spool.
            It is shared by all that travel in the same commit, so it must not be cancelled. It
            fails with `NotDurable`.

        Raises:
            QueueFull: Too much waits already.
        """
        count, size = rows.count, rows.size
        with self._lock:
            if self._queued_rows and (
                self._queued_rows + count > self.max_queued_rows
                or self._queued_bytes + size > MAX_QUEUED_BYTES
            ):
                raise QueueFull
            if self._open is None:
                group = _Group()
                self._open = (group, self._worker.submit(self._commit, group))
            group, done = self._open
            group.parts.append(rows)
            group.rows += count
            crowd = len(group.parts) >= CROWD or group.rows >= CROWD_ROWS or self._closing
            if crowd and not group.crowded.is_set():
                group.crowded.set()
            self._queued_rows += count
            self._queued_bytes += size
        done.add_done_callback(lambda _: self._forget(count, size))
        return done

    @property
    def queued_rows(self) -> int:
        """Rows not yet durable."""
        return self._queued_rows

    def close(self) -> None:
        """Commit what is queued, then stop."""
        with self._lock:
            self._closing = True
            if self._open is not None:
                self._open[0].crowded.set()
        self._worker.shutdown(wait=True)
        self._appender.close()

    def _commit(self, group: _Group) -> int | None:
        group.crowded.wait(self._last_commit + self._spacing - time.monotonic())
        self._gather(group)
        self._last_commit = time.monotonic()
        with self._lock:
            self._open = None
        started = time.perf_counter()
        try:
            version = self._appender.append(_frame(group.parts, self._appender.schema))
        except NotDurable:
            self.failing = True
            raise
        self.failing = False
        if self._on_commit is not None:
            self._on_commit(group.rows, time.perf_counter() - started)
        return version

    def _gather(self, group: _Group) -> None:
        """Wait while posts keep joining: those that are being read would wait for two commits."""
        until = time.monotonic() + _LONGEST_GATHERING_SECONDS
        joined = 0
        while joined < len(group.parts) and group.rows < _GATHERED_ROWS and not self._closing:
            joined = len(group.parts)
            if time.monotonic() > until:
                return
            time.sleep(_LULL_SECONDS)

    def _forget(self, count: int, size: int) -> None:
        with self._lock:
            self._queued_rows -= count
            self._queued_bytes -= size


def _frame(parts: list[Rows | FrameRows], schema: pl.Schema) -> pl.DataFrame:
    """Put the parts of a group into one frame of exactly `schema`."""
    frames = [part.frame for part in parts if isinstance(part, FrameRows)]
    plain = [part for part in parts if isinstance(part, Rows)]
    if plain:
        frames.append(_frame_of_values(plain, schema))
    if len(frames) == 1:
        return cast_strict(frames[0], schema)
    return pl.concat([cast_strict(frame, schema) for frame in frames])


def _frame_of_values(parts: list[Rows], schema: pl.Schema) -> pl.DataFrame:
    series = []
    for name, dtype in schema.items():
        values: Iterable[Iterable[Any]]
        if name in parts[0].shared:
            values = (repeat(part.shared[name], part.count) for part in parts)
        else:
            values = (part.columns[name] for part in parts)
        series.append(_series(name, list(chain.from_iterable(values)), dtype))
    return pl.DataFrame(series)


def _series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """Return a column; times come as integers and text may come encoded."""
    plain = dtype
    if dtype.is_temporal():
        plain = pl.Int64()
    elif dtype == pl.String and values and type(values[0]) is bytes:
        plain = pl.Binary()
    return pl.Series(name, values, dtype=plain, strict=True).cast(dtype)
