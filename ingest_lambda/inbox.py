"""Watches the CSV inbox: folder to S3, S3 to landing, and away with what is done.

Runs in a thread of the edge process and lands through the same committers as posts do. What one
file holds is `file_landing`'s matter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import PurePosixPath
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from botocore.exceptions import BotoCoreError, ClientError
from deltalake.exceptions import DeltaError

from ingest_lambda.appender import NotDurable
from ingest_lambda.file_landing import LANDED, UNREADABLE, Filing, file_hash, queue_files, read_file
from ingest_lambda.inbox_folder import INBOX_PREFIX, FolderFeeder
from ingest_lambda.landing import QueueFull
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_FILES
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from ingest_lambda.edge import Edge

DONE_PREFIX = "inbox-done/"
QUARANTINE_PREFIX = "quarantine/"
# Files taken together before their commits are awaited: one commit serves many small files.
_BATCH_BYTES = 16 * 1024 * 1024
_log = logging.getLogger(__name__)
_WAITS = (
    BotoCoreError,
    ClientError,
    DeltaError,
    NotDurable,
    OSError,
    QueueFull,
    pl.exceptions.PolarsError,
)


class _Waiting(NamedTuple):
    """One object of the inbox."""

    key: str
    size: int
    etag: str


class Inbox:
    """The inbox of one edge. `start` it once the edge is open, `stop` it before closing."""

    def __init__(self, edge: Edge) -> None:
        settings = edge.settings
        self._edge = edge
        self._bucket = settings.s3_bucket
        self._mirror = settings.quarantine_dir
        self._poll = settings.inbox_poll_seconds
        self._s3: Any = s3_client(settings)
        folder = settings.inbox_dir
        self._feeder = FolderFeeder(settings, folder, self._s3) if folder else None
        self._known: set[str] | None = None
        self._stuck: set[_Waiting] = set()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the files under way and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look_once()
            except _WAITS as error:
                _log.warning("inbox waits", extra={"error": type(error).__name__})
            self._stop.wait(self._poll)

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
        return self._land([_Waiting(key, 0, "") for key in keys])

    def _batches(self) -> Iterator[list[_Waiting]]:
        batch: list[_Waiting] = []
        size = 0
        for waiting in self._waiting():
            if batch and size + waiting.size > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(waiting)
            size += waiting.size
        if batch:
            yield batch

    def _waiting(self) -> list[_Waiting]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=INBOX_PREFIX
        )
        found = [
            _Waiting(entry["Key"], entry["Size"], entry["ETag"])
            for page in pages
            for entry in page.get("Contents", ())
            if entry["Key"].lower().endswith(".csv")
        ]
        return [waiting for waiting in found if waiting not in self._stuck]

    def _land(self, batch: list[_Waiting]) -> int:
        read: list[tuple[_Waiting, Filing, bytes]] = []
        if self._known is None:
            # Not earlier: the edge may have started while storage is away.
            self._known = _known_hashes(self._edge)
        known, hashes = self._known, set(self._known)
        for waiting in batch:
            if self._stop.is_set():
                return 0
            data = self._s3.get_object(Bucket=self._bucket, Key=waiting.key)["Body"].read()
            filing = self._read(waiting, data, hashes)
            if filing is not None:
                read.append((waiting, filing, data))
        filings = [filing for _, filing, _ in read]
        for commit in queue_files(self._edge, filings):
            commit.result()
        for filing in filings:
            self._put_quarantine(filing)
        for record in [self._edge.files.submit(filing.record()) for filing in filings]:
            record.result()
        for waiting, filing, data in read:
            self._finish(waiting, filing, data)
            if filing.outcome == LANDED:
                known.add(filing.sha256)
        return len(filings)

    def _read(self, waiting: _Waiting, data: bytes, hashes: set[str]) -> Filing | None:
        """Read one file and note its hash; None when it breaks the reader."""
        path = PurePosixPath(waiting.key.removeprefix(INBOX_PREFIX))
        source = path.parts[0] if len(path.parts) > 1 else None
        repeated = file_hash(data) in hashes
        try:
            filing = read_file(self._edge, data, path.name, source, repeated=repeated)
        except Exception as error:  # noqa: BLE001  (this thread's boundary)
            # One file that breaks the reader must not stop the others. It stays where it is.
            _log.error("file set aside", extra={"key": waiting.key}, exc_info=error)
            self._edge.metrics.filed("failed")
            self._stuck.add(waiting)
            return None
        hashes.add(filing.sha256)
        return filing

    def _put_quarantine(self, filing: Filing) -> None:
        for suffix, content in filing.quarantine.items():
            name = f"{filing.name}.{filing.receipt.id}.{suffix}"
            self._s3.put_object(Bucket=self._bucket, Key=QUARANTINE_PREFIX + name, Body=content)
            if self._mirror is not None:
                self._mirror.mkdir(parents=True, exist_ok=True)
                (self._mirror / name).write_bytes(content)

    def _finish(self, waiting: _Waiting, filing: Filing, data: bytes) -> None:
        """Move the object out of the inbox and account for it."""
        if filing.outcome != UNREADABLE:
            key = f"{DONE_PREFIX}{filing.receipt.id}/{filing.name}"
            if filing.personal:
                key, data = f"{key}.sealed", self._edge.box.seal(data)
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
        self._s3.delete_object(Bucket=self._bucket, Key=waiting.key)
        self._edge.metrics.filed(filing.outcome)
        if filing.outcome == LANDED:
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
