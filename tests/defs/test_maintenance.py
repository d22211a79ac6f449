"""The upkeep job: it is scheduled, and it says what it joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry_assets.defs.maintenance import (
    compact_every_hour,
    compact_landing,
    tidied_metadata,
)
from telemetry_assets.lakehouse.partitioning import Tidied
from telemetry_platform.delta import open_table
from telemetry_platform.layout import LANDING_EVENTS
from tests.unit.telemetry_assets.landed import HOUR, land, watch

if TYPE_CHECKING:
    import dagster as dg

    from telemetry_contracts.registry import Registry
    from telemetry_platform.settings import Settings


def test_it_runs_every_hour(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("compact_landing_schedule")
    assert (schedule.name, schedule.cron_schedule) == (compact_every_hour.name, "20 * * * *")


def test_it_joins_closed_hours_and_lists_them(
    settings: Settings, registry: Registry, instance: dg.DagsterInstance
) -> None:
    for minute in range(3):
        land(settings, registry, "wearable", [watch(minute)])
    config = {"ops": {"compact_hours": {"config": {"least_files": 2}}}}
    done = compact_landing.execute_in_process(run_config=config, instance=instance)
    outputs = [e for e in done.all_events if e.event_type_value == "STEP_OUTPUT"]
    (event,) = [e for e in outputs if e.step_key == "compact_hours"]
    table = open_table(settings, LANDING_EVENTS.path)
    assert table is not None
    assert len(table.file_uris()) == 1
    text = str(event.step_output_data.metadata["compacted"].value)
    assert f"| landing/events | wearable | {HOUR} | 3 | 1 |" in text


def test_it_says_what_became_of_partitions() -> None:
    done = [
        Tidied("marts.fct_events", "dropped", "marts_partitions.fct_events_20261101", 1200),
        Tidied("marts.fct_environment_readings", "busy"),
    ]
    metadata = tidied_metadata(21, done)
    assert metadata["retention"] == "21 days"
    assert (metadata["partitions_dropped"], metadata["tables_busy"]) == (1, 1)
    row = "| marts.fct_events | dropped | marts_partitions.fct_events_20261101 | 1,200 |"
    assert row in str(metadata["tidied"].value)
    assert tidied_metadata(None, [])["retention"] == "all days"
