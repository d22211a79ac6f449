"""The jobs: one refines an arrival hour from landing to marts, one reads the registries."""

from __future__ import annotations

import dagster as dg

REFINE = "refine_hour"
LAYERS = ("bronze", "silver", "gold", "warehouse", "marts")


def refine_hour(checks: dg.AssetChecksDefinition) -> dg.UnresolvedAssetJobDefinition:
    """Build the job that brings one arrival hour from landing to the marts.

    Args:
        checks: Checks of the marts that have a schedule of their own: they read whole tables.
    """
    return dg.define_asset_job(
        REFINE,
        selection=dg.AssetSelection.groups(*LAYERS) - dg.AssetSelection.checks(checks),
        # A process for each step would cost seconds of imports each; an hour is refined in one.
        executor_def=dg.in_process_executor,
        description="Bring one arrival hour from landing to the marts. Can be repeated at will.",
    )


load_registries = dg.define_asset_job(
    "load_registries",
    selection=dg.AssetSelection.groups("reference"),
    executor_def=dg.in_process_executor,
    description="Load the registries of devices and users from the bucket.",
)


def check_marts(checks: dg.AssetChecksDefinition) -> dg.ScheduleDefinition:
    """Build the schedule that runs dbt's data tests on the marts every hour."""
    job = dg.define_asset_job(
        "check_marts",
        selection=dg.AssetSelection.checks(checks),
        executor_def=dg.in_process_executor,
        description="Run dbt's data tests on the marts; each is an asset check.",
    )
    return dg.ScheduleDefinition(
        job=job,
        cron_schedule="5 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
