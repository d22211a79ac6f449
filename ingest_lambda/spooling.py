"""Appends that outlive an outage: to the table while it takes commits, else to the spool.

Every commit of an edge has a number, which its log entry carries as the transaction of the spool's
`app_id` (Delta protocol, transaction identifiers). Numbers reach the table in order: while anything
waits in the spool, all that is new waits behind it. So the newest number in the table tells which
batches are already there, whatever died between a commit and its answer. The spool reserves the
numbers, so that a process knows them that starts while the table is away.
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
from ingest_lambda.probe import Unproven, UnsafeStore
from ingest_lambda.spool import Batch, SpoolFull
from telemetry_contracts.sealing import SealBroken
from telemetry_platform.delta_log import TableUnsuitable

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from ingest_lambda.appender import Appender
    from ingest_lambda.spool import Spool
    from telemetry_platform.layout import Table

_log = logging.getLogger(__name__)
_STILL_AWAY = (NotDurable, Unproven, DeltaError, StoreError, OSError, SealBroken, sqlite3.Error)
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_NUMBERS_AT_ONCE = 1_000_000


class SpoolOutdated(RuntimeError):
    """The table has numbers that the spool does not know of: it is a copy from earlier."""


class SpoolingAppender:
    """Makes frames durable in a table or, while that is away, in a spool that it drains later.

    `append` is called from one thread. The table is written either there, while the spool is empty,
    or by the draining thread, while it is not.

    Attributes:
        refusal: Why this process never commits to the table; None as long as it does or may.
    """

    def __init__(
        self,
        table: Table,
        spool: Spool,
        reach: Callable[[], Appender],
        appender: Appender | None = None,
    ) -> None:
        """Take over what an earlier process left in the spool.

        Args:
            table: What is appended to.
            spool: Where rows wait.
            reach: Opens the table, once that is possible; asked again and again by the draining
                thread. The log entries of its appender must name the spool's `app_id`.
            appender: The open table, when it can be reached already.

        Raises:
            deltalake.exceptions.DeltaError, OSError: The table or the spool cannot be read.
        """
        self.name = table.path
        self.schema = table.schema
        self.spool = spool
        self.refusal: str | None = None
        self._reach = reach
        self._appender = appender
        self._first = self._next = self._end = 0
        self._take_numbers(appender.last_sequence() if appender else 0)
        self._first = self._next
        self._stopping = Event()
        self._filled = Event()
        if self.waiting:
            self._filled.set()
        self._drainer = Thread(target=self._drain, name=f"drain-{self.name}", daemon=True)
        self._drainer.start()

    @property
    def is_open(self) -> bool:
        """Whether the table was reached since the process started."""
        return self._appender is not None

    @property
    def waiting(self) -> bool:
        """Whether rows go to the spool now."""
        return not (self.is_open and self.spool.empty)

    @property
    def version(self) -> int | None:
        """The newest table version that this appender knows of, None while it is not open."""
        return self._appender.version if self._appender else None

    def newest(self, known: int) -> int:
        """Return the newest table version in storage; see `DeltaLog.newest`."""
        return self._appender.newest(known) if self._appender else known

    def append(self, frame: pl.DataFrame) -> int | None:
        """Make `frame` durable.

        Returns:
            The table version that holds the rows; None while they wait in the spool.

        Raises:
            NotDurable: Neither the table nor the spool took them, or the table is refused.
        """
        if self.refusal is not None:
            raise NotDurable(self.refusal)
        try:
            sequence = self._number()
        except OSError as error:
            raise NotDurable(str(error)) from error
        appender = self._appender
        if appender is not None and self.spool.empty:
            try:
                return appender.append(frame, sequence)
            except NotDurable:
                _log.warning("storage is away, spooling", extra={"table": self.name})
        try:
            self.spool.append(Batch(sequence, frame))
        except SpoolFull as error:
            raise NotDurable(f"the spool of {self.name} is full") from error
        self._filled.set()
        return None

    def close(self) -> None:
        """Stop; what still waits is drained by the next process."""
        self._stopping.set()
        self._filled.set()
        self._drainer.join()
        if self._appender is not None:
            self._appender.close()
        self.spool.close()

    def _number(self) -> int:
        """Return the next number. None is used twice: a commit whose answer was lost may arrive."""
        if self._next == self._end:
            self._take_numbers(0)
        self._next += 1
        return self._next - 1

    def _take_numbers(self, above: int) -> None:
        self._next = self.spool.reserve(_NUMBERS_AT_ONCE, above)
        self._end = self._next + _NUMBERS_AT_ONCE

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
                    extra={
                        "table": self.name,
                        "error": type(error).__name__,
                        "reason": str(error) if isinstance(error, Unproven) else None,
                    },
                )
                pause = self._rest(pause)
                continue
            except (UnsafeStore, TableUnsuitable, SpoolOutdated) as error:
                self.refusal = str(error)
                _log.error("refusing to commit", extra={"table": self.name, "reason": str(error)})
                return
            except Exception as error:  # noqa: BLE001  (a thread that ended would drain no more)
                _log.error("spool not drained", extra={"table": self.name}, exc_info=error)
                pause = self._rest(pause)
                continue
            pause = _FIRST_PAUSE_SECONDS
            _log.info("spool drained", extra={"table": self.name, "batches": drained})

    def _rest(self, pause: float) -> float:
        """Wait before the next try; return how long to wait before the one after it."""
        self._filled.set()
        self._stopping.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter, not a secret)
        return min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _drain_all(self) -> int:
        appender = self._appender or self._open()
        there = appender.last_sequence()
        drained = 0
        while (batch := self.spool.first()) is not None and not self._stopping.is_set():
            if batch.sequence > there:
                appender.append(batch.frame, batch.sequence)
            self.spool.drop(batch.sequence)
            drained += 1
        return drained

    def _open(self) -> Appender:
        appender = self._reach()
        there = appender.last_sequence()
        if there >= self._first:
            # Batches of this process would be taken for some that are in the table.
            raise SpoolOutdated(
                f"{self.name} has commit {there} of this edge, whose spool knew of none from "
                f"{self._first} on: it was perhaps restored from a copy"
            )
        self._appender = appender
        _log.info("storage is back", extra={"table": self.name})
        return appender
