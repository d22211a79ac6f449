"""Backfills: what becomes of the hours of a run that failed."""

from collections.abc import Iterator

import dagster as dg

from telemetry_assets.defs.partitions import BACKFILL_TAG, RANGE_TAGS, hours_of

_WILL_RETRY_TAG = "dagster/will_retry"


def failed_hours_sensor(job: "dg.UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Build the sensor that runs the hours of a backfill's failed run one by one.

    A run of many hours fails as a whole. Alone, the hour that is wrong fails under its own name and
    the others are refined.

    Args:
        job: What refines an hour.
    """

    @dg.run_failure_sensor(
        name="failed_hours_sensor",
        request_job=job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description="Requests a run for each hour of a backfill's run that failed.",
    )
    def run_hours_alone(
        context: dg.RunFailureSensorContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        run = context.dagster_run
        if RANGE_TAGS[0] not in run.tags:
            yield dg.SkipReason("Not a run of several hours.")
            return
        if run.tags.get(_WILL_RETRY_TAG) == "true":
            yield dg.SkipReason("Dagster runs it again: it did not fail, it was killed.")
            return
        tags = {tag: run.tags[tag] for tag in (BACKFILL_TAG,) if tag in run.tags}
        for hour in hours_of(run.tags):
            yield dg.RunRequest(
                run_key=f"{run.run_id}:{hour}",
                partition_key=hour,
                asset_selection=sorted(run.asset_selection) if run.asset_selection else None,
                tags={**tags, "dagster/retry_strategy": "ALL_STEPS"},
            )

    return run_hours_alone
