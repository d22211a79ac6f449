"""bronze, silver and their exceptions: one asset per source and layer."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from telemetry_assets.defs.landing import EVENTS
from telemetry_assets.defs.metadata import column_schema, rows_metadata, table_metadata
from telemetry_assets.defs.partitions import RETRIES, SOURCES_TAG, arrival_hours
from telemetry_assets.defs.resources import LakeResource
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.quarantine_preview import preview
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

    @dg.asset(
        key=bronze_key(contract.source),
        deps=[EVENTS],
        partitions_def=arrival_hours,
        group_name="bronze",
        kinds={"deltalake", "polars"},
        retry_policy=RETRIES,
        code_version=contract.version,
        description=f"{contract.description} Landed payloads as typed columns.",
        metadata={"dagster/column_schema": column_schema(table.columns, contract)},
    )
    def bronze(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        built = lake.lake.build_bronze(contract.source, context.partition_key)
        return dg.MaterializeResult(
            metadata={
                **rows_metadata(built.rows.height, built.version),
                "landing_version": built.landing_version,
                **_versions(lake.lake.registry[contract.source], built.rows),
            }
        )

    return bronze


def silver_asset(contract: Contract) -> dg.AssetsDefinition:
    """Build `silver/<source>` with its schema check."""
    table = silver_table(contract)
    key = silver_key(contract.source)

    @dg.asset(
        key=key,
        deps=[bronze_key(contract.source)],
        partitions_def=arrival_hours,
        group_name="silver",
        kinds={"deltalake", "polars", "pandera"},
        retry_policy=RETRIES,
        code_version=contract.version,
        description=f"{contract.description} Unique, valid and enriched.",
        metadata={"dagster/column_schema": column_schema(table.columns, contract)},
        check_specs=[
            dg.AssetCheckSpec(
                CONTRACT_CHECK,
                asset=key,
                blocking=True,
                partitions_def=arrival_hours,
                description="Types, nulls, ranges, enums and unique ids, as the contract says.",
            ),
            *_warnings_spec(contract),
        ],
    )
    def silver(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult]:
        hour = context.partition_key
        current = lake.lake.registry[contract.source]
        refined = lake.lake.refined(contract.source, hour)
        version = lake.lake.write(silver_table(current), refined.silver, hour)
        lake.lake.write_corrections(contract.source, hour)
        overtaken = lake.lake.overtaken(contract.source, hour)
        yield dg.MaterializeResult(
            metadata={
                **rows_metadata(refined.silver.height, version),
                "quarantined": refined.quarantine.height,
                "duplicates": refined.duplicates.height,
                "superseded": refined.superseded.height,
                **_versions(current, refined.silver),
                **({OVERTAKEN: " ".join(overtaken)} if overtaken else {}),
            },
            check_results=[
                _contract_check(current, lake.lake, hour),
                *_warnings_check(contract, refined.outcomes),
            ],
        )

    return silver


def _warnings_spec(contract: Contract) -> list[dg.AssetCheckSpec]:
    if not contract.warns:
        return []
    return [
        dg.AssetCheckSpec(
            WARNINGS_CHECK,
            asset=silver_key(contract.source),
            partitions_def=arrival_hours,
            description="Unknown devices, jumps, stuck values: what the contract only warns of.",
        )
    ]


def _warnings_check(contract: Contract, outcomes: pl.DataFrame) -> list[dg.AssetCheckResult]:
    """Tell how many rows each rule warned of; they are in silver all the same."""
    if not contract.warns:
        return []
    warnings = outcomes.filter(pl.col("severity") == Severity.WARNING)
    return [
        dg.AssetCheckResult(
            check_name=WARNINGS_CHECK,
            asset_key=silver_key(contract.source),
            passed=warnings["failed"].sum() == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                row["rule"]: dg.MetadataValue.json(
                    {"checked": row["checked"], "failed": row["failed"]}
                )
                for row in warnings.iter_rows(named=True)
            },
        )
    ]


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
    )
    def silver_exceptions(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult]:
        hour = context.partition_key
        sources = run_sources(context, lake.lake)
        frames = {
            QUARANTINE_KEY: [lake.lake.refined(source, hour).quarantine for source in sources],
            DUPLICATES_KEY: [lake.lake.refined(source, hour).duplicates for source in sources],
        }
        if SUPERSEDED_KEY in context.selected_asset_keys:
            rows, written = lake.lake.write_superseded(hour, sources)
            yield dg.MaterializeResult(
                asset_key=SUPERSEDED_KEY, metadata=rows_metadata(rows.height, written)
            )
        for key in context.selected_asset_keys - {SUPERSEDED_KEY}:
            table = tables[key]
            rows = lake.lake.together(table, frames[key])
            version = lake.lake.write(table, rows, hour, sources)
            metadata = rows_metadata(rows.height, version)
            if key == QUARANTINE_KEY and not rows.is_empty():
                counts = rows.explode("rules")["rules"].value_counts(sort=True)
                metadata["broken_rules"] = dg.MetadataValue.json(dict(counts.rows()))
                metadata["preview"] = table_metadata(preview(rows))
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)

    return silver_exceptions


def _versions(contract: Contract, rows: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """Return the version that rows were refined by, and those that the edge had read them by."""
    counts = rows["contract_version"].value_counts(sort=True).rows()
    return {
        "contract_version": dg.MetadataValue.text(contract.version),
        "read_by_contract_versions": dg.MetadataValue.json(dict(counts)),
    }


def _contract_check(contract: Contract, lake: Lake, hour: str) -> dg.AssetCheckResult:
    """Hold what was written, read back, against the declared schema."""
    written = lake.scan(silver_table(contract), hour).collect()
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
