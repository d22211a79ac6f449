"""bronze, silver and their exceptions: one asset per source and layer."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from telemetry_assets.defs.hours import Judged, judged, materialized
from telemetry_assets.defs.landing import EVENTS
from telemetry_assets.defs.metadata import column_schema, rows_metadata, table_metadata
from telemetry_assets.defs.partitions import HOURS_A_RUN, RETRIES, SOURCES_TAG, arrival_hours
from telemetry_assets.defs.resources import LakeResource
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.quarantine_preview import preview
from telemetry_assets.lakehouse.refining import Refined
from telemetry_assets.lakehouse.schemas import failures, silver_model
from telemetry_assets.lakehouse.tables import (
    DUPLICATES,
    QUARANTINE,
    SUPERSEDED,
    bronze_table,
    silver_table,
)
from telemetry_contracts.contract import Contract, Severity
from telemetry_contracts.registry import Registry

QUARANTINE_KEY = dg.AssetKey(["silver", "quarantine"])
DUPLICATES_KEY = dg.AssetKey(["silver", "duplicates"])
SUPERSEDED_KEY = dg.AssetKey(["silver", "superseded"])
CONTRACT_CHECK = "contract"
WARNINGS_CHECK = "warnings"
OVERTAKEN = "overtaken_hours"
"""Metadata of silver: hours to refine again, for copies that arrived before or corrections."""

_SAMPLE = 5


def bronze_key(source: str) -> dg.AssetKey:
    """Return the key of a source's bronze asset."""
    return dg.AssetKey(["bronze", source])


def silver_key(source: str) -> dg.AssetKey:
    """Return the key of a source's silver asset."""
    return dg.AssetKey(["silver", source])


def silver_checks(contract: Contract) -> list[dg.AssetCheckKey]:
    """Return the keys of the checks on a source's silver."""
    names = [CONTRACT_CHECK, *([WARNINGS_CHECK] if contract.warns else [])]
    return [dg.AssetCheckKey(silver_key(contract.source), name) for name in names]


def run_sources(context: dg.AssetExecutionContext, lake: Lake) -> list[str]:
    """Return the sources whose data a run is about: those the sensor named, else all."""
    named = context.run.tags.get(SOURCES_TAG)
    return named.split(",") if named else list(lake.registry.sources)


def bronze_asset(contract: Contract) -> dg.AssetsDefinition:
    """Build `bronze/<source>`."""
    table = bronze_table(contract)
    key = bronze_key(contract.source)

    @dg.asset(
        key=key,
        deps=[EVENTS],
        partitions_def=arrival_hours,
        group_name="bronze",
        kinds={"deltalake", "polars"},
        retry_policy=RETRIES,
        backfill_policy=HOURS_A_RUN,
        code_version=contract.version,
        description=f"{contract.description} Landed payloads as typed columns.",
        metadata={"dagster/column_schema": column_schema(table.columns, contract)},
    )
    def bronze(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        found = {}
        for hours in lake.lake.groups(context.partition_keys):
            for hour, built in lake.lake.build_bronze_hours(contract.source, hours).items():
                found[hour] = {
                    **rows_metadata(built.rows.height, built.version),
                    "landing_version": built.landing_version,
                    **_versions(lake.lake.registry[contract.source], built.rows),
                }
        return materialized(context, key, found)

    return bronze


def silver_asset(contract: Contract) -> dg.AssetsDefinition:
    """Build `silver/<source>` with its schema check."""
    table = silver_table(contract)
    key = silver_key(contract.source)
    valid = dg.AssetCheckSpec(
        CONTRACT_CHECK,
        asset=key,
        blocking=True,
        partitions_def=arrival_hours,
        description="Types, nulls, ranges, enums and unique ids, as the contract says.",
    )
    warns = dg.AssetCheckSpec(
        WARNINGS_CHECK,
        asset=key,
        partitions_def=arrival_hours,
        description="Unknown devices, jumps, stuck values: what the contract only warns of.",
    )

    @dg.asset(
        key=key,
        deps=[bronze_key(contract.source)],
        partitions_def=arrival_hours,
        group_name="silver",
        kinds={"deltalake", "polars", "pandera"},
        retry_policy=RETRIES,
        backfill_policy=HOURS_A_RUN,
        code_version=contract.version,
        description=f"{contract.description} Unique, valid and enriched.",
        metadata={"dagster/column_schema": column_schema(table.columns, contract)},
        check_specs=[valid, *([warns] if contract.warns else [])],
    )
    def silver(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult | Judged]:
        source, current = contract.source, lake.lake.registry[contract.source]
        found, valid_hours, warned_hours = {}, {}, {}
        for hours in lake.lake.groups(context.partition_keys):
            lake.lake.look_back(source, hours)
            split = {}
            # The last hour first: what it corrects is known when the hours before it are refined.
            for hour in sorted(hours, reverse=True):
                split[hour] = lake.lake.refined(source, hour)
                lake.lake.write_corrections(source, hour)
            kept = {hour: split[hour].silver for hour in hours}
            version = lake.lake.write_hours(silver_table(current), kept)
            overtaken = lake.lake.overtaken_hours(source, hours)
            stored = lake.lake.stored(silver_table(current), hours)
            for hour, refined in split.items():
                found[hour] = {
                    **rows_metadata(refined.silver.height, version),
                    "quarantined": refined.quarantine.height,
                    "duplicates": refined.duplicates.height,
                    "superseded": refined.superseded.height,
                    **_versions(current, refined.silver),
                    **({OVERTAKEN: " ".join(overtaken[hour])} if overtaken[hour] else {}),
                }
                valid_hours[hour] = _contract_check(current, stored[hour])
                warned_hours[hour] = _warnings_check(key, refined.outcomes)
        yield materialized(context, key, found)
        yield from judged(context, valid, valid_hours)
        if contract.warns:
            yield from judged(context, warns, warned_hours)

    return silver


def _warnings_check(silver: dg.AssetKey, outcomes: pl.DataFrame) -> dg.AssetCheckResult:
    """Tell how many rows each rule warned of; they are in silver all the same."""
    warnings = outcomes.filter(pl.col("severity") == Severity.WARNING)
    return dg.AssetCheckResult(
        check_name=WARNINGS_CHECK,
        asset_key=silver,
        passed=warnings["failed"].sum() == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            row["rule"]: dg.MetadataValue.json({"checked": row["checked"], "failed": row["failed"]})
            for row in warnings.iter_rows(named=True)
        },
    )


