"""warehouse: the Postgres copies of silver and gold, and the registries."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from telemetry_assets.defs import gold, landing, refinement
from telemetry_assets.defs.hours import Judged, judged, materialized
from telemetry_assets.defs.metadata import column_schema
from telemetry_assets.defs.partitions import HOURS_A_RUN, RETRIES, arrival_hours
from telemetry_assets.defs.resources import LakeResource
from telemetry_assets.lakehouse import warehouse_schema as schema
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.reconciling import count_loaded, judge_warehouse
from telemetry_assets.lakehouse.reference import read_registry
from telemetry_assets.lakehouse.tables import (
    DEVICE_PROFILES,
    DUPLICATES,
    HOUR_PARTIALS,
    LEDGER,
    METRIC_PARTIALS,
    QUARANTINE,
    RULE_OUTCOMES,
    SUPERSEDED,
    silver_table,
)
from telemetry_assets.lakehouse.warehouse import create_tables, replace_registry, warehouse_load
from telemetry_contracts.registry import Registry
from telemetry_platform.layout import (
    LANDING_FILE_ERRORS,
    LANDING_FILES,
    LANDING_REJECTED,
    SOURCE,
    Table,
)

_READERS = 4
_Load = tuple[schema.WarehouseTable, Table, dg.AssetKey]


def warehouse_key(name: str) -> dg.AssetKey:
    """Return the key of a warehouse table's asset."""
    return dg.AssetKey(["warehouse", name])


LEDGER_KEY = warehouse_key(schema.LEDGERS.name)


def _loads(registry: Registry) -> list[_Load]:
    """Return each partitioned warehouse table, the Delta table it copies and that one's asset."""
    events = [
        (schema.event_table(contract), silver_table(contract), refinement.silver_key(source))
        for source, contract in registry.items()
    ]
    return [
        *events,
        (schema.QUARANTINED, QUARANTINE, refinement.QUARANTINE_KEY),
        (schema.DUPLICATED, DUPLICATES, refinement.DUPLICATES_KEY),
        (schema.SUPERSEDED_EVENTS, SUPERSEDED, refinement.SUPERSEDED_KEY),
        (schema.PARTIALS, METRIC_PARTIALS, gold.PARTIALS_KEY),
        (schema.HOURS, HOUR_PARTIALS, gold.HOURS_KEY),
        (schema.PROFILES, DEVICE_PROFILES, gold.PROFILES_KEY),
        (schema.LEDGERS, LEDGER, gold.LEDGER_KEY),
        (schema.OUTCOMES, RULE_OUTCOMES, gold.OUTCOMES_KEY),
        (schema.REJECTED, LANDING_REJECTED, landing.REJECTED),
        (schema.FILES, LANDING_FILES, landing.FILES),
        (schema.FILE_ERRORS, LANDING_FILE_ERRORS, landing.FILE_ERRORS),
    ]


def warehouse_keys(registry: Registry) -> list[dg.AssetKey]:
    """Return the keys of the tables that an arrival hour is loaded into."""
    return [warehouse_key(table.name) for table, _, _ in _loads(registry)]


