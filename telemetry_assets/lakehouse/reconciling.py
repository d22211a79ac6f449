"""The accounts of an arrival hour: whether each layer holds what the one before gave it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.warehouse_schema import SCHEMA
from telemetry_platform.clock import hour_start
from telemetry_platform.layout import SOURCE
from telemetry_platform.postgres import connect

if TYPE_CHECKING:
    from telemetry_platform.settings import Settings

_FATES = ("silver", "quarantined", "duplicates", "superseded", "erased")
LOADED = ("silver", "quarantined", "duplicates", "superseded", "minute_values", "hour_values")
"""Figures of the ledger that the warehouse must come to as well."""

_TABLES = {
    "quarantined": "quarantine",
    "duplicates": "duplicates",
    "superseded": "superseded",
    "minute_values": "metric_partials",
    "hour_values": "hour_partials",
}


def judge_lake(ledger: pl.DataFrame) -> pl.DataFrame:
    """Judge the lake: every accepted event in one place, every value of a metric in its partials.

    Args:
        ledger: Rows of `tables.LEDGER`.

    Returns:
        `source`, the figures, `unaccounted` events, `unaggregated` values and `adds_up`.
    """
    unaccounted = pl.col("accepted") - pl.sum_horizontal(_FATES)
    unaggregated = pl.max_horizontal(
        (pl.col("metric_values") - pl.col(name)).abs() for name in ("minute_values", "hour_values")
    )
    return ledger.select(
        SOURCE,
        "accepted",
        *_FATES,
        "metric_values",
        "minute_values",
        "hour_values",
        unaccounted.alias("unaccounted"),
        unaggregated.alias("unaggregated"),
        ((unaccounted == 0) & (unaggregated == 0)).alias("adds_up"),
    )


def judge_warehouse(ledger: pl.DataFrame, loaded: pl.DataFrame) -> pl.DataFrame:
    """Judge the warehouse: it must hold what the lake's ledger says.

    Args:
        ledger: Rows of `tables.LEDGER`, one a source.
        loaded: The same sources as `count_loaded` counted them.

    Returns:
        `source`, each figure of `LOADED` as the lake has it, the same with the suffix
        `_in_warehouse`, and `adds_up`. What a ledger of an older version lacks is not compared.
    """
    both = ledger.select(SOURCE, *LOADED).join(
        loaded, on=SOURCE, how="left", suffix="_in_warehouse", maintain_order="left"
    )
    same = [
        pl.col(name).is_null() | pl.col(name).eq_missing(pl.col(f"{name}_in_warehouse"))
        for name in LOADED
    ]
    return both.with_columns(pl.all_horizontal(same).alias("adds_up"))


def count_loaded(settings: Settings, sources: Sequence[str], hour: str) -> pl.DataFrame:
    """Count what the warehouse holds of an arrival hour: `source` and the figures of `LOADED`."""
    from psycopg import sql

    schema = pl.Schema({SOURCE: pl.String, **dict.fromkeys(LOADED, pl.Int64)})
    with connect(settings) as connection:
        rows = []
        for source in sources:
            tables = {"silver": source, **_TABLES}
            counts = sql.SQL(", ").join(
                sql.SQL(
                    "(SELECT {} FROM {} WHERE received_hour = %(hour)s AND source = %(source)s)"
                ).format(
                    sql.SQL("coalesce(sum(n), 0)" if name.endswith("_values") else "count(*)"),
                    sql.Identifier(SCHEMA, tables[name]),
                )
                for name in LOADED
            )
            query = sql.SQL("SELECT {}").format(counts)
            found = connection.execute(query, {"hour": hour_start(hour), "source": source})
            rows.append((source, *map(int, found.fetchone() or ())))
    return pl.DataFrame(rows, schema=schema, orient="row")
