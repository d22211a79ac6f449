"""A backfill's run refines several hours, and each of them is told of as if it ran alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from telemetry_assets.defs.refinement import OVERTAKEN
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import SUPERSEDED, silver_table
from telemetry_platform.clock import HOUR as AN_HOUR
from telemetry_platform.clock import hour_key, hour_start
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, land_correction, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

HOURS = [HOUR, NEXT_HOUR, hour_key(hour_start(NEXT_HOUR) + AN_HOUR)]
RECONCILIATION = ("gold/ledger", "reconciliation")

RANGE = {
    "dagster/asset_partition_range_start": HOURS[0],
    "dagster/asset_partition_range_end": HOURS[-1],
}


@pytest.fixture
def backfill(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Any:
    """Return what runs a backfill's run of three hours, from landing to gold."""
    graph = definitions.resolve_asset_graph()
    selection = dg.AssetSelection.groups("bronze", "silver", "gold").resolve(graph)
    job = definitions.resolve_job_def("refine_hour")

    def run() -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            asset_selection=list(selection),
            instance=instance,
            tags=RANGE,
            raise_on_error=False,
        )

    return run


@pytest.fixture
def filled(settings: Settings, registry: Registry) -> Settings:
    """Land as many watch events in each hour as its place, and the first one's again."""
    for place, hour in enumerate(HOURS):
        minutes = range(60 * place, 60 * place + place + 1)
        land(settings, registry, "wearable", [watch(minute) for minute in minutes], hour)
    land(settings, registry, "wearable", [watch(0)], HOURS[-1], "again")
    return settings


def verdicts(result: dg.ExecuteInProcessResult, key: tuple[str, str]) -> dict[str | None, bool]:
    return {
        each.partition: each.passed
        for each in result.get_asset_check_evaluations()
        if (each.asset_key.to_user_string(), each.check_name) == key
    }


def test_each_hour_has_its_own_rows_counts_and_verdicts(
    backfill: Any, filled: Settings, registry: Registry, instance: dg.DagsterInstance
) -> None:
    result = backfill()
    assert result.success
    lake = Lake(filled, registry)
    assert [lake.silver("wearable", hour).height for hour in HOURS] == [1, 2, 3]
    records = instance.fetch_materializations(dg.AssetKey(["silver", "wearable"]), limit=10).records
    told = {
        record.partition_key: record.asset_materialization.metadata
        for record in records
        if record.asset_materialization
    }
    counts = {hour: told[hour]["dagster/partition_row_count"].value for hour in HOURS}
    assert list(counts.values()) == [1, 2, 3]
    assert [told[hour]["duplicates"].value for hour in HOURS] == [0, 0, 1]
    versions = {told[hour]["contract_version"].value for hour in HOURS}
    assert versions == {registry["wearable"].version}
    for check in (("silver/wearable", "contract"), RECONCILIATION):
        assert verdicts(result, check) == dict.fromkeys(HOURS, True)


def test_hours_that_run_together_follow_each_others_corrections_at_once(
    backfill: Any, settings: Settings, registry: Registry, instance: dg.DagsterInstance
) -> None:
    target = "00000000-0000-7000-8000-000000000001"
    land(settings, registry, "wearable", [watch(0, 60, event_id=target)], HOURS[0])
    land_correction(settings, registry, "wearable", target, watch(0, 65), HOURS[1])
    land_correction(settings, registry, "wearable", target, watch(0, 70), HOURS[2])
    result = backfill()
    assert verdicts(result, RECONCILIATION) == dict.fromkeys(HOURS, True)
    lake = Lake(settings, registry)
    rates = [lake.silver("wearable", hour)["heart_rate_bpm"].to_list() for hour in HOURS]
    assert rates == [[], [], [70.0]]
    assert [lake.read(SUPERSEDED, hour).height for hour in HOURS] == [1, 1, 0]
    records = instance.fetch_materializations(dg.AssetKey(["silver", "wearable"]), limit=10).records
    told = [each.asset_materialization.metadata for each in records if each.asset_materialization]
    assert len(told) == len(HOURS)
    assert not any(OVERTAKEN in metadata for metadata in told)


def test_nothing_of_a_check_stays_planned(
    backfill: Any, filled: Settings, instance: dg.DagsterInstance
) -> None:
    assert filled
    assert backfill().success
    key = dg.AssetCheckKey(dg.AssetKey(["gold", "ledger"]), "reconciliation")
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert {record.partition: record.status.value for record in records} == dict.fromkeys(
        HOURS, "SUCCEEDED"
    )


def test_hours_that_ran_together_are_those_that_ran_alone(
    backfill: Any, filled: Settings, registry: Registry
) -> None:
    assert backfill().success
    together = {hour: Lake(filled, registry).silver("wearable", hour) for hour in HOURS}
    for hour in HOURS:
        lake = Lake(filled, registry)
        lake.build_bronze("wearable", hour)
        lake.write(silver_table(registry["wearable"]), lake.refined("wearable", hour).silver, hour)
        assert Lake(filled, registry).silver("wearable", hour).equals(together[hour])


def test_a_failed_run_of_hours_is_followed_by_a_run_of_each_alone(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    sensor = definitions.resolve_sensor_def("failed_hours_sensor")
    assert isinstance(sensor, dg.RunStatusSensorDefinition)

    def requested(**more: str) -> list[dg.RunRequest]:
        tags = {"dagster/backfill": "b", **RANGE, **more}
        job = definitions.resolve_job_def("refine_hour")
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.FAILURE)
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, job_name=run.job_name)
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name, dagster_event=event, dagster_instance=instance, dagster_run=run
        )
        found = list(sensor(context.for_run_failure()) or [])
        return [each for each in found if isinstance(each, dg.RunRequest)]

    asked = requested()
    assert [each.partition_key for each in asked] == HOURS
    assert {each.tags["dagster/backfill"] for each in asked} == {"b"}
    assert requested(**{"dagster/will_retry": "true"}) == []
