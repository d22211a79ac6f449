"""The replay of quarantine in Dagster: a dry run unless told otherwise, then the hour is redone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from telemetry_assets.defs.quarantine_replay import (
    ATTEMPTS,
    LOADED_ATTEMPTS,
    quarantine_replays,
    replay_quarantined,
)
from telemetry_assets.defs.refinement import QUARANTINE_KEY, exceptions_asset
from telemetry_assets.defs.resources import LakeResource
from telemetry_assets.defs.sensors import landing_sensor
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import QUARANTINE_REPLAYS
from telemetry_contracts.registry import Registry
from telemetry_platform.delta import open_table
from tests.defs.conftest import LIBRARY_WARNINGS
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, watch
from tests.unit.telemetry_assets.test_lake import counts, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_platform.settings import Settings

pytestmark = [pytest.mark.filterwarnings(known) for known in LIBRARY_WARNINGS]

RATE = "range.heart_rate_bpm"


@pytest.fixture
def outdated(settings: Settings, registry: Registry) -> Settings:
    """Return a lake of two hours; one was refined by a contract that refused a rate of 150."""
    contract = registry["wearable"]
    fields = [
        replace(field, maximum=100) if field.name == "heart_rate_bpm" else field
        for field in contract.fields
    ]
    narrow = Registry([replace(contract, fields=tuple(fields), version="0.9.0")])
    land(settings, registry, "wearable", [watch(0), watch(1, 150)])
    land(settings, registry, "wearable", [watch(2), watch(3, 7)], NEXT_HOUR)
    for hour in (HOUR, NEXT_HOUR):
        assert run(Lake(settings, narrow), hour) == counts(2, 1, 1)
    return settings


@pytest.fixture
def launch(instance: dg.DagsterInstance) -> Callable[..., dg.ExecuteInProcessResult]:
    """Return what runs the job with a configuration, without a warehouse."""
    location = dg.Definitions(
        assets=[quarantine_replays], jobs=[replay_quarantined], resources={"lake": LakeResource()}
    )
    job = location.resolve_job_def("replay_quarantined")

    def start(**config: Any) -> dg.ExecuteInProcessResult:
        ops = {"ops": {"replay_quarantined_events": {"config": config}}} if config else None
        return job.execute_in_process(run_config=ops, instance=instance, asset_selection=[ATTEMPTS])

    return start


def requested(
    registry: Registry, instance: dg.DagsterInstance, cursor: str | None
) -> tuple[list[dg.RunRequest], str]:
    sensor = landing_sensor(registry, {}, listen_seconds=0.0)
    with dg.build_sensor_context(instance, cursor=cursor) as context:
        found = sensor(context)
        if isinstance(found, dg.SkipReason):
            return [], context.cursor or ""
    assert isinstance(found, dg.SensorResult)
    return list(found.run_requests or []), found.cursor or ""


def test_a_replay_shows_first_and_then_has_the_changed_hour_alone_refined(
    launch: Any, outdated: Settings, registry: Registry, instance: dg.DagsterInstance
) -> None:
    _, cursor = requested(registry, instance, None)
    launch()
    record = instance.fetch_observations(ATTEMPTS, limit=1).records[0]
    assert record.asset_observation
    shown = record.asset_observation.metadata
    assert (shown["released"].value, shown["dry_run"].value) == (1, True)
    assert shown["hours_to_refine"].value == f"wearable:{HOUR}"
    assert f"| wearable | {RATE} | passes | 1 | 1 |" in str(shown["differences"].value)
    assert open_table(outdated, QUARANTINE_REPLAYS.path) is None
    assert not instance.fetch_materializations(ATTEMPTS, limit=1).records

    applied = launch(dry_run=False, since=HOUR)
    requests, cursor = requested(registry, instance, cursor)
    assert [request.partition_key for request in requests] == [HOUR]
    assert requests[0].tags["telemetry/sources"] == "wearable"
    assert requested(registry, instance, cursor)[0] == []
    history = Lake(outdated, registry).read(QUARANTINE_REPLAYS, HOUR)
    assert set(history["asked_by"]) == {f"run {applied.run_id}"}
    assert not instance.fetch_materializations(LOADED_ATTEMPTS, limit=1).records


def test_a_time_that_is_none_is_told(launch: Any, outdated: Settings) -> None:
    assert outdated.lake_root
    with pytest.raises(dg.Failure, match="A time is written 2026-11-22T14"):
        launch(since="yesterday")


def test_the_quarantine_asset_shows_events_with_their_values(
    outdated: Settings, registry: Registry, instance: dg.DagsterInstance
) -> None:
    assert outdated.lake_root
    assets = dg.Definitions(assets=[exceptions_asset(registry)], resources={"lake": LakeResource()})
    job = assets.resolve_implicit_global_asset_job_def()
    done = job.execute_in_process(partition_key=NEXT_HOUR, instance=instance)
    (event,) = [
        event
        for event in done.get_asset_materialization_events()
        if event.asset_key == QUARANTINE_KEY
    ]
    shown = event.materialization.metadata["preview"]
    assert isinstance(shown, dg.TableMetadataValue)
    (record,) = [record.data for record in shown.records]
    assert (record["rule"], record["value"], record["receipt_id"]) == (RATE, "7.0", "r1")
    assert record["judged_by"] == registry["wearable"].version
