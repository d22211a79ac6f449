"""marts: the dbt models as assets, built inside the run that loads the warehouse."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from telemetry_assets.defs.partitions import RETRIES, arrival_hours
from telemetry_assets.defs.resources import MartsResource


def marts_asset(models: list[dict[str, Any]]) -> dg.AssetsDefinition:
    """Build one asset for each mart.

    Args:
        models: Lineage as `telemetry_assets.marts_build.lineage` returns it.
    """
    keys = {model["name"]: dg.AssetKey(["marts", model["name"]]) for model in models}

    @dg.multi_asset(
        name="marts",
        specs=[_spec(model, keys[model["name"]]) for model in models],
        can_subset=True,
        retry_policy=RETRIES,
    )
    def marts(
        context: dg.AssetExecutionContext, marts: MartsResource
    ) -> Iterator[dg.MaterializeResult]:
        wanted = [name for name, key in keys.items() if key in context.selected_asset_keys]
        for node in marts.builder.run_hour(context.partition_key, wanted):
            if node.name not in wanted:
                continue
            metadata: dict[str, Any] = {
                "seconds": node.seconds,
                "dagster/table_name": f"marts.{node.name}",
            }
            if node.rows is not None and node.rows >= 0:
                metadata["rows_written"] = node.rows
            yield dg.MaterializeResult(asset_key=keys[node.name], metadata=metadata)

    return marts


def _spec(model: dict[str, Any], key: dg.AssetKey) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(column["name"], column["type"], description=column["description"])
        for column in model["columns"]
    ]
    return dg.AssetSpec(
        key,
        deps=[dg.AssetKey(path.split("/")) for path in model["depends_on"]],
        partitions_def=arrival_hours,
        group_name="marts",
        kinds={"dbt", "postgres"},
        description=model["description"],
        metadata={
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/table_name": f"marts.{model['name']}",
        },
    )
