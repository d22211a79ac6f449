"""The asset graph: what is in it is written down, and a change to it is a change to this list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from telemetry_contracts.registry import Registry

SNAPSHOT = Path(__file__).parents[1] / "golden" / "asset_keys.txt"


def test_the_asset_keys_and_checks_are_those_that_were_written_down(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    assets = sorted(key.to_user_string() for key in graph.get_all_asset_keys())
    checks = sorted(
        f"{key.asset_key.to_user_string()}: {key.name}" for key in graph.asset_check_keys
    )
    found = "\n".join(["# assets", *assets, "", "# checks", *checks]) + "\n"
    assert found == SNAPSHOT.read_text(), f"if that was meant, write this to {SNAPSHOT.name}"


def test_the_location_loads_as_a_server_loads_it(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    jobs = {job.name for job in definitions.resolve_all_job_defs()}
    assert {"refine_hour", "load_registries", "check_marts"} <= jobs


def test_lineage_runs_from_landing_to_every_mart(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    source = dg.AssetKey(["landing", "events"])
    marts = dg.AssetSelection.groups("marts").resolve(graph)
    reached = dg.AssetSelection.assets(source).downstream().resolve(graph)
    without = {key.path[-1] for key in marts - reached}
    assert without <= {"dim_users"}, "a mart that no event reaches"


def test_each_source_has_its_assets_with_columns_and_a_partition_for_each_hour(
    definitions: dg.Definitions, registry: Registry
) -> None:
    graph = definitions.resolve_asset_graph()
    for source in registry:
        for layer in ("bronze", "silver", "warehouse"):
            node = graph.get(dg.AssetKey([layer, source]))
            columns = {
                column.name: column for column in node.metadata["dagster/column_schema"].columns
            }
            assert {"event_id", "device_id", "event_time"} <= set(columns)
            assert isinstance(node.partitions_def, dg.HourlyPartitionsDefinition)
    pressure = graph.get(dg.AssetKey(["silver", "environment"])).metadata["dagster/column_schema"]
    described = {column.name: column for column in pressure.columns}["pressure_hpa"]
    assert described.description == "Station pressure, not reduced to sea level. [hPa]"
    assert described.constraints.other == ["at least 300", "at most 1100"]


def test_checks_that_guard_what_follows_block_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    specs = {
        (key.asset_key.to_user_string(), key.name): graph.get_check_spec(key)
        for key in graph.asset_check_keys
    }
    reconciled = [(f"{layer}/ledger", "reconciliation") for layer in ("gold", "warehouse")]
    for wanted in (*reconciled, ("silver/mobile", "contract")):
        assert specs[wanted].blocking
