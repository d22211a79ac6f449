"""Searches everything the system stored for plain personal values of the simulated fleets.

Looks at bucket objects (raw and, for Parquet and compressed ones, decoded), at every table of the
databases, and at every file under the home: logs, the servers' own data, write-ahead logs.
"""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import psycopg
import zstandard
from psycopg import sql

from device_sim.privacy import MARKERS, PLAIN_VALUES
from telemetry_platform.objects import s3_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from telemetry_platform.settings import Settings

_CHUNK_BYTES = 8 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PARQUET_MAGIC = b"PAR1"
_NOT_SEARCHED = frozenset({"secrets"})
_TABLES = """
    SELECT n.nspname, c.relname
    FROM pg_class AS c INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1, 2
"""


@dataclass(slots=True)
class Place:
    """What was searched in one kind of place.

    Attributes:
        items: Objects, tables or files.
        searched_bytes: Bytes looked at, decoded ones included.
        hits: Occurrences of plain values by item; empty is what everybody wants.
        unreadable: Items that could not be read.
    """

    name: str
    items: int = 0
    searched_bytes: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def search(self, item: str, blobs: Iterable[bytes], needles: Needles) -> None:
        """Search the parts of one item."""
        self.items += 1
        found = 0
        for blob in blobs:
            self.searched_bytes += len(blob)
            found += needles.count(blob)
        if found:
            self.hits[item] = found


class Needles:
    """The values that are looked for. Neither logs nor reports repeat them."""

    def __init__(self, values: Iterable[str], markers: Iterable[str] = ()) -> None:
        """Prepare the search.

        Args:
            values: What must not be found.
            markers: Each value holds one of these; they make a search of clean bytes fast.
        """
        self._values = [value.encode() for value in values]
        self._markers = [marker.encode() for marker in markers] or self._values
        self._overlap = max(map(len, self._values)) - 1

    def count(self, blob: bytes) -> int:
        """Return how many times any of the values occurs."""
        if not any(marker in blob for marker in self._markers):
            return 0
        return sum(blob.count(value) for value in self._values)

    def windows(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield pieces of a stream that overlap, so that no value is cut in two."""
        tail = b""
        for chunk in chunks:
            yield tail + chunk
            tail = (tail + chunk)[-self._overlap :]


def simulated_values() -> Needles:
    """Return every personal value that a simulated device may send."""
    return Needles(PLAIN_VALUES, MARKERS)


def scan(settings: Settings, needles: Needles | None = None) -> list[Place]:
    """Search the bucket, the databases and the home.

    Returns:
        One `Place` for each of them; no hits anywhere is a pass.
    """
    wanted = needles or simulated_values()
    places = [scan_bucket(settings, wanted)]
    for name, dsn in (
        ("analytics database", settings.postgres_dsn),
        ("dagster database", settings.dagster_postgres_dsn),
    ):
        if dsn is not None:
            places.append(scan_database(name, dsn.get_secret_value(), wanted))
    places.append(scan_files(settings.home, wanted))
    return places


def scan_bucket(settings: Settings, needles: Needles) -> Place:
    """Search every object of the bucket, raw and decoded."""
    place = Place("bucket")
    client = s3_client(settings)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=settings.s3_bucket)
    for page in pages:
        for listed in page.get("Contents", ()):
            key = listed["Key"]
            try:
                body = client.get_object(Bucket=settings.s3_bucket, Key=key)["Body"].read()
            except client.exceptions.NoSuchKey:
                continue  # Moved on since it was listed: an inbox file, a vacuumed table file.
            place.search(key, (body, *decoded(body)), needles)
    return place


def scan_database(name: str, dsn: str, needles: Needles) -> Place:
    """Search every row of every table of one database, as COPY writes it."""
    place = Place(name)
    with psycopg.connect(dsn) as connection:
        for schema, table in connection.execute(_TABLES).fetchall():
            query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(
                sql.Identifier(schema, table)
            )
            with connection.cursor().copy(query) as rows:
                place.search(
                    f"{schema}.{table}", needles.windows(bytes(row) for row in rows), needles
                )
    return place


def scan_files(home: Path, needles: Needles) -> Place:
    """Search every file under the home except the key files."""
    place = Place("files of the home")
    for path in sorted(home.rglob("*")):
        inside = path.relative_to(home)
        if not path.is_file() or path.is_symlink() or inside.parts[0] in _NOT_SEARCHED:
            continue
        try:
            place.search(str(inside), needles.windows(_chunks(path)), needles)
        except FileNotFoundError:
            continue  # A server removed its file meanwhile.
        except PermissionError:
            place.unreadable.append(str(inside))
    return place


def decoded(body: bytes) -> Iterator[bytes]:
    """Yield what is inside a Parquet, gzip or zstd object; nothing for any other."""
    if body.startswith(_PARQUET_MAGIC):
        yield from _columns(pl.read_parquet(io.BytesIO(body)))
    elif body.startswith(_GZIP_MAGIC):
        try:
            yield gzip.decompress(body)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return  # Looks like gzip and is not.
    elif body.startswith(_ZSTD_MAGIC):
        yield zstandard.ZstdDecompressor().decompressobj().decompress(body)


def _columns(frame: pl.DataFrame) -> Iterator[bytes]:
    """Yield the values of each column that can hold text, one a line."""
    for series in frame:
        values = series.drop_nulls()
        if values.dtype == pl.String:
            yield "\n".join(values.to_list()).encode()
        elif values.dtype == pl.Binary:
            yield b"\n".join(values.to_list())
        elif values.dtype.is_nested():
            yield values.to_frame().write_ndjson().encode()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
