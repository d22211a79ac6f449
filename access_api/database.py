"""The API's connections to Postgres: a pool for pages, and one connection for each stream."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from telemetry_platform.postgres import reader_dsn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from access_api.queries import Query
    from telemetry_platform.settings import Settings

_WAIT_SECONDS = 5.0
_READY_SECONDS = 2.0


class Database:
    """Runs queries as the role that may read. Use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._export_dsn = reader_dsn(settings, settings.access_export_seconds)
        self._pool = AsyncConnectionPool(
            reader_dsn(settings, settings.access_page_seconds),
            min_size=1,
            max_size=settings.access_connections,
            timeout=_WAIT_SECONDS,
            kwargs={"autocommit": True},
            # A server that came back has forgotten the connections.
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    @property
    def export_dsn(self) -> str:
        """Address for a stream."""
        return self._export_dsn

    async def open(self) -> None:
        """Begin to connect; a database that is away is waited for by each request."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """End the connections."""
        await self._pool.close()

    async def rows(self, query: Query) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query.statement, query.values)
            return await cursor.fetchall()

    async def rows_within(self, query: Query, seconds: float) -> list[tuple[Any, ...]]:
        """Return the rows of a query that is given up earlier than others.

        Raises:
            psycopg.errors.QueryCanceled: It took longer.
        """
        limit = sql.SQL("SET LOCAL statement_timeout = {}").format(int(seconds * 1000))
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(limit)
            cursor = await connection.execute(query.statement, query.values)
            return await cursor.fetchall()

    async def ping(self) -> None:
        """Ask the database for an answer.

        Raises:
            psycopg.Error: There is none.
        """
        async with self._pool.connection(timeout=_READY_SECONDS) as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[psycopg.AsyncConnection]:
        """Open a connection of its own for a long answer."""
        connection = await psycopg.AsyncConnection.connect(self._export_dsn, autocommit=True)
        async with connection:
            yield connection