def exceptions_asset(registry: Registry) -> dg.AssetsDefinition:
    """Build `silver/quarantine`, `silver/duplicates` and `silver/superseded`, over all sources."""
    bronze = [bronze_key(source) for source in registry.sources]
    tables = {QUARANTINE_KEY: QUARANTINE, DUPLICATES_KEY: DUPLICATES, SUPERSEDED_KEY: SUPERSEDED}
    descriptions = {
        QUARANTINE_KEY: "Events that break a rule, with every reason; personal values are tokens. "
        "In SQL: `marts.rpt_quarantine`, one row for each event and reason. The job "
        "`replay_quarantined` judges them again by today's contracts.",
        DUPLICATES_KEY: "Events whose id had landed before, and the event that came first.",
        SUPERSEDED_KEY: "Events that a correction replaced or deleted, and deletions themselves. "
        "Their former values are in bronze.",
    }

    @dg.multi_asset(
        name="silver_exceptions",
        specs=[
            dg.AssetSpec(
                key,
                deps=bronze,
                partitions_def=arrival_hours,
                group_name="silver",
                kinds={"deltalake", "polars"},
                description=descriptions[key],
                metadata={"dagster/column_schema": column_schema(table.columns)},
            )
            for key, table in tables.items()
        ],
        can_subset=True,
        retry_policy=RETRIES,
        backfill_policy=HOURS_A_RUN,
    )
    def silver_exceptions(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult]:
        sources = run_sources(context, lake.lake)
        found: dict[dg.AssetKey, dict[str, dict[str, dg.MetadataValue]]]
        found = {key: {} for key in context.selected_asset_keys}
        for group in lake.lake.groups(context.partition_keys):
            split = {hour: [lake.lake.refined(each, hour) for each in sources] for hour in group}
            for key, hours in found.items():
                if key == SUPERSEDED_KEY:
                    for hour in group:
                        frame, written = lake.lake.write_superseded(hour, sources)
                        hours[hour] = rows_metadata(frame.height, written)
                    continue
                rows = {
                    hour: lake.lake.together(tables[key], [_exceptions(key, of) for of in refined])
                    for hour, refined in split.items()
                }
                version = lake.lake.write_hours(tables[key], rows, sources)
                for hour, frame in rows.items():
                    hours[hour] = rows_metadata(frame.height, version)
                    if key == QUARANTINE_KEY and not frame.is_empty():
                        hours[hour] |= _broken_rules(frame)
        for key, hours in found.items():
            yield materialized(context, key, hours)

    return silver_exceptions


def _exceptions(key: dg.AssetKey, refined: Refined) -> pl.DataFrame:
    return refined.quarantine if key == QUARANTINE_KEY else refined.duplicates


def _broken_rules(quarantined: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    counts = quarantined.explode("rules")["rules"].value_counts(sort=True)
    return {
        "broken_rules": dg.MetadataValue.json(dict(counts.rows())),
        "preview": table_metadata(preview(quarantined)),
    }


def _versions(contract: Contract, rows: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """Return the version that rows were refined by, and those that the edge had read them by."""
    counts = rows["contract_version"].value_counts(sort=True).rows()
    return {
        "contract_version": dg.MetadataValue.text(contract.version),
        "read_by_contract_versions": dg.MetadataValue.json(dict(counts)),
    }


def _contract_check(contract: Contract, written: pl.DataFrame) -> dg.AssetCheckResult:
    """Hold what was written, read back, against the declared schema."""
    failed = failures(silver_model(contract), written)
    return dg.AssetCheckResult(
        check_name=CONTRACT_CHECK,
        asset_key=silver_key(contract.source),
        passed=not failed,
        metadata={
            "rows": written.height,
            "failures": dg.MetadataValue.json(failed[:_SAMPLE]),
        },
    )
