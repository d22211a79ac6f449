"""gold: mergeable aggregates, device profiles, the ledger and what the rules found."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import dagster as dg
import polars as pl

from telemetry_assets.defs.hours import Judged, judged, materialized
from telemetry_assets.defs.metadata import column_schema, rows_metadata
from telemetry_assets.defs.partitions import HOURS_A_RUN, RETRIES, arrival_hours
from telemetry_assets.defs.refinement import (
    DUPLICATES_KEY,
    QUARANTINE_KEY,
    SUPERSEDED_KEY,
    bronze_key,
    run_sources,
    silver_key,
)
from telemetry_assets.defs.resources import LakeResource
from telemetry_assets.lakehouse.aggregating import (
    device_profiles,
    hour_partials,
    metric_partials,
)
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.reconciling import judge_lake
from telemetry_assets.lakehouse.tables import (
    DEVICE_PROFILES,
    HOUR_PARTIALS,
    LEDGER,
    METRIC_PARTIALS,
    RULE_OUTCOMES,
)
from telemetry_contracts.registry import Registry
from telemetry_platform.layout import Table

PARTIALS_KEY = dg.AssetKey(["gold", "metric_partials"])
HOURS_KEY = dg.AssetKey(["gold", "hour_partials"])
PROFILES_KEY = dg.AssetKey(["gold", "device_profiles"])
LEDGER_KEY = dg.AssetKey(["gold", "ledger"])
OUTCOMES_KEY = dg.AssetKey(["gold", "rule_outcomes"])

TABLES: dict[dg.AssetKey, Table] = {
    PARTIALS_KEY: METRIC_PARTIALS,
    HOURS_KEY: HOUR_PARTIALS,
    PROFILES_KEY: DEVICE_PROFILES,
    LEDGER_KEY: LEDGER,
    OUTCOMES_KEY: RULE_OUTCOMES,
}
_DESCRIPTIONS = {
    PARTIALS_KEY: "Count, mean, M2 and extremes by device, metric and event minute, mergeable.",
    HOURS_KEY: "The same by event hour: what hours, days and files are merged from.",
    PROFILES_KEY: "Spans of event time in which a device described itself the same way.",
    LEDGER_KEY: "What became of every accepted event of the hour.",
    OUTCOMES_KEY: "Rows checked and failed by each contract rule.",
}
_DERIVED = {
    PARTIALS_KEY: metric_partials,
    HOURS_KEY: hour_partials,
    PROFILES_KEY: device_profiles,
}
RECONCILIATION = "reconciliation"


def gold_asset(registry: Registry) -> dg.AssetsDefinition:
    """Build the gold tables as one step, so that each silver partition is read once."""
    silver = [silver_key(source) for source in registry.sources]
    bronze = [bronze_key(source) for source in registry.sources]
    deps = {
        PARTIALS_KEY: silver,
        HOURS_KEY: silver,
        PROFILES_KEY: silver,
        LEDGER_KEY: [*silver, QUARANTINE_KEY, DUPLICATES_KEY, SUPERSEDED_KEY],
        OUTCOMES_KEY: bronze,
    }

    adds_up = dg.AssetCheckSpec(
        RECONCILIATION,
        asset=LEDGER_KEY,
        blocking=True,
        partitions_def=arrival_hours,
        description="accepted = silver + quarantined + duplicates + superseded + erased, to the "
        "row; the partials by minute and by hour hold every value of silver's metrics.",
    )

    @dg.multi_asset(
        name="gold",
        specs=[
            dg.AssetSpec(
                key,
                deps=deps[key],
                partitions_def=arrival_hours,
                group_name="gold",
                kinds={"deltalake", "polars"},
                description=_DESCRIPTIONS[key],
                metadata={"dagster/column_schema": column_schema(table.columns)},
            )
            for key, table in TABLES.items()
        ],
        check_specs=[adds_up],
        can_subset=True,
        retry_policy=RETRIES,
        backfill_policy=HOURS_A_RUN,
    )
    def gold(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult | Judged]:
        sources = run_sources(context, lake.lake)
        keys = [key for key in TABLES if key in context.selected_asset_keys]
        found: dict[dg.AssetKey, dict[str, dict[str, dg.MetadataValue]]] = {key: {} for key in keys}
        accounts = {}
        for hours in lake.lake.groups(context.partition_keys):
            for key, (rows, version) in _write(lake.lake, keys, hours, sources).items():
                for hour, frame in rows.items():
                    found[key][hour] = rows_metadata(frame.height, version)
                    if key == LEDGER_KEY:
                        accounts[hour] = reconciliation(LEDGER_KEY, judge_lake(frame))
        for key, told in found.items():
            yield materialized(context, key, told)
        if adds_up.key in context.selected_asset_check_keys:
            yield from judged(context, adds_up, accounts)

    return gold


def _write(
    lake: Lake, keys: list[dg.AssetKey], hours: list[str], sources: list[str]
) -> dict[dg.AssetKey, tuple[dict[str, pl.DataFrame], int]]:
    """Derive and write these hours of these tables; returns rows by hour, and the version."""
    rows: dict[dg.AssetKey, dict[str, pl.DataFrame]] = {key: {} for key in keys}
    with ThreadPoolExecutor(len(TABLES)) as pool:
        for hour in hours:
            derived: dict[dg.AssetKey, Future[pl.DataFrame]] = {}
            for key in keys:
                derived[key] = pool.submit(_derive, key, lake, hour, sources, derived)
            for key, each in derived.items():
                rows[key][hour] = each.result()
        versions = pool.map(lambda key: lake.write_hours(TABLES[key], rows[key], sources), keys)
        return {key: (rows[key], version) for key, version in zip(keys, versions, strict=True)}


def reconciliation(asset: dg.AssetKey, judged: pl.DataFrame) -> dg.AssetCheckResult:
    """Tell the accounts of all sources, judged by `reconciling`, as the check of an asset."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=RECONCILIATION,
        passed=judged["adds_up"].all(),
        metadata={
            row.pop("source"): dg.MetadataValue.json(row) for row in judged.iter_rows(named=True)
        },
    )


def _derive(
    key: dg.AssetKey,
    lake: Lake,
    hour: str,
    sources: list[str],
    derived: Mapping[dg.AssetKey, Future[pl.DataFrame]],
) -> pl.DataFrame:
    table = TABLES[key]
    if key == LEDGER_KEY:
        # Of what is being derived with it, the ledger counts the partials before they are written.
        made = {
            TABLES[each].path: derived[each].result()
            for each in (PARTIALS_KEY, HOURS_KEY)
            if each in derived
        }
        return lake.together(table, [lake.ledger(source, hour, made) for source in sources])
    if key == OUTCOMES_KEY:
        return lake.together(table, [lake.rule_outcomes(source, hour) for source in sources])
    frames = [
        _DERIVED[key](lake.gold_input(source, hour), lake.registry[source]) for source in sources
    ]
    return lake.together(table, frames)
