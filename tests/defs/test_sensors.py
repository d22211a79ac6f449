"""The landing sensor: asks once for every hour that changed, forgets nothing, waits its turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest

from telemetry_assets.defs.sensors import landing_sensor, selected_keys
from telemetry_platform.delta import ensure_table
from telemetry_platform.layout import LANDING_FILES
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, room, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

MART = dg.AssetKey(["marts", "fct_wearable_days"])
MARTS = {MART: {"wearable"}, dg.AssetKey(["marts", "agg_metric_days"]): set()}


@pytest.fixture
def tick(registry: Registry, settings: Settings, instance: dg.DagsterInstance) -> Any:
    """Return what runs one tick from a cursor, without waiting for events to come."""
    assert settings.lake_root
    sensor = landing_sensor(registry, MARTS, listen_seconds=0.0)

    def evaluate(cursor: str | None = None) -> tuple[list[dg.RunRequest], str]:
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            found = sensor(context)
            if isinstance(found, dg.SkipReason):
                return [], context.cursor or ""
        assert isinstance(found, dg.SensorResult)
        return list(found.run_requests or []), found.cursor or ""

    return evaluate


def start(instance: dg.DagsterInstance, hour: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """Note a run of an hour as the daemon does."""

    @dg.job(name="refine_hour")
    def refine() -> None:
        pass

    tags = {"dagster/partition": hour}
    return instance.create_run_for_job(job_def=refine, status=status, tags=tags)


def hours(requests: list[dg.RunRequest]) -> list[str | None]:
    return [request.partition_key for request in requests]


def test_nothing_landed_asks_for_nothing(tick: Any) -> None:
    assert tick()[0] == []


def test_every_hour_that_changed_is_asked_for_oldest_first(
    tick: Any, registry: Registry, settings: Settings
) -> None:
    land(settings, registry, "wearable", [watch()], NEXT_HOUR)
    land(settings, registry, "environment", [room()], HOUR)
    requests, cursor = tick()
    assert hours(requests) == [HOUR, NEXT_HOUR]
    assert [request.tags["telemetry/sources"] for request in requests] == [
        "environment",
        "wearable",
    ]
    assert json.loads(cursor)["versions"]["landing/events"] == 2
    assert tick(cursor) == ([], cursor)


def test_a_run_leaves_out_what_the_change_cannot_touch(
    tick: Any, registry: Registry, settings: Settings
) -> None:
    land(settings, registry, "environment", [room()])
    ((request,), _) = tick()
    left_out = set(selected_keys(registry, MARTS)) - set(request.asset_selection)
    assert {key.to_user_string() for key in left_out} == {
        *(
            f"{layer}/{s}"
            for layer in ("bronze", "silver", "warehouse")
            for s in ("mobile", "wearable")
        ),
        "marts/fct_wearable_days",
    }


def test_a_file_of_bad_rows_alone_is_loaded_and_nothing_else_is_run(
    tick: Any, settings: Settings
) -> None:
    filed = pl.DataFrame(
        [{"source": "environment", "received_hour": HOUR, "file": "bad.csv", "rejected": 2}],
        schema=LANDING_FILES.schema,
    )
    filed.write_delta(ensure_table(settings, LANDING_FILES), mode="append")
    ((request,), cursor) = tick()
    assert request.partition_key == HOUR
    assert request.asset_selection == [
        dg.AssetKey(["warehouse", "files"]),
        dg.AssetKey(["warehouse", "file_errors"]),
    ]
    assert tick(cursor)[0] == []


def test_a_file_and_its_events_are_one_run_of_everything(
    tick: Any, registry: Registry, settings: Settings
) -> None:
    land(settings, registry, "environment", [room()])
    filed = pl.DataFrame(
        [{"source": "environment", "received_hour": HOUR, "file": "good.csv"}],
        schema=LANDING_FILES.schema,
    )
    filed.write_delta(ensure_table(settings, LANDING_FILES), mode="append")
    ((request,), _) = tick()
    selected = {key.to_user_string() for key in request.asset_selection or []}
    assert {"silver/environment", "warehouse/files", "marts/agg_metric_days"} <= selected


def test_a_run_selects_every_asset_of_the_job_but_the_marts(
    definitions: dg.Definitions, registry: Registry
) -> None:
    job = definitions.resolve_job_def("refine_hour")
    refined = {key for key in job.asset_layer.executable_asset_keys if key.path[0] != "marts"}
    assert set(selected_keys(registry, {})) == refined


def test_a_restart_continues_from_its_cursor_and_a_lost_cursor_repeats_the_same_run_key(
    tick: Any, registry: Registry, settings: Settings
) -> None:
    land(settings, registry, "wearable", [watch()])
    ((first,), cursor) = tick()
    ((again,), _) = tick(None)
    assert first.run_key == again.run_key
    land(settings, registry, "wearable", [watch(1)])
    ((later,), _) = tick(cursor)
    assert later.run_key != first.run_key
    assert later.partition_key == HOUR


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_an_hour_that_is_being_run_waits_and_gets_one_run_for_all_that_came(
    tick: Any,
    registry: Registry,
    settings: Settings,
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
) -> None:
    run = start(instance, HOUR, status)
    land(settings, registry, "wearable", [watch()])
    requests, cursor = tick()
    assert requests == []
    land(settings, registry, "environment", [room()])
    land(settings, registry, "wearable", [watch()], NEXT_HOUR)
    requests, cursor = tick(cursor)
    assert hours(requests) == [NEXT_HOUR]
    instance.delete_run(run.run_id)
    requests, cursor = tick(cursor)
    assert hours(requests) == [HOUR]
    assert requests[0].tags["telemetry/sources"] == "environment,wearable"
    assert tick(cursor)[0] == []


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
def test_a_run_that_ended_holds_nothing_back(
    tick: Any,
    registry: Registry,
    settings: Settings,
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
) -> None:
    start(instance, HOUR, status)
    land(settings, registry, "wearable", [watch()])
    assert hours(tick()[0]) == [HOUR]


def test_more_hours_than_one_tick_may_ask_for_are_asked_for_in_the_next(
    tick: Any, registry: Registry, settings: Settings
) -> None:
    wanted = [f"2026-01-05T{hour:02}" for hour in range(11)]
    for hour in wanted:
        land(settings, registry, "environment", [room()], hour)
    first, cursor = tick()
    second, _ = tick(cursor)
    assert hours(first) == [*wanted[:7], wanted[-1]], "what comes now waited for what is old"
    assert hours(second) == wanted[7:-1]


def test_a_source_without_a_contract_does_not_stop_the_others(
    tick: Any, registry: Registry, settings: Settings
) -> None:
    land(settings, registry, "wearable", [watch()])
    cursor = json.dumps(
        {"versions": {}, "waiting": {HOUR: {"versions": {}, "sources": ["gone", "mobile"]}}}
    )
    ((request,), _) = tick(cursor)
    assert request.tags["telemetry/sources"] == "mobile,wearable"
