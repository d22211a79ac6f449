"""`/v1/datasets`: what can be read, described by the marts' own comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from access_api.datasets import DATASETS
from access_api.queries import Query

if TYPE_CHECKING:
    from access_api.datasets import Dataset
    from access_api.reading import Reader
    from telemetry_platform.access_keys.api_key import ApiKey

_COMMENTS = """
    SELECT c.relname, coalesce(a.attname, ''), d.description
    FROM pg_class AS c
    JOIN pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND a.attnum > 0
    WHERE c.relnamespace = to_regnamespace('marts')
"""
_COUNTS = """
    SELECT root.relname, sum(greatest(leaf.reltuples, 0))::bigint
    FROM pg_class AS leaf
    JOIN pg_class AS root ON root.oid = coalesce(pg_partition_root(leaf.oid), leaf.oid)
    WHERE leaf.relkind = 'r' AND root.relnamespace = to_regnamespace('marts')
    GROUP BY root.relname HAVING bool_or(leaf.reltuples >= 0)
"""
_REFINED = """
    SELECT source, max(refined_at) FROM marts.rpt_reconciliation GROUP BY source ORDER BY source
"""


async def catalog(reader: Reader, key: ApiKey) -> dict[str, Any]:
    """Return the datasets that a key may read, their columns, sizes and freshness."""
    texts = {(mart, name): text for mart, name, text in await _rows(reader, _COMMENTS)}
    counts = dict(await _rows(reader, _COUNTS))
    refined = {
        source: moment for source, moment in await _rows(reader, _REFINED) if key.covers(source)
    }
    return {
        "data": [
            _entry(dataset, reader, texts, counts.get(dataset.mart))
            for dataset in DATASETS
            if all(map(key.covers, dataset.only))
        ],
        "refined_at": refined,
    }


def _entry(
    dataset: Dataset, reader: Reader, texts: dict[tuple[str, str], str], rows: int | None
) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "href": dataset.path,
        "summary": dataset.summary,
        "mart": f"marts.{dataset.mart}",
        "description": texts.get((dataset.mart, "")),
        "sources": dataset.only or None,
        "filters": [*dataset.filters, *(["from", "to"] if dataset.time else [])],
        "order": dataset.key,
        "estimated_rows": rows,
        "columns": [
            {
                "name": column.name,
                "type": column.kind.name.lower(),
                "description": texts.get((dataset.mart, column.name)),
                "restricted": column.name in reader.restricted,
            }
            for column in dataset.columns
        ],
    }


async def _rows(reader: Reader, text: str) -> list[tuple[Any, ...]]:
    statement = sql.Composed([sql.SQL(text)])  # ty: ignore[invalid-argument-type]
    return await reader.database.rows(Query(statement, {}))
