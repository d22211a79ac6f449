"""marts: the dbt models as assets, built inside the run that loads the warehouse."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from telemetry_assets.defs.partitions import HOURS_A_RUN, RETRIES, arrival_hours
from telemetry_assets.defs.resources import MartsResource
from telemetry_assets.marts_build import BuiltNode

_SEVERITY = {"warn": dg.AssetCheckSeverity.WARN}


def marts_asset(models: list[dict[str, Any]]) -> dg.AssetsDefinition:
    """Build one asset for each mart.

    Args:
        models: Lineage as `telemetry_assets.dbt_lineage.lineage` returns it.
    """
    keys = {model["name"]: dg.AssetKey(["marts", model["name"]]) for model in models}

    @dg.multi_asset(
        name="marts",
        specs=[_spec(model, keys[model["name"]]) for model in models],
        can_subset=True,
        retry_policy=RETRIES,
        backfill_policy=HOURS_A_RUN,
    )
    def marts(
        context: dg.AssetExecutionContext, marts: MartsResource
    ) -> Iterator[dg.MaterializeResult]:
        wanted = [model for model in models if keys[model["name"]] in context.selected_asset_keys]
        tables = sorted({table for model in wanted for table in model["builds"]})
        built = marts.builder.run_hours(context.partition_keys, tables)
        nodes = {node.name: node for node in built}
        for model in wanted:
            yield dg.MaterializeResult(
                asset_key=keys[model["name"]],
                metadata={
                    "dagster/table_name": f"marts.{model['name']}",
                    **_outcome(nodes.get(model["name"])),
                },
            )

    return marts


def _outcome(node: BuiltNode | None) -> dict[str, Any]:
    if node is None:
        return {"materialized": "a view, always current"}
    found: dict[str, Any] = {"seconds": node.seconds}
    if node.rows is not None and node.rows >= 0:
        found["rows_written"] = node.rows
    return found


def marts_checks(models: list[dict[str, Any]]) -> dg.AssetChecksDefinition:
    """Build one asset check for each data test that dbt has on a mart."""
    keys = {
        test["name"]: (dg.AssetKey(["marts", model["name"]]), test["description"])
        for model in models
        for test in model["tests"]
    }

    @dg.multi_asset_check(
        name="marts_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=key, description=description or None)
            for name, (key, description) in keys.items()
        ],
        can_subset=True,
    )
    def checks(
        context: dg.AssetCheckExecutionContext, marts: MartsResource
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = [check.name for check in context.selected_asset_check_keys]
        for node in marts.builder.test(wanted):
            key, _ = keys[node.name]
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=node.name,
                passed=node.status == "pass",
                severity=_SEVERITY.get(node.status, dg.AssetCheckSeverity.ERROR),
                metadata={"failing_rows": node.failures, "message": node.message},
            )

    return checks


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
