"""A backfill's run refines several hours, and each of them is told of as if it ran alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from telemetry_assets.lakehouse.lake import Lake
from telemetry_assets.lakehouse.tables import bronze_table, silver_table
from telemetry_platform.clock import HOUR as AN_HOUR
from telemetry_platform.clock import hour_key, hour_start
from telemetry_platform.delta import open_table
from tests.unit.telemetry_assets.landed import HOUR, NEXT_HOUR, land, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

HOURS = [HOUR, NEXT_HOUR, hour_key(hour_start(NEXT_HOUR) + AN_HOUR)]
RECONCILIATION = ("gold/ledger", "reconciliation")

Backfill = "Callable[[], dg.ExecuteInProcessResult]"


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
            tags={
                "dagster/asset_partition_range_start": HOURS[0],
                "dagster/asset_partition_range_end": HOURS[-1],
                "dagster/backfill": "b",
            },
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
    told = {
        event.partition: event.materialization.metadata
        for event in result.asset_materializations_for_node("bronze__wearable")
        if event.partition
    } if False else {
        record.partition_key: record.asset_materialization.metadata
        for record in instance.fetch_materializations(
            dg.AssetKey(["silver", "wearable"]), limit=10
        ).records
        if record.asset_materialization
    }
    counts = {hour: told[hour]["dagster/partition_row_count"].value for hour in HOURS}
    assert list(counts.values()) == [1, 2, 3]
    assert [told[hour]["duplicates"].value for hour in HOURS] == [0, 0, 1]
    versions = {told[hour]["contract_version"].value for hour in HOURS}
    assert versions == {registry["wearable"].version}
    for check in (("silver/wearable", "contract"), RECONCILIATION):
        assert verdicts(result, check) == dict.fromkeys(HOURS, True)


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


def test_an_hour_that_does_not_add_up_is_named_and_the_run_fails(
    backfill: Any, filled: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ...
