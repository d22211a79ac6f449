"""The jobs: one refines an arrival hour from landing to marts, one reads the registries."""

from __future__ import annotations

import dagster as dg

from telemetry_assets.defs import gold, warehouse
from telemetry_platform.clock import HOUR, hour_key

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


LEDGERS = (gold.LEDGER_KEY, warehouse.LEDGER_KEY)
"""Assets whose check adds up an hour: in the lake, and in the warehouse."""

reconcile_hour = dg.define_asset_job(
    "reconcile_hour",
    selection=dg.AssetSelection.assets(*LEDGERS),
    executor_def=dg.in_process_executor,
    description="Count every layer of one arrival hour anew and compare. Writes the ledger alone.",
)


@dg.schedule(
    job=reconcile_hour,
    cron_schedule="30 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Counts the hour that was over last.",
)
def reconcile_last_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the hour before the present one."""
    hour = hour_key(context.scheduled_execution_time - HOUR)
    return dg.RunRequest(run_key=hour, partition_key=hour)


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
