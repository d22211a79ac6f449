"""The warehouse's DDL: every column of silver and gold has a Postgres type and a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry_assets.lakehouse import warehouse_schema as schema
from telemetry_contracts.frames import silver_schema

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry


def test_every_silver_column_becomes_a_typed_column_in_order(registry: Registry) -> None:
    for contract in registry.values():
        create = schema.event_table(contract).ddl()[0]
        listed = create[create.index("(") + 1 : create.index(") PARTITION")]
        names = [column.split()[0] for column in listed.split(", ")]
        assert names == list(silver_schema(contract))


def test_types_and_what_is_required() -> None:
    create = schema.QUARANTINED.ddl()[0]
    for column in ("rules text[]", "reasons jsonb", "received_at timestamptz", "payload text"):
        assert f"{column}," in create or f"{column})" in create
    partials = schema.PARTIALS.ddl()[0]
    for column in (
        "n bigint NOT NULL",
        "event_minute timestamptz NOT NULL",
        "mean double precision",
    ):
        assert f"{column}," in partials


def test_tables_are_partitioned_by_day_of_arrival_but_registries_are_not(
    registry: Registry,
) -> None:
    for table in schema.all_tables(registry):
        partitioned = "PARTITION BY RANGE (received_hour)" in table.ddl()[0]
        assert partitioned == table.by_day
    by_day = {table.name for table in schema.all_tables(registry) if table.by_day}
    assert {*registry, "quarantine", "ledger"} <= by_day
    assert not by_day & {table.name for table in schema.REGISTRIES}


def test_names_are_distinct_and_short_enough_for_postgres(registry: Registry) -> None:
    tables = schema.all_tables(registry)
    assert len({table.name for table in tables}) == len(tables)
    statements = [statement for table in tables for statement in table.ddl()[1:]]
    indexes = [statement.split(" EXISTS ")[1].split()[0] for statement in statements]
    assert len(set(indexes)) == len(indexes)
    assert all(len(name) <= 63 for name in indexes)


def test_a_column_can_be_added_later() -> None:
    assert schema.LEDGERS.column_ddl("erased") == (
        "ALTER TABLE warehouse.ledger ADD COLUMN IF NOT EXISTS erased bigint"
    )


def test_no_table_holds_a_sealed_body(registry: Registry) -> None:
    for table in schema.all_tables(registry):
        assert not [name for name in table.columns if "sealed" in name]


def test_a_key_tells_the_rows_of_an_hour_apart(registry: Registry) -> None:
    for table in schema.all_tables(registry):
        assert set(table.key) < set(table.columns)
        assert not table.json or not table.key
        unique = [index.columns for index in table.indexes if index.unique and table.key]
        assert all({*columns.split(", ")} == {"received_hour", *table.key} for columns in unique)


def test_tombstones_are_counted_rows_with_a_key(registry: Registry) -> None:
    marked = [table for table in schema.all_tables(registry) if table.tombstones]
    assert marked == [schema.HOURS]
    assert schema.HOURS.key
    assert "n" in schema.HOURS.columns
