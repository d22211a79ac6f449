"""Feeds the S3 inbox from a watched local folder.

What a file holds is not looked at here. A file counts as complete when two polls in a row see the
same size and time of change, and so does the YAML file beside it. A file that changes while it is
uploaded is taken back.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from telemetry_contracts.csv_declared import SIDECAR_SUFFIX
from telemetry_platform.ids import new_uuid7
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

INBOX_PREFIX = "inbox/"
_DONE = ".done"
_SUFFIX = ".csv"
_log = logging.getLogger(__name__)


class FolderFeeder:
    """Moves complete files from `folder` (or `folder/<source>/`) to the S3 inbox."""

    def __init__(self, settings: Settings, folder: Path, s3: Any | None = None) -> None:  # noqa: ANN401
        self._folder = folder
        self._bucket = settings.s3_bucket
        self._s3 = s3 or s3_client(settings)
        self._seen: dict[Path, tuple[int, int]] = {}

    def feed(self) -> int:
        """Look once and upload what is complete.

        Returns:
            The number of files uploaded.

        Raises:
            ClientError: The object store refused; nothing was moved away.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        stamps = {path: _stamp(path) for path in self._candidates()}
        complete = {path for path, stamp in stamps.items() if self._seen.get(path) == stamp}
        self._seen = stamps
        files = [path for path in sorted(complete) if path.suffix.lower() == _SUFFIX]
        return sum(
            self._upload(path, stamps[path])
            for path in files
            if _sidecar(path) not in stamps or _sidecar(path) in complete
        )

    def _candidates(self) -> list[Path]:
        found = [*self._folder.glob("*"), *self._folder.glob("*/*")]
        return [
            path
            for path in found
            if path.name.lower().endswith((_SUFFIX, _SUFFIX + SIDECAR_SUFFIX))
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(self._folder).parts)
        ]

    def _upload(self, path: Path, stamp: tuple[int, int]) -> bool:
        key, sidecar = self._key(path), _sidecar(path)
        described = sidecar in self._seen
        # An earlier file of that name which still waits must not be overwritten, nor what is said
        # of it: this one is tried again at a later poll.
        if described and self._waits(key):
            return False
        if described:
            # First, so that the file is never seen without it.
            self._s3.put_object(
                Bucket=self._bucket, Key=self._key(sidecar), Body=sidecar.read_bytes()
            )
        try:
            with path.open("rb") as file:
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=file, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                return False
            raise
        if _stamp(path) != stamp:
            self._s3.delete_object(Bucket=self._bucket, Key=key)
            return False
        self._set_aside(path)
        if described:
            self._set_aside(sidecar)
        _log.info("fed", extra={"key": key})
        return True

    def _key(self, path: Path) -> str:
        return INBOX_PREFIX + path.relative_to(self._folder).as_posix()

    def _waits(self, key: str) -> bool:
        found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key)
        return any(entry["Key"] == key for entry in found.get("Contents", ()))

    def _set_aside(self, path: Path) -> None:
        target = self._folder / _DONE / path.relative_to(self._folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target = target.with_name(f"{target.stem}.{new_uuid7().hex}{target.suffix}")
        path.replace(target)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR_SUFFIX)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
