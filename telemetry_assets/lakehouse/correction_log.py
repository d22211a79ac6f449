"""The tables of corrections: `silver/corrections` and `silver/superseded` of one lake.

Most sources never have a correction: what is asked about those is answered from the log of one
small table, which stays open. Which hours have to follow is `correction_hours`' matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from telemetry_assets.lakehouse.tables import CORRECTIONS, SUPERSEDED
from telemetry_platform.delta import ensure_table, partition_sizes, replace_partition, scan_table
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, Table

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from telemetry_platform.settings import Settings


class CorrectionLog:
    """Both tables as they were at the last `look`, or when they were first asked.

    Attributes:
        settings: Where the lake is.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: dict[str, DeltaTable] = {}
        self._sizes: dict[str, pl.DataFrame] = {}

    def look(self) -> None:
        """See what other processes have written; without corrections, one look at one log."""
        for path, delta in self._open.items():
            seen = delta.version()
            delta.update_incremental()
            if delta.version() != seen:
                self._sizes.pop(path, None)

    def rows(self, table: Table, source: str, first: str = "") -> pl.DataFrame:
        """Return a source's rows of one of the two tables, of the hour `first` and later."""
        if not self._corrected([source]):
            return table.schema.to_frame()
        held = self._held(table, [source]).filter(pl.col(RECEIVED_HOUR) >= first)
        if held.is_empty():
            return table.schema.to_frame()
        where = {SOURCE: source, RECEIVED_HOUR: held[RECEIVED_HOUR].to_list()}
        return scan_table(self._open[table.path], where, table.schema).collect()

    def corrects(self, source: str, hour: str) -> bool:
        """Tell whether a correction landed in this hour."""
        return self._count(CORRECTIONS, [source], hour) > 0

    def superseded(self, source: str, hour: str) -> int:
        """Return how many rows `silver/superseded` has of an hour, from its log."""
        return self._count(SUPERSEDED, [source], hour)

    def replace(
        self, table: Table, rows: pl.DataFrame, hour: str, sources: list[str]
    ) -> int | None:
        """Replace an hour of one of the two tables.

        Only runs of this hour write it, and one at a time: what was seen of it still holds.

        Returns:
            The version that was written; None when there is nothing to write and nothing to remove.
        """
        if rows.is_empty() and not self._count(table, sources, hour):
            return None
        version = replace_partition(
            self.settings, table, rows, {RECEIVED_HOUR: hour, SOURCE: sources}
        )
        self.look()
        return version

    def _count(self, table: Table, sources: list[str], hour: str) -> int:
        if not self._corrected(sources):
            return 0
        held = self._held(table, sources).filter(pl.col(RECEIVED_HOUR) == hour)
        return int(held["rows"].sum())

    def _corrected(self, sources: list[str]) -> bool:
        """Tell whether any of the sources ever had a correction: without one, nothing is held."""
        return not self._held(CORRECTIONS, sources).is_empty()

    def _held(self, table: Table, sources: list[str]) -> pl.DataFrame:
        """Return the hours of some sources that have rows, with their number."""
        if table.path not in self._open:
            self._open[table.path] = ensure_table(self.settings, table)
        if table.path not in self._sizes:
            self._sizes[table.path] = partition_sizes(self._open[table.path])
        return self._sizes[table.path].filter(pl.col(SOURCE).is_in(sources), pl.col("rows") > 0)
