"""Answers of any size as CSV, Parquet or an Arrow stream, in memory that does not grow with them.

The database writes the CSV. Parquet and Arrow are written from its binary rows as they come, in a
thread; what they are written with is imported when first asked for, because an idle server should
be small. A client that reads slowly slows the query; one that is gone ends it.
"""

from __future__ import annotations

import asyncio
import io
from typing import IO, TYPE_CHECKING, Any

from psycopg import AsyncClientCursor, DatabaseError, errors

from access_api.negotiation import MediaType

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from arro3.core import RecordBatchReader

    from access_api.database import Database
    from access_api.queries import Query

_CHUNK_BYTES = 256 * 1024
_CHUNKS_AHEAD = 4
_BATCH_BYTES = 4 * 1024 * 1024
_ROW_GROUP_ROWS = 64 * 1024
# What the boundary tells apart, whichever driver met it.
_KINDS = {
    kind.sqlstate: kind
    for kind in (errors.UndefinedTable, errors.InvalidSchemaName, errors.QueryCanceled)
}


async def csv_stream(database: Database, query: Query) -> AsyncGenerator[bytes]:
    """Yield the rows of a query as CSV (RFC 4180) with a header."""
    async with database.stream() as connection:
        text = AsyncClientCursor(connection).mogrify(query.statement, query.values)
        copy = f"COPY ({text}) TO STDOUT WITH (FORMAT csv, HEADER)"
        async with connection.cursor() as cursor, cursor.copy(copy.encode()) as rows:
            gathered = bytearray()
            async for piece in rows:
                gathered += piece
                if len(gathered) >= _CHUNK_BYTES:
                    yield bytes(gathered)
                    gathered.clear()
            yield bytes(gathered)


async def arrow_stream(database: Database, query: Query, media: MediaType) -> AsyncGenerator[bytes]:
    """Yield the rows of a query as Parquet or as an Arrow IPC stream."""
    async with database.stream() as connection:
        text = AsyncClientCursor(connection).mogrify(query.statement, query.values)
    pipe = _Pipe(asyncio.get_running_loop())
    writing = asyncio.create_task(asyncio.to_thread(_write, database.export_dsn, text, media, pipe))
    try:
        while (chunk := await pipe.next(writing)) is not None:
            yield chunk
        await writing
    finally:
        pipe.abandon()
        writing.add_done_callback(_settled)


def _settled(writing: asyncio.Task[None]) -> None:
    """Take the outcome of a writer whose reader is gone: nobody else asks for it."""
    if not writing.cancelled():
        writing.exception()


def _write(dsn: str, statement: str, media: MediaType, pipe: _Pipe) -> None:
    """Run a statement and write its rows into `pipe`; runs in a thread of its own.

    Raises:
        psycopg.Error: The database refused it or broke off.
        BrokenPipeError: Nobody reads the pipe any more.
    """
    from adbc_driver_postgresql import StatementOptions, dbapi
    from arro3.core import RecordBatchReader

    try:
        with dbapi.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
            size = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)}
            cursor.adbc_statement.set_options(**size)
            cursor.execute(statement)
            rows = RecordBatchReader.from_arrow(cursor.fetch_arrow())
            with io.BufferedWriter(pipe, _CHUNK_BYTES) as sink:
                _write_rows(rows, media, sink)
    except dbapi.Error as error:
        kind = _KINDS.get(error.sqlstate or "", DatabaseError)
        raise kind("the export failed") from error


def _write_rows(rows: RecordBatchReader, media: MediaType, sink: IO[bytes]) -> None:
    from arro3.io import write_ipc_stream, write_parquet

    if media is MediaType.ARROW:
        write_ipc_stream(rows, sink, compression=None)
    else:
        write_parquet(rows, sink, compression="zstd(1)", max_row_group_size=_ROW_GROUP_ROWS)


class _Pipe(io.RawIOBase):
    """A file that a thread writes and an event loop reads, a few chunks behind."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(_CHUNKS_AHEAD)
        self._gone = False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Exist, because the writers ask for it; they never go back."""
        raise io.UnsupportedOperation("a stream has no positions")

    def write(self, data: Any, /) -> int:  # noqa: ANN401  (a buffer; 3.12 has a name for it)
        """Hand a chunk over, waiting while the reader is behind."""
        if self._gone:
            raise BrokenPipeError
        chunk = bytes(data)
        asyncio.run_coroutine_threadsafe(self._chunks.put(chunk), self._loop).result()
        return len(chunk)

    async def next(self, writing: asyncio.Task[Any]) -> bytes | None:
        """Return the next chunk; None when `writing` has ended and all was read."""
        if self._chunks.empty():
            coming = asyncio.create_task(self._chunks.get())
            await asyncio.wait([coming, writing], return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            coming.cancel()
        return None if self._chunks.empty() else self._chunks.get_nowait()

    def abandon(self) -> None:
        """Let the writer end: nobody reads on."""
        self._gone = True
        while not self._chunks.empty():
            self._chunks.get_nowait()
