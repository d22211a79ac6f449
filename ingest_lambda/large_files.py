"""Lands a CSV file that is too large to be held in memory: batch by batch, each batch once.

A batch is one Delta commit that carries its number as a transaction of the file (Delta protocol,
transaction identifiers). The file is always cut at the same places and keeps the receipt that it
got when it was begun, so whoever goes on after a crash leaves out what is in the table already.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

import polars as pl
from deltalake.exceptions import DeltaError

from ingest_lambda.admission import Receipt
from ingest_lambda.appender import Appender, NotDurable
from ingest_lambda.file_landing import (
    NO_SOURCE,
    Filing,
    assumptions,
    bad_rows_files,
    errors_frame,
    landing_frame,
    note_unreadable,
)
from ingest_lambda.recent import event_keys
from telemetry_contracts.csv_declared import read_declared
from telemetry_contracts.csv_frames import CsvFile, CsvReading, UnreadableFile
from telemetry_platform.clock import hour_key
from telemetry_platform.delta import open_table, scan_table
from telemetry_platform.delta_log import TableUnsuitable
from telemetry_platform.layout import (
    LANDING_EVENTS,
    LANDING_FILE_ERRORS,
    RECEIVED_HOUR,
    SOURCE,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest_lambda.edge import Edge
    from ingest_lambda.inbox_objects import InboxObjects, Waiting

BATCH_CHARACTERS = 8 * 1024 * 1024
"""Text of one batch. Another number cuts a file that is under way at other places."""


class Stopped(Exception):
    """The edge stops in the middle of a file, which stays where it is."""


def open_appender(edge: Edge, table: Table, app_id: str | None = None) -> Appender:
    """Open a table for appends of the inbox's own.

    Raises:
        NotDurable: It cannot be reached or must not be written.
    """
    try:
        return Appender(edge.settings, table, app_id=app_id)
    except (DeltaError, OSError, TableUnsuitable) as error:
        raise NotDurable(f"{table.path} cannot be opened") from error


def receipt_of(edge: Edge, objects: InboxObjects, digest: str, source: str | None) -> Receipt:
    """Return the receipt that a file got when it was begun, by this process or by another."""
    new = edge.receipt(source or NO_SOURCE)
    note = objects.begin(digest, {"receipt_id": new.id, "received_at": new.received_at.isoformat()})
    return Receipt(
        note["receipt_id"],
        new.source,
        datetime.fromisoformat(note["received_at"]),
        new.contract_version,
        new.token_key_version,
    )


class LargeFile:
    """One large file on its way."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is known to the caller alone
        self,
        edge: Edge,
        objects: InboxObjects,
        waiting: Waiting,
        sidecar: bytes | None,
        digest: str,
        stream: BinaryIO,
        stopped: Callable[[], bool],
        batch_characters: int = BATCH_CHARACTERS,
    ) -> None:
        """Prepare to land a file.

        Args:
            edge: Where it lands.
            objects: The inbox.
            waiting: The file.
            sidecar: The YAML file beside it, if there is one.
            digest: What identifies the content of both.
            stream: Its bytes.
            stopped: Whether to stop; asked before each batch.
            batch_characters: Text of one batch.
        """
        self._edge = edge
        self._objects = objects
        self._waiting = waiting
        self._sidecar = sidecar
        self._digest = digest
        self._stream = stream
        self._stopped = stopped
        self._batch = batch_characters
        receipt = receipt_of(edge, objects, digest, waiting.source)
        self._filing = Filing(waiting.name, digest, waiting.size, receipt)

    def land(self) -> Filing:
        """Land every row, or say why the file is unreadable; its record is not written yet.

        Raises:
            Stopped: See there. What was committed is left out the next time.
            NotDurable: Storage does not take the rows now.
            BotoCoreError, ClientError, OSError: The object store does not answer.
        """
        filing, sidecar = self._filing, self._sidecar
        try:
            file = CsvFile(
                self._stream,
                filing.name,
                self._edge.registry,
                self._edge.keyring,
                self._waiting.source,
                read_declared(sidecar),
            )
            file.check()
        except UnreadableFile as error:
            note_unreadable(filing, str(error))
            if sidecar is not None:
                filing.quarantine["csv.yaml"] = sidecar
            return filing
        filing.receipt = self._edge.receipt(file.contract.source, filing.receipt, file.contract)
        filing.personal = file.personal
        self._land_batches(file)
        return filing

    def _land_batches(self, file: CsvFile) -> None:
        app_id = f"csv-{self._batch}-{self._digest}"
        events = open_appender(self._edge, LANDING_EVENTS, app_id)
        errors = open_appender(self._edge, LANDING_FILE_ERRORS, app_id)
        try:
            landed, told = events.last_sequence(), errors.last_sequence()
            good = 0
            with closing(file.readings(self._filing.receipt.received_at, self._batch)) as readings:
                for number, reading in enumerate(readings, start=1):
                    if self._stopped():
                        raise Stopped
                    good += reading.good.height
                    if number > landed:
                        self._append(events, reading, number)
                    self._tell(errors if number > told else None, reading, number)
            if landed:
                self._filing.accepted = self._count_landed()
            self._filing.duplicate = good - self._filing.accepted
        finally:
            events.close()
            errors.close()

    def _append(self, events: Appender, reading: CsvReading, number: int) -> None:
        """Commit the events of a batch that the edge does not remember.

        They are not remembered in turn: one large file would make it forget everybody else's.
        Silver counts a row that comes twice in the file as a duplicate.
        """
        frame = landing_frame(reading.good, self._filing.receipt)
        recent = self._edge.recent
        with recent.lock:
            fresh, _ = recent.fresh(event_keys(self._filing.receipt.source, frame["event_id"]))
        rows = frame.filter(pl.Series(fresh, dtype=pl.Boolean))
        if not rows.is_empty():
            events.append(rows, number)
        self._filing.accepted += rows.height

    def _tell(self, errors: Appender | None, reading: CsvReading, number: int) -> None:
        filing = self._filing
        filing.rows += reading.rows
        filing.rejected += reading.bad.height
        filing.message = assumptions(reading)
        if reading.bad.is_empty():
            return
        for suffix, content in bad_rows_files(reading).items():
            # The same name at every try, so that a batch is there once.
            name = f"{filing.name}.{filing.receipt.id}.{number:05}.{suffix}"
            self._objects.put_quarantine(name, content)
        if errors is not None:
            errors.append(errors_frame(reading.log, filing.receipt), number)

    def _count_landed(self) -> int:
        """Count the file's events in the table, of which an earlier try committed some."""
        receipt = self._filing.receipt
        where = {SOURCE: receipt.source, RECEIVED_HOUR: hour_key(receipt.received_at)}
        try:
            delta = open_table(self._edge.settings, LANDING_EVENTS.path)
            if delta is None:
                return 0
            ours = scan_table(delta, {**where}, pl.Schema({"receipt_id": pl.String})).filter(
                pl.col("receipt_id") == receipt.id
            )
            return int(ours.select(pl.len()).collect(engine="streaming").item())
        except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
            raise NotDurable("the rows that landed cannot be counted") from error
