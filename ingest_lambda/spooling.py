"""Appends that outlive an outage: to the table while it takes commits, else to the spool.

Every commit of an edge has a number, which its log entry carries as the transaction of the spool's
`app_id` (Delta protocol, transaction identifiers). Numbers reach the table in order: while anything
waits in the spool, all that is new waits behind it. So the newest number in the table tells which
batches are already there, whatever died between a commit and its answer.
"""

from __future__ import annotations

import logging
import random
import sqlite3
from threading import Event, Thread
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError
from obstore.exceptions import BaseError as StoreError

from ingest_lambda.appender import NotDurable
from ingest_lambda.spool import Batch, SpoolFull
from telemetry_contracts.sealing import SealBroken

if TYPE_CHECKING:
    import polars as pl

    from ingest_lambda.appender import Appender
    from ingest_lambda.spool import Spool

_log = logging.getLogger(__name__)
_STILL_AWAY = (NotDurable, DeltaError, StoreError, OSError, SealBroken, sqlite3.Error)
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0


class SpoolingAppender:
    """Makes frames durable in a table or, while that is away, in a spool that it drains later.

    `append` is called from one thread. The appender is used either there, while the spool is empty,
    or by the draining thread, while it is not.
    """

    def __init__(self, appender: Appender, spool: Spool) -> None:
        """Take over what an earlier process left in the spool.

        Args:
            appender: Its log entries must name the spool's `app_id`.
            spool: Where rows wait.

        Raises:
            deltalake.exceptions.DeltaError, OSError: The table cannot be read.
        """
        self.name = appender.name
        self.schema = appender.schema
        self.spool = spool
        self._appender = appender
        self._next = max(appender.last_sequence(), spool.last_sequence) + 1
        self._stopping = Event()
        self._filled = Event()
        if not spool.empty:
            self._filled.set()
        self._drainer = Thread(target=self._drain, name=f"drain-{self.name}", daemon=True)
        self._drainer.start()

    def append(self, frame: pl.DataFrame) -> int | None:
        """Make `frame` durable.

        Returns:
            The table version that holds the rows; None while they wait in the spool.

        Raises:
            NotDurable: Neither the table nor the spool took them.
        """
        sequence = self._next
        # A number is never used twice: a commit whose answer was lost may still arrive.
        self._next += 1
        if self.spool.empty:
            try:
                return self._appender.append(frame, sequence)
            except NotDurable:
                _log.warning("storage is away, spooling", extra={"table": self.name})
        try:
            self.spool.append(Batch(sequence, frame))
        except SpoolFull as error:
            raise NotDurable(f"the spool of {self.name} is full") from error
        self._filled.set()
        return None

    @property
    def version(self) -> int | None:
        """The newest table version that this appender knows of."""
        return self._appender.version

    def newest(self, known: int) -> int:
        """Return the newest table version in storage; see `DeltaLog.newest`."""
        return self._appender.newest(known)

    def close(self) -> None:
        """Stop; what still waits is drained by the next process."""
        self._stopping.set()
        self._filled.set()
        self._drainer.join()
        self._appender.close()
        self.spool.close()

    def _drain(self) -> None:
        """Carry batches to the table, oldest first, whenever there are some."""
        pause = _FIRST_PAUSE_SECONDS
        while self._filled.wait():
            self._filled.clear()
            # Looked at after `clear`, which may just have undone the last call of `close`.
            if self._stopping.is_set():
                return
            try:
                drained = self._drain_all()
            except _STILL_AWAY as error:
                _log.warning(
                    "spool not drained",
                    extra={"table": self.name, "error": type(error).__name__},
                )
                self._filled.set()
                self._stopping.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            _log.info("spool drained", extra={"table": self.name, "batches": drained})

    def _drain_all(self) -> int:
        there = self._appender.last_sequence()
        drained = 0
        while (batch := self.spool.first()) is not None and not self._stopping.is_set():
            if batch.sequence > there:
                self._appender.append(batch.frame, batch.sequence)
            self.spool.drop(batch.sequence)
            drained += 1
        return drained
