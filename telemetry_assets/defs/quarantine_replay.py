"""The replay of quarantined events, as assets that are materialized by hand or by their job."""

from collections.abc import Iterator

import dagster as dg

from telemetry_assets.defs.metadata import column_schema
from telemetry_assets.defs.refinement import QUARANTINE_KEY
from telemetry_assets.defs.replay import ReplayConfig
from telemetry_assets.defs.resources import LakeResource
from telemetry_assets.lakehouse.quarantine_replay import (
    QuarantineReport,
    load_attempts,
    replay_quarantine,
)
from telemetry_assets.lakehouse.rejudging import RELEASED, WITHDRAWN
from telemetry_assets.lakehouse.tables import QUARANTINE_REPLAYS
from telemetry_assets.lakehouse.warehouse_schema import QUARANTINE_ATTEMPTS

ATTEMPTS = dg.AssetKey(["silver", "quarantine_replays"])
LOADED_ATTEMPTS = dg.AssetKey(["warehouse", QUARANTINE_ATTEMPTS.name])
# Of their own: the groups of the layers are refined by the hour.
_GROUP = "quarantine"


@dg.multi_asset(
    name="replay_quarantined_events",
    specs=[
        dg.AssetSpec(
            ATTEMPTS,
            deps=[QUARANTINE_KEY],
            group_name=_GROUP,
            kinds={"deltalake", "polars"},
            # A dry run writes nothing and so materializes nothing.
            skippable=True,
            description="What quarantined events came to by the contracts of the day. Hours that "
            "come out otherwise are refined again, by a run that the landing sensor asks for.",
            metadata={"dagster/column_schema": column_schema(QUARANTINE_REPLAYS.columns)},
        ),
        dg.AssetSpec(
            LOADED_ATTEMPTS,
            deps=[ATTEMPTS],
            group_name=_GROUP,
            kinds={"postgres"},
            skippable=True,
            description=f"`{QUARANTINE_ATTEMPTS.qualified}`: a copy of silver/quarantine_replays.",
            metadata={
                "dagster/column_schema": column_schema(QUARANTINE_ATTEMPTS.columns),
                "dagster/table_name": QUARANTINE_ATTEMPTS.qualified,
            },
        ),
    ],
    can_subset=True,
)
def quarantine_replays(
    context: dg.AssetExecutionContext, config: ReplayConfig, lake: LakeResource
) -> Iterator[dg.MaterializeResult]:
    """Judge quarantined events again, and have the hours refined that come out otherwise."""
    try:
        selection = config.selection()
    except ValueError as error:
        raise dg.Failure(f"{error}. A time is written 2026-11-22T14.") from error
    asked_by = f"run {context.run.run_id}"
    report = replay_quarantine(lake.lake, selection, asked_by, dry_run=config.dry_run)
    context.log.info(report.summary())
    if config.dry_run:
        context.log_event(dg.AssetObservation(ATTEMPTS, metadata=_metadata(report)))
        return
    yield dg.MaterializeResult(ATTEMPTS, metadata=_metadata(report))
    if LOADED_ATTEMPTS not in context.selected_asset_keys:
        return
    rows = load_attempts(lake.lake.settings, lake.lake.registry)
    yield dg.MaterializeResult(LOADED_ATTEMPTS, metadata={"dagster/row_count": rows})


def _metadata(report: QuarantineReport) -> dict[str, dg.MetadataValue]:
    hours = ", ".join(f"{source}:{hour}" for source, hour in report.hours)
    return {
        "dry_run": dg.MetadataValue.bool(report.dry_run),
        "summary": dg.MetadataValue.text(report.summary()),
        "differences": dg.MetadataValue.md(report.markdown()),
        "hours_to_refine": dg.MetadataValue.text(hours or "none"),
        **{name: dg.MetadataValue.int(report.count(name)) for name in (RELEASED, WITHDRAWN)},
    }


replay_quarantined = dg.define_asset_job(
    "replay_quarantined",
    selection=dg.AssetSelection.assets(ATTEMPTS, LOADED_ATTEMPTS),
    executor_def=dg.in_process_executor,
    description="Judge quarantined events again by today's contracts, and have the hours refined "
    "that come out otherwise. A dry run unless told otherwise.",
)
