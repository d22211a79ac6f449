"""Benchmarks of the load into Postgres, and of an hour of the whole stack that runs again."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import polars as pl
from adbc_driver_postgresql import dbapi

from benchmarks.figures import Figure
from benchmarks.pipeline_cases import only_postgres
from benchmarks.refining import readings
from telemetry_assets.lakehouse.warehouse import create_tables, warehouse_load
from telemetry_assets.lakehouse.warehouse_schema import event_table
from telemetry_contracts.frames import silver_schema
from telemetry_contracts.registry import load_registry
from telemetry_platform.clock import hour_key
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE
from telemetry_platform.postgres import dsn

if TYPE_CHECKING:
    from telemetry_assets.lakehouse.warehouse_schema import WarehouseTable
    from telemetry_contracts.contract import Contract
    from telemetry_platform.settings import Settings

_SOURCE = "environment"
_PROMISE = 0.8


def warehouse(runs: int, rows: int = 1_000_000) -> list[Figure]:
    """Measure an hour of readings: loaded, loaded again unchanged, and replaced by other values."""
    registry = load_registry()
    table = event_table(registry[_SOURCE])
    frame, hour = _silver(rows, registry[_SOURCE])
    changed = frame.with_columns(pl.col("temperature_celsius") + 1)
    bare, first, again, replaced = [], [], [], []
    for _ in range(runs):
        with only_postgres() as settings:
            create_tables(settings, registry)
            bare.append(rows / _ingest(settings, frame))
            first.append(rows / _load(settings, table, frame, hour))
            again.append(_load(settings, table, frame, hour))
            replaced.append(_load(settings, table, changed, hour))
    sizes = f"{rows:,} readings of {len(table.columns)} columns, one transaction"
    floor = statistics.median(bare)
    return [
        Figure(
            "warehouse, hour loaded", "rows/s", tuple(first), sizes,
            target=_PROMISE * floor, higher_is_better=True,
            floor=floor, floor_name="adbc_ingest alone, into a table without indexes",
        ),
        Figure("warehouse, hour loaded again unchanged", "s", tuple(again), sizes),
        Figure("warehouse, hour replaced, every row changed", "s", tuple(replaced), sizes),
    ]  # fmt: skip


def _silver(rows: int, contract: Contract) -> tuple[pl.DataFrame, str]:
    """Return one hour of silver rows, and the hour."""
    made = readings(rows, contract)
    hour = hour_key(made["received_at"][0])
    given = made.with_columns(pl.lit(hour).alias(RECEIVED_HOUR), pl.lit(_SOURCE).alias(SOURCE))
    schema = silver_schema(contract)
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in schema.items() if n not in given.columns]
    return given.with_columns(absent).select(list(schema)), hour


def _ingest(settings: Settings, frame: pl.DataFrame) -> float:
    began = time.perf_counter()
    with dbapi.connect(dsn(settings)) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("bare", frame, mode="create")
        connection.commit()
    return time.perf_counter() - began


def _load(settings: Settings, table: WarehouseTable, frame: pl.DataFrame, hour: str) -> float:
    began = time.perf_counter()
    with warehouse_load(settings, [table], hour) as load:
        assert load.replace(table, frame) == frame.height
    return time.perf_counter() - began
