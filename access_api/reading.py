"""From a request to its answer: what the key may see, which rows, written as the client wants."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response, StreamingResponse

from access_api.audit import Audit
from access_api.columns import Kind
from access_api.contracts import FollowedContracts
from access_api.cursors import read_cursor, write_cursor
from access_api.database import Database
from access_api.exports import arrow_stream, csv_stream
from access_api.gate import Gate, visible_sources
from access_api.negotiation import MediaType, entity_tag, has_already, negotiate
from access_api.problems import bad_parameter, busy, unknown_user
from access_api.queries import Query, Selection, end_query, rows_query, until
from telemetry_platform.access_keys.api_key import READ_RESTRICTED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

    from access_api.contracts import Vocabulary
    from access_api.datasets import Dataset
    from access_api.parameters import Paging
    from telemetry_platform.access_keys.api_key import ApiKey
    from telemetry_platform.settings import Settings

DEFAULT_ROWS = 1_000
MOST_ROWS = 10_000
_HEADERS = {"cache-control": "private, no-cache", "vary": "accept, authorization, x-api-key"}


class Reader:
    """Answers for the datasets. One for a process."""

    def __init__(self, settings: Settings) -> None:
        self.database = Database(settings)
        self.gate = Gate(settings)
        self.audit = Audit(settings.access_audit_file)
        self._exports = asyncio.Semaphore(settings.access_exports)
        self.contracts = FollowedContracts(settings)

    @property
    def restricted(self) -> frozenset[str]:
        """Names of the columns that hold tokens, by the contracts in force."""
        return self.contracts.now.restricted

    async def answer(
        self,
        request: Request,
        key: ApiKey,
        dataset: Dataset,
        parameters: Paging,
        **bound: object,
    ) -> Response:
        """Return the answer of a dataset's route.

        Args:
            request: The request; its headers choose the form of the answer.
            key: Who reads.
            dataset: What is read.
            parameters: Checked parameters of the request.
            bound: Values that the dataset's SQL asks for beside them.

        Raises:
            Problem: It cannot be answered.
        """
        media = negotiate(request.headers.get("accept"))
        words = self.contracts.now
        filters = _filters(parameters, words)
        asked = {"dataset": dataset.name, "filters": filters, **bound, "order": parameters.order}
        selection = Selection(
            columns=_columns(dataset, key, words),
            sources=visible_sources(key, (*dataset.only, *filters.get("source", ()))),
            filters=filters,
            bound={**bound, "units": orjson.dumps(words.units).decode()},
            descending=(parameters.order or _usual_order(dataset)) == "desc",
            after=read_cursor(key, asked, parameters.cursor) if parameters.cursor else None,
        )
        restricted = [
            column.name for column in selection.columns if column.name in words.restricted
        ]
        if restricted:
            client = request.client.host if request.client else None
            await self.audit.restricted_read(key, client, dataset.name, restricted, filters)
        if media is MediaType.JSON:
            return await self._page(request, key, dataset, selection, parameters.limit, asked)
        return await self._export(request, key, dataset, selection, parameters.limit, asked, media)

    async def ensure_user(self, user: str) -> None:
        """Check that somebody is registered.

        Raises:
            Problem: 404, nobody of that id is.
        """
        from psycopg import sql

        statement = sql.SQL("SELECT 1 FROM marts.dim_users WHERE user_id = %(user)s")
        if not await self.database.rows(Query(sql.Composed([statement]), {"user": user})):
            raise unknown_user()

    async def _page(  # noqa: PLR0913, PLR0917 - what an answer is made of
        self,
        request: Request,
        key: ApiKey,
        dataset: Dataset,
        selection: Selection,
        limit: int | None,
        asked: dict[str, Any],
    ) -> Response:
        limit = limit or DEFAULT_ROWS
        if limit > MOST_ROWS:
            raise bad_parameter(f"limit: a page of JSON has at most {MOST_ROWS} rows")
        rows = await self.database.rows(rows_query(dataset, selection, limit + 1))
        names = [column.name for column in selection.columns]
        objects = [i for i, c in enumerate(selection.columns) if c.kind is Kind.OBJECT]
        data = [dict(zip(names, _decoded(row, objects), strict=True)) for row in rows[:limit]]
        cursor = None
        if len(rows) > limit:
            last = tuple(_text(data[-1][name]) for name in dataset.key)
            cursor = write_cursor(key, asked, last)
        body = orjson.dumps({"data": data, "next_cursor": cursor}, option=orjson.OPT_UTC_Z)
        return tagged(request, body, _link(request, cursor))

    async def _export(  # noqa: PLR0913, PLR0917 - what an answer is made of
        self,
        request: Request,
        key: ApiKey,
        dataset: Dataset,
        selection: Selection,
        limit: int | None,
        asked: dict[str, Any],
        media: MediaType,
    ) -> Response:
        cursor = None
        if limit is not None:
            # The stream ends with the row that the cursor names, whatever arrives meanwhile.
            ends = await self.database.rows(end_query(dataset, selection, limit))
            if len(ends) > 1:
                cursor = write_cursor(key, asked, tuple(ends[0]))
                selection = until(selection, ends[0])
        if self._exports.locked():
            raise busy()
        query = rows_query(dataset, selection, as_csv=media is MediaType.CSV)
        stream = (
            csv_stream(self.database, query)
            if media is MediaType.CSV
            else arrow_stream(self.database, query, media)
        )
        chunks = self._counted(stream)
        # What keeps the query from running is a problem; later on the transfer breaks off.
        first = await anext(chunks, b"")
        headers = _HEADERS | _link(request, cursor)
        return StreamingResponse(_joined(first, chunks), media_type=media, headers=headers)

    async def _counted(self, stream: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async with self._exports:
            try:
                async for chunk in stream:
                    yield chunk
            finally:
                await stream.aclose()


def tagged(request: Request, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer, or 304 when the client has the same."""
    tag = entity_tag(body)
    headers = {**_HEADERS, **(headers or {}), "etag": tag}
    if has_already(request.headers.get("if-none-match"), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type=MediaType.JSON, headers=headers)


