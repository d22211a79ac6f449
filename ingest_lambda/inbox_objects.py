"""The inbox as objects of a bucket: what waits, what was done with, what is kept aside.

What the files hold is not looked at here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import orjson
from botocore.exceptions import ClientError

from ingest_lambda.inbox_folder import INBOX_PREFIX
from telemetry_contracts.csv_declared import SIDECAR_SUFFIX

if TYPE_CHECKING:
    from telemetry_contracts.sealing import SealBox
    from telemetry_platform.settings import Settings

DONE_PREFIX = "inbox-done/"
QUARANTINE_PREFIX = "quarantine/"
_PROGRESS_PREFIX = "inbox-progress/"
_CHUNK_BYTES = 8 * 1024 * 1024


class Waiting(NamedTuple):
    """One CSV file of the inbox.

    Attributes:
        key: Its key in the bucket.
        size: Its bytes.
        etag: Names its content.
        described: Whether a YAML file is beside it.
    """

    key: str
    size: int
    etag: str
    described: bool

    @property
    def name(self) -> str:
        """Its name without folders."""
        return PurePosixPath(self.key).name

    @property
    def source(self) -> str | None:
        """The source that its folder names, if any."""
        path = PurePosixPath(self.key.removeprefix(INBOX_PREFIX))
        return path.parts[0] if len(path.parts) > 1 else None


class InboxObjects:
    """The objects of one bucket's inbox. Every method raises botocore's errors."""

    def __init__(self, settings: Settings, s3: Any, box: SealBox) -> None:  # noqa: ANN401
        self._bucket = settings.s3_bucket
        self._mirror = settings.quarantine_dir
        # The spool's disk: /tmp may lie in memory.
        self._disk = settings.spool_dir if settings.spool_max_bytes else None
        self._s3 = s3
        self._box = box

    def waiting(self, prefix: str = INBOX_PREFIX) -> list[Waiting]:
        """Return the CSV files whose keys begin with `prefix`."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        entries = [entry for page in pages for entry in page.get("Contents", ())]
        keys = {entry["Key"] for entry in entries}
        return [
            Waiting(
                entry["Key"], entry["Size"], entry["ETag"], entry["Key"] + SIDECAR_SUFFIX in keys
            )
            for entry in entries
            if entry["Key"].lower().endswith(".csv")
        ]

    def read(self, waiting: Waiting) -> bytes:
        """Return a whole file."""
        return self._get(waiting.key).read()

    def sidecar(self, waiting: Waiting) -> bytes | None:
        """Return the YAML file beside it."""
        return self._get(waiting.key + SIDECAR_SUFFIX).read() if waiting.described else None

    @contextmanager
    def download(self, waiting: Waiting) -> Generator[BinaryIO]:
        """Copy a file to the disk, under no name, for as long as the block lasts."""
        if self._disk is not None:
            self._disk.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._disk) as copy:
            shutil.copyfileobj(self._get(waiting.key), copy, _CHUNK_BYTES)
            yield copy

    def put_quarantine(self, name: str, content: bytes) -> None:
        """Keep something aside, in the bucket and in the folder beside it."""
        self._put(QUARANTINE_PREFIX + name, content)
        if self._mirror is not None:
            self._mirror.mkdir(parents=True, exist_ok=True)
            (self._mirror / name).write_bytes(content)

    def copy_to_quarantine(self, waiting: Waiting, name: str, stream: BinaryIO) -> None:
        """Keep a whole large file aside."""
        self._copy(waiting, QUARANTINE_PREFIX + name)
        if self._mirror is not None:
            self._mirror.mkdir(parents=True, exist_ok=True)
            stream.seek(0)
            with (self._mirror / name).open("wb") as target:
                shutil.copyfileobj(stream, target, _CHUNK_BYTES)

    def put_done(self, receipt_id: str, name: str, data: bytes, *, sealed: bool) -> None:
        """Keep the original of a file that was done with."""
        key = f"{DONE_PREFIX}{receipt_id}/{name}"
        if sealed:
            key, data = f"{key}.sealed", self._box.seal(data)
        self._put(key, data)

    def copy_to_done(
        self, waiting: Waiting, receipt_id: str, stream: BinaryIO, *, sealed: bool
    ) -> None:
        """Keep the original of a large file; a sealed one in numbered parts."""
        if not sealed:
            self._copy(waiting, f"{DONE_PREFIX}{receipt_id}/{waiting.name}")
            return
        stream.seek(0)
        for number, chunk in enumerate(_chunks(stream), start=1):
            self.put_done(receipt_id, f"{waiting.name}.{number:05}", chunk, sealed=True)

    def remove(self, waiting: Waiting) -> None:
        """Take a file, and what is said of it, out of the inbox."""
        self._s3.delete_object(Bucket=self._bucket, Key=waiting.key)
        if waiting.described:
            self._s3.delete_object(Bucket=self._bucket, Key=waiting.key + SIDECAR_SUFFIX)

    def begin(self, digest: str, note: dict[str, Any]) -> dict[str, Any]:
        """Note that a large file is begun; return the note of whoever began it first."""
        key = f"{_PROGRESS_PREFIX}{digest}.json"
        try:
            self._put(key, orjson.dumps(note), IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
                raise
            return orjson.loads(self._get(key).read())
        return note

    def end(self, digest: str) -> None:
        """Forget that a large file was begun."""
        self._s3.delete_object(Bucket=self._bucket, Key=f"{_PROGRESS_PREFIX}{digest}.json")

    def _get(self, key: str) -> Any:  # noqa: ANN401
        return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]

    def _put(self, key: str, body: bytes, **conditions: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, **conditions)

    def _copy(self, waiting: Waiting, key: str) -> None:
        self._s3.copy_object(
            Bucket=self._bucket, Key=key, CopySource={"Bucket": self._bucket, "Key": waiting.key}
        )


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
