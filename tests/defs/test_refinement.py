"""One arrival hour, materialized by Dagster itself from landing to gold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest

from telemetry_assets.defs.sensors import landing_sensor
from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import (
    DEVICE_PROFILES,
    DUPLICATES,
    LEDGER,
    METRIC_PARTIALS,
    QUARANTINE,
    RULE_OUTCOMES,
    silver_table,
)
from telemetry_platform.delta import open_table
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, room, watch

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

LAYERS = ("bronze", "silver", "gold")


@pytest.fixture
def materialize(
    definitions: dg.Definitions, settings: Settings, instance: dg.DagsterInstance
) -> Any:
    """Return what materializes the layers of the lake for one hour in this process."""
    assert settings.lake_root
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_job_def("refine_hour")

    def run(*layers: str, sources: str = "", hour: str = HOUR) -> dg.ExecuteInProcessResult:
        selection = dg.AssetSelection.groups(*(layers or LAYERS)).resolve(graph)
        return job.execute_in_process(
            partition_key=hour,
            asset_selection=list(selection),
            instance=instance,
            tags={"telemetry/sources": sources} if sources else {},
            raise_on_error=False,
        )

    return run


@pytest.fixture
def reconcile(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Any:
    """Return what counts one hour anew; the warehouse is not there."""
    job = definitions.resolve_job_def("reconcile_hour")

    def run() -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            partition_key=HOUR,
            asset_selection=[dg.AssetKey(["gold", "ledger"])],
            instance=instance,
            raise_on_error=False,
        )

    return run


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {
        f"{check.asset_key.to_user_string()}: {check.check_name}": check.passed
        for check in result.get_asset_check_evaluations()
    }


def rows(settings: Settings, registry: Registry) -> dict[str, list[str]]:
    lake = Lake(settings, registry)
    tables = [silver_table(contract) for contract in registry.values()]
    tables += [QUARANTINE, DUPLICATES, METRIC_PARTIALS, DEVICE_PROFILES, RULE_OUTCOMES, LEDGER]
    frames = {table.path: lake.read(table, HOUR) for table in tables}
    return {
        path: sorted(map(str, frame.drop("refined_at", strict=False).rows()))
        for path, frame in frames.items()
    }


@pytest.fixture
def filled(settings: Settings, registry: Registry) -> Settings:
    """Return a lake in which an hour of two sources landed, with a bad and a repeated event."""
    repeated = watch(3) | {"event_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    land(settings, registry, "wearable", [watch(0), watch(1, 7), repeated, repeated])
    land(settings, registry, "environment", [room(0, humidity=40), room(1)])
    return settings


def test_an_hour_is_materialized_and_its_checks_pass(
    materialize: Any, filled: Settings, registry: Registry
) -> None:
    result = materialize()
    assert result.success
    assert outcomes(result) == dict.fromkeys(
        [
            "gold/ledger: reconciliation",
            *(f"silver/{source}: contract" for source in registry),
            *(f"silver/{source}: warnings" for source in registry),
        ],
        True,
    )
    found = rows(filled, registry)
    counts = {path: len(kept) for path, kept in found.items()}
    assert counts["silver/wearable"] == 2
    assert counts["silver/environment"] == 2
    assert (counts["silver/quarantine"], counts["silver/duplicates"]) == (1, 1)
    assert counts["gold/ledger"] == len(registry)


def test_every_materialization_tells_its_rows(materialize: Any, filled: Settings) -> None:
    assert filled.lake_root
    result = materialize()
    events = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert len(events) == 14
    for metadata in events.values():
        assert "dagster/partition_row_count" in metadata
    assert events["silver/wearable"]["quarantined"].value == 1
    assert events["silver/quarantine"]["broken_rules"].value == {"range.heart_rate_bpm": 1}


def test_the_same_hour_twice_changes_nothing(
    materialize: Any, filled: Settings, registry: Registry
) -> None:
    assert materialize().success
    before = rows(filled, registry)
    assert materialize().success
    assert rows(filled, registry) == before


def test_a_run_for_one_source_leaves_the_others_rows(
    materialize: Any, filled: Settings, registry: Registry
) -> None:
    assert materialize().success
    before = rows(filled, registry)
    land(filled, registry, "wearable", [watch(9)])
    assert materialize(sources="wearable").success
    after = rows(filled, registry)
    assert after["silver/environment"] == before["silver/environment"]
    assert len(after["silver/wearable"]) == len(before["silver/wearable"]) + 1
    assert len(after["gold/ledger"]) == len(before["gold/ledger"])


def test_reconciliation_turns_red_and_names_the_source_when_a_row_is_lost(
    materialize: Any, filled: Settings, registry: Registry
) -> None:
    assert materialize().success
    table = open_table(filled, silver_table(registry["wearable"]).path)
    assert table is not None
    lost = Lake(filled, registry).silver("wearable", HOUR)["event_id"][0]
    table.delete(f"event_id = '{lost}'")
    result = materialize("gold")
    assert outcomes(result) == {"gold/ledger: reconciliation": False}
    (check,) = result.get_asset_check_evaluations()
    assert check.metadata["wearable"].value["unaccounted"] == 1
    assert check.metadata["environment"].value["unaccounted"] == 0
    assert materialize().success


@pytest.mark.parametrize("lost", ["silver/wearable", "gold/metric_partials", "gold/hour_partials"])
def test_counting_an_hour_anew_finds_a_row_that_any_layer_lost(
    materialize: Any, reconcile: Any, filled: Settings, lost: str
) -> None:
    assert materialize().success
    assert outcomes(reconcile()) == {"gold/ledger: reconciliation": True}
    table = open_table(filled, lost)
    assert table is not None
    row = pl.scan_delta(table).filter(pl.col("source") == "wearable").first().collect()
    key = "event_id" if lost.startswith("silver") else "first_at"
    table.delete(f"source = 'wearable' AND {key} = '{row[key].cast(pl.String)[0]}'")
    result = reconcile()
    assert outcomes(result) == {"gold/ledger: reconciliation": False}
    assert not result.success
    (check,) = result.get_asset_check_evaluations()
    assert [name for name, account in check.metadata.items() if not account.value["adds_up"]] == [
        "wearable"
    ]
    assert materialize().success
    assert outcomes(reconcile()) == {"gold/ledger: reconciliation": True}


def test_an_hour_in_which_nothing_landed_is_materialized_empty(
    materialize: Any, settings: Settings, registry: Registry
) -> None:
    result = materialize()
    assert result.success
    assert all(outcomes(result).values())
    assert not rows(settings, registry)["silver/mobile"]


def test_an_event_that_lands_late_in_an_earlier_hour_replaces_its_later_copy(
    materialize: Any, settings: Settings, registry: Registry, instance: dg.DagsterInstance
) -> None:
    sensor = landing_sensor(registry, {}, listen_seconds=0.0)

    def requested(cursor: str | None) -> tuple[list[str | None], str]:
        with dg.build_sensor_context(instance, cursor=cursor) as context:
            found = sensor(context)
            if isinstance(found, dg.SkipReason):
                return [], context.cursor or ""
            assert isinstance(found, dg.SensorResult)
            return [each.partition_key for each in found.run_requests or []], found.cursor or ""

    def kept(hour: str) -> list[str]:
        lake = Lake(settings, registry)
        return lake.silver("wearable", hour)["receipt_id"].to_list()

    event = watch() | {"event_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    land(settings, registry, "wearable", [event], NEXT_HOUR, "second")
    hours, cursor = requested(None)
    assert hours == [NEXT_HOUR]
    assert materialize(hour=NEXT_HOUR).success
    assert kept(NEXT_HOUR) == ["second"]
    land(settings, registry, "wearable", [event], HOUR, "first")
    hours, cursor = requested(cursor)
    assert hours == [HOUR]
    assert materialize(hour=HOUR).success
    hours, cursor = requested(cursor)
    assert hours == [NEXT_HOUR]
    assert materialize(hour=NEXT_HOUR).success
    assert (kept(HOUR), kept(NEXT_HOUR)) == (["first"], [])
    assert requested(cursor)[0] == []
