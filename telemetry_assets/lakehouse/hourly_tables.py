"""Reads and writes arrival hours of the lake's tables, whatever they hold."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import polars as pl

from telemetry_platform.delta import (
    Partition,
    cast_strict,
    count_partition,
    open_table,
    replace_partition,
    scan_partition,
)
from telemetry_platform.layout import RECEIVED_HOUR, SOURCE, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltalake import DeltaTable

    from telemetry_platform.settings import Settings

ROWS_KEPT = 200_000
"""How many rows of former hours stay in memory; some 100 MB of the widest table."""

_Part = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class _Written:
    version: int
    rows: pl.DataFrame


class HourlyTables:
    """The Delta tables of one bucket, by arrival hour.

    Hours are partition keys such as `2026-11-22T14` (UTC). Writing a partition replaces it whole,
    in one commit. What was written is kept for the steps that come after: of the last hour all, of
    the hours before it what is little.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._written: dict[_Part, _Written] = {}
        self._opened: dict[str, DeltaTable | None] = {}
        self._keeping = Lock()

    def read(self, table: Table, hour: str, sources: list[str] | None = None) -> pl.DataFrame:
        """Return one hour of `table`, of all sources or of some.

        What this process wrote is returned as it was written.
        """
        written = self._written.get(_part(table, hour, sources))
        return self.scan(table, hour, sources).collect() if written is None else written.rows

    def scan(self, table: Table, hour: str, sources: list[str] | None = None) -> pl.LazyFrame:
        """Return one hour of `table` as a lazy frame, from storage."""
        where = _where(table, [hour], sources)
        return scan_partition(self.settings, table.path, where, table.schema)

    def stored(self, table: Table, hours: list[str]) -> dict[str, pl.DataFrame]:
        """Return these hours of `table`, each as it is in storage."""
        where = _where(table, hours, None)
        rows = scan_partition(self.settings, table.path, where, table.schema).collect()
        if len(hours) == 1:
            return {hours[0]: rows}
        return {hour: rows.filter(pl.col(RECEIVED_HOUR) == hour) for hour in hours}

    def write(
        self, table: Table, frame: pl.DataFrame, hour: str, sources: list[str] | None = None
    ) -> int:
        """Replace one hour of `table`; returns the table's new version."""
        return self.write_hours(table, {hour: frame}, sources)

    def write_hours(
        self, table: Table, frames: Mapping[str, pl.DataFrame], sources: list[str] | None = None
    ) -> int:
        """Replace these hours of `table` in one commit; returns the table's new version."""
        rows = {hour: cast_strict(frame, table.schema) for hour, frame in frames.items()}
        where = _where(table, list(rows), sources)
        version = replace_partition(self.settings, table, pl.concat(rows.values()), where)
        for hour, frame in rows.items():
            self.keep(table, hour, version, frame, sources)
        return version

    def columns(self, table: Table, hour: str, columns: list[str]) -> pl.DataFrame:
        """Return some columns of one hour of `table`, of all sources."""
        written = self._written.get(_part(table, hour, None))
        if written is not None:
            return written.rows.select(columns)
        return self.scan(table, hour).select(columns).collect()

    def written_version(self, table: Table, hour: str) -> int:
        """Return the version with which this process wrote `hour`, else the present one."""
        written = self._written.get(_part(table, hour, None))
        if written is not None:
            return written.version
        delta = open_table(self.settings, table.path)
        return -1 if delta is None else delta.version()

    def keep(
        self,
        table: Table,
        hour: str,
        version: int,
        rows: pl.DataFrame,
        sources: list[str] | None = None,
    ) -> None:
        """Keep what was written of one hour, and of other hours as long as it is little."""
        # Tables are written from several threads.
        with self._keeping:
            self._opened.pop(table.path, None)
            self._written[_part(table, hour, sources)] = _Written(version, rows)
            others = [part for part in self._written if part[1] != hour]
            held = sum(self._written[part].rows.height for part in others)
            for part in others:
                if held <= ROWS_KEPT:
                    break
                held -= self._written.pop(part).rows.height

    def count(self, table: Table, where: Partition) -> int:
        """Return how many rows these partitions have, from the log alone."""
        return count_partition(self.opened(table.path), where)

    def opened(self, path: str) -> DeltaTable | None:
        """Return the table as it was when this process first looked after writing to it."""
        if path not in self._opened:
            self._opened[path] = open_table(self.settings, path)
        return self._opened[path]

    @staticmethod
    def together(table: Table, frames: list[pl.DataFrame]) -> pl.DataFrame:
        """Return frames of one table as one, also when there is none."""
        columns = list(table.schema)
        return pl.concat([table.schema.to_frame(), *(frame.select(columns) for frame in frames)])


def _where(table: Table, hours: list[str], sources: list[str] | None) -> Partition:
    where: Partition = {RECEIVED_HOUR: hours}
    if sources is not None and SOURCE in table.partition_by:
        where[SOURCE] = sources
    return where


def _part(table: Table, hour: str, sources: list[str] | None) -> _Part:
    """Name what `_where` selects."""
    named = sources if sources is not None and SOURCE in table.partition_by else ()
    return table.path, hour, tuple(named)