def _filters(parameters: Paging, words: Vocabulary) -> dict[str, Any]:
    """Return the filters as columns know them: a unit stands for its metrics."""
    filters = parameters.filters()
    units = filters.pop("unit", None)
    if units is None:
        return filters
    unknown = set(units) - set(words.units.values())
    if unknown:
        known = ", ".join(sorted({unit for unit in words.units.values() if unit}))
        raise bad_parameter(f"unit: must be one of {known}")
    measured = [metric for metric, unit in words.units.items() if unit in units]
    wanted = filters.get("metric", measured)
    return filters | {"metric": [metric for metric in wanted if metric in measured]}


def _columns(dataset: Dataset, key: ApiKey, words: Vocabulary) -> tuple[Any, ...]:
    if key.may(READ_RESTRICTED):
        return dataset.columns
    return tuple(column for column in dataset.columns if column.name not in words.restricted)


async def _joined(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        yield first
        async for chunk in rest:
            yield chunk
    finally:
        await rest.aclose()


def _usual_order(dataset: Dataset) -> str:
    return "desc" if dataset.newest_first else "asc"


def _link(request: Request, cursor: str | None) -> dict[str, str]:
    """Return the header that leads to the rows behind an answer (RFC 8288)."""
    if cursor is None:
        return {}
    target = request.url.include_query_params(cursor=cursor)
    return {"link": f'<{target.path}?{target.query}>; rel="next"'}


def _decoded(row: tuple[Any, ...], objects: list[int]) -> list[Any]:
    values = list(row)
    for i in objects:
        values[i] = None if values[i] is None else orjson.Fragment(values[i])
    return values


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode().strip('"')
