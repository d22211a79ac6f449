"""How the warehouse's tables follow contracts that gained a field or widened a type.

Postgres changes no column that a view reads, so the views on it are taken down and put back in the
same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from telemetry_assets.lakehouse.warehouse_schema import SCHEMA, WarehouseTable

if TYPE_CHECKING:
    import psycopg

_PRESENT = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = %s AND table_name = ANY(%s)
"""
_VIEWS = """
WITH RECURSIVE readers AS (
    SELECT %s::regclass::oid AS oid, 0 AS depth
    UNION
    SELECT rule.ev_class, readers.depth + 1
    FROM readers
    JOIN pg_depend AS link ON link.refobjid = readers.oid AND link.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS rule ON rule.oid = link.objid AND rule.ev_class <> readers.oid
)
SELECT oid::regclass::text, pg_get_viewdef(oid), obj_description(oid, 'pg_class'), oid
FROM readers WHERE depth > 0 GROUP BY oid ORDER BY max(depth)
"""
_COMMENTS = """
SELECT attname, col_description(attrelid, attnum) FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND col_description(attrelid, attnum) IS NOT NULL
"""
_GRANTS = """
SELECT granted.privilege_type, pg_get_userbyid(granted.grantee), granted.is_grantable,
    granted.grantee <> 0
FROM pg_class CROSS JOIN aclexplode(relacl) AS granted
WHERE pg_class.oid = %s AND granted.grantee <> relowner ORDER BY 1, 2
"""


def present_columns(
    connection: psycopg.Connection, tables: Sequence[WarehouseTable]
) -> dict[tuple[str, str], str]:
    """Return the type that Postgres has for each column of `tables`, by table and column."""
    rows = connection.execute(_PRESENT, (SCHEMA, [table.name for table in tables]))
    return {(table, column): found for table, column, found in rows.fetchall()}


def missing_columns(
    present: Mapping[tuple[str, str], str], tables: Sequence[WarehouseTable]
) -> list[tuple[WarehouseTable, str]]:
    """Return the columns that are not there."""
    return [(t, column) for t in tables for column in t.columns if (t.name, column) not in present]


def narrow_columns(
    present: Mapping[tuple[str, str], str], tables: Sequence[WarehouseTable]
) -> list[tuple[WarehouseTable, str]]:
    """Return the columns that hold whole numbers and should hold any."""
    return [
        (table, name)
        for table in tables
        for name, dtype in table.columns.items()
        if dtype == pl.Float64 and present.get((table.name, name)) == "bigint"
    ]


def widen_columns(
    connection: psycopg.Connection, columns: Sequence[tuple[WarehouseTable, str]]
) -> None:
    """Widen columns that `narrow_columns` returned; every row of their tables is rewritten.

    Views keep their definition, comments, and what others may do with them as a whole.
    """
    for table in {table.name: table for table, _ in columns}.values():
        views = connection.execute(_VIEWS, (table.qualified,)).fetchall()
        belongings = [
            [*_comments(connection, *view), *_grants(connection, view[0], view[3])]
            for view in views
        ]
        for name, *_ in reversed(views):
            connection.execute(f"DROP VIEW {name}".encode())
        for name in (name for owner, name in columns if owner is table):
            statement = f"ALTER TABLE {table.qualified} ALTER COLUMN {name} TYPE double precision"
            connection.execute(statement.encode())
        for (name, definition, *_), statements in zip(views, belongings, strict=True):
            connection.execute(f"CREATE VIEW {name} AS {definition}".encode())
            for statement in statements:
                connection.execute(statement)


def _comments(
    connection: psycopg.Connection, view: str, _definition: str, comment: str | None, oid: int
) -> list[Any]:
    """Return the statements that describe a view and its columns as they are described now."""
    from psycopg import sql

    columns = connection.execute(_COMMENTS, (oid,)).fetchall()
    name = sql.SQL(view)  # ty: ignore[invalid-argument-type]  (as Postgres itself writes it)
    found: list[Any] = [
        sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(name, sql.Identifier(column), text)
        for column, text in columns
    ]
    if comment:
        found.append(sql.SQL("COMMENT ON VIEW {} IS {}").format(name, comment))
    return found


def _grants(connection: psycopg.Connection, view: str, oid: int) -> list[Any]:
    """Return the statements that grant others what they may do with a view now."""
    from psycopg import sql

    name = sql.SQL(view)  # ty: ignore[invalid-argument-type]  (as Postgres itself writes it)
    return [
        sql.SQL("GRANT {} ON {} TO {}{}").format(
            sql.SQL(privilege),
            name,
            sql.Identifier(grantee) if is_role else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION" if grantable else ""),
        )
        for privilege, grantee, grantable, is_role in connection.execute(_GRANTS, (oid,))
    ]
