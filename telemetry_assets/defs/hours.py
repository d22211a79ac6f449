"""What a run tells Dagster of each of its hours: of one, or of all those of a backfill's run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Judged = dg.AssetCheckResult | dg.AssetCheckEvaluation | dg.Output


def materialized(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, hours: Mapping[str, Mapping[str, Any]]
) -> dg.MaterializeResult:
    """Return the result of an asset, with the metadata of each hour."""
    for hour, metadata in hours.items():
        context.add_asset_metadata(metadata, asset, hour)
    return dg.MaterializeResult(asset_key=asset)


def judged(
    context: dg.AssetExecutionContext,
    spec: dg.AssetCheckSpec,
    hours: Mapping[str, dg.AssetCheckResult],
) -> Iterator[Judged]:
    """Yield the verdicts of a check on each hour; its asset must have been yielded before.

    Dagster takes one result of a check from a step and gives it no partition in a run of several.
    So such a run yields what Dagster would make of a result, once for each hour.
    """
    if context.has_partition_key:
        yield from hours.values()
        return
    targets = _written_here(context, spec.asset_key, list(hours))
    yield dg.Output(None, output_name=spec.get_python_identifier())
    for hour, result in hours.items():
        yield dg.AssetCheckEvaluation(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
            blocking=spec.blocking,
            partition=hour,
            target_materialization_data=targets.get(hour),
        )


def _written_here(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, hours: list[str]
) -> dict[str, Target]:
    """Return this run's materialization of each hour: what the verdict is about."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=hours), limit=2 * len(hours)
    )
    return {
        record.partition_key: Target(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in reversed(found.records)
        if record.partition_key and record.run_id == context.run.run_id
    }
