"""Lands objects that were dropped into the bucket's inbox, as S3 tells of them.

CSV files go the way of the inbox (`inbox`). Files of JSON lines are taken apart here; each part is
a post of its own, and the whole has one record in `landing/files`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ingest_lambda.bodies import decompress
from ingest_lambda.file_landing import Filing, file_hash
from ingest_lambda.inbox import Inbox
from ingest_lambda.inbox_folder import INBOX_PREFIX
from ingest_lambda.inbox_objects import DONE_PREFIX
from ingest_lambda.lambda_records import Form, StoredObject
from ingest_lambda.messages import UNKNOWN_SOURCE, Message, MessageIntake
from ingest_lambda.problems import Problem
from telemetry_contracts.csv_declared import SIDECAR_SUFFIX
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from ingest_lambda.edge import Edge

_LINES_TYPE = "application/x-ndjson"
_LINES_SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_log = logging.getLogger(__name__)


class ObjectsNotLanded(RuntimeError):
    """Some objects stay in the inbox."""


class ObjectIntake:
    """Lands objects of the lake's bucket."""

    def __init__(self, edge: Edge, intake: MessageIntake) -> None:
        self._edge = edge
        self._intake = intake
        self._bucket = edge.settings.s3_bucket

    @cached_property
    def _s3(self) -> Any:  # noqa: ANN401  (boto3 clients are made at run time)
        return s3_client(self._edge.settings)

    @cached_property
    def _inbox(self) -> Inbox:
        return Inbox(self._edge)

    async def land(self, objects: list[StoredObject]) -> int:
        """Land every object and move it out of the inbox.

        Returns:
            The number of objects landed. One that is gone was landed by an earlier call.

        Raises:
            ObjectsNotLanded: Objects are not of the lake's inbox, or broke the reader.
            Problem, NotDurable, QueueFull: Storage is away; the objects stay.
        """
        foreign = [one.key for one in objects if not self._is_inbox(one)]
        done = [await self._land_one(one.key) for one in objects if self._is_inbox(one)]
        if foreign or None in done:
            raise ObjectsNotLanded(
                f"{done.count(None)} objects cannot be read, {len(foreign)} are not in the inbox"
            )
        return done.count(True)

    def _is_inbox(self, one: StoredObject) -> bool:
        return one.bucket == self._bucket and one.key.startswith(INBOX_PREFIX)

    async def _land_one(self, key: str) -> bool | None:
        """Return whether an object was landed now; None when it breaks the reader."""
        name = key.lower()
        try:
            if name.endswith(".csv"):
                return bool(await asyncio.to_thread(self._inbox.land, [key])) or None
            if name.endswith(_LINES_SUFFIXES):
                await self._land_lines(key)
                return True
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            return False
        if name.endswith(".csv" + SIDECAR_SUFFIX):
            return False
        self._edge.metrics.filed("ignored")
        _log.warning("neither CSV nor JSON lines; left in the inbox", extra={"key": key})
        return False

    async def _land_lines(self, key: str) -> None:
        data = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        path = PurePosixPath(key.removeprefix(INBOX_PREFIX))
        source = path.parts[0] if len(path.parts) > 1 else None
        known = source is not None and source in self._edge.registry
        receipt = self._edge.receipt(source if source and known else UNKNOWN_SOURCE)
        filing = Filing(path.name, file_hash(data), len(data), receipt)
        for part in self._parts(data):
            taken = await self._intake.take(Form.S3, Message(source, part, _LINES_TYPE))
            filing.accepted += taken.accepted
            filing.duplicate += taken.duplicate
            filing.rejected += taken.rejected
        filing.rows = filing.accepted + filing.duplicate + filing.rejected
        await asyncio.wrap_future(self._edge.files.submit(filing.record()))
        # Lines may hold personal values that nobody has read yet.
        sealed = self._edge.box.seal(data)
        done = f"{DONE_PREFIX}{receipt.id}/{path.name}.sealed"
        self._s3.put_object(Bucket=self._bucket, Key=done, Body=sealed)
        self._s3.delete_object(Bucket=self._bucket, Key=key)
        self._edge.metrics.filed(filing.outcome)

    def _parts(self, data: bytes) -> Iterator[bytes]:
        """Cut a file into posts; one that cannot be decompressed is left to be refused whole."""
        settings = self._edge.settings
        try:
            lines = decompress(data, "", settings.max_decompressed_bytes).splitlines()
        except Problem:
            yield data
            return
        for start in range(0, len(lines), settings.max_events_per_post):
            yield b"\n".join(lines[start : start + settings.max_events_per_post])
