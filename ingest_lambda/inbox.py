"""Watches the CSV inbox: folder to S3, S3 to landing, and away with what is done.

Runs in a thread of the edge process and lands through the same committers as posts do. What one
file holds is `file_landing`'s matter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl
from botocore.exceptions import BotoCoreError, ClientError
from deltalake.exceptions import DeltaError

from ingest_lambda.appender import Appender, NotDurable
from ingest_lambda.file_landing import (
    LANDED,
    REPEATED,
    UNREADABLE,
    Filing,
    file_hash,
    queue_files,
    read_file,
)
from ingest_lambda.inbox_folder import FolderFeeder
from ingest_lambda.inbox_objects import InboxObjects, Waiting
from ingest_lambda.landing import QueueFull
from ingest_lambda.large_files import LargeFile, Stopped, open_appender, receipt_of
from telemetry_contracts.csv_encoding import content_hash
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_FILE_ERRORS, LANDING_FILES
from telemetry_platform.objects import s3_client
from telemetry_platform.polling import Polling

if TYPE_CHECKING:
    from ingest_lambda.edge import Edge

# Files taken together before their commits are awaited: one commit serves many small files. A
# larger file is landed on its own, in batches.
BATCH_BYTES = 16 * 1024 * 1024
_log = logging.getLogger(__name__)
_STORAGE_AWAY = (BotoCoreError, ClientError, DeltaError, NotDurable, OSError, QueueFull)
_WAITS = (*_STORAGE_AWAY, pl.exceptions.PolarsError)


class Inbox(Polling):
    """The inbox of one edge. `start` it once the edge is open, `stop` it before closing."""

    def __init__(
        self,
        edge: Edge,
        s3: Any | None = None,  # noqa: ANN401  (boto3 clients are made at run time)
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        """Serve the inbox of an edge.

        Args:
            edge: Where the files land.
            s3: A client of the object store, if there is one already.
            batch_bytes: Bytes of the files that are taken together.
        """
        settings = edge.settings
        super().__init__("inbox", settings.inbox_poll_seconds)
        self._edge = edge
        self._batch_bytes = batch_bytes
        s3 = s3 or s3_client(settings)
        self._objects = InboxObjects(settings, s3, edge.box)
        folder = settings.inbox_dir
        self._feeder = FolderFeeder(settings, folder, s3) if folder else None
        self._known: set[str] | None = None
        self._errors: Appender | None = None
        self._stuck: set[Waiting] = set()

    def stop(self) -> None:
        """Finish the files under way and end."""
        super().stop()
        if self._errors is not None:
            self._errors.close()

    def look(self) -> None:
        """Look once; what storage does not allow now is done at a later look."""
        try:
            self.look_once()
        except _WAITS as error:
            _log.warning("inbox waits", extra={"error": type(error).__name__})

    def look_once(self) -> int:
        """Feed the folder's files, then land everything that waits in the S3 inbox.

        Returns:
            The number of files finished.

        Raises:
            BotoCoreError, ClientError: The object store does not answer; nothing is lost.
            DeltaError, OSError, PolarsError: The record of earlier files cannot be read.
            NotDurable, QueueFull: Nothing can be committed; the files stay in the inbox.
        """
        if self._feeder is not None:
            self._feeder.feed()
        return sum(self._land(batch) for batch in self._batches())

    def land(self, keys: list[str]) -> int:
        """Land these objects of the S3 inbox.

        Returns:
            The number of files finished; one that breaks the reader stays where it is.

        Raises:
            ClientError: An object is not there, or the object store refuses.
            BotoCoreError, NotDurable, QueueFull: See `look_once`.
        """
        listed = {key: self._objects.waiting(key) for key in keys}
        return self._land(
            [
                next((one for one in found if one.key == key), Waiting(key, 0, "", described=False))
                for key, found in listed.items()
            ]
        )

    def _batches(self) -> Iterator[list[Waiting]]:
        batch: list[Waiting] = []
        size = 0
        for waiting in self._objects.waiting():
            if waiting in self._stuck:
                continue
            if batch and size + waiting.size > self._batch_bytes:
                yield batch
                batch, size = [], 0
            batch.append(waiting)
            size += waiting.size
        if batch:
            yield batch

    def _land(self, batch: list[Waiting]) -> int:
        if self._known is None:
            # Not earlier: the edge may have started while storage is away.
            self._known = _known_hashes(self._edge)
        large = [waiting for waiting in batch if waiting.size > self._batch_bytes]
        done = self._land_small([waiting for waiting in batch if waiting not in large])
        return done + sum(self._land_large(waiting) for waiting in large)

    def _land_small(self, batch: list[Waiting]) -> int:
        read: list[tuple[Waiting, Filing, bytes]] = []
        hashes = set(self._known or ())
        for waiting in batch:
            if self.ending:
                return 0
            data, sidecar = self._objects.read(waiting), self._objects.sidecar(waiting)
            filing = self._read(waiting, data, sidecar, hashes)
            if filing is not None:
                read.append((waiting, filing, data))
        filings = [filing for _, filing, _ in read]
        for commit in queue_files(self._edge, filings):
            commit.result()
        self._keep_errors(filings)
        for record in [self._edge.files.submit(filing.record()) for filing in filings]:
            record.result()
        for waiting, filing, data in read:
            if filing.outcome != UNREADABLE:
                self._objects.put_done(filing.receipt.id, filing.name, data, sealed=filing.personal)
            self._finish(waiting, filing)
        return len(filings)

    def _land_large(self, waiting: Waiting) -> bool:
        """Land a file batch by batch; tell whether it was finished."""
        if self.ending:
            return False
        with self._objects.download(waiting) as stream:
            sidecar = self._objects.sidecar(waiting)
            digest = content_hash(stream, sidecar)
            try:
                filing = self._filing_of_large(waiting, sidecar, digest, stream)
            except _STORAGE_AWAY:
                raise
            except Stopped:
                return False
            except Exception as error:  # noqa: BLE001  (this thread's boundary)
                self._set_aside(waiting, error)
                return False
            self._keep_errors([filing])
            receipt = filing.receipt.id
            if filing.outcome == UNREADABLE:
                self._objects.copy_to_quarantine(waiting, f"{filing.name}.{receipt}.csv", stream)
            self._edge.files.submit(filing.record()).result()
            if filing.outcome != UNREADABLE:
                self._objects.copy_to_done(waiting, receipt, stream, sealed=filing.personal)
        self._finish(waiting, filing)
        self._objects.end(digest)
        return True

    def _filing_of_large(
        self, waiting: Waiting, sidecar: bytes | None, digest: str, stream: BinaryIO
    ) -> Filing:
        if digest in (self._known or ()):
            receipt = receipt_of(self._edge, self._objects, digest, waiting.source)
            filing = Filing(waiting.name, digest, waiting.size, receipt, REPEATED)
            # Nobody has looked at its columns.
            filing.personal = True
            return filing
        large = LargeFile(
            self._edge, self._objects, waiting, sidecar, digest, stream, lambda: self.ending
        )
        return large.land()

    def _read(
        self, waiting: Waiting, data: bytes, sidecar: bytes | None, hashes: set[str]
    ) -> Filing | None:
        """Read one file and note its hash; None when it breaks the reader."""
        repeated = file_hash(data, sidecar) in hashes
        try:
            filing = read_file(
                self._edge, data, waiting.name, waiting.source, sidecar, repeated=repeated
            )
        except Exception as error:  # noqa: BLE001  (this thread's boundary)
            self._set_aside(waiting, error)
            return None
        hashes.add(filing.sha256)
        return filing

    def _set_aside(self, waiting: Waiting, error: Exception) -> None:
        """Leave a file that breaks the reader where it is; it must not stop the others."""
        _log.error("file set aside", extra={"key": waiting.key}, exc_info=error)
        self._edge.metrics.filed("failed")
        self._stuck.add(waiting)

    def _keep_errors(self, filings: list[Filing]) -> None:
        """Make durable what is told of refused rows and files, before their records are."""
        for filing in filings:
            for suffix, content in filing.quarantine.items():
                name = f"{filing.name}.{filing.receipt.id}.{suffix}"
                self._objects.put_quarantine(name, content)
        errors = [filing.errors for filing in filings if filing.errors is not None]
        if errors:
            self._errors = self._errors or open_appender(self._edge, LANDING_FILE_ERRORS)
            self._errors.append(pl.concat(errors))

    def _finish(self, waiting: Waiting, filing: Filing) -> None:
        """Take the object out of the inbox and account for it."""
        self._objects.remove(waiting)
        self._edge.metrics.filed(filing.outcome)
        if filing.outcome == LANDED:
            if self._known is not None:
                self._known.add(filing.sha256)
            self._edge.metrics.answered(filing.receipt.source, filing.counts())
        _log.info(
            "file",
            extra={
                "receipt_id": filing.receipt.id,
                "source": filing.receipt.source,
                "outcome": filing.outcome,
                "rows": filing.rows,
                "accepted": filing.accepted,
                "duplicate": filing.duplicate,
                "rejected": filing.rejected,
            },
        )


def _known_hashes(edge: Edge) -> set[str]:
    """Return the content hashes of all files that landed."""
    delta = open_table(edge.settings, LANDING_FILES.path)
    if delta is None:
        return set()
    landed = pl.scan_delta(delta).filter(pl.col("outcome") == LANDED)
    return set(landed.select("sha256").collect()["sha256"])