def warehouse_asset(registry: Registry) -> dg.AssetsDefinition:
    """Build the warehouse tables as one step: one transaction replaces the hour in all of them."""
    loads = {warehouse_key(table.name): (table, delta, up) for table, delta, up in _loads(registry)}

    adds_up = dg.AssetCheckSpec(
        gold.RECONCILIATION,
        asset=LEDGER_KEY,
        blocking=True,
        partitions_def=arrival_hours,
        description="The warehouse holds what gold/ledger says: rows of each source, of "
        "quarantine and of duplicates, and the values that the partials are made of.",
    )

    @dg.multi_asset(
        name="warehouse",
        specs=[
            dg.AssetSpec(
                key,
                deps=[upstream],
                partitions_def=arrival_hours,
                group_name="warehouse",
                kinds={"postgres"},
                description=f"`{table.qualified}`: a copy of {upstream.to_user_string()}.",
                metadata={
                    "dagster/column_schema": column_schema(table.columns, registry.get(table.name)),
                    "dagster/table_name": table.qualified,
                },
            )
            for key, (table, _, upstream) in loads.items()
        ],
        check_specs=[adds_up],
        can_subset=True,
        retry_policy=RETRIES,
        backfill_policy=HOURS_A_RUN,
    )
    def warehouse(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult | Judged]:
        settings = lake.lake.settings
        sources = refinement.run_sources(context, lake.lake)
        # The contracts of this run, which may be newer than those the job was made from.
        current = {warehouse_key(load[0].name): load for load in _loads(lake.lake.registry)}
        selected = [current[key] for key in loads if key in context.selected_asset_keys]
        create_tables(settings, lake.lake.registry)
        found: dict[str, dict[str, dict[str, object]]]
        found = {table.name: {} for table, _, _ in selected}
        accounts = {}
        for hour in context.partition_keys:
            for name, rows in _load_hour(lake.lake, selected, hour, sources).items():
                found[name][hour] = {
                    "dagster/partition_row_count": rows,
                    "dagster/table_name": f"{schema.SCHEMA}.{name}",
                }
            if adds_up.key in context.selected_asset_check_keys:
                ledger = lake.lake.read(LEDGER, hour, sources)
                counted = count_loaded(settings, ledger[SOURCE].to_list(), hour)
                judgement = judge_warehouse(ledger, counted)
                accounts[hour] = gold.reconciliation(LEDGER_KEY, judgement)
        for name, hours in found.items():
            yield materialized(context, warehouse_key(name), hours)
        if accounts:
            yield from judged(context, adds_up, accounts)

    return warehouse


def _load_hour(lake: Lake, loads: list[_Load], hour: str, sources: list[str]) -> dict[str, int]:
    """Replace one hour in these tables, in one transaction; returns rows by table."""
    tables = [table for table, _, _ in loads]
    concerned = [load for load in loads if _concerns(load[1], sources)]
    with ThreadPoolExecutor(_READERS) as pool:
        frames = list(
            pool.map(lambda load: lake.read(load[1], hour, _limit(load[1], sources)), concerned)
        )
    loaded = dict.fromkeys((table.name for table in tables), 0)
    with warehouse_load(lake.settings, tables, hour) as load:
        for (table, delta, _), rows in zip(concerned, frames, strict=True):
            loaded[table.name] = load.replace(table, rows, _limit(delta, sources))
    return loaded


def reference_assets() -> list[dg.AssetsDefinition]:
    """Build `reference/devices` and `reference/users`, which replace their table whole."""
    return [
        _reference(schema.DEVICES, "Devices as their owners registered them: place, zone, user."),
        _reference(schema.USERS, "People who wear or carry devices: year of birth and sex."),
    ]


def _reference(table: schema.WarehouseTable, description: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=["reference", table.name],
        group_name="reference",
        kinds={"s3", "postgres"},
        retry_policy=RETRIES,
        description=f"{description} Read from `reference/{table.name}.csv` in the bucket.",
        metadata={"dagster/column_schema": column_schema(table.columns)},
    )
    def reference(lake: LakeResource) -> dg.MaterializeResult:
        settings = lake.lake.settings
        create_tables(settings, lake.lake.registry)
        rows = replace_registry(settings, table, read_registry(settings, table))
        return dg.MaterializeResult(metadata={"dagster/row_count": rows})

    return reference


def _limit(delta: Table, sources: list[str]) -> list[str] | None:
    """Return the sources that a load of this table is limited to, None for the whole hour.

    A post or a file that nobody could read is of no source that a run would name.
    """
    whole = (
        delta in (LANDING_REJECTED, LANDING_FILES, LANDING_FILE_ERRORS)
        or SOURCE not in delta.partition_by
    )
    return None if whole else sources


def _concerns(delta: Table, sources: list[str]) -> bool:
    """Tell whether a run about some sources is about this table."""
    return SOURCE in delta.partition_by or delta.path.rpartition("/")[2] in sources
