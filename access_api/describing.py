"""Reads what stands in the catalog: marts from Postgres' own catalog, the lake from contracts.

Postgres tells names, types, comments and estimated sizes of tables that its role may not read, too;
so the copies of gold tables in schema `warehouse` are described without their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from access_api.lake_tables import (
    UNKNOWN,
    Account,
    contract_tables,
    fields_of,
    limits_of,
    unit_of,
    units_of,
)
from access_api.lineage import LOADED, Lineage, Manifest, Models, lineage_of
from access_api.queries import Query
from access_api.tables import MARTS, CatalogTable, TableColumn
from telemetry_contracts.descriptions import COLUMN_DESCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from access_api.reading import Reader
    from telemetry_contracts.registry import Registry

_COLUMNS: LiteralString = """
    SELECT c.relnamespace::regnamespace::text, c.relname, c.relkind, a.attname,
        format_type(a.atttypid, a.atttypmod),
        coalesce(col_description(c.oid, a.attnum), ''), coalesce(obj_description(c.oid), '')
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace IN (to_regnamespace('marts'), to_regnamespace('warehouse'))
        AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
    ORDER BY 1, 2, a.attnum
"""
# A table that nobody has analyzed yet has -1.
_ESTIMATES: LiteralString = """
    SELECT root.relnamespace::regnamespace::text, root.relname,
        sum(greatest(leaf.reltuples, 0))::bigint, bool_and(leaf.reltuples < 0)
    FROM pg_class AS leaf
    JOIN pg_class AS root ON root.oid = coalesce(pg_partition_root(leaf.oid), leaf.oid)
    WHERE leaf.relkind = 'r'
        AND root.relnamespace IN (to_regnamespace('marts'), to_regnamespace('warehouse'))
    GROUP BY 1, 2
"""
_LEDGER: LiteralString = """
    SELECT source, max(refined_at), sum(accepted)::bigint, sum(silver)::bigint,
        sum(quarantined)::bigint, sum(duplicates)::bigint
    FROM marts.rpt_reconciliation GROUP BY source ORDER BY source
"""
_LEDGER_MART = (MARTS, "rpt_reconciliation")
_ESTIMATED = "estimated from Postgres' statistics"
_VIEW = "a view, computed when it is read"
_LAKE_ONLY = "not counted here"


@dataclass(frozen=True)
class Catalog:
    """The catalog at one moment. `built` says whether there are marts."""

    tables: dict[str, CatalogTable]
    accounts: dict[str, Account]
    registry: Registry
    lineage: Lineage
    models: Models
    built: bool


async def read_catalog(reader: Reader, manifest: Manifest, root: str) -> Catalog:
    """Read the catalog.

    Args:
        reader: Its database is asked.
        manifest: Where dbt's lineage is.
        root: URI under which the lake's tables lie.
    """
    words, models = reader.contracts.now, manifest.read()
    relations = _relations(await reader.database.rows(_query(_COLUMNS)))
    estimates = {
        (schema, name): None if unknown else rows
        for schema, name, rows, unknown in await reader.database.rows(_query(_ESTIMATES))
    }
    built = _LEDGER_MART in relations
    accounts = {}
    if built:
        rows = await reader.database.rows(_query(_LEDGER))
        accounts = {source: Account(*rest) for source, *rest in rows}
    units = units_of(words.registry)
    marts = [
        _mart(name, relation, estimates, words.registry, units)
        for (schema, name), relation in relations.items()
        if schema == MARTS
    ]
    lake = [
        *contract_tables(words.registry, accounts, root),
        *_loaded(relations, models, estimates, words.registry, root),
    ]
    tables = {table.key: table for table in [*marts, *lake]}
    return Catalog(
        tables, accounts, words.registry, lineage_of(words.registry, models), models, built
    )


@dataclass
class _Relation:
    kind: str
    comment: str
    columns: list[tuple[str, str, str]]


def _relations(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], _Relation]:
    found: dict[tuple[str, str], _Relation] = {}
    for schema, table, kind, name, type_, comment, told in rows:
        relation = found.setdefault((schema, table), _Relation(kind, told, []))
        relation.columns.append((name, type_, comment))
    return found


def _mart(
    name: str,
    relation: _Relation,
    estimates: dict[tuple[str, str], int | None],
    registry: Registry,
    units: dict[str, str],
) -> CatalogTable:
    known = fields_of(registry)
    columns = tuple(
        TableColumn(
            column,
            type_,
            comment,
            unit=unit_of(column, type_, known, units),
            restricted=column in known and known[column].restricted,
            limits=limits_of(known[column]) if column in known else "",
        )
        for column, type_, comment in relation.columns
    )
    mixed = any(column.name == "source" for column in columns)
    table = CatalogTable(
        layer=MARTS,
        name=name,
        description=relation.comment,
        columns=columns,
        sources=tuple(registry),
        mixed=mixed,
        rows=estimates.get((MARTS, name)),
        rows_told=_VIEW if relation.kind == "v" else _told(estimates.get((MARTS, name))),
        place=f"{MARTS}.{name}",
    )
    return table.of_sources(registry)


def _loaded(
    relations: dict[tuple[str, str], _Relation],
    models: Models,
    estimates: dict[tuple[str, str], int | None],
    registry: Registry,
    root: str,
) -> list[CatalogTable]:
    """Return the lake's other tables by what is known of their copies in schema `warehouse`."""
    found = []
    for name, key in LOADED.items():
        relation, told = relations.get(("warehouse", name)), models.loaded.get(name)
        if relation is None and told is None:
            continue
        described = {c: (type_, text) for c, type_, text in told.columns} if told else {}
        present = relation.columns if relation else [(c, t, d) for c, (t, d) in described.items()]
        rows = estimates.get(("warehouse", name))
        layer, _, table = key.partition("/")
        found.append(
            CatalogTable(
                layer,
                table,
                told.description if told else "",
                tuple(
                    TableColumn(
                        column,
                        type_,
                        comment or described.get(column, ("", ""))[1] or _common(column),
                    )
                    for column, type_, comment in present
                ),
                tuple(registry),
                mixed=True,
                rows=rows,
                rows_told=_told(rows) if relation else _LAKE_ONLY,
                place=f"{root}/{key}",
                loaded_as=f"warehouse.{name}",
            )
        )
    return found


def _common(column: str) -> str:
    return COLUMN_DESCRIPTIONS.get(column, "")


def _told(rows: int | None) -> str:
    return UNKNOWN if rows is None else _ESTIMATED


def _query(text: LiteralString) -> Query:
    return Query(sql.Composed([sql.SQL(text)]), {})
