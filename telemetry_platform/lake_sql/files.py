"""The lake's Parquet files as DuckDB opens them: to read, by names that hold partition values."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import obstore
from fsspec import AbstractFileSystem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obstore.store import LocalStore, S3Store

PROTOCOL = "lake"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_VALUE = 5
"""Which part of a name, split at `/` and counted from 1, is the first partition value."""


class LakeFiles(AbstractFileSystem):
    """Names such as `lake://silver/mobile/2026-11-22T14/part-0.parquet`, to be read only.

    DuckDB's own readers for S3 are extensions that are downloaded when first used.

    Attributes:
        store: Where the files are.
        opened: Names of what DuckDB has opened.
        bytes_read: How much of them it has fetched.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, store: S3Store | LocalStore) -> None:
        """Read from `store`, whose root is the lake's."""
        super().__init__()
        self.store = store
        self._files: dict[str, tuple[str, int]] = {}
        self.opened: set[str] = set()
        self.bytes_read = 0

    def put_under_name(self, table: str, values: Sequence[str], path: str, size: int) -> str:
        """Make one file of a table known; returns its name.

        Args:
            table: Such as `silver/mobile`.
            values: Its partition values, in the order of the table's partition columns.
            path: Where it lies under the root.
            size: Its bytes.
        """
        parts = [table, *(quote(value, safe="") for value in values), path.rsplit("/", 1)[-1]]
        name = f"{PROTOCOL}://{'/'.join(parts)}"
        # A path in a Delta log is encoded as part of an address.
        self._files[name] = (unquote(path), size)
        return name

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return what DuckDB asks of a file: its size in bytes.

        Raises:
            FileNotFoundError: It is no file of a table.
        """
        if path not in self._files:
            raise FileNotFoundError(path)
        return {"name": path, "size": self._files[path][1], "type": "file"}

    def glob(self, path: str, maxdepth: int | None = None, **_: object) -> list[str]:
        """Return the file of that name; names are never patterns."""
        del maxdepth
        return [path] if path in self._files else []

    def modified(self, path: str) -> datetime:
        """Return when a file changed, which DuckDB's cache asks: in a lake none does."""
        del path
        return _NEVER

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **_: object,
    ) -> LakeFile:
        """Open a file for reading.

        Raises:
            PermissionError: It would be written.
        """
        del block_size, cache_options, compression
        if mode != "rb":
            raise PermissionError("the lake is read-only here")
        self.info(path)
        self.opened.add(path)
        return LakeFile(self, *self._files[path])

    def forget_reads(self) -> None:
        """Begin to count anew."""
        self.opened.clear()
        self.bytes_read = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path


class LakeFile(io.RawIOBase):
    """One file; each read is one request for a range."""

    def __init__(self, lake: LakeFiles, path: str, size: int) -> None:
        super().__init__()
        self._lake, self._path, self.size = lake, path, size
        self._at = 0

    def seekable(self) -> bool:
        """Whether the position can be set: yes."""
        return True

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position in bytes; returns it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, all that are left when there is none."""
        left = max(self.size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        store, start = self._lake.store, self._at
        found = bytes(obstore.get_range(store, self._path, start=start, length=wanted))
        self._at += len(found)
        self._lake.bytes_read += len(found)
        return found
