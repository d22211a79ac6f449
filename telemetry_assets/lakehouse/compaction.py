"""Joins the small files that group commits leave in closed arrival hours of the landing tables.

The rows stay as they are: compaction changes no data (`dataChange` is false), so nothing downstream
runs again, and it never touches the open hour, where the edge appends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from deltalake import ColumnProperties, WriterProperties

from telemetry_platform.clock import hour_key
from telemetry_platform.delta import open_table
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, Table

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from telemetry_platform.settings import Settings

# Minima and maxima in a file's footer would hold tokens; the log has those of times alone.
_NO_STATISTICS = WriterProperties(
    compression="ZSTD",
    compression_level=3,
    default_column_properties=ColumnProperties(statistics_enabled="NONE"),
)


class Compacted(NamedTuple):
    """A closed hour of one source, and how many files became how many."""

    table: str
    source: str
    hour: str
    files_before: int
    files_after: int


def compact_closed_hours(
    settings: Settings, tables: Sequence[Table], closed_at: datetime, least_files: int
) -> list[Compacted]:
    """Compact every hour that was over at `closed_at` and has at least `least_files` files.

    Returns:
        What was compacted, oldest hour first. Repeating it finds nothing more to do.

    Raises:
        deltalake.exceptions.DeltaError: A table could not be rewritten; it is as it was.
    """
    done = []
    for table in tables:
        delta = open_table(settings, table.path)
        if delta is None:
            continue
        for source, hour, files in _crowded(delta, hour_key(closed_at), least_files):
            done.append(Compacted(table.path, source, hour, files, _compact(delta, source, hour)))
    return done


def _crowded(delta: DeltaTable, open_hour: str, least_files: int) -> list[tuple[str, str, int]]:
    source, hour = f"partition.{SOURCE}", f"partition.{RECEIVED_HOUR}"
    files = pl.DataFrame(delta.get_add_actions(flatten=True))
    if files.is_empty():
        return []
    counted = files.group_by(source, hour).len()
    return (
        counted.filter(pl.col(hour) < open_hour, pl.col("len") >= max(2, least_files))
        .sort(hour, source)
        .rows()
    )


def _compact(delta: DeltaTable, source: str, hour: str) -> int:
    metrics = delta.optimize.compact(
        partition_filters=[(SOURCE, "=", source), (RECEIVED_HOUR, "=", hour)],
        # One at a time: the machine is the edge's too.
        max_concurrent_tasks=1,
        writer_properties=_NO_STATISTICS,
    )
    return int(metrics["numFilesAdded"])
