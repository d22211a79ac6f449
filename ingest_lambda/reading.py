"""Decides where a post is read, so that a large one does not hold up all others.

A small one is read at once: handing it over would cost more. A large one goes to a process that
reads for the edge or, without one, to a thread.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ingest_lambda.bodies import Sent, read_body
from ingest_lambda.reading_messages import Task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ingest_lambda.contracts import Contracts
    from ingest_lambda.post_reader import ReadPost
    from ingest_lambda.reading_pool import ReadingPool
    from telemetry_platform.settings import Settings

# Handing over costs what reading ten events does.
_APART_BYTES = 4 * 1024
# Decompressed, a longer body may have so many bytes that other connections would feel it.
_UNPACK_IN_THREAD_BYTES = 64 * 1024
# Reading a longer one does.
_READ_IN_THREAD_BYTES = 250_000


class Reading:
    """Reads posts, with the help of `pool` where there is one."""

    def __init__(self, settings: Settings, pool: ReadingPool | None = None) -> None:
        self.pool = pool
        self._max_bytes = settings.max_decompressed_bytes
        self._max_events = settings.max_events_per_post

    async def read(self, contracts: Contracts, source: str, sent: Sent) -> ReadPost:
        """Read every event of a post by the contract of `source`.

        Raises:
            Problem: As `read_body` and `PostReader.read`; 503 when the process that read it ended.
            ReadingFailed: Another process failed to read it.
        """
        if len(sent.body) >= _APART_BYTES and self.pool is not None:
            await self.pool.replace_lost()
            if self.pool.ready:
                task = Task(source, sent, self._max_bytes, self._max_events)
                return await self.pool.read(contracts.registry, task)
        return await self._read_here(contracts, source, sent)

    @asynccontextmanager
    async def apart(self) -> AsyncGenerator[None]:
        """Have the pool's processes at hand until the block ends."""
        if self.pool is None:
            yield
            return
        await self.pool.open()
        try:
            yield
        finally:
            self.pool.close()

    async def _read_here(self, contracts: Contracts, source: str, sent: Sent) -> ReadPost:
        if len(sent.body) > _UNPACK_IN_THREAD_BYTES:
            body = await asyncio.to_thread(read_body, *sent, self._max_bytes)
        else:
            body = read_body(*sent, self._max_bytes)
        reader = contracts.readers[source]
        if len(body.text) > _READ_IN_THREAD_BYTES:
            return await asyncio.to_thread(reader.read, body, self._max_events)
        return reader.read(body, self._max_events)
