"""Feeds the S3 inbox from a watched local folder.

What a file holds is not looked at here. A file counts as complete when two polls in a row see the
same size and time of change.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from telemetry_platform.ids import new_uuid7
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

INBOX_PREFIX = "inbox/"
_DONE = ".done"
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
        complete = [path for path, stamp in stamps.items() if self._seen.get(path) == stamp]
        self._seen = stamps
        return sum(self._upload(path) for path in sorted(complete))

    def _candidates(self) -> list[Path]:
        found = [*self._folder.glob("*"), *self._folder.glob("*/*")]
        return [
            path
            for path in found
            if path.suffix.lower() == ".csv"
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(self._folder).parts)
        ]

    def _upload(self, path: Path) -> bool:
        key = INBOX_PREFIX + path.relative_to(self._folder).as_posix()
        # An earlier file of that name which still waits must not be overwritten: the store's
        # create-if-absent keeps it, and this one is tried again at the next poll.
        try:
            with path.open("rb") as file:
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=file, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                return False
            raise
        self._set_aside(path)
        _log.info("fed", extra={"key": key})
        return True

    def _set_aside(self, path: Path) -> None:
        target = self._folder / _DONE / path.relative_to(self._folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target = target.with_name(f"{target.stem}.{new_uuid7().hex}{target.suffix}")
        path.replace(target)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
