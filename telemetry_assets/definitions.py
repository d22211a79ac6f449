"""The code location: everything Dagster sees, put together."""

from __future__ import annotations

import dagster as dg

from telemetry_assets.dbt_lineage import lineage
from telemetry_assets.defs.backfills import failed_hours_sensor
from telemetry_assets.defs.gold import gold_asset
from telemetry_assets.defs.jobs import (
    check_marts,
    load_registries,
    reconcile_hour,
    reconcile_last_hour,
    refine_hour,
)
from telemetry_assets.defs.landing import landing_assets
from telemetry_assets.defs.maintenance import compact_every_hour, compact_landing
from telemetry_assets.defs.marts import marts_asset, marts_checks
from telemetry_assets.defs.quality import quality_asset, report_every_hour, report_quality
from telemetry_assets.defs.quarantine_replay import quarantine_replays, replay_quarantined
from telemetry_assets.defs.refinement import bronze_asset, exceptions_asset, silver_asset
from telemetry_assets.defs.replay import replay_rejected, replays_asset
from telemetry_assets.defs.resources import LakeResource, MartsResource
from telemetry_assets.defs.sensors import landing_sensor, reference_sensor
from telemetry_assets.defs.warehouse import reference_assets, warehouse_asset
from telemetry_platform.contracts import contracts_in_force
from telemetry_platform.settings import get_settings


@dg.definitions
def definitions() -> dg.Definitions:
    """Build the assets from the contracts in force and the marts from the parsed dbt project."""
    settings = get_settings()
    registry = contracts_in_force(settings)
    models = lineage(settings)
    marts = marts_asset(models)
    checks = marts_checks(models)
    refine = refine_hour(checks)
    mart_sources = {
        dg.AssetKey(["marts", model["name"]]): set(model["tags"]) & set(registry)
        for model in models
    }
    return dg.Definitions(
        assets=[
            *landing_assets,
            replays_asset(registry),
            *(bronze_asset(contract) for contract in registry.values()),
            *(silver_asset(contract) for contract in registry.values()),
            exceptions_asset(registry),
            quarantine_replays,
            gold_asset(registry),
            warehouse_asset(registry),
            *reference_assets(),
            marts,
            quality_asset(registry),
        ],
        asset_checks=[checks],
        schedules=[
            check_marts(checks),
            reconcile_last_hour,
            compact_every_hour,
            report_every_hour,
        ],
        jobs=[
            refine,
            reconcile_hour,
            load_registries,
            replay_rejected,
            replay_quarantined,
            compact_landing,
            report_quality,
        ],
        sensors=[
            landing_sensor(registry, mart_sources),
            reference_sensor,
            failed_hours_sensor(refine),
        ],
        # Also what is materialized by hand or by a backfill of assets runs in one process.
        executor=dg.in_process_executor,
        resources={"lake": LakeResource(), "marts": MartsResource()},
    )
