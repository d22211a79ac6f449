"""What the edge writes: external assets, observed and not made by Dagster."""

from __future__ import annotations

import dagster as dg

from telemetry_assets.defs.metadata import column_schema
from telemetry_assets.defs.partitions import arrival_hours
from telemetry_platform.layout import (
    LANDING_EVENTS,
    LANDING_FILE_ERRORS,
    LANDING_FILES,
    LANDING_REJECTED,
    Table,
)

EVENTS = dg.AssetKey(["landing", "events"])
REJECTED = dg.AssetKey(["landing", "rejected"])
FILES = dg.AssetKey(["landing", "files"])
FILE_ERRORS = dg.AssetKey(["landing", "file_errors"])


def _landing(key: dg.AssetKey, table: Table, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        group_name="landing",
        partitions_def=arrival_hours,
        kinds={"deltalake", "s3"},
        description=description,
        metadata={"dagster/column_schema": column_schema(table.columns)},
    )


landing_assets = [
    _landing(EVENTS, LANDING_EVENTS, "Accepted events, tokenized, by hour of arrival."),
    _landing(REJECTED, LANDING_REJECTED, "Refused events, their bodies sealed, with the reasons."),
    _landing(
        FILES, LANDING_FILES, "Files that the inbox processed, and what became of their rows."
    ),
    _landing(FILE_ERRORS, LANDING_FILE_ERRORS, "What was wrong in those files, by row and column."),
]
