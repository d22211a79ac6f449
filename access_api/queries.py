"""Turns a dataset and a selection into one SQL statement. Every value of a request is bound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psycopg import sql

from access_api.columns import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from access_api.datasets import Dataset

KeyValues = tuple[str, ...]
"""The values of a row's key as text, which the statement casts back."""

_CSV_TIME = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


@dataclass(frozen=True)
class Query:
    """A statement and the values of its parameters."""

    statement: sql.Composed
    values: dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Which rows and columns of a dataset a request gets.

    Attributes:
        columns: Columns that the key may see.
        sources: Sources that the key may see; None for all.
        filters: Values by query parameter: a list of texts, a truth value, or the time limits.
        bound: Values that the dataset's own SQL asks for.
        descending: Whether the largest key comes first.
        after: Key after which the rows begin.
        until: Key of the last row.
    """

    columns: tuple[Column, ...]
    sources: tuple[str, ...] | None
    filters: dict[str, Any]
    bound: dict[str, Any] = field(default_factory=dict)
    descending: bool = False
    after: KeyValues | None = None
    until: KeyValues | None = None


def rows_query(
    dataset: Dataset, selection: Selection, limit: int | None = None, *, as_csv: bool = False
) -> Query:
    """Return the query for the rows of a selection, in the order of the dataset's key.

    Args:
        dataset: What is read.
        selection: Which rows and columns of it.
        limit: Most rows.
        as_csv: Whether times are written as text of ISO 8601 by the database.
    """
    shown = sql.SQL(", ").join(_shown(column, as_csv=as_csv) for column in selection.columns)
    query = _query(dataset, selection, shown)
    if limit is None:
        return query
    statement = sql.Composed([query.statement, sql.SQL(" LIMIT %(limit)s")])
    return Query(statement, {**query.values, "limit": limit})


def end_query(dataset: Dataset, selection: Selection, limit: int) -> Query:
    """Return the query for the keys, as texts, of row number `limit` and of the one after it."""
    kinds = zip(dataset.key, dataset.key_kinds, strict=True)
    shown = sql.SQL(", ").join(_as_text(name, kind) for name, kind in kinds)
    query = _query(dataset, selection, shown)
    statement = sql.Composed([query.statement, sql.SQL(" OFFSET %(skip)s LIMIT 2")])
    return Query(statement, {**query.values, "skip": limit - 1})


def _query(dataset: Dataset, selection: Selection, shown: sql.Composable) -> Query:
    conditions: list[sql.Composable] = []
    values = dict(selection.bound)
    for name, value in selection.filters.items():
        conditions.append(_filter(dataset, name, value))
        values[_parameter(name)] = value[0] if _is_single(value) else value
    if selection.sources is not None:
        conditions.append(_scope(dataset))
        values["scope"] = list(selection.sources)
        values["needed"] = list(dataset.only)
    for name, key in (("after", selection.after), ("until", selection.until)):
        if key is not None:
            conditions.append(_beyond(dataset, name, descending=selection.descending))
            values |= {f"{name}_{i}": text for i, text in enumerate(key)}
    direction = sql.SQL(" DESC" if selection.descending else "")
    order = sql.SQL(", ").join(sql.Identifier(name) + direction for name in dataset.key)
    where = [sql.SQL(" WHERE "), sql.SQL(" AND ").join(conditions)] if conditions else []
    statement = sql.Composed(
        [
            *(sql.SQL("SELECT "), shown, sql.SQL(" FROM "), _constant(dataset.relation)),
            *(sql.SQL(" AS rows"), *where, sql.SQL(" ORDER BY "), order),
        ]
    )
    return Query(statement, values)


def _filter(dataset: Dataset, name: str, value: object) -> sql.Composable:
    if name in ("from", "to"):
        column = sql.Identifier(dataset.time or "")
        operator = sql.SQL(">=" if name == "from" else "<")
        kind = sql.SQL(dataset.time_kind().value)
        return sql.SQL("{} {} {}::{}").format(
            column, operator, sql.Placeholder(_parameter(name)), kind
        )
    column = sql.Identifier(dataset.filters[name])
    # Equality with one value keeps the order of an index, which a list would not.
    form = "{} = {}" if _is_single(value) or not isinstance(value, list) else "{} = ANY({})"
    return sql.SQL(form).format(column, sql.Placeholder(_parameter(name)))


def _scope(dataset: Dataset) -> sql.Composable:
    """Return the condition that keeps rows of other sources from a key."""
    if dataset.only:
        return sql.SQL("%(needed)s::text[] <@ %(scope)s::text[]")
    return sql.SQL("source = ANY(%(scope)s)")


def _beyond(dataset: Dataset, name: str, *, descending: bool) -> sql.Composable:
    """Return the condition that compares the key with one that is given."""
    casts = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Placeholder(f"{name}_{i}"), sql.SQL(kind.value))
        for i, kind in enumerate(dataset.key_kinds)
    )
    operator = ("<" if descending else ">") if name == "after" else ">=" if descending else "<="
    key = sql.SQL(", ").join(map(sql.Identifier, dataset.key))
    return sql.SQL("({}) {} ({})").format(key, sql.SQL(operator), casts)


def _shown(column: Column, *, as_csv: bool) -> sql.Composable:
    value = _constant(column.expression) if column.expression else sql.Identifier(column.name)
    if column.kind is Kind.OBJECT:
        value = sql.SQL("{}::text").format(value)
    elif as_csv and column.kind is Kind.TIMESTAMP:
        value = sql.SQL(_CSV_TIME).format(value)
    return sql.SQL("{} AS {}").format(value, sql.Identifier(column.name))


def _as_text(name: str, kind: Kind) -> sql.Composable:
    form = _CSV_TIME if kind is Kind.TIMESTAMP else "{}::text"
    return sql.SQL(form).format(sql.Identifier(name))


def _constant(text: str) -> sql.SQL:
    """Return SQL that stands in this package."""
    return sql.SQL(text)  # ty: ignore[invalid-argument-type]


def _parameter(name: str) -> str:
    return f"filter_{name}"


def _is_single(value: object) -> bool:
    return isinstance(value, list) and len(value) == 1


def until(selection: Selection, last: Sequence[str]) -> Selection:
    """Return the selection that ends with the row of key `last`."""
    return replace(selection, until=tuple(last))
