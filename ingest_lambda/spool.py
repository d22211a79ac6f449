"""Batches of rows that wait on the local disk while the object store is away.

A batch is in the spool once its SQLite transaction is fsynced. Bodies are sealed, because the disk
of an edge is easier to steal than a bucket. Order and repetition are `spooling`'s matter.
"""

from __future__ import annotations

import io
import os
import sqlite3
import time
import uuid
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from telemetry_contracts.sealing import SealBox

_PRIVATE_DIRECTORY, _PRIVATE_FILE = 0o700, 0o600
# Spools from before numbers were reserved: more commits than any of them has made.
_BEYOND_THE_UNCOUNTED = 2**40
_SCHEMA = """
pragma auto_vacuum = full;
pragma locking_mode = exclusive;
pragma journal_mode = wal;
pragma synchronous = full;
create table if not exists spool (app_id text not null);
create table if not exists numbering (reserved integer not null);
create table if not exists batch (
    sequence integer primary key, spooled_at real not null, body blob not null
);
"""


class SpoolFull(RuntimeError):
    """The spool has its most bytes, or the disk has no more room; nothing was taken."""


class SpoolInUse(OSError):
    """Another process has the spool open."""


class Batch(NamedTuple):
    """Rows of one commit, and its number in the order of commits."""

    sequence: int
    frame: pl.DataFrame


class Spool:
    """The waiting batches of one table in one SQLite file. Thread-safe.

    Attributes:
        app_id: Names this spool in the transactions of the Delta log, over restarts too.
        bytes: Sealed bytes that wait.
    """

    def __init__(self, path: Path, box: SealBox, max_bytes: int) -> None:
        """Open the spool, which is made when absent, readable by its owner only.

        Raises:
            SpoolInUse: Another process has it open.
            OSError: The directory cannot be written.
        """
        path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, _PRIVATE_FILE))
        self._box = box
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._store = sqlite3.connect(path, timeout=1, check_same_thread=False)
        try:
            self._store.executescript(_SCHEMA)
            self.app_id = self._identity()
        except sqlite3.OperationalError as error:
            self._store.close()
            raise SpoolInUse(f"another process uses the spool {path}") from error
        self.bytes: int = self._store.execute(
            "select coalesce(sum(length(body)), 0) from batch"
        ).fetchone()[0]

    def append(self, batch: Batch) -> None:
        """Keep a batch; it is on the disk when this returns.

        Raises:
            SpoolFull: There is no room.
        """
        buffer = io.BytesIO()
        batch.frame.write_ipc(buffer, compression="zstd")
        body = self._box.seal(buffer.getvalue())
        with self._lock:
            if self.bytes + len(body) > self._max_bytes:
                raise SpoolFull
            try:
                with self._store:
                    self._store.execute(
                        "insert into batch values (?, ?, ?)", (batch.sequence, time.time(), body)
                    )
            except sqlite3.Error as error:
                raise SpoolFull(str(error)) from error
            self.bytes += len(body)

    def first(self) -> Batch | None:
        """Return the oldest batch, None when nothing waits.

        Raises:
            SealBroken: Its key is gone or its body was changed.
        """
        sequences = self.sequences(limit=1)
        return self.get(sequences[0]) if sequences else None

    def get(self, sequence: int) -> Batch | None:
        """Return a batch, None when it does not wait any more.

        Raises:
            SealBroken: Its key is gone or its body was changed.
        """
        with self._lock:
            row = self._store.execute(
                "select body from batch where sequence = ?", (sequence,)
            ).fetchone()
        if row is None:
            return None
        return Batch(sequence, pl.read_ipc(io.BytesIO(self._box.open(row[0]))))

    def sequences(self, limit: int = -1) -> list[int]:
        """Return the numbers of the waiting batches, oldest first."""
        query = "select sequence from batch order by sequence limit ?"
        with self._lock:
            return [row[0] for row in self._store.execute(query, (limit,))]

    def drop(self, sequence: int) -> None:
        """Forget a batch that is in its table."""
        with self._lock, self._store:
            size = self._store.execute(
                "delete from batch where sequence = ? returning length(body)", (sequence,)
            ).fetchone()
            self.bytes -= size[0] if size else 0

    def reserve(self, count: int, above: int = 0) -> int:
        """Set numbers aside for commits; that is on the disk when this returns.

        Args:
            count: How many.
            above: A number that is known to be used.

        Returns:
            The first of them. They are higher than all that were set aside or used before, by any
            process that had this spool.

        Raises:
            OSError: The disk has no room.
        """
        with self._lock:
            try:
                with self._store:
                    used = self._store.execute(
                        "select max(?, reserved, (select coalesce(max(sequence), 0) from batch)) "
                        "from numbering",
                        (above,),
                    ).fetchone()[0]
                    self._store.execute("update numbering set reserved = ?", (used + count,))
            except sqlite3.Error as error:
                raise OSError(f"the spool cannot be written: {error}") from error
        return used + 1

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self.bytes

    @property
    def age_seconds(self) -> float:
        """How long the oldest batch waits; 0 when nothing does."""
        with self._lock:
            oldest = self._store.execute("select min(spooled_at) from batch").fetchone()[0]
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    @property
    def last_sequence(self) -> int:
        """Number of the youngest batch, 0 when nothing waits."""
        with self._lock:
            return self._store.execute("select coalesce(max(sequence), 0) from batch").fetchone()[0]

    def close(self) -> None:
        """Let another process open the spool."""
        with self._lock:
            self._store.close()

    def _identity(self) -> str:
        with self._store:
            found = self._store.execute("select app_id from spool").fetchone()
            app_id = found[0] if found else f"edge-{uuid.uuid4()}"
            if found is None:
                self._store.execute("insert into spool values (?)", (app_id,))
            self._store.execute(
                "insert into numbering select ? where not exists (select * from numbering)",
                (_BEYOND_THE_UNCOUNTED if found else 0,),
            )
            return app_id
