"""A few rows of a dataset, of the sources and columns that the reader may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg import sql

from access_api.pages.lake_samples import LakeAway, LakeSamples
from access_api.queries import Query
from access_api.tables import MARTS
from telemetry_platform.access_keys.api_key import ALL_SOURCES, READ_RESTRICTED

if TYPE_CHECKING:
    from starlette.requests import Request

    from access_api.reading import Reader
    from access_api.tables import CatalogTable, TableColumn
    from telemetry_platform.access_keys.api_key import ApiKey

_ROWS = 5
_SECONDS = 2.0
# The first look imports what reads the lake.
_LAKE_SECONDS = 8.0
_LONGEST = 80
# A view that merges all of a device's partials: one hour of one device is asked for.
_MINUTES = "agg_metric_minutes"
_HOUR = """(source, device_id, metric) IN (SELECT source, device_id, metric FROM one)
    AND event_minute >= (SELECT event_hour FROM one)
    AND event_minute < (SELECT event_hour + interval '1 hour' FROM one)"""
_HOURS = "SELECT * FROM marts.agg_metric_hours{} LIMIT 1"
# What broke a rule stands here whichever column it is from.
_FIELD, _FIELD_VALUE = "field", "field_value"
# Columns of the lake that may repeat any field's value, and what nobody can read without a key.
_ANY_FIELD = frozenset(
    ("payload", "extras", "reasons", "violations", "value", "attributes", _FIELD_VALUE)
)
_SEALED = "body_sealed"
_PEOPLE = "reference"


@dataclass(frozen=True)
class Sample:
    """Rows as texts by column.

    Attributes:
        columns: None when they are not shown; `reason` says why.
        hidden: Columns that are left out.
    """

    columns: dict[str, list[str | None]] | None
    reason: str = ""
    hidden: tuple[str, ...] = ()


async def read_sample(reader: Reader, request: Request, key: ApiKey, table: CatalogTable) -> Sample:
    """Read some rows; which ones is the database's choice, newest first where an index has them.

    Raises:
        Problem: 503, restricted columns are shown and that cannot be recorded.
    """
    if table.layer != MARTS:
        return await _lake_sample(reader, request, key, table)
    secret = reader.restricted | {column.name for column in table.columns if column.restricted}
    allowed = key.may(READ_RESTRICTED)
    shown = [c for c in table.columns if allowed or c.name not in secret]
    hidden = tuple(c.name for c in table.columns if c not in shown)
    told = [c.name for c in shown if c.name in secret or c.name == _FIELD_VALUE]
    await _record(reader, request, key, table, told)
    try:
        rows = await reader.database.rows_within(_rows(table, shown, key), _SECONDS)
    except psycopg.errors.QueryCanceled:
        return Sample(None, "Reading some would take too long.", hidden)
    names = [column.name for column in shown]
    values = [dict(zip(names, row, strict=True)) for row in rows]
    if not allowed:
        values = [_without_tokens(row, secret) for row in values]
    return _sample(names, values, hidden)


async def _lake_sample(
    reader: Reader, request: Request, key: ApiKey, table: CatalogTable
) -> Sample:
    lake: LakeSamples = request.app.state.lake_samples
    if table.layer == _PEOPLE:
        return Sample(None, "The registries of people and devices are not shown row by row.")
    if not lake.allowed:
        return Sample(None, "This server has no account in the lake.")
    sources = None if not table.mixed or ALL_SOURCES in key.sources else key.sources
    try:
        values = await lake.rows(table.key, sources, _ROWS, _LAKE_SECONDS)
    except LakeAway:
        return Sample(None, "The lake could not be read in time.")
    secret = reader.restricted | set(table.restricted) | _ANY_FIELD
    allowed = key.may(READ_RESTRICTED)
    present = list(values[0]) if values else []
    names = [name for name in present if name != _SEALED and (allowed or name not in secret)]
    hidden = tuple(name for name in present if name not in names)
    await _record(reader, request, key, table, [name for name in names if name in secret])
    return _sample(names, values, hidden)


def _sample(names: list[str], values: list[dict[str, Any]], hidden: tuple[str, ...]) -> Sample:
    if not values:
        return Sample(None, "There is none yet.", hidden)
    return Sample({name: [_text(row[name]) for row in values] for name in names}, "", hidden)


async def _record(
    reader: Reader, request: Request, key: ApiKey, table: CatalogTable, told: list[str]
) -> None:
    if told and key.may(READ_RESTRICTED):
        client = request.client.host if request.client else None
        await reader.audit.restricted_read(key, client, table.key, told, {"limit": _ROWS})


def _rows(table: CatalogTable, shown: list[TableColumn], key: ApiKey) -> Query:
    values: dict[str, Any] = {"limit": _ROWS}
    scope: sql.Composable = sql.SQL("")
    if table.mixed and ALL_SOURCES not in key.sources:
        scope = sql.SQL(" WHERE source = ANY(%(scope)s)")
        values["scope"] = list(key.sources)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in shown)
    if table.name == _MINUTES:
        statement = sql.SQL("WITH one AS ({}) SELECT {} FROM {} WHERE {}").format(
            sql.SQL(_HOURS).format(scope), columns, _relation(table), sql.SQL(_HOUR)
        )
    else:
        statement = sql.SQL("SELECT {} FROM {}{}{}").format(
            columns, _relation(table), scope, _order(table)
        )
    return Query(sql.Composed([statement, sql.SQL(" LIMIT %(limit)s")]), values)


def _relation(table: CatalogTable) -> sql.Identifier:
    return sql.Identifier(MARTS, table.name)


def _order(table: CatalogTable) -> sql.Composable:
    """Return the order that an index has, where the API pages by one and begins at the end."""
    for dataset in table.datasets:
        if dataset.newest_first and dataset.relation == table.place and table.rows is not None:
            key = sql.SQL(", ").join(sql.Identifier(n) + sql.SQL(" DESC") for n in dataset.key)
            return sql.SQL(" ORDER BY {}").format(key)
    return sql.SQL("")


def _without_tokens(row: dict[str, Any], secret: frozenset[str]) -> dict[str, Any]:
    """Return the row without a restricted value that stands in a column for any field's."""
    if row.get(_FIELD) in secret and _FIELD_VALUE in row:
        return row | {_FIELD_VALUE: "hidden"}
    return row


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, (dict, list)):
        text = orjson.dumps(value).decode()
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
