"""The replay in Dagster: a dry run unless told otherwise, and the old hour is refined again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import orjson
import polars as pl
import pytest

from telemetry_assets.defs.replay import REPLAYS, replay_rejected, replays_asset
from telemetry_assets.defs.sensors import landing_sensor
from telemetry_contracts.sealing import SealBox
from telemetry_platform.clock import hour_start
from telemetry_platform.delta import ensure_table, open_table
from telemetry_platform.layout import LANDING_EVENTS, LANDING_REJECTED
from tests.unit.telemetry_assets.landed import HOUR, KEYS, NEXT_HOUR, land, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings

BOX = SealBox({1: b"k" * 32})


@pytest.fixture
def run(
    registry: Registry, settings: Settings, instance: dg.DagsterInstance
) -> Callable[..., dg.ExecuteInProcessResult]:
    """Return what runs the job with a configuration; one watch event of HOUR is refused."""
    settings.secrets_dir.mkdir(exist_ok=True)
    BOX.save(settings.secrets_dir / "seal_keys.json")
    KEYS.save(settings.secrets_dir / "token_keys.json")
    refused = {
        "receipt_id": "rcp_1",
        "event_index": 4,
        "source": "wearable",
        "received_at": hour_start(HOUR) + timedelta(minutes=7),
        "received_hour": HOUR,
        "stage": "read",
        "rule": "timestamp",
        "body_sealed": BOX.seal(orjson.dumps(watch())),
    }
    rows = pl.DataFrame([refused], schema=LANDING_REJECTED.schema)
    rows.write_delta(ensure_table(settings, LANDING_REJECTED), mode="append")
    location = dg.Definitions(assets=[replays_asset(registry)], jobs=[replay_rejected])
    job = location.resolve_job_def("replay_rejected")

    def start(*, succeeds: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
        ops = {"ops": {"replay_refused_events": {"config": config}}} if config else None
        found = job.execute_in_process(run_config=ops, instance=instance, raise_on_error=False)
        assert found.success is succeeds
        return found

    return start


def test_it_shows_the_differences_and_changes_nothing_unless_told(
    run: Any, settings: Settings, instance: dg.DagsterInstance
) -> None:
    run()
    record = instance.fetch_observations(REPLAYS, limit=1).records[0]
    assert record.asset_observation
    shown = record.asset_observation.metadata
    assert shown["landed"].value == 1
    assert "| wearable | timestamp | readable | 1 | rcp_1:4 |" in str(shown["differences"].value)
    assert open_table(settings, LANDING_EVENTS.path) is None
    assert not instance.fetch_materializations(REPLAYS, limit=1).records


def test_what_is_repaired_has_its_old_hour_refined_again(
    run: Any, registry: Registry, settings: Settings, instance: dg.DagsterInstance
) -> None:
    land(settings, registry, "wearable", [watch(1)], NEXT_HOUR)
    sensor = landing_sensor(registry, {}, listen_seconds=0.0)
    with dg.build_sensor_context(instance) as context:
        before = sensor(context)
    assert isinstance(before, dg.SensorResult)
    run(dry_run=False, sources=["wearable"], since=HOUR, until=NEXT_HOUR)
    with dg.build_sensor_context(instance, cursor=before.cursor) as context:
        after = sensor(context)
    assert isinstance(after, dg.SensorResult)
    assert [request.partition_key for request in after.run_requests or []] == [HOUR]
    assert instance.fetch_materializations(REPLAYS, limit=1).records
    run(dry_run=False)
    delta = open_table(settings, LANDING_EVENTS.path)
    assert delta is not None
    landed = pl.scan_delta(delta).filter(pl.col("received_hour") == HOUR).collect()
    assert landed["receipt_id"].to_list() == ["rcp_1"]
    assert landed["received_at"].to_list() == [hour_start(HOUR) + timedelta(minutes=7)]


def test_without_the_keys_of_the_edge_the_run_fails_and_says_so(
    run: Any, settings: Settings
) -> None:
    (settings.secrets_dir / "seal_keys.json").unlink()
    failed = run(succeeds=False)
    data = failed.failure_data_for_node("replay_refused_events")
    assert data is not None
    assert data.user_failure_data is not None
    assert "TELEMETRY_SECRETS_DIR" in (data.user_failure_data.description or "")
